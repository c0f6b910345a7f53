package sagachoreography

import (
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Event is what has happened to an order: all that the services share.
type Event interface{ Order() string }

// The events of the services. An event carries what the next one needs to know.
type (
	OrderCreated struct {
		OrderID, Item string
		Cents         int64
	}
	OrderPaid      struct{ OrderID string }
	OrderCancelled struct{ OrderID, Why string }
	OrderClosed    struct{ OrderID string }

	InventoryReserved struct {
		OrderID, Item string
		Cents         int64
	}
	ReserveFailed     struct{ OrderID, Why string }
	InventoryReleased struct{ OrderID, Why string }

	PaymentProcessed struct{ OrderID, Item string }
	PaymentFailed    struct{ OrderID, Item, Why string }
	PaymentRefunded  struct{ OrderID, Item, Why string }

	OrderShipped   struct{ OrderID string }
	ShippingFailed struct{ OrderID, Item, Why string }
)

// Order is whose event it is.
func (e OrderCreated) Order() string { return e.OrderID }

// Order is whose event it is.
func (e OrderPaid) Order() string { return e.OrderID }

// Order is whose event it is.
func (e OrderCancelled) Order() string { return e.OrderID }

// Order is whose event it is.
func (e OrderClosed) Order() string { return e.OrderID }

// Order is whose event it is.
func (e InventoryReserved) Order() string { return e.OrderID }

// Order is whose event it is.
func (e ReserveFailed) Order() string { return e.OrderID }

// Order is whose event it is.
func (e InventoryReleased) Order() string { return e.OrderID }

// Order is whose event it is.
func (e PaymentProcessed) Order() string { return e.OrderID }

// Order is whose event it is.
func (e PaymentFailed) Order() string { return e.OrderID }

// Order is whose event it is.
func (e PaymentRefunded) Order() string { return e.OrderID }

// Order is whose event it is.
func (e OrderShipped) Order() string { return e.OrderID }

// Order is whose event it is.
func (e ShippingFailed) Order() string { return e.OrderID }

var events = codec.Union[Event](OrderCreated{}, OrderPaid{}, OrderCancelled{}, OrderClosed{}, InventoryReserved{}, ReserveFailed{},
	InventoryReleased{}, PaymentProcessed{}, PaymentFailed{}, PaymentRefunded{}, OrderShipped{}, ShippingFailed{})

// A topic for each service, keyed by order: only the service itself writes to it.
var (
	OrderEvents     = topology.NewTopic("order-events", codec.String, events)
	InventoryEvents = topology.NewTopic("inventory-events", codec.String, events)
	PaymentEvents   = topology.NewTopic("payment-service-events", codec.String, events)
	ShippingEvents  = topology.NewTopic("shipping-service-events", codec.String, events)
	Invoices        = topology.NewTopic("order-invoices", codec.String, codec.String)
	Mails           = topology.NewTopic("order-notices", codec.String, codec.String)
)
