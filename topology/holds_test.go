package topology_test

import (
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Whether what was fetched may be written over once it has run: with a codec that borrows only where
// nothing keeps values.
func TestKeeps(t *testing.T) {
	borrowed := topology.NewTopic("borrowed", codec.String, codec.BorrowedBytes)
	copied := topology.NewTopic("copied", codec.String, codec.Bytes)
	rows := topology.NewTopic("rows", codec.String, codec.Bytes)
	out := topology.NewTopic("out", codec.String, codec.Bytes)
	same := func(v []byte) []byte { return v }
	longest := func(a, b []byte) []byte {
		if len(b) > len(a) {
			return b
		}
		return a
	}
	type stream = topology.Stream[string, []byte]
	for _, c := range []struct {
		name string
		in   topology.Topic[string, []byte]
		do   func(b *topology.Builder, s stream)
		want bool
	}{
		{"a copy that is kept", copied, func(_ *topology.Builder, s stream) { topology.Reduce(s, "r", longest) }, false},
		{"what is kept", borrowed, func(_ *topology.Builder, s stream) { topology.Reduce(s, "r", longest) }, true},
		{"what is made of it, and kept", borrowed, func(_ *topology.Builder, s stream) { topology.Reduce(topology.Map(s, same), "r", longest) }, true},
		{"what goes through", borrowed, func(_ *topology.Builder, s stream) {
			yes, no := topology.Map(s, same).Filter(func(v []byte) bool { return v != nil }).Split(func(v []byte) bool { return len(v) > 3 })
			yes.Merge(no).To(out)
		}, false},
		{"one of two ways keeps it", borrowed, func(_ *topology.Builder, s stream) {
			s.To(out)
			topology.Reduce(s, "r", longest)
		}, true},
		{"who looks may keep it", borrowed, func(_ *topology.Builder, s stream) { s.Peek(func([]byte) {}).To(out) }, true},
		{"counted", borrowed, func(_ *topology.Builder, s stream) { topology.Count(s, "c") }, false},
		{"counted in windows", borrowed, func(_ *topology.Builder, s stream) {
			topology.Count(s.Window(topology.Tumbling(time.Minute)), "c")
		}, false},
		{"what comes late is kept", borrowed, func(_ *topology.Builder, s stream) {
			w := s.Window(topology.Tumbling(time.Minute))
			topology.Count(w, "c")
			topology.Reduce(w.Late(), "r", longest)
		}, true},
		{"what comes late goes on", borrowed, func(_ *topology.Builder, s stream) {
			w := s.Window(topology.Tumbling(time.Minute))
			topology.Count(w, "c")
			w.Late().To(out)
		}, false},
		{"behind a topic of its own", borrowed, func(_ *topology.Builder, s stream) { topology.Reduce(s.Repartition("p"), "r", longest) }, false},
		{"with another key", borrowed, func(_ *topology.Builder, s stream) {
			topology.Reduce(topology.KeyBy(s, "k", func(v []byte) string { return string(v[:1]) }), "r", longest)
		}, false},
		{"with another key, in its place", borrowed, func(_ *topology.Builder, s stream) {
			topology.KeyBy(s, "k", func(v []byte) string { return string(v[:1]) }).Peek(func([]byte) {}).To(out)
		}, true},
		{"a window's join", borrowed, func(b *topology.Builder, s stream) {
			topology.JoinStreams(s, copied.Stream(b), "j", topology.Within(time.Minute), longest).To(out)
		}, true},
		{"a table's join", borrowed, func(b *topology.Builder, s stream) {
			topology.Join(s, rows.Table(b), "j", longest).To(out)
		}, true}, // as far as is known: nothing says of joins that they pass on
		{"first of a kind", borrowed, func(_ *topology.Builder, s stream) {
			topology.Deduplicate(s, "d", func(v []byte) string { return string(v) }, time.Minute).To(out)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := topology.New("keeps")
			c.do(b, c.in.Stream(b))
			p, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			for _, sub := range p.Subtopologies() {
				task := sub.NewTask(core.TaskConfig{View: func(core.TableID) core.View { return nil }})
				for i, src := range sub.Sources {
					switch name := src.TopicName("keeps"); {
					case name == "rows":
						if !task.Keeps(core.SourceID(i)) {
							t.Error("a table's rows are written over")
						}
					case name == c.in.Name():
						if got := task.Keeps(core.SourceID(i)); got != c.want {
							t.Errorf("kept: %v, want %v", got, c.want)
						}
					}
				}
			}
		})
	}
}
