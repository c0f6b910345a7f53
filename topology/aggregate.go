package topology

import "github.com/seed-81380e12/limpet/core"

// Count counts the records of each key.
func Count[K comparable, V any](g Grouped[K, V], name string, opts ...AggregateOption) Table[K, int64] {
	return aggregate(g, "count", name, nil, nil, func(n int64, _ V) int64 { return n + 1 }, nil, opts)
}

// Reduce folds the values of each key into one value of the same type; the first one is
// the beginning.
func Reduce[K comparable, V any](g Grouped[K, V], name string, f func(sum, v V) V, opts ...AggregateOption) Table[K, V] {
	return aggregate(g, "reduce", name, grouped(g, "reduce").vc, func(v V) V { return v }, f, f, opts)
}

// Aggregate folds the values of each key, beginning with the zero A.
func Aggregate[K comparable, V, A any](g Grouped[K, V], name string, f func(A, V) A, opts ...AggregateOption) Table[K, A] {
	return aggregate(g, "aggregate", name, nil, nil, f, f, opts)
}

// aggregate is all of them. user is the user's function, for its name, or nil.
func aggregate[K comparable, V, A any](g Grouped[K, V], kind, name string, vc core.Codec[A], first func(V) A, add func(A, V) A, user any, opts []AggregateOption) Table[K, A] {
	s, set := grouped(g, kind), apply(opts)
	var funcs []any
	if user != nil {
		funcs = []any{user}
	}
	n := s.addNamed(kind, name, set, funcs...)
	n.keyed = true
	t := newTable(s.b, n, s.kc, stateCodecOf(s.b, n, set, vc))
	done := doneOf[A](s.b, n, set)
	n.enter = func(c *compiler) any {
		return core.Aggregate(c.nodeID(n), tableOf[K, A](c, n), first, add, done, changes[K, A](c, n))
	}
	return t
}

func grouped[K comparable, V any](g Grouped[K, V], kind string) Stream[K, V] {
	if g == nil {
		zero(kind)
	}
	return g.grouped()
}

// CountTable counts the rows of each group. A group that has lost all of its rows counts 0.
func CountTable[K, G comparable, V any](t Table[K, V], name string, group func(V) G, opts ...GroupOption) Table[G, int64] {
	return aggregateTable(t, "countTable", name, group, nil, nil,
		func(n int64, _ V) int64 { return n + 1 }, func(n int64, _ V) int64 { return n - 1 }, nil, opts)
}

// ReduceTable folds the rows of each group into one value of the same type: add takes a
// row in, remove takes it out again. The first row is the beginning.
func ReduceTable[K, G comparable, V any](t Table[K, V], name string, group func(V) G, add, remove func(sum, v V) V, opts ...GroupOption) Table[G, V] {
	return aggregateTable(t, "reduceTable", name, group, t.vc, func(v V) V { return v }, add, remove, []any{add, remove}, opts)
}

// AggregateTable folds the rows of each group, beginning with the zero A: add takes a row
// in, remove takes it out again.
func AggregateTable[K, G comparable, V, A any](t Table[K, V], name string, group func(V) G, add, remove func(A, V) A, opts ...GroupOption) Table[G, A] {
	return aggregateTable(t, "aggregateTable", name, group, nil, nil, add, remove, []any{add, remove}, opts)
}

// aggregateTable is all of them: the changes go by group through a topic, with old and new
// row, and are folded behind it.
func aggregateTable[K, G comparable, V, A any](t Table[K, V], kind, name string, group func(V) G, vc core.Codec[A], first func(V) A, add, remove func(A, V) A, user []any, opts []GroupOption) Table[G, A] {
	set := apply(opts)
	re := t.add("regroup", settings{partitions: set.partitions}, group)
	re.name, re.rekeyed, re.always = name, true, true
	gc, cc := or(keyCodecOf[G](t.b, re, set, nil)), changeCodec[V]{or(t.vc)}
	re.key, re.value = infoOf(gc), infoOf[core.Change[V]](cc)
	re.enter = func(c *compiler) any {
		return core.Regroup[K](c.nodeID(re), group, core.Sink(c.t, c.sinkID(re), c.topic(re), gc, cc))
	}
	re.source = func(c *compiler) { core.Source(c.t, c.topic(re), gc, cc, next[G, core.Change[V]](c, re)) }

	n := t.b.addNamed(kind, name, re)
	t.b.configure(n, settings{}, user...)
	n.keyed = true
	out := newTable(t.b, n, gc, stateCodecOf(t.b, n, set, vc))
	done := doneOf[A](t.b, n, set)
	n.enter = func(c *compiler) any {
		return core.AggregateTable(c.nodeID(n), tableOf[G, A](c, n), first, add, remove, done, changes[G, A](c, n))
	}
	return out
}
