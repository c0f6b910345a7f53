package emailservice

import (
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestTry(t *testing.T) {
	if got := Try(book, topology.Some(ada)); !got.Sent() || got.Mail() != Compose(book, ada) {
		t.Errorf("with a customer: %+v", got)
	}
	if got := Try(book, topology.None[Customer]()); got.Sent() || got.Note() != (Unsent{"o1", "c1"}) {
		t.Errorf("without: %+v", got)
	}
}

func TestVersions(t *testing.T) {
	v2 := CustomerV2{"c1", "Ada", "ada@example.com", "en"}
	if got := WithLocale(CustomerV1{"c1", "Ada", "ada@example.com"}); got != v2 {
		t.Errorf("version 2 of 1: %+v", got)
	}
	if got := WithTier(v2); got != (Customer{ID: "c1", Name: "Ada", Email: "ada@example.com", Locale: "en", Tier: "standard"}) {
		t.Errorf("version 3 of 2: %+v", got)
	}
}

// complete is a driver test of Complete.
func complete(t *testing.T, scenario func(d *topologytest.Driver, customers *topologytest.TopicHandle[string, Customer], order func(string, Order), mails *topologytest.TopicHandle[string, Email], notes *topologytest.TopicHandle[string, Unsent])) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		orders := topologytest.Topic(d, Orders)
		scenario(d, topologytest.Topic(d, VersionedCustomers), orders.Send, topologytest.Topic(d, OrderMails), topologytest.Topic(d, OrdersWithoutCustomer))
	}, Complete(Patience))
}

// An order that comes before its customer waits for him, across crashes; those of one customer
// leave in the order in which they came.
func TestOrderBeforeCustomer(t *testing.T) {
	complete(t, func(d *topologytest.Driver, customers *topologytest.TopicHandle[string, Customer], order func(string, Order), mails *topologytest.TopicHandle[string, Email], notes *topologytest.TopicHandle[string, Unsent]) {
		again := book
		again.OrderID = "o3"
		order("o1", book)
		d.Advance(time.Hour)
		d.Crash()
		order("o3", again)
		mails.WantNone()

		d.Advance(22 * time.Hour)
		customers.Send("c1", ada)
		mails.Want(Compose(book, ada), Compose(again, ada))
		d.Advance(48 * time.Hour)
		customers.Send("c1", ada)
		notes.WantNone()
	})
}

// When the time is up, there is a note, and only a note.
func TestCustomerNeverComes(t *testing.T) {
	complete(t, func(d *topologytest.Driver, customers *topologytest.TopicHandle[string, Customer], order func(string, Order), mails *topologytest.TopicHandle[string, Email], notes *topologytest.TopicHandle[string, Unsent]) {
		order("o1", book)
		d.Advance(Patience - time.Minute)
		customers.Send("c2", bob)
		notes.WantNone()
		d.Crash()

		d.Advance(2 * time.Minute)
		for _, id := range []string{"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"} { // time moves in all partitions
			customers.Send(id, bob)
		}
		notes.Want(Unsent{"o1", "c1"})
		mails.WantNone()
	})
}

// A mail has the customer's data as it was when the order came; a customer who was deleted is
// waited for like one who has not come yet.
func TestChangedAndDeletedCustomer(t *testing.T) {
	complete(t, func(d *topologytest.Driver, customers *topologytest.TopicHandle[string, Customer], order func(string, Order), mails *topologytest.TopicHandle[string, Email], notes *topologytest.TopicHandle[string, Unsent]) {
		customers.Send("c1", ada)
		order("o1", book)
		moved := ada
		moved.Email = "lovelace@example.com"
		customers.Send("c1", moved)
		mails.Want(Compose(book, ada))

		order("o1", book)
		customers.Delete("c1")
		mails.Want(Compose(book, moved))

		order("o1", book)
		mails.WantNone()
		customers.Send("c1", ada)
		mails.Want(Compose(book, ada))
		notes.WantNone()
	})
}

// While the service runs, customers come in one version and the next.
func TestNewVersionsWhileRunning(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		v1, v2, v3 := topologytest.Topic(d, VersionedCustomersV1), topologytest.Topic(d, VersionedCustomersV2), topologytest.Topic(d, VersionedCustomers)
		orders, mails := topologytest.Topic(d, Orders), topologytest.Topic(d, OrderMails)
		old := CustomerV1{"c1", "Ada", "ada@example.com"}

		v1.Send("c1", old)
		orders.Send("o1", book)
		mails.Want(Compose(book, WithTier(WithLocale(old))))
		v2.Send("c1", CustomerV2{"c1", "Ada", "ada@example.com", "fr"})
		orders.Send("o1", book)
		v3.Send("c1", ada)
		orders.Send("o1", book)
		v1.Send("c1", old) // a writer that was not brought up to date
		d.Crash()
		orders.Send("o1", book)
		french := Customer{Name: "Ada", Email: "ada@example.com", Locale: "fr"}
		mails.Want(Compose(book, french), Compose(book, ada), Compose(book, WithTier(WithLocale(old))))
		topologytest.Table[string, Customer](d, VersionedCustomers.Name()).Want(map[string]Customer{"c1": WithTier(WithLocale(old))})
	}, Complete(Patience))
}
