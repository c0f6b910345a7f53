package emailservice

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// CustomerV1 is a customer as the customer service wrote him at first.
type CustomerV1 struct {
	ID       string `json:"id"`
	FullName string `json:"fullName"`
	Mail     string `json:"mail"`
}

// CustomerV2 has other names for some fields, and a language.
type CustomerV2 struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Locale string `json:"locale"`
}

// WithLocale makes version 2 of version 1: in its days all mails were in English.
func WithLocale(c CustomerV1) CustomerV2 {
	return CustomerV2{ID: c.ID, Name: c.FullName, Email: c.Mail, Locale: "en"}
}

// WithTier makes version 3, which is Customer, of version 2: in its days nobody was gold, and
// nobody was asked whether he wants to hear of offers.
func WithTier(c CustomerV2) Customer {
	return Customer{ID: c.ID, Name: c.Name, Email: c.Email, Locale: c.Locale, Tier: "standard"}
}

// Unsent is the note that an order has no mail: whoever reads it looks into the matter.
type Unsent struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
}

// Answer is what an order leads to: a mail, or none where there was no customer in time.
type Answer struct {
	Order Order
	Email topology.Opt[Email]
}

// Try writes the mail, if there is somebody to write to.
func Try(o Order, c topology.Opt[Customer]) Answer {
	if !c.OK {
		return Answer{Order: o}
	}
	return Answer{o, topology.Some(Compose(o, c.Value))}
}

// Sent is whether there is a mail.
func (a Answer) Sent() bool { return a.Email.OK }

// Mail is the mail of an answer that has one.
func (a Answer) Mail() Email { return a.Email.Value }

// Note is the note of an answer that has no mail.
func (a Answer) Note() Unsent { return Unsent{a.Order.OrderID, a.Order.CustomerID} }

// The topics. VersionedCustomers are read in all three versions, whichever of its codecs wrote
// them; the older ones stand for services that have not been brought up to date.
var (
	customersV1 = codec.JSON[CustomerV1]()
	customersV2 = codec.Upcast(customersV1, codec.JSON[CustomerV2](), WithLocale)
	customersV3 = codec.Upcast(customersV2, codec.JSON[Customer](), WithTier)

	VersionedCustomers   = topology.NewTopic("customers-versioned", codec.String, customersV3, topology.Compacted())
	VersionedCustomersV1 = topology.NewTopic(VersionedCustomers.Name(), codec.String, customersV1, topology.Compacted())
	VersionedCustomersV2 = topology.NewTopic(VersionedCustomers.Name(), codec.String, customersV2, topology.Compacted())

	OrderMails            = topology.NewTopic("order-mails", codec.String, codec.JSON[Email]())
	OrdersWithoutCustomer = topology.NewTopic("orders-without-customer", codec.String, codec.JSON[Unsent]())
)

// Patience is how long an order waits for its customer, where there is no reason for another
// time.
const Patience = 24 * time.Hour

// Complete is the service with all that happens in practice: each order leads to one mail or
// one note. It waits for a customer that is not there yet, or not any more, for patience.
func Complete(patience time.Duration) *topology.Builder {
	b := topology.New("email-service-complete")
	orders := topology.KeyBy(Orders.Stream(b), "by-customer", Order.Customer)
	answers := topology.LeftJoin(orders, VersionedCustomers.Table(b), "with-customer", Try, topology.Wait(patience))
	mails, notes := answers.Split(Answer.Sent)
	topology.Map(mails, Answer.Mail).To(OrderMails)
	topology.Map(notes, Answer.Note).To(OrdersWithoutCustomer)
	return b
}
