package sagachoreography

import (
	"slices"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

const (
	// PerItem is how many pieces of each item there are.
	PerItem = 3
	// Limit is the most that a card is good for.
	Limit = 100_000
	// Unshippable is what no carrier takes.
	Unshippable = "anvil"
)

// Shelf is an item's stock: who has reserved a piece.
type Shelf struct{ Reserved []string }

// Stock is what the inventory does: it reserves what is ordered, and releases what is not
// paid or given back.
func Stock(s Shelf, e Event, out *topology.Out[Event]) Shelf {
	at := slices.Index(s.Reserved, e.Order())
	release := func(why string) Shelf {
		if at < 0 {
			return s
		}
		out.Emit(InventoryReleased{e.Order(), why})
		return Shelf{slices.Concat(s.Reserved[:at], s.Reserved[at+1:])}
	}
	switch e := e.(type) {
	case OrderCreated:
		if len(s.Reserved) == PerItem {
			out.Emit(ReserveFailed{e.OrderID, "sold out"})
			return s
		}
		out.Emit(InventoryReserved(e))
		return Shelf{append(slices.Clone(s.Reserved), e.OrderID)}
	case PaymentFailed:
		return release(e.Why)
	case PaymentRefunded:
		return release(e.Why)
	}
	return s
}

// Account is what the payment service knows of an order.
type Account struct{ Paid, Refunded bool }

// Money is what the payment service does: it charges what is reserved, and refunds what is
// not shipped.
func Money(a Account, e Event, out *topology.Out[Event]) Account {
	switch e := e.(type) {
	case InventoryReserved:
		if e.Cents > Limit {
			out.Emit(PaymentFailed{e.OrderID, e.Item, "card declined"})
			return a
		}
		out.Emit(PaymentProcessed{e.OrderID, e.Item})
		return Account{Paid: true}
	case ShippingFailed:
		out.Emit(PaymentRefunded(e))
		return Account{Paid: true, Refunded: true}
	}
	return a
}

// Ship is what the shipper does with a paid order.
func Ship(p PaymentProcessed) Event {
	if p.Item == Unshippable {
		return ShippingFailed{p.OrderID, p.Item, "too heavy"}
	}
	return OrderShipped{p.OrderID}
}

// Follow is what the order service does: it tells its customers how their order stands.
func Follow(e Event, out *topology.Out[Event]) {
	switch e := e.(type) {
	case ReserveFailed:
		out.Emit(OrderCancelled(e))
	case InventoryReleased:
		out.Emit(OrderCancelled(e))
	case PaymentProcessed:
		out.Emit(OrderPaid{e.OrderID})
	case OrderShipped:
		out.Emit(OrderClosed(e))
	}
}

// Item is what an event is about, for the inventory.
func Item(e Event) string {
	switch e := e.(type) {
	case OrderCreated:
		return e.Item
	case PaymentFailed:
		return e.Item
	case PaymentRefunded:
		return e.Item
	}
	return ""
}

func concerns(e Event) bool { return Item(e) != "" }

// Inventory is a service.
func Inventory() *topology.Builder {
	b := topology.New("inventory-service", envelope.Headers())
	heard := OrderEvents.Stream(b).Merge(PaymentEvents.Stream(b)).Filter(concerns)
	told := topology.Process(topology.KeyBy(heard, "by-item", Item), "stock", Stock)
	topology.KeyBy(told, "by-order", Event.Order).To(InventoryEvents)
	return b
}

// Payment is a service.
func Payment() *topology.Builder {
	b := topology.New("payment-service", envelope.Headers())
	heard := InventoryEvents.Stream(b).Merge(ShippingEvents.Stream(b))
	topology.Process(heard, "accounts", Money).To(PaymentEvents)
	return b
}

// Shipping is a service.
func Shipping() *topology.Builder {
	b := topology.New("shipping-service", envelope.Headers())
	topology.Map(topology.OfType[PaymentProcessed](PaymentEvents.Stream(b)), Ship).To(ShippingEvents)
	return b
}

// Orders is the service that owns the orders.
func Orders() *topology.Builder {
	b := topology.New("order-service", envelope.Headers())
	heard := InventoryEvents.Stream(b).Merge(PaymentEvents.Stream(b), ShippingEvents.Stream(b))
	topology.FlatMap(heard, Follow).To(OrderEvents)
	return b
}

// Billing hears of payments; the payment service does not know.
func Billing() *topology.Builder {
	b := topology.New("billing-service", envelope.Headers())
	paid := topology.OfType[PaymentProcessed](PaymentEvents.Stream(b))
	topology.Map(paid, func(p PaymentProcessed) string { return "Invoice of order " + p.OrderID }).To(Invoices)
	return b
}

// Notifications writes to the customer when an order comes to its end.
func Notifications() *topology.Builder {
	b := topology.New("notification-service", envelope.Headers())
	topology.FlatMap(OrderEvents.Stream(b), Notice).To(Mails)
	return b
}

// Notice is what the customer reads.
func Notice(e Event, out *topology.Out[string]) {
	switch e := e.(type) {
	case OrderPaid:
		out.Emit("Order " + e.OrderID + " is paid.")
	case OrderClosed:
		out.Emit("Order " + e.OrderID + " is on its way.")
	case OrderCancelled:
		out.Emit("Order " + e.OrderID + " is cancelled: " + e.Why + ".")
	}
}
