package cqrs

import (
	"errors"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Command wants to change an order.
type Command interface{ command() }

// The commands, keyed by order.
type (
	PlaceOrder struct {
		CustomerID, Product string
		Cents               int64
	}
	CancelOrder struct{}
)

func (PlaceOrder) command()  {}
func (CancelOrder) command() {}

// Event is a change of an order. Each says all that a reader needs to know.
type Event interface {
	Customer() string
	Item() string
}

// The events, keyed by order.
type (
	OrderPlaced struct {
		OrderID, CustomerID, Product string
		Cents                        int64
	}
	OrderCancelled struct {
		OrderID, CustomerID, Product string
		Cents                        int64
	}
)

// Customer is who has ordered.
func (e OrderPlaced) Customer() string { return e.CustomerID }

// Item is the product.
func (e OrderPlaced) Item() string { return e.Product }

// Customer is who had ordered.
func (e OrderCancelled) Customer() string { return e.CustomerID }

// Item is the product.
func (e OrderCancelled) Item() string { return e.Product }

// Order is the write side's state of one order: no more than deciding takes.
type Order struct {
	OrderPlaced
	Cancelled bool
}

var (
	errPrice     = errors.New("an order needs a price")
	errNoOrder   = errors.New("there is no such order")
	errCancelled = errors.New("the order is cancelled")
)

// Decide says which event a command leads to; nil where it has been done before.
func Decide(id string, o Order, c Command) (Event, error) {
	switch c := c.(type) {
	case PlaceOrder:
		switch {
		case c.Cents <= 0:
			return nil, errPrice
		case o.Cancelled:
			return nil, errCancelled
		case o.OrderID != "":
			return nil, nil
		}
		return OrderPlaced{id, c.CustomerID, c.Product, c.Cents}, nil
	case CancelOrder:
		switch {
		case o.OrderID == "":
			return nil, errNoOrder
		case o.Cancelled:
			return nil, nil
		}
		return OrderCancelled(o.OrderPlaced), nil
	}
	return nil, errors.New("unknown command")
}

// Evolve is the order after an event.
func Evolve(o Order, e Event) Order {
	switch e := e.(type) {
	case OrderPlaced:
		o.OrderPlaced = e
	case OrderCancelled:
		o.Cancelled = true
	}
	return o
}

// Refusal is why a command changed nothing.
type Refusal struct{ Why string }

// Ports of the write side.
type Ports struct {
	Events   topology.Out[Event]
	Refusals topology.Out[Refusal]
}

// Handle decides a command, and evolves the order.
func Handle(o Order, r topology.Record[string, Command], p *Ports) Order {
	e, err := Decide(r.Key, o, r.Value)
	switch {
	case err != nil:
		p.Refusals.Emit(Refusal{err.Error()})
	case e != nil:
		p.Events.Emit(e)
		o = Evolve(o, e)
	}
	return o
}

// The topics of the write side, keyed by order.
var (
	Commands = topology.NewTopic("shop-commands", codec.String, codec.Union[Command](PlaceOrder{}, CancelOrder{}))
	Refusals = topology.NewTopic("shop-refusals", codec.String, codec.JSON[Refusal]())
	Events   = topology.NewTopic("shop-events", codec.String, codec.Union[Event](OrderPlaced{}, OrderCancelled{}))
)

// Shop is the write side.
func Shop() *topology.Builder {
	b := topology.New("shop", envelope.Headers())
	orders := topology.NewProcessor(topology.Records(Commands.Stream(b)), "orders", Handle)
	topology.Output(orders, &orders.Ports.Events).To(Events)
	topology.Output(orders, &orders.Ports.Refusals).To(Refusals)
	return b
}
