package topology

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// VersionedOption is for Topic.Table and ToTable.
type VersionedOption interface {
	StateOption
	SourceOption
}

type versionedOption func(*settings)

func (o versionedOption) set(s *settings) { o(s) }
func (versionedOption) forState()         {}
func (versionedOption) forAggregates()    {}
func (versionedOption) forGroups()        {}
func (versionedOption) forSources()       {}
func (versionedOption) forProcessors()    {}

// Versioned keeps the versions of a table's rows: each is valid from its own time until that
// of the next one, whatever the order in which they come. A stream that is joined with the
// table meets the version that is valid at each record's time; Row.AsOf finds others.
//
// The table's time is the greatest one of its records. What is more than history behind it can
// neither be written, which is counted (Late), nor found, but for the latest version of a row,
// which stays. Downstream go the changes of the latest versions only. It is for Topic.Table and
// ToTable (KIP-889).
func Versioned(history time.Duration) VersionedOption {
	return versionedOption(func(s *settings) { s.history = &history })
}

// newVersions makes n a table that keeps versions.
func newVersions[K comparable, V any](b *Builder, n *node, kc core.Codec[K], vc core.Codec[V], set settings) Table[K, V] {
	k, v := or(kc), or(vc)
	d := *set.history
	if d < 0 || d%time.Millisecond != 0 || d > maxWindow {
		b.wrong(n, "Versioned(%v): it is 0 or more, in whole milliseconds, and at most 100 years", d)
	}
	b.noTTL(n, set, "versions go when their history has passed")
	n.table, n.end, n.clock, n.history = true, true, true, max(d, time.Millisecond)
	n.state = &stateInfo{
		key:   codecInfo{k, "versions(" + codec.SchemaOf(k) + ")", codec.Check(k)},
		value: infoOf(v),
	}
	n.state.make = func(c *compiler) any { return core.NewVersions(c.t, n.name, k, v, core.Ms(d)) }
	return Table[K, V]{b, n, kc, vc, func(c *compiler) core.Lookup[K, V] { return c.tables[n.id].(*core.Versions[K, V]).Find }}
}

// versionsOf is the table n of a task, whose changes go to what follows.
func versionsOf[K comparable, V any](c *compiler, n *node) *core.Versions[K, V] {
	v := c.tables[n.id].(*core.Versions[K, V])
	v.Connect(c.clock(n), changes[K, V](c, n))
	return v
}
