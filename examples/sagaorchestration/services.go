package sagaorchestration

import (
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Order is what a customer wants.
type Order struct {
	OrderID, Item string
	Cents         int64
}

// What the orchestrator tells the services to do.
type (
	StockCommand struct {
		OrderID, Item string
		Release       bool
	}
	PaymentCommand struct {
		OrderID string
		Cents   int64
		Refund  bool
	}
	ShipCommand struct{ OrderID, Item string }
)

// What they answer. Each takes a command that it has followed before for a question, and
// answers again.
type (
	StockEvent    interface{ stock() string }
	Reserved      struct{ OrderID string }
	ReserveFailed struct{ OrderID, Why string }
	Released      struct{ OrderID string }

	PaymentEvent  interface{ payment() string }
	Paid          struct{ OrderID string }
	PaymentFailed struct{ OrderID, Why string }
	Refunded      struct{ OrderID string }

	ShippingEvent interface{ shipping() string }
	Sent          struct{ OrderID string }
	SendFailed    struct{ OrderID, Why string }
)

func (e Reserved) stock() string        { return e.OrderID }
func (e ReserveFailed) stock() string   { return e.OrderID }
func (e Released) stock() string        { return e.OrderID }
func (e Paid) payment() string          { return e.OrderID }
func (e PaymentFailed) payment() string { return e.OrderID }
func (e Refunded) payment() string      { return e.OrderID }
func (e Sent) shipping() string         { return e.OrderID }
func (e SendFailed) shipping() string   { return e.OrderID }

// Outcome is how an order ended.
type Outcome struct {
	OrderID string
	Shipped bool
	Why     string
}

// The topics, all keyed by order.
var (
	Orders          = topology.NewTopic("orders-placed", codec.String, codec.JSON[Order]())
	StockCommands   = topology.NewTopic("stock-commands", codec.String, codec.JSON[StockCommand]())
	StockEvents     = topology.NewTopic("stock-events", codec.String, codec.Union[StockEvent](Reserved{}, ReserveFailed{}, Released{}))
	PaymentCommands = topology.NewTopic("payment-commands", codec.String, codec.JSON[PaymentCommand]())
	PaymentEvents   = topology.NewTopic("payment-events", codec.String, codec.Union[PaymentEvent](Paid{}, PaymentFailed{}, Refunded{}))
	ShipCommands    = topology.NewTopic("shipping-commands", codec.String, codec.JSON[ShipCommand]())
	ShippingEvents  = topology.NewTopic("shipping-events", codec.String, codec.Union[ShippingEvent](Sent{}, SendFailed{}))
	Outcomes        = topology.NewTopic("order-outcomes", codec.String, codec.JSON[Outcome]())
	Invoices        = topology.NewTopic("invoices", codec.String, codec.String)
	Mails           = topology.NewTopic("mails", codec.String, codec.String)
)

// Shelf is an item's stock: who has reserved a piece.
type Shelf struct{ Reserved []string }

// PerItem is how many pieces of each item there are.
const PerItem = 3

// Reserve takes a piece off the shelf, or puts it back.
func Reserve(s Shelf, c StockCommand, out *topology.Out[StockEvent]) Shelf {
	at := slices.Index(s.Reserved, c.OrderID)
	switch {
	case c.Release && at >= 0:
		s = Shelf{slices.Concat(s.Reserved[:at], s.Reserved[at+1:])}
		out.Emit(Released{c.OrderID})
	case c.Release:
		out.Emit(Released{c.OrderID})
	case at >= 0:
		out.Emit(Reserved{c.OrderID})
	case len(s.Reserved) == PerItem:
		out.Emit(ReserveFailed{c.OrderID, "sold out"})
	default:
		s = Shelf{append(slices.Clone(s.Reserved), c.OrderID)}
		out.Emit(Reserved{c.OrderID})
	}
	return s
}

// Account is what the payment service knows of an order.
type Account struct{ Paid, Refunded bool }

// Limit is the most that a card is good for.
const Limit = 100_000

// Charge takes the money, or gives it back.
func Charge(a Account, c PaymentCommand, out *topology.Out[PaymentEvent]) Account {
	switch {
	case c.Refund:
		a.Refunded = true
		out.Emit(Refunded{c.OrderID})
	case a.Refunded || c.Cents > Limit:
		out.Emit(PaymentFailed{c.OrderID, "card declined"})
	default:
		a.Paid = true
		out.Emit(Paid{c.OrderID})
	}
	return a
}

// Unshippable is what no carrier takes.
const Unshippable = "anvil"

// Parcel is what the shipper knows of an order.
type Parcel struct{ Sent bool }

// Ship sends an order, once.
func Ship(p Parcel, c ShipCommand, out *topology.Out[ShippingEvent]) Parcel {
	if c.Item == Unshippable {
		out.Emit(SendFailed{c.OrderID, "too heavy"})
		return p
	}
	out.Emit(Sent{c.OrderID})
	return Parcel{Sent: true}
}

// Inventory is a service: stock by item.
func Inventory() *topology.Builder {
	b := topology.New("inventory", envelope.Headers())
	byItem := topology.KeyBy(StockCommands.Stream(b), "by-item", func(c StockCommand) string { return c.Item })
	events := topology.Process(byItem, "shelves", Reserve)
	topology.KeyBy(events, "by-order", StockEvent.stock).To(StockEvents)
	return b
}

// Payment is a service: money by order.
func Payment() *topology.Builder {
	b := topology.New("payment", envelope.Headers())
	topology.Process(PaymentCommands.Stream(b), "accounts", Charge).To(PaymentEvents)
	return b
}

// Shipping is a service.
func Shipping() *topology.Builder {
	b := topology.New("shipping", envelope.Headers())
	topology.Process(ShipCommands.Stream(b), "parcels", Ship).To(ShippingEvents)
	return b
}

// Billing listens to payments and outcomes; nobody knows of it. A payment that is told again,
// since the orchestrator asked again, is one payment.
func Billing() *topology.Builder {
	b := topology.New("billing", envelope.Headers())
	paid := topology.Deduplicate(topology.OfType[Paid](PaymentEvents.Stream(b)), "once", Paid.payment, 24*time.Hour)
	topology.Map(paid, func(p Paid) string { return "Invoice of order " + p.OrderID }).To(Invoices)
	thanks := topology.Map(paid, func(p Paid) string { return "Order " + p.OrderID + " is paid." })
	thanks.Merge(topology.Map(Outcomes.Stream(b), Write)).To(Mails)
	return b
}

// Write tells the customer.
func Write(o Outcome) string {
	if o.Shipped {
		return "Order " + o.OrderID + " is on its way."
	}
	return "Order " + o.OrderID + " is cancelled: " + o.Why + "."
}
