package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// Plan is a checked topology. It is immutable.
type Plan struct {
	name  string
	nodes []*node
	cut   []bool
	subs  []*Subtopology

	globals        []*GlobalSpec
	idle           time.Duration // of AdvanceIdle
	sourcePolicies []policies    // by node
	place          []int         // by node: where it is in the order of the data
	loops          []string      // topics that are read, and written by what comes of them
}

// Name is the topology's name, the default application id.
func (p *Plan) Name() string { return p.name }

// Subtopologies returns the parts that repartition topics hold together: one that reads
// what another writes comes behind it, as far as there is no circle. A sub-topology's ID
// is its index.
func (p *Plan) Subtopologies() []*Subtopology { return p.subs }

// Subtopology is what one task runs, for each partition of its sources.
type Subtopology struct {
	ID      int32
	Sources []Source    // index = core.SourceID
	Sinks   []Sink      // index = core.SinkID
	Tables  []TableSpec // index = core.TableID
	// Copartitioned are sources that must have equal partition counts, since an operator
	// brings them together by key. A source that meets no other one is in no group.
	Copartitioned [][]core.SourceID
	// Globals are the global tables that its tasks read; index = core.GlobalID.
	Globals []Global

	plan        *Plan
	tableNodes  []*node
	sourceNodes []*node
	globalNodes []*node
	clocked     []*node       // that have a time of their own, in the order of the data
	sinkOf      []core.SinkID // by node
	deadLetters map[string]core.SinkID
}

// Source is a topic that a sub-topology reads. Sources that are tables come first: of
// records with equal times the task takes that of the lower source, so an update of a
// table is there for an order of the same millisecond. (In which order topics are fetched
// is another thing, and left to who fetches.)
type Source struct {
	Topic       string       // or the name of a repartition topic, without the application id
	Repartition bool         // the topic is the topology's own
	Table       core.TableID // the table that it feeds; -1: a stream
	Partitions  int32        // declared; 0: any
	Compacted   bool         // declared so
	Forever     bool         // declared so
}

// Sink is a topic that a sub-topology writes.
type Sink struct {
	Topic       string
	Repartition bool
	DeadLetter  bool // the topic is the topology's own, for dead letters
	Partitions  int32
}

// TableSpec is a table with rows of its own.
type TableSpec struct {
	Name string
	// Source is the source whose topic can serve as the table's changelog, if it is
	// compacted; -1: there is none. A table that reads a topic has none either if its key
	// codec could read keys that it would write otherwise (as JSON can): rows restored
	// from the topic would then not be found. Nor has one where a policy may skip records:
	// the table does not have their rows, and the topic does.
	Source core.SourceID
	// Origin is the source whose topic has the table's rows by the same keys, though perhaps rows and times
	// that the table has not, so that it is no changelog; -1: there is none. An application that had
	// such a table restored from there, and gives it a changelog, has its rows there.
	Origin core.SourceID
	// Schema says what key and value bytes are, "string -> json(Customer)": a change of it
	// makes the stored state unreadable.
	Schema string

	// History is how long versions of rows are kept; 0: there is one version of each. Writes of
	// such a table have a changelog record that differs from them: core.Write.Log and
	// core.Restored tell it.
	History time.Duration

	// DueOf, if not nil, says when a row comes due: a store should keep rows in that order, too.
	// See core.Dated.
	DueOf *core.DueOrder

	keyCodec, valueCodec any // core.Codec[K], core.Codec[V]
}

// TopicName is the topic's name on the cluster.
func (s Source) TopicName(app string) string { return topicName(app, s.Topic, s.Repartition) }

// TopicName is the topic's name on the cluster.
func (s Sink) TopicName(app string) string {
	if s.DeadLetter {
		return deadLetterTopic(app)
	}
	return topicName(app, s.Topic, s.Repartition)
}

// ChangelogTopic is the name of the table's changelog on the cluster.
func (t TableSpec) ChangelogTopic(app string) string { return changelogTopic(app, t.Name) }

// TableCodecs returns the codecs of a table's rows, for those who read them from outside.
func TableCodecs[K comparable, V any](t TableSpec) (Codec[K], Codec[V], error) {
	kc, ok1 := t.keyCodec.(core.Codec[K])
	vc, ok2 := t.valueCodec.(core.Codec[V])
	if !ok1 || !ok2 {
		return nil, nil, fmt.Errorf("topology: table %q is %s, and not of %s and %s", t.Name, t.Schema, typeFor[K](), typeFor[V]())
	}
	return kc, vc, nil
}

func topicName(app, name string, repartition bool) string {
	if repartition {
		return repartitionTopic(app, name)
	}
	return name
}

func repartitionTopic(app, name string) string { return app + "-" + name + repartitionSuffix }
func changelogTopic(app, name string) string   { return app + "-" + name + changelogSuffix }

func newPlan(b *Builder, nodes []*node, cut []bool) *Plan {
	p := &Plan{name: b.name, nodes: nodes, cut: cut, idle: b.idle, sourcePolicies: sourcePolicies(nodes, cut), place: make([]int, len(nodes))}
	for i, n := range inOrder(nodes, cut) {
		p.place[n.id] = i
	}
	p.loops, _ = loops(b, nodes)
	part, count := components(nodes, cut)
	index := p.addGlobals(b)
	for id := range count {
		s := p.sub(b, int32(id), part)
		p.globalsOf(s, part, index)
		p.subs = append(p.subs, s)
	}
	return p
}

// components says in which sub-topology each node's input (2*id) and output (2*id+1) lie:
// one whose output goes through a topic lies in two. Their order is that of the data, then
// that of the nodes. A global table lies in none: -1.
func components(nodes []*node, cut []bool) (part []int, count int) {
	parent := make([]int, 2*len(nodes))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	union := func(a, b int) { // the root is the least: the order of roots is that of nodes
		a, b = find(a), find(b)
		parent[max(a, b)] = min(a, b)
	}
	for _, n := range nodes {
		if !cut[n.id] {
			union(2*n.id, 2*n.id+1)
		}
		for _, s := range n.subs {
			union(2*n.id+1, 2*s.id)
		}
		for _, t := range n.lookups() {
			union(2*t.id+1, 2*n.id)
		}
	}
	var roots []int
	before := map[int][]int{} // which components a component reads from
	for i := range parent {
		if find(i) == i && nodes[i/2].global == nil {
			roots = append(roots, i)
		}
	}
	for _, n := range nodes {
		if n.global != nil {
			continue
		}
		if from, to := find(2*n.id), find(2*n.id+1); from != to {
			before[to] = append(before[to], from)
		}
	}
	order := map[int]int{}
	for len(order) < len(roots) {
		best := -1
		for _, r := range roots {
			if _, ok := order[r]; ok {
				continue
			}
			ready := !slices.ContainsFunc(before[r], func(f int) bool { _, ok := order[f]; return !ok })
			if ready {
				best = r
				break
			}
			if best < 0 {
				best = r // a circle: the first of it
			}
		}
		order[best] = len(order)
	}
	part = make([]int, len(parent))
	for i := range parent {
		if part[i] = -1; nodes[i/2].global == nil {
			part[i] = order[find(i)]
		}
	}
	return part, len(roots)
}

// sub gathers the sub-topology with an id.
func (p *Plan) sub(b *Builder, id int32, part []int) *Subtopology {
	s := &Subtopology{ID: id, plan: p, sinkOf: make([]core.SinkID, len(p.nodes)), deadLetters: map[string]core.SinkID{}}
	tables := map[*node]core.TableID{}
	sinks := map[string]core.SinkID{}
	add := func(sink Sink) core.SinkID {
		name := sink.TopicName(p.name)
		if _, ok := sinks[name]; !ok {
			sinks[name] = core.SinkID(len(s.Sinks))
			s.Sinks = append(s.Sinks, sink)
		}
		return sinks[name]
	}
	for _, n := range p.nodes {
		in, out := part[2*n.id] == int(id), part[2*n.id+1] == int(id)
		if in && n.state != nil {
			tables[n] = core.TableID(len(s.tableNodes))
			s.tableNodes = append(s.tableNodes, n)
		}
		if out && n.source != nil && (n.topic != "" || p.cut[n.id]) {
			s.sourceNodes = append(s.sourceNodes, n)
		}
		if in && (p.cut[n.id] || n.kind == "sink") {
			sink := Sink{Topic: n.name, Repartition: p.cut[n.id], Partitions: n.partitions}
			if !sink.Repartition {
				sink.Topic, sink.Partitions = n.topic, b.topics[n.topic].partitions
			}
			s.sinkOf[n.id] = add(sink)
		}
	}
	for _, n := range p.nodes { // behind the others: they are the last to be looked for
		dead := func(topic string) {
			sink := Sink{Topic: topic}
			if sink.DeadLetter = topic == ""; sink.DeadLetter {
				sink.Topic = strings.TrimPrefix(deadLetterSuffix, "-")
			}
			s.deadLetters[topic] = add(sink)
		}
		if part[2*n.id] == int(id) {
			policiesOf(n).topics(dead)
		}
		if part[2*n.id+1] == int(id) && n.source != nil {
			p.sourcePolicies[n.id].topics(dead)
		}
	}
	slices.SortStableFunc(s.sourceNodes, func(a, b *node) int { // tables first: see Source
		return cmp.Compare(isStream(a), isStream(b))
	})
	at := map[*node]core.SourceID{}
	for i, n := range s.sourceNodes {
		at[n] = core.SourceID(i)
		src := Source{Topic: n.name, Repartition: p.cut[n.id], Table: -1, Partitions: n.partitions}
		if !src.Repartition {
			u := b.topics[n.topic]
			src.Topic, src.Partitions, src.Compacted, src.Forever = n.topic, u.partitions, u.compacted, u.forever
		}
		if t, ok := tables[n]; ok && !src.Repartition {
			src.Table = t
		}
		s.Sources = append(s.Sources, src)
	}
	for _, n := range s.tableNodes {
		t := TableSpec{
			Name: n.name, Source: -1, Origin: -1, Schema: n.state.key.schema + " -> " + n.state.value.schema, History: n.history, DueOf: n.state.due,
			keyCodec: n.state.key.codec, valueCodec: n.state.value.codec,
		}
		if src, ok := at[n]; ok && n.state.canonical {
			if t.Origin = src; !n.state.other && !p.skips(n) {
				t.Source = src
			}
		}
		if n.ttl > 0 {
			t.DueOf = core.DueByTime()
		}
		s.Tables = append(s.Tables, t)
	}
	s.Copartitioned = p.copartitioned(int(id), part, at)
	for _, n := range inOrder(p.nodes, p.cut) {
		if n.clock && part[2*n.id] == int(id) {
			s.clocked = append(s.clocked, n)
		}
	}
	return s
}

// skips reports whether a record that the source n takes may be skipped for an error, there or at
// any node behind it in its sub-topology.
func (p *Plan) skips(n *node) bool {
	if of := p.sourcePolicies[n.id]; of.skip() {
		return true
	}
	seen := make([]bool, len(p.nodes))
	var behind func(n *node) bool
	behind = func(n *node) bool {
		return slices.ContainsFunc(n.subs, func(sub *node) bool {
			if seen[sub.id] {
				return false
			}
			seen[sub.id] = true
			of := policiesOf(sub)
			return of.skip() || !p.cut[sub.id] && behind(sub)
		})
	}
	return behind(n)
}

// inOrder sorts nodes so that each comes behind those that it gets records from; topics in
// between do not count.
func inOrder(nodes []*node, cut []bool) []*node {
	var list []*node
	seen := make([]bool, len(nodes))
	var visit func(n *node)
	visit = func(n *node) {
		if seen[n.id] {
			return
		}
		seen[n.id] = true
		if !cut[n.id] {
			for _, s := range slices.Backward(n.subs) {
				visit(s)
			}
		}
		list = append(list, n)
	}
	for _, n := range slices.Backward(nodes) {
		visit(n)
	}
	slices.Reverse(list)
	return list
}

func isStream(n *node) int {
	if n.state != nil {
		return 0
	}
	return 1
}

// copartitioned groups the sources that meet by key.
func (p *Plan) copartitioned(id int, part []int, at map[*node]core.SourceID) (groups [][]core.SourceID) {
	group := map[core.SourceID]int{} // index into groups
	for _, n := range p.nodes {
		if !n.keyed || part[2*n.id] != id {
			continue
		}
		to := -1
		for _, src := range sourcesOf(n, p.cut, len(p.nodes), true) {
			s := at[src]
			g, ok := group[s]
			switch {
			case !ok && to < 0:
				to = len(groups)
				groups = append(groups, []core.SourceID{s})
				group[s] = to
			case !ok:
				groups[to] = append(groups[to], s)
				group[s] = to
			case to < 0:
				to = g
			case g != to: // two groups meet: all of them are one
				for _, o := range groups[g] {
					groups[to], group[o] = append(groups[to], o), to
				}
				groups[g] = nil
			}
		}
	}
	groups = slices.DeleteFunc(groups, func(g []core.SourceID) bool { return len(g) < 2 })
	for _, g := range groups {
		slices.Sort(g)
	}
	return groups
}
