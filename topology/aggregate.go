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
