package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// Format is a way to draw a plan.
type Format int

// The formats of Describe.
const (
	AsText    Format = iota // a tree for each sub-topology, for terminals
	AsDot                   // Graphviz
	AsMermaid               // a flowchart, for Markdown
	AsJSON                  // a Description
)

// Describe draws the plan.
func (p *Plan) Describe(f Format) string { return Draw(f, p) }

// Draw draws plans of different names: in a picture they hang together by the topics that they
// share. As text and as JSON they come one behind the other.
func Draw(f Format, plans ...*Plan) string {
	switch f {
	case AsDot:
		return pictureOf(plans).dot()
	case AsMermaid:
		return pictureOf(plans).mermaid()
	}
	var b strings.Builder
	for i, p := range plans {
		if i > 0 && f == AsText {
			b.WriteByte('\n')
		}
		b.WriteString(p.write(f))
	}
	return b.String()
}

func (p *Plan) write(f Format) string {
	if f == AsJSON {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(p.Description()); err != nil {
			panic("topology: " + err.Error()) // strings and numbers only
		}
		return b.String()
	}
	return p.text()
}

// Description is a plan as data: what Describe writes as JSON. Members may be added, none
// is renamed or taken away. Internal topics are named as with the topology's name for the
// application id.
type Description struct {
	Name          string                   `json:"name"`
	Subtopologies []SubtopologyDescription `json:"subtopologies"`
	Globals       []GlobalDescription      `json:"globals,omitempty"`
	// Loops are the topics that are read and written by what comes of them: that this ends is
	// up to the functions in between.
	Loops []string `json:"loops,omitempty"`
}

// GlobalDescription is a global table: a topic that every process reads whole.
type GlobalDescription struct {
	Node       int    `json:"node"` // its id, as in the Globals of nodes
	Topic      string `json:"topic"`
	Schema     string `json:"schema"`
	Partitions int32  `json:"partitions,omitempty"`
	Compacted  bool   `json:"compacted,omitempty"`
	Forever    bool   `json:"forever,omitempty"`
}

// SubtopologyDescription is one sub-topology of a Description.
type SubtopologyDescription struct {
	ID            int32               `json:"id"`
	Sources       []SourceDescription `json:"sources"`
	Sinks         []SinkDescription   `json:"sinks"`
	Tables        []TableDescription  `json:"tables"`
	Copartitioned [][]string          `json:"copartitioned"` // topics that need equal partition counts
	Nodes         []NodeDescription   `json:"nodes"`         // in the order in which they were made
}

// SourceDescription is a topic that is read.
type SourceDescription struct {
	Topic       string `json:"topic"`
	Repartition bool   `json:"repartition,omitempty"`
	Table       string `json:"table,omitempty"` // that the topic is read as
	Partitions  int32  `json:"partitions,omitempty"`
	Compacted   bool   `json:"compacted,omitempty"`
	Forever     bool   `json:"forever,omitempty"`
}

// SinkDescription is a topic that is written.
type SinkDescription struct {
	Topic       string `json:"topic"`
	Repartition bool   `json:"repartition,omitempty"`
	DeadLetter  bool   `json:"deadLetter,omitempty"`
	Partitions  int32  `json:"partitions,omitempty"`
}

// TableDescription is a table with rows of its own.
type TableDescription struct {
	Name      string `json:"name"`
	Schema    string `json:"schema"`
	Changelog string `json:"changelog"` // a topic; for one that reads a compacted topic, that one
}

// NodeDescription is an operator, a source or a sink.
type NodeDescription struct {
	ID        int      `json:"id"`
	Kind      string   `json:"kind"`
	Name      string   `json:"name"`
	Functions []string `json:"functions,omitempty"`
	From      []int    `json:"from,omitempty"`    // whose records it takes
	Reads     []int    `json:"reads,omitempty"`   // the tables whose rows it looks up
	Globals   []int    `json:"globals,omitempty"` // the global tables whose rows it looks up
	// Repartition is the topic that its records go through, into another sub-topology.
	Repartition string `json:"repartition,omitempty"`
	OnError     string `json:"onError,omitempty"` // a Policy that the node itself has
	OnDrop      string `json:"onDrop,omitempty"`
}

// Description is the plan as data.
func (p *Plan) Description() Description {
	d := Description{Name: p.name, Loops: p.loops}
	part, _ := components(p.nodes, p.cut)
	for _, s := range p.subs {
		sd := SubtopologyDescription{
			ID: s.ID, Sources: []SourceDescription{}, Sinks: []SinkDescription{}, Tables: []TableDescription{},
			Copartitioned: [][]string{}, Nodes: []NodeDescription{},
		}
		for _, src := range s.Sources {
			x := SourceDescription{
				Topic: src.TopicName(p.name), Repartition: src.Repartition, Partitions: src.Partitions,
				Compacted: src.Compacted, Forever: src.Forever,
			}
			if src.Table >= 0 {
				x.Table = s.Tables[src.Table].Name
			}
			sd.Sources = append(sd.Sources, x)
		}
		for _, sink := range s.Sinks {
			sd.Sinks = append(sd.Sinks, SinkDescription{sink.TopicName(p.name), sink.Repartition, sink.DeadLetter, sink.Partitions})
		}
		for _, t := range s.Tables {
			sd.Tables = append(sd.Tables, TableDescription{t.Name, t.Schema, s.changelog(t)})
		}
		for _, g := range s.Copartitioned {
			sd.Copartitioned = append(sd.Copartitioned, s.topics(g))
		}
		for _, n := range p.nodes {
			if part[2*n.id] != int(s.ID) {
				continue
			}
			nd := NodeDescription{ID: n.id, Kind: n.kind, Name: n.name, Functions: n.funcs, From: ids(n.ins), Reads: ids(n.lookups()), Globals: ids(n.globals)}
			if p.cut[n.id] {
				nd.Repartition = repartitionTopic(p.name, n.name)
			}
			if p := n.policies.onError; p != nil {
				nd.OnError = p.String()
			}
			if p := n.policies.onDrop; p != nil {
				nd.OnDrop = p.String()
			}
			sd.Nodes = append(sd.Nodes, nd)
		}
		d.Subtopologies = append(d.Subtopologies, sd)
	}
	for _, n := range p.nodes {
		if n.global != nil {
			u := p.globals[len(d.Globals)]
			d.Globals = append(d.Globals, GlobalDescription{n.id, u.Topic, u.Schema, u.Partitions, u.Compacted, u.Forever})
		}
	}
	return d
}

// changelog is the topic that restores t.
func (s *Subtopology) changelog(t TableSpec) string {
	if t.Source >= 0 && s.Sources[t.Source].Compacted {
		return s.Sources[t.Source].Topic
	}
	return t.ChangelogTopic(s.plan.name)
}

func (s *Subtopology) topics(ids []core.SourceID) (names []string) {
	for _, id := range ids {
		names = append(names, s.Sources[id].TopicName(s.plan.name))
	}
	return names
}

func ids(nodes []*node) (ids []int) {
	for _, n := range nodes {
		ids = append(ids, n.id)
	}
	return ids
}

// text draws a tree for each sub-topology, from its sources down.
func (p *Plan) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "topology %s\n", p.name)
	for _, s := range p.subs {
		fmt.Fprintf(&b, "\nsub-topology %d\n", s.ID)
		w := textWriter{b: &b, p: p, seen: map[*node]bool{}}
		for _, n := range s.sourceNodes {
			if p.cut[n.id] {
				fmt.Fprintf(&b, "  topic %s\n", repartitionTopic(p.name, n.name))
			} else {
				fmt.Fprintf(&b, "  %s\n", w.line(n))
				w.seen[n] = true
			}
			w.below(n, "  ")
		}
		for _, n := range s.tableNodes {
			if n.root {
				fmt.Fprintf(&b, "  %s\n", w.line(n))
				w.below(n, "  ")
			}
		}
		for _, t := range s.Tables {
			how := "changelog"
			if s.changelog(t) != t.ChangelogTopic(p.name) {
				how = "restored from topic"
			}
			fmt.Fprintf(&b, "  * table %s: %s, %s %s\n", t.Name, t.Schema, how, s.changelog(t))
		}
		for _, g := range s.Copartitioned {
			fmt.Fprintf(&b, "  * equal partition counts: %s\n", strings.Join(s.topics(g), ", "))
		}
	}
	if len(p.globals) > 0 {
		b.WriteString("\nin every process\n")
	}
	for _, g := range p.globals {
		fmt.Fprintf(&b, "  topic %s as globalTable: %s\n", g.Topic, g.Schema)
	}
	for _, topic := range p.loops {
		fmt.Fprintf(&b, "\n* topic %s is read, and written by what comes of it: functions must bring that to an end\n", topic)
	}
	return b.String()
}

type textWriter struct {
	b    *strings.Builder
	p    *Plan
	seen map[*node]bool
}

// below draws what takes n's records.
func (w *textWriter) below(n *node, indent string) {
	for i, s := range n.subs {
		bar, more := "├─ ", "│  "
		if i == len(n.subs)-1 {
			bar, more = "└─ ", "   "
		}
		if w.seen[s] {
			fmt.Fprintf(w.b, "%s%s%s (see above)\n", indent, bar, s)
			continue
		}
		w.seen[s] = true
		fmt.Fprintf(w.b, "%s%s%s\n", indent, bar, w.line(s))
		if w.p.cut[s.id] {
			fmt.Fprintf(w.b, "%s%s└─ to topic %s\n", indent, more, repartitionTopic(w.p.name, s.name))
			continue
		}
		w.below(s, indent+more)
	}
}

func (w *textWriter) line(n *node) string {
	switch {
	case n.kind == "sink":
		return "to topic " + n.topic + fns(n) + n.policies.String()
	case n.topic != "":
		return fmt.Sprintf("topic %s as %s: %s -> %s", n.topic, n.kind, n.key.schema, n.value.schema) + strings.Replace(fns(n), ": ", ", time: ", 1) + n.policies.String()
	}
	line := n.kind
	if n.name != n.kind {
		line += " " + n.name
	}
	for i, t := range slices.Concat(n.lookups(), n.globals) {
		line += [2]string{" with ", ", "}[min(i, 1)] + t.name
	}
	if n.history > 0 {
		line += ", versions for " + n.history.String()
	}
	if n.ttl > 0 {
		line += ", rows for " + n.ttl.String()
	}
	if len(n.funcs) > 0 {
		line += ": " + strings.Join(n.funcs, ", ")
	}
	return line + n.policies.String()
}

// fns are the functions of a source or sink that choose a time or a partition.
func fns(n *node) string {
	if len(n.funcs) == 0 {
		return ""
	}
	return ": " + strings.Join(n.funcs, ", ")
}
