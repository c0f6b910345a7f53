package topology

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Deduplicate passes on the first record of each id within a time; ids are told apart for
// each key. Others are dropped and counted (Duplicate): those that come until the operator's
// time, which is the greatest of the records that it took, has passed the first one's by more
// than within. A record that is older than within, by that time, is dropped and counted as
// Late, since it is not known any more whether its id was there. The ids are state.
func Deduplicate[K, I comparable, V any](s Stream[K, V], name string, id func(V) I, within time.Duration, opts ...Option) Stream[K, V] {
	set := apply(opts)
	n := s.addNamed("deduplicate", name, set, id)
	n.keyed = true
	kc := keyIDCodec[K, I]{core.KeyIDCodec[K, I]{Key: or(s.kc), ID: codec.Default[I]()}}
	tb := newState(n, core.Codec[core.KeyID[K, I]](kc), core.Codec[core.Seen](seenCodec{}))
	n.state.due = core.DueByTime()
	expiry := s.b.expiryOf(n, "within", within)
	n.enter = func(c *compiler) any {
		rows := tb(c)
		return core.Deduplicate(c.nodeID(n), rows, core.NewExpiry(rows, c.clock(n), expiry, nil), id, next[K, V](c, n))
	}
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// Throttle passes on at most most records of each key in a period of time, per long. It
// begins with a record that goes on, and time is the greatest of the records that the operator
// took. The others are counted (Throttled), and are the stream rest, which may lead nowhere.
func Throttle[K comparable, V any](s Stream[K, V], name string, most int, per time.Duration, opts ...Option) (passed, rest Stream[K, V]) {
	set := apply(opts)
	n := s.addNamed("throttle", name, set)
	n.keyed = true
	if most < 1 {
		s.b.wrong(n, "at most %d of a period: it is 1 or more", most)
	}
	tb := newState(n, or(s.kc), codec.Int64)
	n.state.due = core.DueByTime()
	expiry := s.b.expiryOf(n, "per", per)
	yes, no := s.b.add("passed", "", n), s.b.add("rest", "", n)
	no.end = true
	n.enter = func(c *compiler) any {
		rows := tb(c)
		var to core.Next[K, V]
		if len(c.takers(no)) > 0 {
			to = next[K, V](c, no)
		}
		return core.Throttle(c.nodeID(n), rows, core.NewExpiry(rows, c.clock(n), expiry, nil), int64(most), next[K, V](c, yes), to)
	}
	return Stream[K, V]{s.b, yes, s.kc, s.vc}, Stream[K, V]{s.b, no, s.kc, s.vc}
}

// expiryOf checks how long the rows of an operator stay.
func (b *Builder) expiryOf(n *node, what string, d time.Duration) core.Time {
	if n.clock = true; d < time.Millisecond || d%time.Millisecond != 0 || d > maxWindow {
		b.wrong(n, "%s %v: it is a millisecond or more, in whole milliseconds, and at most 100 years", what, d)
	}
	return core.Ms(d)
}

// keyIDCodec has a schema.
type keyIDCodec[K, I comparable] struct{ core.KeyIDCodec[K, I] }

func (c keyIDCodec[K, I]) Schema() string {
	return "id(" + codec.SchemaOf(c.Key) + ", " + codec.SchemaOf(c.ID) + ")"
}

func (c keyIDCodec[K, I]) Check() error {
	if err := codec.Check(c.Key); err != nil {
		return err
	}
	return codec.Check(c.ID)
}

type seenCodec struct{ core.SeenCodec }

func (seenCodec) Schema() string { return "seen" }

// Reorder passes the records of each key on in the order of their numbers, which begin with
// 1. A record that comes early waits for those before it, until the operator's time, which
// is the greatest of the records that it took, is grace past its own time: then they are given
// up and counted (Gap), one by one. A record whose number has gone on or was given up is
// dropped and counted as Late, one that waits already as Duplicate. Records keep their times.
// What waits is state, and so is the next number of each key, for ever.
func Reorder[K comparable, V any](s Stream[K, V], name string, number func(V) int64, grace time.Duration, opts ...Option) Stream[K, V] {
	set := apply(opts)
	n := s.addNamed("reorder", name, set, number)
	n.keyed, n.clock = true, true
	if grace < 0 || grace%time.Millisecond != 0 || grace > maxWindow {
		s.b.wrong(n, "grace %v: it is 0 or more, in whole milliseconds, and at most 100 years", grace)
	}
	expected := newState(n, or(s.kc), codec.Int64)
	w := s.b.add("waiting", name+"-waiting")
	w.input, w.subs, n.ins = true, append(w.subs, n), append(n.ins, w)
	wait := newState(w, core.Codec[core.KeyID[K, int64]](keyIDCodec[K, int64]{core.KeyIDCodec[K, int64]{Key: or(s.kc), ID: codec.Int64}}), core.Codec[core.Parked[V]](parkedCodec[V]{or(s.vc)}))
	w.state.due = core.DueByTime()
	n.enter = func(c *compiler) any {
		o := &core.Reorder[K, V]{Node: c.nodeID(n), Number: number, Grace: core.Ms(grace), Clock: c.clock(n), Next: next[K, V](c, n)}
		o.Init(expected(c), wait(c))
		return core.Next[K, V](o.Step)
	}
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}
