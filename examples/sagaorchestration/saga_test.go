package sagaorchestration

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var book = Order{"o1", "book", 900}

func TestSteps(t *testing.T) {
	var p Ports
	s := OnOrder(Saga{}, book, &p)
	if s.Stage != Preparing || len(p.Stock.Values()) != 1 || len(p.Payments.Values()) != 1 {
		t.Fatalf("%+v: %v, %v", s, p.Stock.Values(), p.Payments.Values())
	}
	if again := OnOrder(s, book, &Ports{}); again != s {
		t.Errorf("told twice: %+v", again)
	}

	p = Ports{}
	s = OnPayment(s, Paid{"o1"}, &p)
	s = OnStock(s, ReserveFailed{"o1", "sold out"}, &p)
	if refunds := p.Payments.Values(); s.Stage != Undoing || len(refunds) != 1 || !refunds[0].Refund || len(p.Stock.Values()) != 0 {
		t.Fatalf("%+v: %v", s, refunds)
	}
	p = Ports{}
	s = OnPayment(s, Refunded{"o1"}, &p)
	if s.Stage != Cancelled || !slices.Equal(p.Outcome.Values(), []Outcome{{"o1", false, "sold out"}}) {
		t.Fatalf("%+v: %v", s, p.Outcome.Values())
	}
}

// What is done is undone in reverse: the money first, then the stock.
func TestReverse(t *testing.T) {
	var p Ports
	s := Saga{Order: book, Stage: Sending, Stock: Done, Payment: Done, Sending: Asked}
	s = OnShipping(s, SendFailed{"o1", "too heavy"}, &p)
	if len(p.Payments.Values()) != 1 || len(p.Stock.Values()) != 0 {
		t.Fatal(p.Payments.Values(), p.Stock.Values())
	}
	s = OnPayment(s, Refunded{"o1"}, &p)
	if len(p.Stock.Values()) != 1 || !p.Stock.Values()[0].Release || s.Stage != Undoing {
		t.Fatal(p.Stock.Values(), s)
	}
	if s = OnStock(s, Released{"o1"}, &p); s.Stage != Cancelled {
		t.Fatal(s)
	}
}

func services() []*topology.Builder {
	return []*topology.Builder{Orchestrator(), Inventory(), Payment(), Shipping(), Billing()}
}

func TestShipped(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		topologytest.Topic(d, Orders).Send("o1", book)
		topologytest.Topic(d, Outcomes).Want(Outcome{OrderID: "o1", Shipped: true})
		topologytest.Topic(d, Invoices).Want("Invoice of order o1")
		topologytest.Topic(d, Mails).Want("Order o1 is paid.", "Order o1 is on its way.")
	}, services()...)
}

func TestFailures(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		orders, outcomes := topologytest.Topic(d, Orders), topologytest.Topic(d, Outcomes)
		orders.Send("o1", Order{"o1", "yacht", Limit + 1})
		outcomes.Want(Outcome{"o1", false, "card declined"})
		orders.Send("o2", Order{"o2", Unshippable, 5})
		outcomes.Want(Outcome{"o2", false, "too heavy"})
		topologytest.Table[string, Shelf](d, "shelves").Want(map[string]Shelf{"yacht": {}, Unshippable: {}})
		topologytest.Table[string, Account](d, "accounts").Want(map[string]Account{"o1": {}, "o2": {true, true}})
	}, services()...)
}

// A service that does not answer is asked again, and then the order is cancelled; what the
// service still does when it is back, it undoes.
func TestTimeout(t *testing.T) {
	d := topologytest.New(t, services()...)
	outcomes := topologytest.Topic(d, Outcomes)
	d.Pause("inventory")
	topologytest.Topic(d, Orders).Send("o1", book)
	for range attempts {
		outcomes.WantNone()
		d.Advance(patience)
	}
	d.Resume("inventory")
	outcomes.Want(Outcome{"o1", false, "no answer in time"})
	topologytest.Table[string, Shelf](d, "shelves").Want(map[string]Shelf{"book": {}})
	topologytest.Table[string, Account](d, "accounts").Want(map[string]Account{"o1": {true, true}})
}

// A payment that is told twice, since the orchestrator asked twice, has one invoice and one mail.
func TestPaidOnce(t *testing.T) {
	d := topologytest.New(t, services()...)
	d.Pause("payment")
	topologytest.Topic(d, Orders).Send("o1", book)
	d.Advance(patience)
	d.Resume("payment")
	if paid := topologytest.Topic(d, PaymentEvents).Values(); len(paid) != 2 {
		t.Fatalf("told %d times: %v", len(paid), paid)
	}
	topologytest.Topic(d, Invoices).Want("Invoice of order o1")
	topologytest.Topic(d, Mails).Want("Order o1 is paid.", "Order o1 is on its way.")
}

// A service that was asked twice may say no and then yes, if something was given back in between: what it
// holds then is given back as well.
func TestNoThenYes(t *testing.T) {
	d := topologytest.New(t, services()...)
	orders, outcomes := topologytest.Topic(d, Orders), topologytest.Topic(d, Outcomes)
	d.Pause("inventory")
	d.Pause("payment")
	for i, cents := range []int64{Limit + 1, 5, 5, 5} { // the first is declined, and its book is given back
		id := fmt.Sprint("o", i+1)
		orders.Send(id, Order{id, "book", cents})
	}
	d.Resume("payment") // from here on the first is undone
	d.Advance(patience) // and the others' stock is asked for again
	d.Resume("inventory")
	outcomes.Want(Outcome{"o1", false, "card declined"}, Outcome{"o4", false, "sold out"}, Outcome{"o2", true, ""}, Outcome{"o3", true, ""})
	topologytest.Table[string, Shelf](d, "shelves").Want(map[string]Shelf{"book": {[]string{"o2", "o3"}}})
}

// Whatever is slow, fails or crashes, and in whichever order: each order is all done or all
// undone in the end.
func TestAllOrNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := topologytest.Config{Seed: rapid.Uint64Range(1, 1<<20).Draw(rt, "seed"), Batch: 3, CommitEvery: 2}.New(t, services()...)
		orders := topologytest.Topic(d, Orders)
		placed := map[string]Order{}
		for range rapid.IntRange(1, 30).Draw(rt, "actions") {
			service := rapid.SampledFrom([]string{"inventory", "payment", "shipping", "order-saga"}).Draw(rt, "service")
			switch rapid.IntRange(0, 5).Draw(rt, "action") {
			case 0:
				d.Pause(service)
			case 1:
				d.Resume(service)
			case 2:
				d.Advance(patience / 2)
			case 3:
				d.Crash()
			default:
				id := fmt.Sprint("o", rapid.IntRange(1, 12).Draw(rt, "id"))
				o, ok := placed[id] // now and then an order is told twice
				if !ok {
					o = Order{id, rapid.SampledFrom([]string{"book", "pen", Unshippable}).Draw(rt, "item"), rapid.SampledFrom([]int64{5, Limit + 1}).Draw(rt, "cents")}
					placed[id] = o
				}
				orders.Send(id, o)
			}
		}
		for _, name := range []string{"inventory", "payment", "shipping", "order-saga"} {
			d.Resume(name)
		}
		for range 2 * attempts {
			d.Advance(patience)
		}
		judge(rt, d, placed)
	})
}

func judge(t *rapid.T, d *topologytest.Driver, placed map[string]Order) {
	sagas := topologytest.Table[string, Saga](d, "order-saga").Rows()
	shelves := topologytest.Table[string, Shelf](d, "shelves").Rows()
	accounts := topologytest.Table[string, Account](d, "accounts").Rows()
	parcels := topologytest.Table[string, Parcel](d, "parcels").Rows()
	outcomes := map[string]int{}
	for _, o := range topologytest.Topic(d, Outcomes).Values() {
		if outcomes[o.OrderID]++; o.Shipped != (sagas[o.OrderID].Stage == Shipped) {
			t.Errorf("%+v, and the saga says %+v", o, sagas[o.OrderID])
		}
	}
	for id, o := range placed {
		reserved, a := slices.Contains(shelves[o.Item].Reserved, id), accounts[id]
		paid, sent := a.Paid && !a.Refunded, parcels[id].Sent
		if all, none := reserved && paid && sent, !reserved && !paid && !sent; !all && !none || all != (sagas[id].Stage == Shipped) || outcomes[id] != 1 {
			t.Errorf("%s: reserved %v, paid %v, sent %v; %+v; %d outcomes", id, reserved, paid, sent, sagas[id], outcomes[id])
		}
	}
}
