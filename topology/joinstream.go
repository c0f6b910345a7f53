package topology

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// JoinWindow says how much later than the left record the right one may be; less than 0 is
// earlier.
type JoinWindow struct{ from, to, grace time.Duration }

// Within is up to d earlier or later.
func Within(d time.Duration) JoinWindow { return JoinWindow{from: -d, to: d} }

// Between is from one offset to the other, both included: Between(0, d) is up to d later.
func Between(from, to time.Duration) JoinWindow { return JoinWindow{from: from, to: to} }

// Grace waits d longer for partners that come late. The default is 0.
func (w JoinWindow) Grace(d time.Duration) JoinWindow { w.grace = d; return w }

// JoinStreams pairs records of the same key whose times lie near each other. Both streams
// may be the same one: then each record also meets itself.
func JoinStreams[K comparable, A, B, R any](left Stream[K, A], right Stream[K, B], name string, w JoinWindow, f func(A, B) R, opts ...StreamJoinOption) Stream[K, R] {
	return joinStreams(left, right, "joinStreams", name, w, func(a Opt[A], b Opt[B]) R { return f(a.Value, b.Value) }, f, opts)
}

// LeftJoinStreams also gives each left record that found no partner, once none can come.
func LeftJoinStreams[K comparable, A, B, R any](left Stream[K, A], right Stream[K, B], name string, w JoinWindow, f func(A, Opt[B]) R, opts ...StreamJoinOption) Stream[K, R] {
	return joinStreams(left, right, "leftJoinStreams", name, w, func(a Opt[A], b Opt[B]) R { return f(a.Value, b) }, f, opts)
}

// OuterJoinStreams also gives the lonely records of both sides.
func OuterJoinStreams[K comparable, A, B, R any](left Stream[K, A], right Stream[K, B], name string, w JoinWindow, f func(Opt[A], Opt[B]) R, opts ...StreamJoinOption) Stream[K, R] {
	return joinStreams(left, right, "outerJoinStreams", name, w, f, f, opts)
}

// JoinSelf is JoinStreams of a stream with itself. It keeps each record once, not twice: half
// the state.
func JoinSelf[K comparable, V, R any](s Stream[K, V], name string, w JoinWindow, f func(left, right V) R, opts ...StreamJoinOption) Stream[K, R] {
	if s.b == nil {
		zero("joinSelf")
	}
	n := s.b.addNamed("joinSelf", name)
	w.configure(s.b, n, opts, f)
	m := side(s, "self", n, "-this-join-store")
	m.enter = func(c *compiler) any {
		before, after, grace := w.times()
		j := &core.SelfJoin[K, V, R]{
			Node: c.nodeID(n), Before: before, After: after, Grace: grace,
			Buffer: core.NewBuffer(tableOf[core.Timed[K], V](c, m)), No: core.Missing[V](), Join: f, Next: next[K, R](c, n),
		}
		j.Init()
		return core.Next[K, V](j.Step)
	}
	return Stream[K, R]{b: s.b, n: n, kc: s.kc}
}

// configure checks the window and applies the options to the join n.
func (w JoinWindow) configure(b *Builder, n *node, opts []StreamJoinOption, user any) {
	b.configure(n, apply(opts), user)
	n.keyed = true
	if w.from > w.to {
		b.wrong(n, "its window goes from %v to %v, so nothing lies within: say the lesser bound first", w.from, w.to)
	}
	if w.grace < 0 {
		b.wrong(n, "Grace(%v) is negative", w.grace)
	}
}

// times is the window as the core has it.
func (w JoinWindow) times() (before, after, grace core.Time) {
	return core.Time(-w.from / time.Millisecond), core.Time(w.to / time.Millisecond), core.Time(w.grace / time.Millisecond)
}

// joinStreams is all of them. user is the user's function, for its name.
func joinStreams[K comparable, A, B, R any](left Stream[K, A], right Stream[K, B], kind, name string, w JoinWindow, f func(Opt[A], Opt[B]) R, user any, opts []StreamJoinOption) Stream[K, R] {
	if left.b == nil || right.b == nil {
		zero(kind)
	}
	b := left.b
	n := b.addNamed(kind, name)
	w.configure(b, n, opts, user)
	n.clock = true
	out := Stream[K, R]{b: b, n: n, kc: left.kc}
	if b.foreign(n, right.b, "the right stream") {
		n.end = true
		return out
	}
	// The names are those of Kafka Streams' stores.
	outerLeft, outerRight := kind == "outerJoinStreams", kind != "joinStreams"
	l := side(left, "left", n, suffix(outerLeft)+"-this-join-store")
	r := side(right, "right", n, suffix(outerRight)+"-other-join-store")
	var lone *node
	kc := or(left.kc)
	if outerRight {
		lone = b.add("unmatched", name+map[bool]string{true: "-outer", false: "-left"}[outerLeft]+"-shared-join-store")
		lone.subs, n.ins = append(lone.subs, n), append(n.ins, lone)
		lone.input = true
		lone.state = &stateInfo{
			key:   codecInfo{schema: "unmatched(" + codec.SchemaOf(kc) + ")", err: codec.Check(kc)},
			value: codecInfo{schema: "either(" + codec.SchemaOf(or(left.vc)) + ", " + codec.SchemaOf(or(right.vc)) + ")"},
		}
		lone.state.make = func(c *compiler) any {
			return core.NewLonelyTable(c.t, lone.name, kc, or(left.vc), or(right.vc))
		}
	}
	join := func(c *compiler) *core.StreamJoin[K, A, B, R] {
		if j, ok := c.shared[n.id].(*core.StreamJoin[K, A, B, R]); ok {
			return j
		}
		before, after, grace := w.times()
		j := &core.StreamJoin[K, A, B, R]{
			Node: c.nodeID(n), Before: before, After: after, Grace: grace, NoLeft: core.Missing[A](), NoRight: core.Missing[B](),
			Left:  core.NewBuffer(tableOf[core.Timed[K], A](c, l)),
			Right: core.NewBuffer(tableOf[core.Timed[K], B](c, r)),
			Outer: outerLeft, Clock: c.clock(n), Join: f, Next: next[K, R](c, n),
		}
		if lone != nil {
			j.Lonely = c.tables[lone.id].(*core.LonelyTable[K, A, B])
		}
		j.Init()
		c.shared[n.id] = j
		return j
	}
	l.enter = func(c *compiler) any { return core.Next[K, A](join(c).FromLeft) }
	r.enter = func(c *compiler) any { return core.Next[K, B](join(c).FromRight) }
	return out
}

func suffix(outer bool) string {
	if outer {
		return "-outer"
	}
	return ""
}

// side adds the node for one input of a join of streams, which keeps its records.
func side[K comparable, V any](s Stream[K, V], kind string, n *node, suffix string) *node {
	m := s.b.side(kind, n, s.n)
	m.name, m.named = n.name+suffix, true
	kc, vc := core.TimedCodec[K]{Key: or(s.kc)}, or(s.vc)
	if _, ok := vc.(core.NullDecoder); ok && core.Missing[V]() == nil {
		s.b.wrong(m, "its values may be null, and a null cannot be kept: take them out with Filter and Map before the join, or make them an Opt")
	}
	m.state = &stateInfo{
		key:   codecInfo{kc, codec.SchemaOf(or(s.kc)) + " at time", codec.Check(or(s.kc))},
		value: infoOf(vc),
		due:   core.DueOf[core.Timed[K]](kc),
	}
	m.state.make = func(c *compiler) any { return core.NewTable[core.Timed[K], V](c.t, m.name, kc, vc) }
	return m
}
