package topology

import "github.com/seed-81380e12/limpet/core"

// TopicFrom chooses a topic for each record: one of that of To and the others, which are all
// that it can choose, so that they are there, with the right partitions, when the topology
// starts. f is a func(V) Topic[K, V], or a func(Record[K, V]) Topic[K, V]. Another topic is
// an error: see OnError. A row of a table that moves to another topic is deleted in the old
// one, first.
func TopicFrom[T any, K comparable, V any](f func(T) Topic[K, V], others ...Topic[K, V]) SinkOption {
	return sinkOption(func(s *settings) {
		s.topicFrom = erase[Topic[K, V]]("TopicFrom", topicChoice[K, V]{pick: f, of: typeFor[T](), topics: others}, f == nil)
	})
}

// topicChoice is what a TopicFrom holds.
type topicChoice[K comparable, V any] struct {
	pick   any    // func(T) Topic[K, V]
	of     string // T
	topics []Topic[K, V]
}

// PartitionBy chooses the partition of each record, from 0 to n-1: f is a func(V, int) int
// or a func(Record[K, V], int) int, and gets n. Another one is an error: see OnError. Records
// of a key that lie in several partitions do not meet in a join or a state. A row of a table
// that moves to another partition is deleted in the old one, first.
func PartitionBy[T any](f func(value T, n int) int) SinkOption {
	return sinkOption(func(s *settings) { s.partitionBy = erase[T]("PartitionBy", f, f == nil) })
}

// partitionOf is the function of PartitionBy, or nil.
func partitionOf[K comparable, V any](b *Builder, n *node, s settings) core.By[K, V] {
	if s.partitionBy == nil {
		return nil
	}
	switch f := s.partitionBy.v.(type) {
	case nil:
		b.wrong(n, "PartitionBy of nil")
	case func(V, int) int:
		n.funcs = append(n.funcs, funcName(f))
		return func(r Record[K, V], count int) int { return f(r.Value, count) }
	case func(Record[K, V], int) int:
		n.funcs = append(n.funcs, funcName(f))
		return f
	default:
		b.wrong(n, "PartitionBy is for %s, but its value is %s, and its record %s", s.partitionBy.of, typeFor[V](), typeFor[Record[K, V]]())
	}
	return nil
}

// sinkTopics are the topics that a To can write to, and the function that chooses the index
// of one of them; nil where there is one only.
func sinkTopics[K comparable, V any](b *Builder, n *node, first Topic[K, V], s settings) (topics []Topic[K, V], pick func(Record[K, V]) int) {
	topics = []Topic[K, V]{first}
	c := unerase[Topic[K, V]](b, n, s.topicFrom, "topic", topicChoice[K, V]{})
	if c.pick == nil {
		return topics, nil
	}
	names := []string{first.name}
	for _, t := range c.topics {
		topics, names = append(topics, t), append(names, t.name)
	}
	index := func(t Topic[K, V]) int {
		for i := range names {
			if names[i] == t.name {
				return i
			}
		}
		return -1
	}
	switch f := c.pick.(type) {
	case func(V) Topic[K, V]:
		n.funcs = append(n.funcs, funcName(f))
		return topics, func(r Record[K, V]) int { return index(f(r.Value)) }
	case func(Record[K, V]) Topic[K, V]:
		n.funcs = append(n.funcs, funcName(f))
		return topics, func(r Record[K, V]) int { return index(f(r)) }
	}
	b.wrong(n, "TopicFrom is for %s, but its value is %s, and its record %s", c.of, typeFor[V](), typeFor[Record[K, V]]())
	return topics, nil
}

// To writes the stream to a topic.
func (s Stream[K, V]) To(t Topic[K, V], opts ...SinkOption) {
	to(s.b, s.n, t, opts, core.Route, func(c *compiler, n *node, t Topic[K, V], by core.By[K, V]) core.Next[K, V] {
		sink := core.Sink(c.t, c.sinkID(n), t.name, t.kc, t.vc, by)
		if s.b.stamp != nil {
			sink = core.Stamp(c.nodeID(n), false, s.b.stamp, sink)
		}
		return sink
	})
}

// To writes each change to a topic, a deletion as a tombstone.
func (t Table[K, V]) To(topic Topic[K, V], opts ...SinkOption) {
	to(t.b, t.n, topic, opts, core.RouteTable, func(c *compiler, n *node, to Topic[K, V], by core.By[K, V]) core.Next[K, core.Change[V]] {
		sink := core.TableSink(c.t, c.sinkID(n), to.name, to.kc, to.vc, by)
		if t.b.stamp != nil {
			sink = core.StampChange(c.nodeID(n), t.b.stamp, sink)
		}
		return sink
	})
}

// to adds the sink of a topic behind a node, or one for each topic that TopicFrom chooses
// from. X is what the node passes on: values, or changes of rows.
func to[K comparable, V, X any](b *Builder, at *node, first Topic[K, V], opts []SinkOption,
	route func(core.NodeID, func(Record[K, V]) int, ...core.Next[K, X]) core.Next[K, X],
	sink func(c *compiler, n *node, t Topic[K, V], by core.By[K, V]) core.Next[K, X],
) {
	if b == nil {
		zero("sink")
	}
	set, topics := apply(opts), []Topic[K, V]{first}
	if set.topicFrom != nil {
		n := b.add("route", "", at)
		n.holds = forStep
		b.configure(n, set)
		var pick func(Record[K, V]) int
		topics, pick = sinkTopics(b, n, first, set)
		n.enter = func(c *compiler) any {
			var nexts []core.Next[K, X]
			for _, sub := range c.nodes[n.id].subs {
				nexts = append(nexts, c.chain(sub).(core.Next[K, X]))
			}
			return route(c.nodeID(n), pick, nexts...)
		}
		at = n
	}
	for _, t := range topics {
		n := b.sink(at, t.declaration(), set)
		by := partitionOf[K, V](b, n, set)
		n.enter = func(c *compiler) any { return sink(c, n, t, by) }
	}
}

// sink adds the sink of one topic.
func (b *Builder) sink(in *node, d declaration, set settings) *node {
	n := b.add("sink", d.name, in)
	b.configure(n, settings{name: set.name, policies: set.policies})
	n.end, n.holds = true, nothing
	u := b.use(n, d)
	u.sinks = append(u.sinks, n)
	return n
}
