package topology

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// Build checks everything and reports all mistakes at once (errors.Join), each an
// ErrInvalid with the node's name and what to do about it. A stream that leads nowhere is
// one. It can be called again, and the builder can go on; the plan does not change.
func (b *Builder) Build() (*Plan, error) {
	if b == nil {
		return nil, fmt.Errorf("%w: the Builder is nil: begin with New", ErrInvalid)
	}
	c := &checker{b: b, mistakes: slices.Clone(b.mistakes), nodes: b.snapshot()}
	c.cut = cuts(c.nodes)
	c.names()
	c.topics()
	c.policies()
	c.endless()
	c.ends()
	if c.loops() { // the rest would follow them for ever
		return nil, c.err()
	}
	c.states()
	c.together()
	if err := c.err(); err != nil {
		return nil, err
	}
	return newPlan(b, c.nodes, c.cut), nil
}

// checker looks for mistakes that show only when the graph is complete.
type checker struct {
	b        *Builder
	nodes    []*node
	cut      []bool
	mistakes []mistake
}

func (c *checker) wrong(n *node, format string, args ...any) {
	c.mistakes = append(c.mistakes, mistake{n.id, n.String() + ": " + fmt.Sprintf(format, args...)})
}

// err joins the mistakes, in the order of the nodes.
func (c *checker) err() error {
	slices.SortStableFunc(c.mistakes, func(a, b mistake) int { return cmp.Compare(a.node, b.node) })
	var errs []error
	for i, m := range c.mistakes {
		if i == 0 || m != c.mistakes[i-1] {
			errs = append(errs, fmt.Errorf("%w: %s", ErrInvalid, m.text))
		}
	}
	return errors.Join(errs...)
}

// cuts says which nodes send their output through a topic: those that must, and those
// that change keys where something that depends on the key follows.
func cuts(nodes []*node) []bool {
	cut := make([]bool, len(nodes))
	for _, n := range nodes {
		cut[n.id] = n.always || n.rekeyed && leadsToKeyed(n, make([]bool, len(nodes)))
	}
	return cut
}

func leadsToKeyed(n *node, seen []bool) bool {
	for _, s := range n.subs {
		if s.keyed {
			return true
		}
		if s.rekeyed || seen[s.id] {
			continue // another key: what follows is its business
		}
		seen[s.id] = true
		if leadsToKeyed(s, seen) {
			return true
		}
	}
	return false
}

// suffixes of internal topics; the longer one bounds a name's length.
const (
	changelogSuffix   = "-changelog"
	repartitionSuffix = "-repartition"
)

func (c *checker) names() {
	if why := badTopicName(c.b.name); why != "" {
		c.mistakes = append(c.mistakes, mistake{-1, "topology name " + why + ". It is the default application id, and begins the names of internal topics"})
	}
	if len(c.nodes) == 0 {
		c.mistakes = append(c.mistakes, mistake{-1, fmt.Sprintf("topology %q is empty: begin with Topic.Stream or Topic.Table", c.b.name)})
	}
	first := map[string]*node{}
	for _, n := range c.nodes {
		if !n.named || n.kind == "sink" || n.kind == "stream" || n.name == "" {
			continue
		}
		if other, ok := first[n.name]; ok {
			c.wrong(n, "the name is taken, by %s %q: give one of them another name", other.kind, other.name)
			continue
		}
		first[n.name] = n
		if n.topic != "" {
			continue // checked as a topic
		}
		if why := badTopicName(n.name); why != "" {
			c.wrong(n, "the name %s. It is part of the names of internal topics", why)
			continue
		}
		if full := repartitionTopic(c.b.name, n.name); len(full) > maxTopicName && (n.state != nil || n.rekeyed) {
			c.wrong(n, "the topic %s would have %d characters, Kafka allows %d: shorten the name", full, len(full), maxTopicName)
		}
	}
	clocks := map[uint32]*node{}
	for _, n := range c.nodes {
		if !n.clock {
			continue
		}
		if other := clocks[core.ClockHash(n.name)]; other != nil && (other.name != n.name || !other.named || !n.named) {
			c.wrong(n, "its name has the same hash as %q, and times are kept by the hash: give one of them another name", other.name)
		}
		clocks[core.ClockHash(n.name)] = n
	}
	for _, n := range c.nodes {
		if full := changelogTopic(c.b.name, n.name); n.topic != "" && n.state != nil && len(full) > maxTopicName && len(n.topic) <= maxTopicName {
			c.wrong(n, "the topic %s would have %d characters, Kafka allows %d: shorten the topology's name", full, len(full), maxTopicName)
		}
	}
}

func (c *checker) topics() {
	for _, u := range c.b.topics {
		for _, n := range u.sinks {
			if u.reading == asTable {
				c.wrong(n, "the topology reads topic %q as a table: it would change its own rows behind its back. Keep the rows in a state (ToTable, Process), or write to another topic", u.name)
			}
		}
	}
}

// ends finds streams that lead nowhere, and ports that nobody connected.
func (c *checker) ends() {
	for _, n := range c.nodes {
		if n.loose != nil {
			for _, port := range n.loose() {
				c.wrong(n, "port %s is not connected: connect it with Output, Read, ReadGlobal or OnTimer, or take it out of the struct", port)
			}
		}
		if n.end || n.read || len(n.subs) > 0 || n.input {
			continue
		}
		switch {
		case n.global != nil:
			c.wrong(n, "nobody reads it: JoinGlobal or ReadGlobal it, or take it away")
		case n.table:
			c.wrong(n, "leads nowhere, and keeps no rows of its own: join it, write it with To, or take it away")
		case n.kind == "yes" || n.kind == "no":
			c.wrong(n, "of %s leads nowhere: write it with To, or use Filter where only one half is wanted", n.ins[0])
		case n.kind == "window":
			c.wrong(n, "leads nowhere: Count, Reduce or Aggregate what is in the windows")
		case n.kind == "process":
			c.wrong(n, "what it emits leads nowhere: write it with To, or use Aggregate where nothing is emitted")
		default:
			c.wrong(n, "leads nowhere: write it with To, or take it away")
		}
	}
}

// loops finds processors that feed themselves with no topic in between.
func (c *checker) loops() (found bool) {
	const onPath, done = 1, 2
	state := make([]uint8, len(c.nodes))
	var visit func(n *node)
	visit = func(n *node) {
		state[n.id] = onPath
		for _, s := range n.subs {
			switch {
			case c.cut[s.id]: // the record ends there
			case state[s.id] == onPath:
				c.wrong(s, "its output leads back into it: put a Repartition(name) in between, so that a record ends before the next one begins")
				found = true
			case state[s.id] == 0:
				visit(s)
			}
		}
		state[n.id] = done
	}
	for _, n := range c.nodes {
		if state[n.id] == 0 {
			visit(n)
		}
	}
	return found
}

// states finds codecs that would lose rows, or records in repartition topics.
func (c *checker) states() {
	for _, n := range c.nodes {
		if s := n.state; s != nil && n.topic == "" {
			if s.value.err != nil {
				c.wrong(n, "its rows cannot be stored: %v: give it a StateCodec", s.value.err)
			}
			if s.key.err != nil {
				c.wrong(n, "its keys cannot be stored: %v: give the topic another key codec, or KeyBy a KeyCodec", s.key.err)
			}
		}
		if n.rekeyed && c.cut[n.id] {
			if n.value.err != nil {
				c.wrong(n, "its values cannot go through the repartition topic: %v: put it before the Map that makes them, or mend the type", n.value.err)
			}
			if n.key.err != nil {
				c.wrong(n, "its keys cannot go through the repartition topic: %v: give it a KeyCodec", n.key.err)
			}
		}
	}
}

// together checks what meets by key: the same bytes for the same key, or records of one
// key lie in different partitions, and equal partition counts, for the same reason.
func (c *checker) together() {
	for _, n := range c.nodes {
		if !n.keyed || n.input {
			continue
		}
		srcs := sourcesOf(n, c.cut, len(c.nodes), false)
		for _, s := range srcs[min(1, len(srcs)):] {
			if first := srcs[0]; !first.key.same(s.key) {
				c.wrong(n, "%s and %s encode keys differently, as %s and as %s, so records of one key lie in different partitions: declare both with the same key codec, or rekey one with KeyBy or Repartition and KeyCodec",
					first, s, first.key.schema, s.key.schema)
				break
			}
		}
		var counts []string
		differ, count := false, int32(0)
		for _, s := range sourcesOf(n, c.cut, len(c.nodes), true) {
			if p := c.declared(s); p > 0 {
				counts = append(counts, fmt.Sprintf("%v has %d", s, p))
				differ, count = differ || count > 0 && p != count, p
			}
		}
		if differ {
			c.wrong(n, "what it brings together has different numbers of partitions: %s. Declare the same number, or send one through Repartition(name)", strings.Join(counts, ", "))
		}
	}
}

// declared is the declared partition count of what n reads.
func (c *checker) declared(n *node) int32 {
	if u := c.b.topics[n.topic]; n.topic != "" && u != nil {
		return u.partitions
	}
	return n.partitions
}

// sourcesOf are the topics that n gets records or rows from without another topic in
// between, as their nodes, in the order in which they were made. near says whether those count
// whose rows are looked up by other keys.
func sourcesOf(n *node, cut []bool, size int, near bool) (srcs []*node) {
	seen := make([]bool, size)
	var visit func(n *node)
	visit = func(n *node) {
		if seen[n.id] {
			return
		}
		seen[n.id] = true
		lists := [3][]*node{n.ins, n.reads}
		if near {
			lists[2] = n.near
		}
		for _, list := range lists {
			for _, in := range list {
				if in.topic != "" || cut[in.id] {
					if !slices.Contains(srcs, in) {
						srcs = append(srcs, in)
					}
					continue
				}
				visit(in)
			}
		}
	}
	visit(n)
	slices.SortFunc(srcs, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return srcs
}
