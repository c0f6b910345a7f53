package topology

import (
	"fmt"
	"slices"
	"strings"
)

// picture is plans as one graph: topics stand outside of the sub-topologies and tie them
// together; streams of topics and sinks are not drawn. What only leads from one thing to
// another, as the inputs and ports of a processor do, is an arrow with a label.
type picture struct {
	name  string
	subs  []string // what stands above each sub-topology
	boxes []box
	edges []edge

	topics map[string]string // name to id
}

type shape uint8

const (
	operator shape = iota
	topicBox
	tableBox
)

type box struct {
	id    string
	lines []string
	shape shape
	sub   int // noSub: a topic, or a global table
}

const noSub = -1

type edge struct {
	from, to string
	label    string
	lookup   bool
}

func pictureOf(plans []*Plan) *picture {
	pic := &picture{topics: map[string]string{}}
	var names []string
	base := 0
	for _, p := range plans {
		names = append(names, p.name)
		pic.add(p, base, len(plans) > 1)
		base += len(p.nodes)
	}
	pic.name = strings.Join(names, ", ")
	return pic
}

func (pic *picture) topic(name string) string {
	if pic.topics[name] == "" {
		pic.topics[name] = fmt.Sprintf("t%d", len(pic.topics))
		pic.boxes = append(pic.boxes, box{pic.topics[name], []string{name}, topicBox, noSub})
	}
	return pic.topics[name]
}

func (pic *picture) join(e edge) {
	if !slices.Contains(pic.edges, e) {
		pic.edges = append(pic.edges, e)
	}
}

// add draws a plan, whose nodes are numbered from base.
func (pic *picture) add(p *Plan, base int, named bool) {
	part, _ := components(p.nodes, p.cut)
	sub := func(n *node) int {
		if n.global != nil {
			return noSub
		}
		return len(pic.subs) + part[2*n.id]
	}
	in := func(n *node) string {
		if n.kind == "sink" {
			return pic.topic(n.topic)
		}
		return fmt.Sprintf("n%d", base+n.id)
	}
	out := func(n *node) string {
		switch {
		case n.kind == "stream":
			return pic.topic(n.topic)
		case p.cut[n.id]:
			return pic.topic(repartitionTopic(p.name, n.name))
		}
		return in(n)
	}
	// arrow: n is drawn as an arrow from what comes before it to what comes behind it.
	arrow := func(n *node) bool {
		return n.thin && !n.read && !p.cut[n.id] && len(n.ins) > 0 && len(n.subs) > 0
	}
	var lead func(from string, n *node, label string)
	lead = func(from string, n *node, label string) {
		for _, s := range n.subs {
			if !arrow(s) {
				pic.join(edge{from: from, to: in(s), label: label})
				continue
			}
			lead(from, s, joined(", ", label, s.words()))
		}
	}
	for _, n := range p.nodes {
		if arrow(n) {
			continue
		}
		if n.kind != "stream" && n.kind != "sink" {
			b := box{id: in(n), lines: []string{n.name}, sub: sub(n)}
			if n.name != n.kind {
				b.lines = append(b.lines, n.kind)
			}
			for _, f := range n.funcs {
				if f = ownName(f); f != "" {
					b.lines = append(b.lines, f)
				}
			}
			if n.state != nil || n.global != nil {
				b.shape = tableBox
			}
			pic.boxes = append(pic.boxes, b)
		}
		switch {
		case n.kind == "table" || n.global != nil:
			pic.join(edge{from: pic.topic(n.topic), to: in(n)})
		case p.cut[n.id]:
			pic.join(edge{from: in(n), to: out(n)})
		}
		if n.setBy != nil {
			pic.join(edge{from: in(n.setBy), to: in(n), label: "sets"})
		}
		lead(out(n), n, "")
		for _, t := range slices.Concat(n.lookups(), n.globals) {
			pic.join(edge{from: out(t), to: in(n), lookup: true})
		}
	}
	for _, s := range p.subs {
		title := fmt.Sprintf("sub-topology %d", s.ID)
		switch {
		case named && len(p.subs) == 1:
			title = p.name
		case named:
			title = fmt.Sprintf("%s, sub-topology %d", p.name, s.ID)
		}
		pic.subs = append(pic.subs, title)
	}
}

// words are what stands at a node that is drawn as an arrow.
func (n *node) words() string {
	var funcs []string
	for _, f := range n.funcs {
		funcs = append(funcs, ownName(f))
	}
	return joined(": ", n.label, joined(", ", funcs...))
}

// ownName is a function's name without its package; one with no name of its own has none.
func ownName(f string) string {
	if strings.Contains(f, ".func") {
		return ""
	}
	_, name, _ := strings.Cut(f, ".")
	return strings.ReplaceAll(name, "[...]", "")
}

// joined joins what is not empty.
func joined(sep string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), sep)
}

func (pic *picture) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR\n  node [fontname=\"Helvetica\" fontsize=11 shape=box style=rounded]\n", pic.name)
	write := func(x box, indent string) {
		shapes := [...]string{operator: "", topicBox: " shape=cds style=filled fillcolor=lightgrey", tableBox: " shape=cylinder style=solid"}
		fmt.Fprintf(&b, "%s%s [label=%q%s]\n", indent, x.id, strings.Join(x.lines, "\n"), shapes[x.shape])
	}
	pic.each(func(sub int, boxes []box) {
		if sub == noSub {
			for _, x := range boxes {
				write(x, "  ")
			}
			return
		}
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%q\n", sub, pic.subs[sub])
		for _, x := range boxes {
			write(x, "    ")
		}
		b.WriteString("  }\n")
	})
	for _, e := range pic.edges {
		var style []string
		if e.label != "" {
			style = append(style, fmt.Sprintf("label=%q", e.label))
		}
		if e.lookup {
			style = append(style, "style=dashed")
		}
		fmt.Fprintf(&b, "  %s -> %s", e.from, e.to)
		if len(style) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(style, " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return b.String()
}

func (pic *picture) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	text := func(lines ...string) string {
		return strings.ReplaceAll(strings.Join(lines, "<br/>"), `"`, "#quot;")
	}
	write := func(x box, indent string) {
		brackets := [...][2]string{operator: {"[", "]"}, topicBox: {"[[", "]]"}, tableBox: {"[(", ")]"}}[x.shape]
		fmt.Fprintf(&b, "%s%s%s\"%s\"%s\n", indent, x.id, brackets[0], text(x.lines...), brackets[1])
	}
	pic.each(func(sub int, boxes []box) {
		if sub == noSub {
			for _, x := range boxes {
				write(x, "  ")
			}
			return
		}
		fmt.Fprintf(&b, "  subgraph s%d [\"%s\"]\n", sub, text(pic.subs[sub]))
		for _, x := range boxes {
			write(x, "    ")
		}
		b.WriteString("  end\n")
	})
	for _, e := range pic.edges {
		arrow := "-->"
		if e.lookup {
			arrow = "-.->"
		}
		if e.label != "" {
			arrow += `|"` + text(e.label) + `"|`
		}
		fmt.Fprintf(&b, "  %s %s %s\n", e.from, arrow, e.to)
	}
	return b.String()
}

// each calls f with the boxes of each sub-topology that has any; what is in none comes first.
func (pic *picture) each(f func(sub int, boxes []box)) {
	for sub := noSub; sub < len(pic.subs); sub++ {
		var boxes []box
		for _, x := range pic.boxes {
			if x.sub == sub {
				boxes = append(boxes, x)
			}
		}
		if len(boxes) > 0 {
			f(sub, boxes)
		}
	}
}
