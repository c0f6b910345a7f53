package topology

import "github.com/seed-81380e12/limpet/core"

// Table is the latest value of each key; a change of a row travels downstream with its old value.
type Table[K comparable, V any] struct {
	b    *Builder
	n    *node
	kc   core.Codec[K]
	vc   core.Codec[V]
	find func(*compiler) core.Lookup[K, V]
}

// newTable makes n a table with rows of its own.
func newTable[K comparable, V any](b *Builder, n *node, kc core.Codec[K], vc core.Codec[V]) Table[K, V] {
	k, v := or(kc), or(vc)
	n.table, n.end = true, true
	n.state = &stateInfo{key: infoOf(k), value: infoOf(v)}
	n.state.make = func(c *compiler) any { return core.NewTable(c.t, n.name, k, v) }
	n.scan = func(c *compiler) any {
		tb := tableOf[K, V](c, n)
		tb.Ordered()
		return core.Scanner[K, V](tb.Scan)
	}
	return Table[K, V]{b, n, kc, vc, func(c *compiler) core.Lookup[K, V] { return tableOf[K, V](c, n).Get }}
}

func (t Table[K, V]) add(kind string, set settings, funcs ...any) *node {
	if t.b == nil {
		zero(kind)
	}
	n := t.b.add(kind, "", t.n)
	t.b.configure(n, set, funcs...)
	return n
}

// readBy notes that n looks up rows of the table.
func (t Table[K, V]) readBy(n *node) {
	n.reads = append(n.reads, t.n)
	t.n.read = true
}

// rowKeys is the codec of the stored keys of a table that can be scanned: of the rows that n
// has, or that it filters or maps.
func rowKeys[K comparable](n *node) core.Codec[K] {
	for n.state == nil {
		n = n.ins[0]
	}
	return n.state.key.codec.(core.Codec[K])
}

// ToStream is the stream of new row values; deletions are in Changes only.
func (t Table[K, V]) ToStream() Stream[K, V] {
	n := t.add("toStream", settings{})
	n.thin = true
	n.enter = func(c *compiler) any { return core.ToStream(next[K, V](c, n)) }
	return Stream[K, V]{t.b, n, t.kc, t.vc}
}

// Filter keeps the rows that keep accepts; a row that no longer passes is deleted.
func (t Table[K, V]) Filter(keep func(V) bool, opts ...TableFilterOption) Table[K, V] {
	set := apply(opts)
	n := t.add("filterTable", set, keep)
	n.table = true
	n.enter = func(c *compiler) any {
		return core.FilterTable(c.nodeID(n), keep, set.everyDeletion, changes[K, V](c, n))
	}
	if scan := t.n.scan; scan != nil {
		n.scan = func(c *compiler) any {
			return core.FilterScanner(c.nodeID(n), keep, scan(c).(core.Scanner[K, V]))
		}
	}
	find := func(c *compiler) core.Lookup[K, V] { return core.FilterLookup(c.nodeID(n), keep, t.find(c)) }
	return Table[K, V]{t.b, n, t.kc, t.vc, find}
}

// MapTable turns each row into one other.
func MapTable[K comparable, V, W any](t Table[K, V], f func(V) W, opts ...Option) Table[K, W] {
	n := t.add("mapTable", apply(opts), f)
	n.table = true
	n.enter = func(c *compiler) any { return core.MapTable(c.nodeID(n), f, changes[K, W](c, n)) }
	if scan := t.n.scan; scan != nil {
		n.scan = func(c *compiler) any { return core.MapScanner(c.nodeID(n), f, scan(c).(core.Scanner[K, V])) }
	}
	find := func(c *compiler) core.Lookup[K, W] { return core.MapLookup(c.nodeID(n), f, t.find(c)) }
	return Table[K, W]{t.b, n, t.kc, nil, find}
}

// Changes is the stream of a table's changes, deletions included.
func Changes[K comparable, V any](t Table[K, V]) Stream[K, Change[V]] {
	n := t.add("changes", settings{})
	n.through, n.thin = true, true
	n.enter = func(c *compiler) any { return next[K, Change[V]](c, n) }
	return Stream[K, Change[V]]{t.b, n, t.kc, changeCodec[V]{or(t.vc)}}
}
