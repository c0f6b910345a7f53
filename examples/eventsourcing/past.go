package eventsourcing

import (
	"github.com/seed-81380e12/limpet/topology/codec"
)

// History is all that happened to an account, in order.
type History []Event

var histories = codec.Func(
	func(dst []byte, h History) ([]byte, error) { return list.Append(dst, h) },
	func(src []byte) (History, error) { return list.Decode(src) },
)

var list = codec.List(events)

// Append is the history with one more event, in memory of its own: values do not change.
func (h History) Append(e Event) History { return append(h[:len(h):len(h)], e) }

// At is the state after the first n events.
func (h History) At(n int) (a Account) {
	for _, e := range h[:min(n, len(h))] {
		a = Evolve(a, e)
	}
	return a
}

// Now is the state after all of them.
func (h History) Now() Account { return h.At(len(h)) }

// Branch is another history: the first n events as they were, then others.
func (h History) Branch(n int, then ...Event) History { return append(h[:n:n], then...) }

// Without is the history in which event n did not happen.
func (h History) Without(n int) History { return h.Branch(n, h[n+1:]...) }

// Insert is the history in which e happened before event n.
func (h History) Insert(n int, e Event) History { return h.Branch(n, append(History{e}, h[n:]...)...) }

// Change is the history in which e happened in place of event n.
func (h History) Change(n int, e Event) History { return h.Without(n).Insert(n, e) }

// Difference is how a state differs from another one.
type Difference struct {
	Cents   int64
	Version int
	Owner   [2]string // both, where they differ
	Open    [2]bool
}

// Less is a minus b.
func (a Account) Less(b Account) Difference {
	d := Difference{Cents: a.Cents - b.Cents, Version: a.Version - b.Version}
	if a.Owner != b.Owner {
		d.Owner = [2]string{a.Owner, b.Owner}
	}
	if a.Open != b.Open {
		d.Open = [2]bool{a.Open, b.Open}
	}
	return d
}
