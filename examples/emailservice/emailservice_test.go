package emailservice

import (
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	ada = Customer{ID: "c1", Name: "Ada", Email: "ada@example.com", Locale: "en-GB", Tier: "gold", City: "London", Country: "GB", OptIn: true}
	bob = Customer{ID: "c2", Name: "Bob", Email: "bob@example.com", Locale: "de-DE", City: "Bonn", Country: "DE"}

	book = Order{OrderID: "o1", CustomerID: "c1", SKU: "book", Quantity: 2, Cents: 1990, Currency: "GBP", Channel: "web"}
	pen  = Order{OrderID: "o2", CustomerID: "c2", SKU: "pen", Quantity: 1, Cents: 250, Currency: "EUR", Channel: "app"}
)

func TestCompose(t *testing.T) {
	for _, c := range []struct {
		name     string
		order    Order
		customer Customer
		want     Email
	}{
		{"gold", book, ada, Email{
			OrderID: "o1", CustomerID: "c1", To: "ada@example.com", Locale: "en-GB", Template: "order-confirmation",
			Subject: "Your order o1", Body: "Dear Ada, we received your order of 2 x book.", Cents: 1990, Currency: "GBP",
		}},
		{"no data", Order{}, Customer{}, Email{
			Template: "order-confirmation", Subject: "Your order ", Body: "Dear , we received your order of 0 x .",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Compose(c.order, c.customer); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestMails(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		customers, orders := topologytest.Topic(d, Customers), topologytest.Topic(d, Orders)
		emails := topologytest.Topic(d, Emails)

		customers.Send("c1", ada)
		customers.Send("c2", bob)
		orders.Send("o1", book)
		orders.Send("o2", pen)
		emails.Want(Compose(book, ada), Compose(pen, bob))

		moved := ada
		moved.Email = "lovelace@example.com"
		customers.Send("c1", moved)
		orders.Send("o1", book)
		emails.Want(Compose(book, moved))
		topologytest.Table[string, Customer](d, "customers").Want(map[string]Customer{"c1": moved, "c2": bob})
	}, Topology())
}

func TestOrderOfNobody(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		customers, orders := topologytest.Topic(d, Customers), topologytest.Topic(d, Orders)
		emails := topologytest.Topic(d, Emails)

		orders.Send("o1", book)
		emails.WantNone()

		customers.Send("c1", ada)
		customers.Delete("c1")
		orders.Send("o1", book)
		emails.WantNone()
		if n := d.Dropped("with-customer", topology.Unmatched); n != 2 {
			t.Errorf("%d orders of nobody, want 2", n)
		}
	}, Topology())
}

// A customer's update and an order of the same millisecond: the update counts.
func TestSameMillisecond(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		customers, orders := topologytest.Topic(d, Customers), topologytest.Topic(d, Orders)
		d.Pause("email-service")
		orders.SendAt(topologytest.At("10:00"), "o1", book)
		customers.SendAt(topologytest.At("10:00"), "c1", ada)
		d.Resume("email-service")
		topologytest.Topic(d, Emails).Want(Compose(book, ada))
	}, Topology())
}
