package pubsub

import (
	"testing"

	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	book = Order{"o1", "ada", "book", 900}
	ink  = Order{"o2", "bob", "ink", 50}
)

func TestFunctions(t *testing.T) {
	if got := Mail(book); got != "Thank you for your book, ada." {
		t.Error(got)
	}
	if Earn(100, book) != 1000 || Take(3, book) != 2 {
		t.Error(Earn(100, book), Take(3, book))
	}
}

func TestEachAtItsOwnPace(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		orders := topologytest.Topic(d, Orders)
		d.Pause("order-analytics") // so slow that it stands still
		d.Pause("order-archive")   // nobody has thought of it yet
		orders.Send("o1", book)
		orders.Send("o2", ink)
		topologytest.Topic(d, Mails).Want(Mail(book), Mail(ink))
		topologytest.Table[string, int64](d, "stock").Want(map[string]int64{"book": -1, "ink": -1})

		revenue := topologytest.Table[string, int64](d, "revenue")
		revenue.Want(map[string]int64{})
		d.Resume("order-analytics")
		revenue.Want(map[string]int64{"ada": 900, "bob": 50})

		d.Resume("order-archive") // reads from the beginning
		topologytest.Topic(d, Archive).Want(book, ink)
	}, Mailing(), Analytics(func(Order) {}), Inventory(), Archiving())
}
