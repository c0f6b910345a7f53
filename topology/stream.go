package topology

import (
	"reflect"

	"github.com/seed-81380e12/limpet/core"
)

// Stream is a sequence of keyed records. Handles are values: use one as often as you like.
type Stream[K comparable, V any] struct {
	b  *Builder
	n  *node
	kc core.Codec[K] // of the topic that the records come from; nil: the type's default
	vc core.Codec[V]
}

// Grouped is what can be aggregated by key: a Stream, or a Stream with a Window.
type Grouped[K comparable, V any] interface{ grouped() grouping[K, V] }

// grouping is a stream that is aggregated by key, and its windows, if any. It is no Stream,
// since a type cannot have itself with another key inside.
type grouping[K comparable, V any] struct {
	b  *Builder
	n  *node
	kc core.Codec[K]
	vc core.Codec[V]
	w  *windowing[K]
}

func (s Stream[K, V]) grouped() grouping[K, V] { return grouping[K, V]{s.b, s.n, s.kc, s.vc, nil} }

// add appends a node behind the stream.
func (s Stream[K, V]) add(kind, name string, set settings, funcs ...any) *node {
	if s.b == nil {
		zero(kind)
	}
	n := s.b.add(kind, name, s.n)
	s.b.configure(n, set, funcs...)
	return n
}

// addNamed appends a node with a name that the user must give.
func (s Stream[K, V]) addNamed(kind, name string, set settings, funcs ...any) *node {
	if s.b == nil {
		zero(kind)
	}
	n := s.b.addNamed(kind, name, s.n)
	s.b.configure(n, set, funcs...)
	return n
}

// Filter keeps the values that keep accepts.
func (s Stream[K, V]) Filter(keep func(V) bool, opts ...Option) Stream[K, V] {
	n := s.add("filter", "", apply(opts), keep)
	n.holds = forStep
	n.enter = func(c *compiler) any { return core.Filter(c.nodeID(n), keep, next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// OfType keeps the values of an interface type that are a W.
func OfType[W any, K comparable, V any](s Stream[K, V], opts ...Option) Stream[K, W] {
	n := s.add("ofType", "", apply(opts))
	n.holds = forStep
	if v, w := reflect.TypeFor[V](), reflect.TypeFor[W](); v.Kind() != reflect.Interface || !w.Implements(v) {
		s.b.wrong(n, "no value of type %v is a %v: the stream's values must be of an interface type that %v implements", v, w, w)
	}
	n.enter = func(c *compiler) any { return core.OfType(next[K, W](c, n), as[V, W]) }
	return Stream[K, W]{b: s.b, n: n, kc: s.kc}
}

func as[V, W any](v V) (W, bool) {
	w, ok := any(v).(W)
	return w, ok
}

// Split parts a stream in two; split a half again for more branches: the first match wins.
func (s Stream[K, V]) Split(test func(V) bool, opts ...Option) (yes, no Stream[K, V]) {
	n := s.add("split", "", apply(opts), test)
	n.holds = forStep
	y, e := s.b.add("yes", "", n), s.b.add("no", "", n)
	y.holds, e.holds = forStep, forStep
	y.thin, y.label, e.thin, e.label = true, "yes", true, "no"
	n.enter = func(c *compiler) any {
		return core.Split(c.nodeID(n), test, next[K, V](c, y), next[K, V](c, e))
	}
	return Stream[K, V]{s.b, y, s.kc, s.vc}, Stream[K, V]{s.b, e, s.kc, s.vc}
}

// Merge unites streams; there is no order between them but that of the records' times.
func (s Stream[K, V]) Merge(others ...Stream[K, V]) Stream[K, V] {
	n := s.add("merge", "", settings{})
	n.holds = forStep
	n.thin = true
	n.through = true
	for _, o := range others {
		if o.b == nil {
			zero("merge")
		}
		if !s.b.foreign(n, o.b, "a merged stream") {
			n.ins, o.n.subs = append(n.ins, o.n), append(o.n.subs, n)
		}
	}
	n.enter = func(c *compiler) any { return next[K, V](c, n) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// Peek shows each value to see, for logs and tests; it runs again when records are replayed.
func (s Stream[K, V]) Peek(see func(V), opts ...Option) Stream[K, V] {
	n := s.add("peek", "", apply(opts), see)
	n.through = true
	n.enter = func(c *compiler) any { return core.Peek(c.nodeID(n), see, next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// WithHeader sets a header on each record from its value.
func (s Stream[K, V]) WithHeader(key string, value func(V) string, opts ...Option) Stream[K, V] {
	n := s.add("header", "", apply(opts), value)
	n.holds = forStep
	n.through = true
	n.enter = func(c *compiler) any { return core.WithHeader(c.nodeID(n), key, value, next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// WithHeaders gives each record the headers that f makes of its value and the headers that
// it has.
func (s Stream[K, V]) WithHeaders(f func(V, Headers) Headers, opts ...Option) Stream[K, V] {
	n := s.add("headers", "", apply(opts), f)
	n.holds = forStep
	n.through = true
	n.enter = func(c *compiler) any { return core.WithHeaders(c.nodeID(n), f, next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// Repartition sends the stream through a topic of its own, <app>-<name>-repartition, with
// the same keys.
func (s Stream[K, V]) Repartition(name string, opts ...KeyOption) Stream[K, V] {
	set := apply(opts)
	n := s.addNamed("repartition", name, set)
	n.holds = nothing
	n.through = true
	n.rekeyed, n.always = true, true
	kc, vc := or(keyCodecOf(s.b, n, set, s.kc)), or(valueCodecOf(s.b, n, set, s.vc))
	n.key, n.value = infoOf(kc), infoOf(vc)
	n.enter = func(c *compiler) any { return through(c, n, s.b, kc, vc) }
	n.source = func(c *compiler) { core.Source(c.t, c.topic(n), kc, vc, next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, kc, vc}
}

// ToTable keeps the latest value of each key.
func (s Stream[K, V]) ToTable(name string, opts ...StateOption) Table[K, V] {
	set := apply(opts)
	n := s.addNamed("toTable", name, set)
	n.through = true
	n.keyed = true
	done := doneOf[V](s.b, n, set)
	t := newTable(s.b, n, s.kc, stateCodecOf(s.b, n, set, s.vc))
	old := expiring(s.b, n, set, func(c *compiler) core.Next[K, core.Change[V]] { return changes[K, V](c, n) })
	n.enter = func(c *compiler) any {
		return within(c, old, core.ToTable(c.nodeID(n), tableOf[K, V](c, n), done, changes[K, V](c, n)))
	}
	return t
}

// Map turns each value into one other.
func Map[K comparable, V, W any](s Stream[K, V], f func(V) W, opts ...Option) Stream[K, W] {
	n := s.add("map", "", apply(opts), f)
	n.holds = forStep
	n.through = true
	n.enter = func(c *compiler) any { return core.Map(c.nodeID(n), f, next[K, W](c, n)) }
	return Stream[K, W]{b: s.b, n: n, kc: s.kc}
}

// FlatMap turns each value into any number of others, or rejects it.
func FlatMap[K comparable, V, W any](s Stream[K, V], f func(V, *Out[W]), opts ...Option) Stream[K, W] {
	n := s.add("flatMap", "", apply(opts), f)
	n.holds = forStep
	n.enter = func(c *compiler) any { return core.FlatMap(c.nodeID(n), f, next[K, W](c, n)) }
	return Stream[K, W]{b: s.b, n: n, kc: s.kc}
}

// KeyBy gives each record another key. Where a join or state follows, the stream goes
// through the topic <app>-<name>-repartition, so that records of a key meet in one
// partition; else the name is only a name. Records that do not go that way can overtake those
// that do: an order through KeyBy reaches the account later than a command that was written
// behind it to a topic that has the account's key already.
func KeyBy[K, K2 comparable, V any](s Stream[K, V], name string, key func(V) K2, opts ...KeyOption) Stream[K2, V] {
	set := apply(opts)
	n := s.addNamed("keyBy", name, set, key)
	n.holds = forStep
	n.through = true
	n.rekeyed = true
	given := valueCodecOf(s.b, n, set, s.vc)
	kc, vc := or(keyCodecOf[K2](s.b, n, set, nil)), or(given)
	n.key, n.value = infoOf(kc), infoOf(vc)
	n.enter = func(c *compiler) any {
		if c.cut[n.id] {
			return core.KeyBy[K](c.nodeID(n), key, through(c, n, s.b, kc, vc))
		}
		return core.KeyBy[K](c.nodeID(n), key, next[K2, V](c, n))
	}
	n.source = func(c *compiler) { core.Source(c.t, c.topic(n), kc, vc, next[K2, V](c, n)) }
	return Stream[K2, V]{s.b, n, kc, given}
}

// Records makes the whole record the value, so that any function can see key, time and
// headers.
func Records[K comparable, V any](s Stream[K, V]) Stream[K, Record[K, V]] {
	n := s.add("records", "", settings{})
	n.holds = forStep
	n.through, n.thin = true, true
	n.enter = func(c *compiler) any { return core.Records(next[K, Record[K, V]](c, n)) }
	return Stream[K, Record[K, V]]{s.b, n, s.kc, recordCodec[K, V]{or(s.kc), or(s.vc)}}
}

// Values undoes Records: what goes on has the value of the Record, and key, time and
// headers of the record in hand.
func Values[K, K2 comparable, V any](s Stream[K, Record[K2, V]]) Stream[K, V] {
	n := s.add("values", "", settings{})
	n.holds = forStep
	n.through, n.thin = true, true
	n.enter = func(c *compiler) any { return core.Values[K, K2](next[K, V](c, n)) }
	out := Stream[K, V]{b: s.b, n: n, kc: s.kc}
	if rc, ok := s.vc.(recordCodec[K2, V]); ok {
		out.vc = rc.vc
	}
	return out
}

// Out takes what a function emits. What it emits has the key and headers of the record in
// hand, and its time. The zero Out is ready to use, in tests too.
type Out[W any] = core.Out[W]
