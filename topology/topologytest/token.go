package topologytest

import "github.com/seed-81380e12/limpet/core"

// Token is how far a topic was written at some time: what somebody who wrote to it can hold
// up against what he reads elsewhere, to see whether it knows of his writes.
type Token struct {
	topic string
	ends  []core.Offset // by partition
}

// Token is the topic's end as it is now.
func (h *TopicHandle[K, V]) Token() Token {
	h.d.t.Helper()
	h.d.flush()
	tk := Token{topic: h.topic.name}
	for _, p := range h.topic.parts {
		tk.ends = append(tk.ends, core.Offset(len(p)))
	}
	return tk
}

// Seen reports whether a topology has read and committed all that the topic had at the
// token, and all that came of it on its way through the topology's own topics. Package
// shell has the same for topologies on Kafka: Await.
func (d *Driver) Seen(name string, tk Token) bool {
	d.t.Helper()
	d.flush()
	a, reads := d.app(name), false
	for _, t := range a.tasks {
		for i, s := range t.sources {
			var end core.Offset
			switch {
			case s.topic.name == tk.topic && s.part < len(tk.ends):
				end, reads = tk.ends[s.part], true
			case s.topic.internal:
				end = core.Offset(len(s.records()))
			}
			if t.next[i] < end {
				return false
			}
		}
	}
	if !reads {
		d.t.Fatalf("topology %s does not read topic %s", name, tk.topic)
	}
	return true
}
