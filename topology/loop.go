package topology

import (
	"maps"
	"slices"
)

// A topology may write to a topic that it reads: a saga sends itself commands, what failed is
// tried again later. Whether that comes to an end, functions decide. Where none has a say,
// since each record that is read leads to one that is written, it never does, and Build
// refuses it. Of all others Describe tells.

// loops finds the topics that are read as a stream and written by what comes of them; endless
// are the sinks by which each record comes back. Nodes are by their ids.
func loops(b *Builder, nodes []*node) (topics []string, endless map[int]string) {
	back := map[int]*node{} // from a sink to the stream of its topic
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		if u := b.topics[name]; u.reading == asStream {
			for _, s := range u.sinks {
				back[s.id] = nodes[u.source.id]
			}
		}
	}
	// reaches reports whether a record of n may come to the node to; all: must.
	reaches := func(n, to *node, all bool) bool {
		seen := make([]bool, len(nodes))
		var visit func(n *node) bool
		visit = func(n *node) bool {
			if n == to {
				return true
			}
			if seen[n.id] {
				return false
			}
			seen[n.id] = true
			next := n.subs
			if s := back[n.id]; s != nil {
				next = []*node{s}
			} else if all && !n.through {
				return false
			}
			return slices.ContainsFunc(next, visit)
		}
		return slices.ContainsFunc(n.subs, visit)
	}
	endless = map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(b.topics)) {
		u := b.topics[name]
		if u.reading != asStream {
			continue
		}
		found := false
		for _, s := range u.sinks {
			found = found || reaches(nodes[u.source.id], nodes[s.id], false)
			if reaches(nodes[u.source.id], nodes[s.id], true) {
				endless[s.id] = name
			}
		}
		if found {
			topics = append(topics, name)
		}
	}
	return topics, endless
}

// endless refuses loops that cannot end.
func (c *checker) endless() {
	_, endless := loops(c.b, c.nodes)
	for _, n := range c.nodes {
		if topic, ok := endless[n.id]; ok {
			c.wrong(n, "each record that the topology reads from topic %q leads to another one in it, for ever: filter what comes back, or write to another topic", topic)
		}
	}
}
