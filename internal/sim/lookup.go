package sim

import (
	"fmt"
	"iter"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	settings  = topology.NewTopic("settings", codec.String, codec.String, topology.Compacted())
	questions = topology.NewTopic("questions", codec.String, codec.String)
	replies   = topology.NewTopic("replies", codec.String, codec.String)
)

// lookup joins a stream with a table, with nothing in between. A question says which version
// of its row there was when it was written: if one broker leads all partitions, the reply
// has this version, or a later one.
var lookup = scenario{
	name: "lookup",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		t := settings.Table(b)
		f := func(q string, v topology.Opt[string]) string {
			w.user()
			return q + "=" + v.Or("v-1")
		}
		if w.bug("a function of the user fails when it is called again") {
			f = once(f)
		}
		topology.LeftJoin(questions.Stream(b), t, "reply", f).To(replies)
		return b
	},
	topics: func(w *world) {
		w.makeCompacted("settings")
		w.make("questions", "replies")
	},
	next: func(w *world, n int, aborted bool) input {
		key := fmt.Append(nil, "s", w.rng.IntN(4))
		if w.chance(2) {
			v := fmt.Sprint("v", n)
			if aborted {
				v = "aborted"
			}
			return input{"settings", key, []byte(v), epoch + core.Time(n), -1}
		}
		return input{"questions", key, fmt.Appendf(nil, "q%d>=v%d", n, w.version("settings", string(key))), epoch + core.Time(n), -1}
	},
	model: func(w *world) error {
		asked := map[string]bool{}
		for _, r := range w.history("questions") {
			asked[string(r.Value)] = true
		}
		for _, r := range w.history("replies") {
			q, reply, _ := strings.Cut(string(r.Value), "=v")
			least, rest, _ := strings.Cut(reply, "=v")
			q += "=v" + least
			if !asked[q] {
				return fmt.Errorf("%s is a reply too many", r.Value)
			}
			delete(asked, q)
			var want, got int
			if _, err := fmt.Sscanf(least+" "+rest, "%d %d", &want, &got); err != nil {
				return fmt.Errorf("%s: %w", r.Value, err)
			}
			if got < want && w.set.nodes == 1 {
				return fmt.Errorf("%s: the row is older than the question", r.Value)
			}
		}
		if len(asked) > 0 {
			return fmt.Errorf("no reply to %v", asked)
		}
		return nil
	},
	says: "each question has one reply, with a row that is no older than what could be read when it was asked",
}

// once is f, for each first argument once: a mistake to plant.
func once[B, R any](f func(string, B) R) func(string, B) R {
	called := map[string]bool{}
	return func(a string, b B) R {
		if called[a] {
			panic("called again with " + a)
		}
		called[a] = true
		return f(a, b)
	}
}

// visible are the records that any reader sees now in a key's partition.
func (w *world) visible(topic, key string) iter.Seq[*core.RawRecord] {
	t := w.kafka.topics[topic]
	p := t.parts[core.HashPartition([]byte(key), t.Partitions)]
	return func(yield func(*core.RawRecord) bool) {
		for o := range p.stable() {
			if e := &p.log[o]; e.committed() && !yield(&e.rec) {
				return
			}
		}
	}
}

// version is what any reader sees now as the version of a row; -1: there is none.
func (w *world) version(topic, key string) int {
	v := -1
	for r := range w.visible(topic, key) {
		if string(r.Key) == key {
			_, _ = fmt.Sscanf(string(r.Value), "v%d", &v)
		}
	}
	return v
}
