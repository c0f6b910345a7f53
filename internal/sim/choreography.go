package sim

import (
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	saga "github.com/seed-81380e12/limpet/examples/sagachoreography"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// choreography is the saga with nobody in charge. All services are in one application here; they meet in
// their topics all the same. The feeder is the customers.
var choreography = scenario{
	name: "choreography",
	build: func(w *world) *topology.Builder {
		b := topology.New("choreography", envelope.Headers())
		orders, inventory := saga.OrderEvents.Stream(b), saga.InventoryEvents.Stream(b)
		payment, shipping := saga.PaymentEvents.Stream(b), saga.ShippingEvents.Stream(b)

		asked := orders.Merge(payment).Filter(func(e saga.Event) bool { return saga.Item(e) != "" })
		told := topology.Process(topology.KeyBy(asked, "by-item", saga.Item), "stock", w.stock)
		topology.KeyBy(told, "by-order", saga.Event.Order).To(saga.InventoryEvents)

		topology.Process(inventory.Merge(shipping), "accounts", w.money).To(saga.PaymentEvents)
		paid := topology.OfType[saga.PaymentProcessed](payment)
		topology.Map(paid, saga.Ship).To(saga.ShippingEvents)
		topology.FlatMap(inventory.Merge(payment, shipping), saga.Follow).To(saga.OrderEvents)
		topology.Map(paid, func(p saga.PaymentProcessed) string { return p.OrderID }).To(saga.Invoices)
		topology.FlatMap(orders, saga.Notice).To(saga.Mails)
		return b
	},
	topics: func(w *world) {
		w.make("order-events", "inventory-events", "payment-service-events", "shipping-service-events", "order-invoices", "order-notices")
	},
	next: func(w *world, n int, aborted bool) input {
		o := saga.OrderCreated{OrderID: fmt.Sprint("o", n), Item: fmt.Sprint("i", n/4), Cents: 5}
		if aborted { // nobody may ever hear of it
			o.OrderID = fmt.Sprint("aborted", n)
		}
		if w.chance(5) {
			o.Item = saga.Unshippable
		}
		if w.chance(5) {
			o.Cents = saga.Limit + 1
		}
		return sagaEvent[saga.Event](saga.OrderEvents, o.OrderID, o, epoch+core.Time(n))
	},
	model: choreographyModel,
	naive: newNaiveServices,
	says:  "each order has ended, once, and nothing is half done or undone; no more pieces are out than there are; what each transaction writes, and the rows at the end, are those of naive services",
}

// stock is what the inventory does, or a mistake to plant.
func (w *world) stock(s saga.Shelf, e saga.Event, out *topology.Out[saga.Event]) saga.Shelf {
	if o, ok := e.(saga.OrderCreated); ok && w.bug("what is sold out is reserved") && len(s.Reserved) == saga.PerItem {
		out.Emit(saga.InventoryReserved(o))
		return s
	}
	if p, ok := e.(saga.PaymentFailed); ok && w.bug("what is given back does not say why") {
		p.Why = ""
		e = p
	}
	return saga.Stock(s, e, out)
}

// money is what the payment service does, or a mistake to plant.
func (w *world) money(a saga.Account, e saga.Event, out *topology.Out[saga.Event]) saga.Account {
	if _, ok := e.(saga.ShippingFailed); ok && w.bug("what is not shipped is not refunded") {
		return a
	}
	return saga.Money(a, e, out)
}

// orderLife is all that happened to an order.
type orderLife struct {
	created                                                     saga.OrderCreated
	placed, reserved, refused, released, paid, declined, refund int
	shipped, heavy, told, cancelled, closed, invoices, mails    int
}

// choreographyModel says what must hold of each order when all is done, in whichever order the services heard of
// it: it has ended, once; it is closed with a piece, money and a parcel, or all that was done is undone.
// No more pieces of an item are out than there are.
func choreographyModel(w *world) error {
	orders := map[string]*orderLife{}
	of := func(id string) *orderLife {
		if orders[id] == nil {
			orders[id] = &orderLife{}
		}
		return orders[id]
	}
	_, events := saga.OrderEvents.Codecs()
	for _, topic := range []string{"order-events", "inventory-events", "payment-service-events", "shipping-service-events"} {
		for _, r := range w.history(topic) {
			e, err := events.Decode(r.Value)
			if err != nil {
				return err
			}
			if e.Order() != string(r.Key) {
				return fmt.Errorf("%s: %s lies under key %s", topic, r.Value, r.Key)
			}
			of(e.Order()).hear(e)
		}
	}
	for _, r := range w.history("order-invoices") {
		of(string(r.Key)).invoices++
	}
	for _, r := range w.history("order-notices") {
		of(string(r.Key)).mails++
	}
	out, asked := map[string]int{}, map[string]int{}
	for id, o := range orders {
		if err := o.wrong(); err != nil {
			return fmt.Errorf("order %s: %w: %+v", id, err, *o)
		}
		out[o.created.Item] += o.reserved - o.released
		asked[o.created.Item] += o.reserved
		if o.closed > 0 {
			invariant.Sometimes("sim: an order of services is closed")
		}
		if o.refund > 0 {
			invariant.Sometimes("sim: an order of services is undone")
		}
	}
	for id, o := range orders {
		if o.refused > 0 && asked[o.created.Item] < saga.PerItem {
			return fmt.Errorf("order %s: %s was sold out, and %d were reserved ever", id, o.created.Item, asked[o.created.Item])
		}
	}
	for item, n := range out {
		if n > saga.PerItem {
			return fmt.Errorf("%d of %s are out, and there are %d", n, item, saga.PerItem)
		}
	}
	return nil
}

func (o *orderLife) hear(e saga.Event) {
	switch e := e.(type) {
	case saga.OrderCreated:
		o.created = e
		o.placed++
	case saga.OrderPaid:
		o.told++
	case saga.OrderCancelled:
		o.cancelled++
	case saga.OrderClosed:
		o.closed++
	case saga.InventoryReserved:
		o.reserved++
	case saga.ReserveFailed:
		o.refused++
	case saga.InventoryReleased:
		o.released++
	case saga.PaymentProcessed:
		o.paid++
	case saga.PaymentFailed:
		o.declined++
	case saga.PaymentRefunded:
		o.refund++
	case saga.OrderShipped:
		o.shipped++
	case saga.ShippingFailed:
		o.heavy++
	}
}

// wrong says what does not fit together.
func (o *orderLife) wrong() error {
	good := o.created.Cents <= saga.Limit
	switch {
	case o.placed != 1:
		return fmt.Errorf("placed %d times", o.placed)
	case o.closed+o.cancelled != 1:
		return fmt.Errorf("ended %d times", o.closed+o.cancelled)
	case o.reserved+o.refused != 1:
		return fmt.Errorf("the inventory has answered %d times", o.reserved+o.refused)
	case o.paid+o.declined != o.reserved:
		return fmt.Errorf("paid and declined %d times, reserved %d", o.paid+o.declined, o.reserved)
	case o.shipped+o.heavy != o.paid:
		return fmt.Errorf("shipped and not %d times, paid %d", o.shipped+o.heavy, o.paid)
	case o.paid == 1 && !good, o.declined == 1 && good:
		return fmt.Errorf("the card was not looked at")
	case o.shipped == 1 && o.created.Item == saga.Unshippable:
		return fmt.Errorf("nobody can ship that")
	case o.closed != o.shipped:
		return fmt.Errorf("closed %d times, shipped %d", o.closed, o.shipped)
	case o.refund != o.heavy:
		return fmt.Errorf("refunded %d times, not shipped %d", o.refund, o.heavy)
	case o.released != o.declined+o.refund:
		return fmt.Errorf("released %d times", o.released)
	case o.told != o.paid, o.invoices != o.paid:
		return fmt.Errorf("told of the payment %d times, %d invoices", o.told, o.invoices)
	case o.mails != o.told+1:
		return fmt.Errorf("%d mails", o.mails)
	}
	return nil
}
