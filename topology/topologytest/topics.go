package topologytest

import (
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// topic is a topic in memory.
type topic struct {
	name     string
	internal bool
	parts    [][]core.RawRecord
	log      []entry // all records in the order in which they were appended
	read     int     // how far the test has read the log
}

// entry names a record of a topic.
type entry struct {
	part, at int
	sent     bool // by the test, not by a topology
}

func (tp *topic) append(r core.RawRecord, part int32, sent bool) {
	p := &tp.parts[part]
	r.Offset = core.Offset(len(*p))
	*p = append(*p, r)
	tp.log = append(tp.log, entry{int(part), int(r.Offset), sent})
}

// partitionOf is where Kafka's own producers send a key. With no key it is any: that of n.
func (tp *topic) partitionOf(key []byte, n int32) int32 {
	count := int32(len(tp.parts))
	if key == nil {
		return n % count
	}
	return core.HashPartition(key, count)
}

// wipe keeps what the test has sent.
func (tp *topic) wipe() {
	old, log := tp.parts, tp.log
	tp.read = 0
	tp.parts, tp.log = make([][]core.RawRecord, len(old)), nil
	for _, e := range log {
		if e.sent {
			tp.append(old[e.part][e.at], int32(e.part), true)
		}
	}
}

// unit is a sub-topology of one of the topologies: its tasks run together.
type unit struct {
	app   *app
	sub   *topology.Subtopology
	tasks []*task
}

// layout makes the topics, the topologies and their tasks.
func (d *Driver) layout(plans []*topology.Plan) {
	counts := d.partitions(plans)
	topicOf := func(name string, internal bool, count int) *topic {
		if d.topics[name] == nil {
			d.topics[name] = &topic{name: name, internal: internal, parts: make([][]core.RawRecord, count)}
		}
		return d.topics[name]
	}
	for _, p := range plans {
		a := &app{d: d, plan: p, dropped: map[dropped]int64{}, first: map[seat]core.Offset{}}
		d.apps = append(d.apps, a)
		for _, g := range p.Globals() {
			a.globals = append(a.globals, &global{spec: g, topic: topicOf(g.Topic, false, counts[g.Topic])})
		}
		for _, sub := range p.Subtopologies() {
			u := &unit{app: a, sub: sub}
			d.units = append(d.units, u)
			width := 0
			for _, s := range sub.Sources {
				width = max(width, counts[s.TopicName(a.name())])
			}
			for part := range width {
				t := &task{app: a, sub: sub, id: core.TaskID{Sub: sub.ID, Partition: int32(part)}}
				for _, s := range sub.Sources {
					name := s.TopicName(a.name())
					t.sources = append(t.sources, &source{topic: topicOf(name, s.Repartition, counts[name]), part: part})
				}
				for _, s := range sub.Sinks {
					name := s.TopicName(a.name())
					t.sinks = append(t.sinks, topicOf(name, s.Repartition, counts[name]))
				}
				for _, tb := range sub.Tables {
					st := &store{source: -1, versions: tb.History > 0}
					if tb.Source >= 0 && sub.Sources[tb.Source].Compacted {
						st.source = tb.Source
					} else {
						st.changelog = topicOf(tb.ChangelogTopic(a.name()), true, width)
					}
					t.stores = append(t.stores, st)
				}
				u.tasks = append(u.tasks, t)
			}
			a.tasks = append(a.tasks, u.tasks...)
		}
	}
	d.sortUnits()
}

// partitions finds the partition count of each topic: what it declares, or another one
// that it is joined with; else the driver's own.
func (d *Driver) partitions(plans []*topology.Plan) map[string]int {
	counts, group := map[string]int{}, map[string]string{}
	find := func(name string) string {
		for group[name] != "" {
			name = group[name]
		}
		return name
	}
	var names []string
	note := func(name string, declared int32) {
		names = append(names, name)
		counts[name] = max(counts[name], int(declared))
	}
	for _, p := range plans {
		for _, g := range p.Globals() {
			note(g.Topic, g.Partitions)
		}
		for _, s := range p.Subtopologies() {
			for _, src := range s.Sources {
				note(src.TopicName(p.Name()), src.Partitions)
			}
			for _, sink := range s.Sinks {
				note(sink.TopicName(p.Name()), sink.Partitions)
			}
			for _, g := range s.Copartitioned {
				for _, id := range g[1:] {
					a, b := find(s.Sources[g[0]].TopicName(p.Name())), find(s.Sources[id].TopicName(p.Name()))
					if a != b {
						group[a] = b
					}
				}
			}
		}
	}
	for _, n := range names {
		counts[find(n)] = max(counts[find(n)], counts[n])
	}
	for _, n := range names {
		if counts[n] = counts[find(n)]; counts[n] == 0 {
			counts[n] = d.cfg.Partitions
		}
	}
	return counts
}

// feeds reports whether a writes what b reads.
func (a *unit) feeds(b *unit) bool {
	return a.feedsGlobal(b) || slices.ContainsFunc(a.sub.Sinks, func(sink topology.Sink) bool {
		return slices.ContainsFunc(b.sub.Sources, func(src topology.Source) bool {
			return sink.TopicName(a.app.name()) == src.TopicName(b.app.name())
		})
	})
}

// feedsGlobal reports whether a writes what b reads as a global table.
func (a *unit) feedsGlobal(b *unit) bool {
	return slices.ContainsFunc(a.sub.Sinks, func(sink topology.Sink) bool {
		return slices.ContainsFunc(b.sub.Globals, func(g topology.Global) bool { return sink.TopicName(a.app.name()) == g.Topic })
	})
}

// sortUnits brings the units into the order of the data; of a circle the first goes first.
func (d *Driver) sortUnits() {
	var sorted []*unit
	rest := d.units
	for len(rest) > 0 {
		next := slices.IndexFunc(rest, func(u *unit) bool {
			return !slices.ContainsFunc(rest, func(o *unit) bool { return o != u && o.feeds(u) })
		})
		next = max(next, 0)
		sorted = append(sorted, rest[next])
		rest = slices.Delete(slices.Clone(rest), next, next+1)
	}
	d.units = sorted
}

// ordered reports whether the order of records is the same however they are batched: see
// the package's documentation.
func (d *Driver) ordered() bool {
	for _, tp := range d.topics {
		if len(tp.parts) > 1 {
			return false
		}
	}
	writers := map[string]*unit{}
	for i, u := range d.units {
		if slices.ContainsFunc(d.units, u.feedsGlobal) {
			return false // between a stream and a global table there is no order but that of the sends
		}
		for _, o := range d.units[:i+1] {
			if u.feeds(o) {
				return false // a circle: what is behind feeds what is before
			}
		}
		for _, s := range u.sub.Sinks {
			name := s.TopicName(u.app.name())
			if w := writers[name]; w != nil && w != u {
				return false
			}
			writers[name] = u
		}
	}
	return true
}

// single reports whether no task merges by time what topologies write: then a batch leaves
// it in the order in which it came, whatever the times.
func (d *Driver) single() bool {
	for _, u := range d.units {
		if len(u.sub.Sources) > 1 && slices.ContainsFunc(d.units, func(o *unit) bool { return o.feeds(u) }) {
			return false
		}
	}
	return true
}
