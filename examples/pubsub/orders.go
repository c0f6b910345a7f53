package pubsub

import (
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Order is what the shop publishes.
type Order struct {
	OrderID, CustomerID, Product string
	Cents                        int64
}

// Customer is who ordered.
func (o Order) Customer() string { return o.CustomerID }

// Item is what was ordered.
func (o Order) Item() string { return o.Product }

// Earn adds an order to its customer's revenue.
func Earn(cents int64, o Order) int64 { return cents + o.Cents }

// Take takes the product off the shelf.
func Take(stock int64, _ Order) int64 { return stock - 1 }

// Mail thanks for an order.
func Mail(o Order) string { return "Thank you for your " + o.Product + ", " + o.CustomerID + "." }

// The topics: what is published, keyed by order, and what each subscriber makes of it.
var (
	Orders  = topology.NewTopic("order-placed", codec.String, codec.JSON[Order]())
	Mails   = topology.NewTopic("mails", codec.String, codec.String)
	Revenue = topology.NewTopic("revenue", codec.String, codec.Int64, topology.Compacted())
	Stock   = topology.NewTopic("stock", codec.String, codec.Int64, topology.Compacted())
	Archive = topology.NewTopic("archive", codec.String, codec.JSON[Order](), topology.Forever())
)

// Mailing is a subscriber that keeps nothing.
func Mailing() *topology.Builder {
	b := topology.New("order-mails", envelope.Headers())
	topology.Map(Orders.Stream(b), Mail).To(Mails)
	return b
}

// Analytics is a slow one: think stands for what it does with each order.
func Analytics(think func(Order)) *topology.Builder {
	b := topology.New("order-analytics", envelope.Headers())
	orders := Orders.Stream(b).Peek(think)
	topology.Aggregate(topology.KeyBy(orders, "by-customer", Order.Customer), "revenue", Earn).To(Revenue)
	return b
}

// Inventory counts what is taken off the shelf.
func Inventory() *topology.Builder {
	b := topology.New("order-stock", envelope.Headers())
	topology.Aggregate(topology.KeyBy(Orders.Stream(b), "by-product", Order.Item), "stock", Take).To(Stock)
	return b
}

// Archiving is a subscriber that somebody thinks of later.
func Archiving() *topology.Builder {
	b := topology.New("order-archive", envelope.Headers())
	Orders.Stream(b).To(Archive)
	return b
}
