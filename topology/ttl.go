package topology

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// TTLOption is for what keeps state, and for Topic.Table.
type TTLOption interface {
	StateOption
	SourceOption
}

type ttlOption func(*settings)

func (o ttlOption) set(s *settings) { o(s) }
func (ttlOption) forState()         {}
func (ttlOption) forProcessors()    {}
func (ttlOption) forAggregates()    {}
func (ttlOption) forGroups()        {}
func (ttlOption) forSources()       {}

// TTL deletes a row when the operator's time has moved more than d past the row's time. The
// operator's time is the greatest time of the records that it took; the time of a row is the
// greatest of the records that it holds, of ToTable and Topic.Table that of the latest one.
// Downstream there is a deletion, with the operator's time. A key that comes again begins anew.
//
// It is for Process, processors, ToTable, Topic.Table, and aggregates without windows. A table
// of a topic that has a TTL keeps a changelog of its own, even if the topic is compacted: the
// topic does not tell which rows have expired.
func TTL(d time.Duration) TTLOption { return ttlOption(func(s *settings) { s.ttl = &d }) }

// expiring gives the rows of the table n their time to live, if the options have one: it
// returns what makes the Expiry of a task, which all inputs of n share, or nil. changed is
// what takes deletions.
func expiring[K comparable, V any](b *Builder, n *node, set settings, changed func(*compiler) core.Next[K, core.Change[V]]) func(*compiler) *core.Expiry[K, V] {
	if set.ttl == nil {
		return nil
	}
	d := *set.ttl
	if d < time.Millisecond || d%time.Millisecond != 0 || d > maxWindow {
		b.wrong(n, "TTL(%v): it is a millisecond or more, in whole milliseconds, and at most 100 years", d)
	}
	n.clock, n.ttl = true, d
	return func(c *compiler) *core.Expiry[K, V] {
		if c.shared[n.id] == nil {
			c.shared[n.id] = core.NewExpiry(tableOf[K, V](c, n), c.clock(n), core.Ms(d), changed(c))
		}
		return c.shared[n.id].(*core.Expiry[K, V])
	}
}

// within puts the expiry of a table, if it has one, around an operator that writes its rows.
func within[K comparable, V, S any](c *compiler, e func(*compiler) *core.Expiry[K, S], next core.Next[K, V]) core.Next[K, V] {
	if e == nil {
		return next
	}
	return core.Expiring(e(c), next)
}

// noTTL finds a time to live where there is none.
func (b *Builder) noTTL(n *node, set settings, why string) {
	if set.ttl != nil {
		b.wrong(n, "TTL(%v): %s", *set.ttl, why)
	}
}
