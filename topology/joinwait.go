package topology

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Grace lets the records of a join with a table wait until the join's time is d past theirs,
// so that the table has what belongs to them; then they are joined by time, key and arrival,
// each with the version of the row as of its time where the table keeps versions, else with
// the row that there is. The join's time is that of the records that it keeps: with no new
// ones, none leaves. A record that is later than d is joined at once.
//
// The records that wait are state, with the changelog <app>-<name>-Buffer-changelog, which is as Kafka
// Streams writes it. MaxRecords bounds them.
func Grace(d time.Duration) JoinOption { return joinOption(func(s *settings) { s.grace = &d }) }

// Wait lets a record that finds no row wait for it. When the row comes, all records of the key
// that wait are joined, in the order in which they came. When the join's time, that of the
// records and changes that reach it, is more than d past a record's, it leaves with no row:
// Join drops and counts it (unmatched), LeftJoin emits it. One that is later than that does
// not wait. The records of a key leave in the order in which they came, so none goes past one
// that waits.
//
// The records that wait are state, with the changelog <app>-<name>-changelog. MaxRecords
// bounds them.
func Wait(d time.Duration) JoinOption { return joinOption(func(s *settings) { s.wait = &d }) }

// waiting makes n a join in which records wait, if the options say so.
func waiting[K comparable, V, T, R any](s Stream[K, V], t Table[K, T], n *node, set settings, inner bool, f func(V, Opt[T]) R) {
	d, option := set.grace, "Grace"
	if set.wait != nil {
		d, option = set.wait, "Wait"
	}
	rule := core.Waiting{Early: set.early}
	s.b.bound(n, "MaxRecords", set.maxRecords, &rule.MaxRecords)
	switch {
	case d == nil && (set.maxRecords != nil || set.early):
		s.b.wrong(n, "MaxRecords and EmitEarly without Grace or Wait: no record waits")
		return
	case d == nil:
		return
	case set.grace != nil && set.wait != nil:
		s.b.wrong(n, "Grace and Wait exclude each other: take one of them")
	case *d < 0 || *d%time.Millisecond != 0 || *d > maxWindow:
		s.b.wrong(n, "%s(%v): it is 0 or more, in whole milliseconds, and at most 100 years", option, *d)
	case set.early && set.maxRecords == nil:
		s.b.wrong(n, "EmitEarly without a bound: say with MaxRecords when it is full")
	}
	rule.Grace, rule.Wait = core.Ms(*d), core.Ms(*d)
	n.funcs, n.clock = append(n.funcs, fmt.Sprintf("%s %v", map[string]string{"Grace": "grace", "Wait": "wait"}[option], *d)), true
	waiting := parkedState(s, n, set.wait != nil)
	join := shared(n, func(c *compiler) *core.WaitingJoin[K, V, T, R] {
		j := &core.WaitingJoin[K, V, T, R]{
			Waiting: rule, Node: c.nodeID(n), Table: t.asOf(c), Inner: inner, Clock: c.clock(n), Join: f, Next: next[K, R](c, n),
		}
		j.Init(waiting(c), set.wait != nil)
		return j
	})
	if set.wait == nil {
		n.enter = func(c *compiler) any { return core.Next[K, V](join(c).FromStreamWithGrace) }
		return
	}
	n.enter = func(c *compiler) any { return core.Next[K, V](join(c).FromStream) }
	rows := s.b.side("rows", n, t.n)
	rows.enter = func(c *compiler) any { return core.Next[K, core.Change[T]](join(c).FromTable) }
}

// parkedState is where the records of a join wait: for their row, or as Kafka Streams has them.
func parkedState[K comparable, V any](s Stream[K, V], n *node, forRow bool) func(*compiler) *core.Table[core.Timed[K], core.Parked[V]] {
	type codecOf = core.Codec[core.Parked[V]]
	on, kc, schema, vc := n, core.Codec[core.Timed[K]](core.WaitingCodec[K]{TimedCodec: core.TimedCodec[K]{Key: or(s.kc)}}), "waiting ", codecOf(parkedCodec[V]{or(s.vc)})
	if !forRow {
		kc, schema, vc = core.ParkedCodec[K]{Key: or(s.kc)}, "buffered ", bufferCodec[V]{or(s.vc)}
		on = s.b.add("buffer", n.name+"-Buffer")
		on.input, on.subs, n.ins = true, append(on.subs, n), append(n.ins, on)
	}
	on.state = &stateInfo{
		key:   codecInfo{kc, schema + codec.SchemaOf(or(s.kc)), codec.Check(or(s.kc))},
		value: infoOf[core.Parked[V]](vc),
		due:   core.DueOf(kc),
	}
	on.state.make = func(c *compiler) any { return core.NewTable[core.Timed[K], core.Parked[V]](c.t, on.name, kc, vc) }
	return func(c *compiler) *core.Table[core.Timed[K], core.Parked[V]] {
		return tableOf[core.Timed[K], core.Parked[V]](c, on)
	}
}

// asOf finds rows as of a time.
func (t Table[K, V]) asOf(c *compiler) core.LookupAsOf[K, V] { return core.AsOf(t.find(c)) }

// parkedCodec writes a record that waits: its headers and its value.
type parkedCodec[V any] struct{ vc core.Codec[V] }

func (c parkedCodec[V]) Append(dst []byte, p core.Parked[V]) ([]byte, error) {
	dst, _, err := appendWith(appendSized(dst, p.Headers.Raw()), c.vc, p.Value, 1)
	return dst, err
}

func (c parkedCodec[V]) Decode(src []byte) (p core.Parked[V], err error) {
	in := cutter{src: src}
	headers, _ := in.sized()
	value, at := in.opt()
	if err := in.end("waiting record"); err != nil {
		return p, err
	}
	p.Headers = core.HeadersOf(append([]byte(nil), headers...))
	p.Value, err = decodeNullable(c.vc, value)
	return p, core.MalformedPart(at, "waiting record", err)
}

func (c parkedCodec[V]) Schema() string { return "waiting(" + codec.SchemaOf(c.vc) + ")" }
func (c parkedCodec[V]) Check() error   { return codec.Check(c.vc) }
