package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	saga "github.com/seed-81380e12/limpet/examples/sagaorchestration"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/topology"
)

// sagas is the orchestrated saga. The feeder is its customers, and its services, too: it
// answers commands that are committed, some twice, some never, in any order.
var sagas = scenario{
	name: "saga",
	build: func(w *world) *topology.Builder {
		w.refuses = []int{2, 6, 20}[w.rng.IntN(3)]
		switch {
		case w.bug("an order is sent before it is paid"):
			return wrongSaga(hasty, saga.OnDue)
		case w.bug("an order that nobody answers is never given up"):
			return wrongSaga(saga.OnStock, patient)
		}
		return saga.Orchestrator()
	},
	topics: func(w *world) {
		w.make("orders-placed", "stock-commands", "stock-events", "payment-commands", "payment-events", "shipping-commands", "shipping-events", "order-outcomes")
	},
	next: func(w *world, n int, aborted bool) input {
		at := epoch + core.Time(n)
		if aborted { // nobody may ever hear of it
			id := fmt.Sprint("aborted", n)
			return input{"orders-placed", []byte(id), mustJSON(saga.Order{OrderID: id}), at, -1}
		}
		bad := w.chance(w.refuses)
		switch w.rng.IntN(4) {
		case 1:
			var c saga.StockCommand
			if !w.asked("stock-commands", &c) {
				break
			}
			var e saga.StockEvent = saga.Reserved{OrderID: c.OrderID}
			if c.Release {
				e = saga.Released{OrderID: c.OrderID}
			} else if bad {
				e = saga.ReserveFailed{OrderID: c.OrderID, Why: "none left"}
			}
			return sagaEvent(saga.StockEvents, c.OrderID, e, at)
		case 2:
			var c saga.PaymentCommand
			if !w.asked("payment-commands", &c) {
				break
			}
			var e saga.PaymentEvent = saga.Paid{OrderID: c.OrderID}
			if c.Refund {
				e = saga.Refunded{OrderID: c.OrderID}
			} else if bad {
				e = saga.PaymentFailed{OrderID: c.OrderID, Why: "no money"}
			}
			return sagaEvent(saga.PaymentEvents, c.OrderID, e, at)
		case 3:
			var c saga.ShipCommand
			if !w.asked("shipping-commands", &c) {
				break
			}
			var e saga.ShippingEvent = saga.Sent{OrderID: c.OrderID}
			if bad {
				e = saga.SendFailed{OrderID: c.OrderID, Why: "no way"}
			}
			return sagaEvent(saga.ShippingEvents, c.OrderID, e, at)
		}
		id := fmt.Sprint("o", n/15)
		return input{"orders-placed", []byte(id), mustJSON(saga.Order{OrderID: id, Item: "i", Cents: 1}), at, -1}
	},
	slow:  12,
	model: sagaModel,
	naive: newNaiveSaga,
	says:  "what must hold of each order, whichever way it went; it has ended if all services have answered; what each transaction writes, and the rows at the end, are those of a naive orchestrator",
}

// hasty sends what is in stock: a mistake to plant.
func hasty(s saga.Saga, e saga.StockEvent, p *saga.Ports) saga.Saga {
	if r, ok := e.(saga.Reserved); ok {
		p.Shipping.Emit(saga.ShipCommand{OrderID: r.OrderID})
	}
	return saga.OnStock(s, e, p)
}

// patient does not count how often it has asked: a mistake to plant.
func patient(s saga.Saga, p *saga.Ports) saga.Saga {
	s.Attempts = 0
	return saga.OnDue(s, p)
}

// wrongSaga is the orchestrator with functions that are wrong.
func wrongSaga(onStock func(saga.Saga, saga.StockEvent, *saga.Ports) saga.Saga, onDue func(saga.Saga, *saga.Ports) saga.Saga) *topology.Builder {
	b := topology.New("order-saga")
	p := topology.NewProcessor(saga.Orders.Stream(b), "order-saga", saga.OnOrder)
	topology.On(p, saga.StockEvents.Stream(b), onStock)
	topology.On(p, saga.PaymentEvents.Stream(b), saga.OnPayment)
	topology.On(p, saga.ShippingEvents.Stream(b), saga.OnShipping)
	p.OnTimer(&p.Ports.Due, onDue)
	topology.Output(p, &p.Ports.Stock).To(saga.StockCommands)
	topology.Output(p, &p.Ports.Payments).To(saga.PaymentCommands)
	topology.Output(p, &p.Ports.Shipping).To(saga.ShipCommands)
	topology.Output(p, &p.Ports.Outcome).To(saga.Outcomes)
	return b
}

// asked draws a command, a late one mostly, of those that whoever reads them now can see.
func (w *world) asked(topic string, c any) bool {
	var all [][]core.RawRecord
	for _, p := range w.kafka.topics[topic].parts {
		if seen, _, _ := p.read(0, int(p.end())+1); len(seen) > 0 {
			all = append(all, seen)
		}
	}
	if len(all) == 0 {
		return false
	}
	seen := all[w.rng.IntN(len(all))]
	at := w.rng.IntN(len(seen))
	if !w.chance(4) {
		at = max(at, len(seen)-1-w.rng.IntN(3))
	}
	return json.Unmarshal(seen[at].Value, c) == nil
}

func sagaEvent[E any](t topology.Topic[string, E], id string, e E, at core.Time) input {
	_, codec := t.Codecs()
	b, err := codec.Append(nil, e)
	if err != nil {
		panic(err)
	}
	return input{t.Name(), []byte(id), b, at, -1}
}

// sagaModel says what must hold of each order, however it went: it ends once at most; it is
// sent only if stock and money are there, and has come to its end if it was sent; nothing is
// undone that was shipped. When each service has answered all that it was told, it has ended.
func sagaModel(w *world) error {
	heard, told, ended := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, topic := range []string{"orders-placed", "stock-events", "payment-events", "shipping-events"} {
		for _, r := range w.history(topic) {
			what := topic
			for _, kind := range []string{"Reserved", "ReserveFailed", "Released", "Paid", "PaymentFailed", "Refunded", "Sent", "SendFailed"} {
				if strings.Contains(string(r.Value), kind) {
					what = kind
				}
			}
			heard[string(r.Key)+" "+what] = true
		}
	}
	for _, r := range w.history("order-outcomes") {
		var o saga.Outcome
		if err := json.Unmarshal(r.Value, &o); err != nil {
			return err
		}
		if was, ok := ended[o.OrderID]; ok {
			return fmt.Errorf("order %s ends twice: %s and %s", o.OrderID, was, r.Value)
		}
		ended[o.OrderID] = string(r.Value)
		if o.Shipped {
			invariant.Sometimes("sim: a saga ends with a parcel")
		} else {
			invariant.Sometimes("sim: a saga ends undone")
		}
		told[fmt.Sprint(o.OrderID, " shipped ", o.Shipped)] = true
		if o.Shipped && (!heard[o.OrderID+" Reserved"] || !heard[o.OrderID+" Paid"] || !heard[o.OrderID+" Sent"]) {
			return fmt.Errorf("order %s is shipped, and its services never said so: %v", o.OrderID, heard)
		}
	}
	waits := map[string]bool{} // for an answer
	for topic, undoes := range map[string]string{"stock-commands": `"Release":true`, "payment-commands": `"Refund":true`, "shipping-commands": ""} {
		for _, r := range w.history(topic) {
			id := string(r.Key)
			undo := undoes != "" && strings.Contains(string(r.Value), undoes)
			answered := false
			for _, kind := range sagaAnswers[topic][undo] {
				answered = answered || heard[id+" "+kind]
			}
			waits[id] = waits[id] || !answered
			switch {
			case !heard[id+" orders-placed"]:
				return fmt.Errorf("%s: %s is about an order that nobody placed", topic, r.Value)
			case undo && told[id+" shipped true"]:
				return fmt.Errorf("%s: %s, and the order is shipped", topic, r.Value)
			case undoes == "" && (!heard[id+" Reserved"] || !heard[id+" Paid"]):
				return fmt.Errorf("%s: %s, and stock or money are missing", topic, r.Value)
			}
		}
	}
	for _, r := range w.history("orders-placed") {
		if _, ok := ended[string(r.Key)]; !ok && !waits[string(r.Key)] {
			return fmt.Errorf("order %s has not ended, and waits for nobody", r.Key)
		}
	}
	return nil
}

// sagaAnswers are those to the commands of a topic: to do something (false), and to undo it.
var sagaAnswers = map[string]map[bool][]string{
	"stock-commands":    {false: {"Reserved", "ReserveFailed"}, true: {"Released"}},
	"payment-commands":  {false: {"Paid", "PaymentFailed"}, true: {"Refunded"}},
	"shipping-commands": {false: {"Sent", "SendFailed"}},
}
