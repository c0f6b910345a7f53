package topology

import "github.com/seed-81380e12/limpet/core"

// Join looks the record's key up in a table; a record with no row is dropped and counted.
// The stream's records make results, the table's changes do not.
func Join[K comparable, V, T, R any](s Stream[K, V], t Table[K, T], name string, f func(V, T) R, opts ...JoinOption) Stream[K, R] {
	set := apply(opts)
	n := s.join("join", name, set, f)
	if t.meets(s.b, n) {
		n.enter = func(c *compiler) any { return core.Join(c.nodeID(n), t.find(c), f, next[K, R](c, n)) }
		waiting(s, t, n, set, true, func(v V, row Opt[T]) R { return f(v, row.Value) })
	}
	return Stream[K, R]{b: s.b, n: n, kc: s.kc}
}

// LeftJoin is Join that also takes records with no row, and those with no key.
func LeftJoin[K comparable, V, T, R any](s Stream[K, V], t Table[K, T], name string, f func(V, Opt[T]) R, opts ...JoinOption) Stream[K, R] {
	set := apply(opts)
	n := s.join("leftJoin", name, set, f)
	if t.meets(s.b, n) {
		n.enter = func(c *compiler) any { return core.LeftJoin(c.nodeID(n), t.find(c), f, next[K, R](c, n)) }
		waiting(s, t, n, set, false, f)
	}
	return Stream[K, R]{b: s.b, n: n, kc: s.kc}
}

func (s Stream[K, V]) join(kind, name string, set settings, f any) *node {
	n := s.addNamed(kind, name, set, f)
	n.keyed = true
	return n
}

// meets notes that n looks rows of t up, unless t is another topology's.
func (t Table[K, V]) meets(b *Builder, n *node) bool {
	if t.b == nil {
		zero(n.kind)
	}
	if b.foreign(n, t.b, "the table") {
		return false
	}
	t.readBy(n)
	return true
}
