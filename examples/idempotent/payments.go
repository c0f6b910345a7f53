package idempotent

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Payment is an event of a producer that sends again what was not acknowledged. EventID is
// the same each time. Number counts the payments of the account, from 1: the producer sends
// them in order.
type Payment struct {
	EventID string
	Account string
	Number  int64
	Cents   int64
}

// ID tells payments apart.
func (p Payment) ID() string { return p.EventID }

// Booking is a payment that counts. Missed is how many numbers before it never came: losses on
// the producer's side.
type Booking struct {
	EventID string
	Number  int64
	Cents   int64
	Balance int64
	Missed  int64 `json:",omitempty"`
}

// Repeat is a payment that was booked before, and came again when its id was forgotten.
type Repeat struct {
	EventID  string
	Number   int64
	Expected int64 // the number that would have been next
}

// Ledger is an account: what it has, and how far its payments have come.
type Ledger struct {
	Balance int64
	Last    int64 // number of the last payment
}

// Ports of the ledger.
type Ports struct {
	Bookings topology.Out[Booking]
	Repeats  topology.Out[Repeat]
}

// Book books a payment, unless its number has been booked.
func Book(l Ledger, p Payment, out *Ports) Ledger {
	expected := l.Last + 1
	if p.Number < expected {
		out.Repeats.Emit(Repeat{p.EventID, p.Number, expected})
		return l
	}
	l = Ledger{l.Balance + p.Cents, p.Number}
	out.Bookings.Emit(Booking{p.EventID, p.Number, p.Cents, l.Balance, p.Number - expected})
	return l
}

// The topics, keyed by account.
var (
	Payments = topology.NewTopic("payments", codec.String, codec.JSON[Payment]())
	Bookings = topology.NewTopic("payment-bookings", codec.String, codec.JSON[Booking]())
	Repeats  = topology.NewTopic("payment-repeats", codec.String, codec.JSON[Repeat]())
)

// Window is how long an id is remembered, where there is no reason for another time: longer
// than a producer tries again.
const Window = 10 * time.Minute

// Consumer books payments, and remembers each id for window.
func Consumer(window time.Duration) *topology.Builder {
	b := topology.New("payment-ledger")
	once := topology.Deduplicate(Payments.Stream(b), "once", Payment.ID, window)
	ledger := topology.NewProcessor(once, "ledger", Book)
	topology.Output(ledger, &ledger.Ports.Bookings).To(Bookings)
	topology.Output(ledger, &ledger.Ports.Repeats).To(Repeats)
	return b
}
