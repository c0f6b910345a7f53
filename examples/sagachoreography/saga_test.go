package sagachoreography

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/envelope"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestServices(t *testing.T) {
	full := Shelf{[]string{"a", "b", "c"}}
	for _, c := range []struct {
		name  string
		given Shelf
		when  Event
		then  []Event
		left  int
	}{
		{"reserve", Shelf{}, OrderCreated{"o1", "book", 5}, []Event{InventoryReserved{"o1", "book", 5}}, 1},
		{"sold out", full, OrderCreated{"o1", "book", 5}, []Event{ReserveFailed{"o1", "sold out"}}, 3},
		{"not paid", full, PaymentFailed{"b", "book", "no"}, []Event{InventoryReleased{"b", "no"}}, 2},
		{"given back", full, PaymentRefunded{"b", "book", "no"}, []Event{InventoryReleased{"b", "no"}}, 2},
		{"nobody's", full, PaymentFailed{"x", "book", "no"}, nil, 3},
	} {
		var out topology.Out[Event]
		if s := Stock(c.given, c.when, &out); len(s.Reserved) != c.left || !slices.Equal(out.Values(), c.then) {
			t.Errorf("%s: %v, %v", c.name, s, out.Values())
		}
	}
	if Ship(PaymentProcessed{"o1", Unshippable}) != (ShippingFailed{"o1", Unshippable, "too heavy"}) || Ship(PaymentProcessed{"o1", "book"}) != (OrderShipped{"o1"}) {
		t.Error("shipping")
	}
}

func services() []*topology.Builder {
	return []*topology.Builder{Orders(), Inventory(), Payment(), Shipping(), Billing(), Notifications()}
}

func TestChoreography(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		orders, mails, invoices := topologytest.Topic(d, OrderEvents), topologytest.Topic(d, Mails), topologytest.Topic(d, Invoices)
		orders.Send("o1", OrderCreated{"o1", "book", 900})
		mails.Want("Order o1 is paid.", "Order o1 is on its way.")
		invoices.Want("Invoice of order o1")
		orders.Send("o2", OrderCreated{"o2", "yacht", Limit + 1})
		mails.Want("Order o2 is cancelled: card declined.")
		invoices.WantNone()
		orders.Send("o3", OrderCreated{"o3", Unshippable, 5})
		mails.Want("Order o3 is paid.", "Order o3 is cancelled: too heavy.")
		topologytest.Table[string, Shelf](d, "stock").Want(map[string]Shelf{"book": {[]string{"o1"}}, "yacht": {}, Unshippable: {}})
	}, services()...)
}

// What belongs together has one correlation id, from the order to the mail.
func TestCorrelation(t *testing.T) {
	d := topologytest.New(t, services()...)
	topologytest.Topic(d, OrderEvents).Send("o1", OrderCreated{"o1", "book", 900})
	for _, r := range topologytest.Topic(d, Mails).Records() {
		if m := envelope.Of(r.Headers); m.CorrelationID != "order-events/0@0" {
			t.Errorf("%q: %+v", r.Value, m)
		}
	}
}

// Whatever is slow or crashes, and in whichever order: each order is all done or all undone
// in the end.
func TestAllOrNothing(t *testing.T) {
	names := []string{"inventory-service", "payment-service", "shipping-service", "order-service"}
	rapid.Check(t, func(rt *rapid.T) {
		d := topologytest.Config{Seed: rapid.Uint64Range(1, 1<<20).Draw(rt, "seed"), Batch: 3, CommitEvery: 2}.New(t, services()...)
		orders := topologytest.Topic(d, OrderEvents)
		placed := map[string]OrderCreated{}
		for range rapid.IntRange(1, 30).Draw(rt, "actions") {
			service := rapid.SampledFrom(names).Draw(rt, "service")
			switch rapid.IntRange(0, 5).Draw(rt, "action") {
			case 0:
				d.Pause(service)
			case 1:
				d.Resume(service)
			case 2:
				d.Crash()
			default:
				id := fmt.Sprint("o", len(placed))
				placed[id] = OrderCreated{id, rapid.SampledFrom([]string{"book", "pen", Unshippable}).Draw(rt, "item"), rapid.SampledFrom([]int64{5, Limit + 1}).Draw(rt, "cents")}
				orders.Send(id, placed[id])
			}
		}
		for _, name := range names {
			d.Resume(name)
		}
		stock, accounts := topologytest.Table[string, Shelf](d, "stock").Rows(), topologytest.Table[string, Account](d, "accounts").Rows()
		ends := map[string][]Event{}
		for _, e := range orders.Values() {
			switch e.(type) {
			case OrderClosed, OrderCancelled:
				ends[e.Order()] = append(ends[e.Order()], e)
			}
		}
		for id, o := range placed {
			a := accounts[id]
			reserved, paid := slices.Contains(stock[o.Item].Reserved, id), a.Paid && !a.Refunded
			if len(ends[id]) != 1 {
				rt.Errorf("%s: ends with %v", id, ends[id])
				continue
			}
			if _, closed := ends[id][0].(OrderClosed); reserved != closed || paid != closed {
				rt.Errorf("%s: %v, reserved %v, paid %v", id, ends[id][0], reserved, paid)
			}
		}
	})
}
