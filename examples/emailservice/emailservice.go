package emailservice

import (
	"strconv"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Customer is a row of the customers topic, whose key is the id.
type Customer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Locale  string `json:"locale"`
	Tier    string `json:"tier"`
	Street  string `json:"street"`
	City    string `json:"city"`
	Country string `json:"country"`
	OptIn   bool   `json:"optIn"`
	Note    string `json:"note"`
}

// Order is an event of the orders topic, whose key is the order's id.
type Order struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	SKU        string `json:"sku"`
	Quantity   int    `json:"quantity"`
	Cents      int64  `json:"cents"`
	Currency   string `json:"currency"`
	PlacedAt   int64  `json:"placedAt"` // ms since the epoch
	Channel    string `json:"channel"`
	Note       string `json:"note"`
}

// Customer is whose order it is.
func (o Order) Customer() string { return o.CustomerID }

// Email is a command for whatever sends mails; the key is the customer's id.
type Email struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	To         string `json:"to"`
	Locale     string `json:"locale"`
	Template   string `json:"template"`
	Subject    string `json:"subject"`
	Body       string `json:"body"`
	Cents      int64  `json:"cents"`
	Currency   string `json:"currency"`
}

// The topics that the service shares with others.
var (
	Customers = topology.NewTopic("customers", codec.String, codec.JSON[Customer](), topology.Compacted())
	Orders    = topology.NewTopic("orders", codec.String, codec.JSON[Order]())
	Emails    = topology.NewTopic("emails", codec.String, codec.JSON[Email]())
)

// Compose writes the mail that confirms an order.
func Compose(o Order, c Customer) Email {
	return Email{
		OrderID: o.OrderID, CustomerID: o.CustomerID, To: c.Email, Locale: c.Locale,
		Template: "order-confirmation",
		Subject:  "Your order " + o.OrderID,
		Body:     "Dear " + c.Name + ", we received your order of " + strconv.Itoa(o.Quantity) + " x " + o.SKU + ".",
		Cents:    o.Cents, Currency: o.Currency,
	}
}

// Topology joins orders with customers. An order of nobody leads to no mail.
func Topology() *topology.Builder {
	b := topology.New("email-service")
	customers := Customers.Table(b)
	orders := topology.KeyBy(Orders.Stream(b), "by-customer", Order.Customer)
	topology.Join(orders, customers, "with-customer", Compose).To(Emails)
	return b
}
