package topology

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// VersionedTable reads a topic as a table that keeps the versions of its rows: each is valid
// from its own time until that of the next one, whatever the order in which they come. A
// stream that is joined with the table meets the version that is valid at each record's time;
// Row.AsOf finds others. A null value says that there is no row from then on.
//
// The table's time is the greatest one of its records. What is more than history behind it can
// neither be written, which is counted (Late), nor found, but for the latest version of a row,
// which stays. Downstream go the changes of the latest versions only (KIP-889).
func VersionedTable[K comparable, V any](b *Builder, t Topic[K, V], history time.Duration, opts ...SourceOption) Table[K, V] {
	d := t.declaration()
	if tb, ok := reader[Table[K, V]](b, asTable, d); ok {
		return tb
	}
	set := apply(opts)
	n := b.read(asTable, "table", d, set)
	tb := newVersions(b, n, t.kc, t.vc, history, set)
	b.handled(n, tb)
	if set.timeFrom != nil || set.wallTime { // its changelog has not what came too late
		b.wrong(n, "a versioned table of a topic has the records' own times: read the topic as a stream with TimeFrom or WallTime, and make a table of it with ToVersionedTable")
	}
	n.source = func(c *compiler) { core.VersionsSource(c.t, t.name, versionsOf[K, V](c, n)) }
	return tb
}

// ToVersionedTable keeps the versions of each key's value, as VersionedTable does. A value
// that DeleteWhen accepts says that there is no row from then on.
func ToVersionedTable[K comparable, V any](s Stream[K, V], name string, history time.Duration, opts ...StateOption) Table[K, V] {
	set := apply(opts)
	n := s.addNamed("toTable", name, set)
	n.through = true
	n.keyed = true
	done := doneOf[V](s.b, n, set)
	t := newVersions(s.b, n, s.kc, stateCodecOf(s.b, n, set, s.vc), history, set)
	n.enter = func(c *compiler) any { return core.ToVersions(c.nodeID(n), versionsOf[K, V](c, n), done) }
	return t
}

// newVersions makes n a table that keeps versions.
func newVersions[K comparable, V any](b *Builder, n *node, kc core.Codec[K], vc core.Codec[V], history time.Duration, set settings) Table[K, V] {
	k, v := or(kc), or(vc)
	if history < 0 || history%time.Millisecond != 0 || history > maxWindow {
		b.wrong(n, "history of %v: it is 0 or more, in whole milliseconds, and at most 100 years", history)
	}
	b.noTTL(n, set, "versions go when their history has passed")
	n.table, n.end, n.clock, n.history = true, true, true, max(history, time.Millisecond)
	n.state = &stateInfo{
		key:   codecInfo{k, "versions(" + codec.SchemaOf(k) + ")", codec.Check(k)},
		value: infoOf(v),
		due:   core.DueOf[core.Version[K]](core.VersionCodec[K]{Key: k}),
	}
	n.state.make = func(c *compiler) any { return core.NewVersions(c.t, n.name, k, v, core.Ms(history)) }
	return Table[K, V]{b, n, kc, vc, func(c *compiler) core.Lookup[K, V] { return c.tables[n.id].(*core.Versions[K, V]).Find }}
}

// versionsOf is the table n of a task, whose changes go to what follows.
func versionsOf[K comparable, V any](c *compiler, n *node) *core.Versions[K, V] {
	v := c.tables[n.id].(*core.Versions[K, V])
	v.Connect(c.clock(n), changes[K, V](c, n))
	return v
}
