package topology

import "github.com/seed-81380e12/limpet/core"

// BuilderOption is for New.
type BuilderOption interface{ build(*Builder) }

type builderOption func(*Builder)

func (f builderOption) build(b *Builder) { f(b) }

// Origin is where a record that is about to be written comes from.
type Origin = core.Origin

// Stamp computes the headers of each record that the topology writes to a topic; those that
// go through a topic of its own say so (Origin.Internal). f must be a function of its
// argument. Package envelope has one.
func Stamp(f func(Origin) Headers) BuilderOption {
	return builderOption(func(b *Builder) {
		if f == nil {
			b.mistakes = append(b.mistakes, mistake{-1, "Stamp: its function is nil"})
		}
		b.stamp = f
	})
}

// through is the sink of a topic of the topology's own.
func through[K, V any](c *compiler, n *node, b *Builder, kc core.Codec[K], vc core.Codec[V]) core.Next[K, V] {
	sink := core.Sink(c.t, c.sinkID(n), c.topic(n), kc, vc, nil)
	if b.stamp == nil {
		return sink
	}
	return core.Stamp(c.nodeID(n), true, b.stamp, sink)
}
