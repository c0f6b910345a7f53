package idempotent

import (
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	first  = Payment{"e1", "a", 1, 100}
	second = Payment{"e2", "a", 2, -30}
	fourth = Payment{"e4", "a", 4, 5}
)

func TestBook(t *testing.T) {
	for _, c := range []struct {
		name    string
		given   Ledger
		when    Payment
		then    Ledger
		booked  []Booking
		repeats []Repeat
	}{
		{"the first", Ledger{}, first, Ledger{100, 1}, []Booking{{"e1", 1, 100, 100, 0}}, nil},
		{"the next", Ledger{100, 1}, second, Ledger{70, 2}, []Booking{{"e2", 2, -30, 70, 0}}, nil},
		{"the last again", Ledger{70, 2}, second, Ledger{70, 2}, nil, []Repeat{{"e2", 2, 3}}},
		{"an old one again", Ledger{70, 2}, first, Ledger{70, 2}, nil, []Repeat{{"e1", 1, 3}}},
		{"one is missing", Ledger{70, 2}, fourth, Ledger{75, 4}, []Booking{{"e4", 4, 5, 75, 1}}, nil},
	} {
		var out Ports
		if got := Book(c.given, c.when, &out); got != c.then || !slices.Equal(out.Bookings.Values(), c.booked) || !slices.Equal(out.Repeats.Values(), c.repeats) {
			t.Errorf("%s: %v, %v, %v", c.name, got, out.Bookings.Values(), out.Repeats.Values())
		}
	}
}

// Within the window the id is known, across a crash; behind it, the number.
func TestConsumer(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		payments, bookings, repeats := topologytest.Topic(d, Payments), topologytest.Topic(d, Bookings), topologytest.Topic(d, Repeats)
		payments.Send("a", first)
		payments.Send("a", first)
		d.Advance(Window / 2)
		payments.Send("a", second)
		d.Crash()
		payments.Send("a", first)
		payments.Send("a", second)
		bookings.Want(Booking{"e1", 1, 100, 100, 0}, Booking{"e2", 2, -30, 70, 0})
		if n := d.Dropped("once", topology.Duplicate); n != 3 {
			t.Errorf("%d duplicates were known by their ids, want 3", n)
		}
		repeats.WantNone()

		d.Advance(Window + time.Minute)
		payments.Send("a", first) // sent again after a restart of the producer, an hour ago for all we know
		payments.Send("a", first)
		repeats.Want(Repeat{"e1", 1, 3})
		bookings.WantNone()
		topologytest.Table[string, Ledger](d, "ledger").Want(map[string]Ledger{"a": {70, 2}})
	}, Consumer(Window))
}
