package topology_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	Events  = topology.NewTopic("events", codec.String, codec.String, topology.Partitions(1))
	Latest  = topology.NewTopic("latest", codec.String, codec.String, topology.Partitions(1), topology.Compacted())
	Seen    = topology.NewTopic("seen", codec.String, codec.Optional(codec.String), topology.Partitions(1))
	Changed = topology.NewTopic("changed", codec.String, codec.String, topology.Partitions(1))
)

// changesOf are the records of Seen as text, deletions as "-".
func changesOf(d *driver) string {
	var all []string
	for _, r := range topologytest.Topic(d, Seen).Records() {
		all = append(all, fmt.Sprintf("%s=%s@%d", r.Key, r.Value.Or("-"), r.Time))
	}
	return strings.Join(all, " ")
}

// seen writes a table's changes to Seen.
func seen(t topology.Table[string, string]) {
	topology.Map(topology.Changes(t), func(c topology.Change[string]) topology.Opt[string] { return c.New }).To(Seen)
}

const ttl = 10 * time.Millisecond

func TestTTL(t *testing.T) {
	type ports struct{ Out topology.Out[string] }
	for _, c := range []struct {
		name, want, rows string
		build            func(*topology.Builder)
	}{
		{"toTable", "a=1@5 b=2@7 a=3@9 b=-@19 a=4@19 c=5@8 c=-@19 c=6@20", "map[a:4 c:6]", func(b *topology.Builder) {
			seen(Events.Stream(b).ToTable("rows", topology.TTL(ttl)))
		}},
		{"table", "a=1@5 b=2@7 a=3@9 b=-@19 a=4@19 c=5@8 c=-@19 c=6@20", "map[a:4 c:6]", func(b *topology.Builder) {
			seen(Events.Table(b, topology.TTL(ttl)))
		}},
		{"reduce", "a=1@5 b=2@7 a=1+3@9 b=-@19 a=1+3+4@19 c=5@8 c=-@19 c=6@20", "map[a:1+3+4 c:6]", func(b *topology.Builder) {
			seen(topology.Reduce(Events.Stream(b), "rows", plus, topology.TTL(ttl)))
		}},
		{"process", "a=.@5 b=.@7 a=..@9 a=...@19 c=.@8 c=.@20", "map[a:... c:.]", func(b *topology.Builder) {
			s := topology.Process(Events.Stream(b), "rows", func(s, _ string, out *topology.Out[topology.Opt[string]]) string {
				s += "."
				out.Emit(topology.Some(s))
				return s
			}, topology.TTL(ttl))
			s.To(Seen)
		}},
		{"processor", "a=1@5 b=2@7 a=13@9 b=-@19 a=134@19 c=5@8 c=-@19 c=6@20", "map[a:134 c:6]", func(b *topology.Builder) {
			p := topology.NewProcessor(Events.Stream(b), "rows", func(s, v string, _ *ports) string { return s + v }, topology.TTL(ttl))
			topology.On(p, Changed.Stream(b), func(s, v string, _ *ports) string { return s + v })
			topology.Output(p, &p.Ports.Out).To(Out)
			seen(p.State())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := topology.New("ttl")
			c.build(b)
			topologytest.EveryWay(t, func(d *driver) {
				in := topologytest.Topic(d, Events)
				in.SendAt(5, "a", "1")
				in.SendAt(7, "b", "2")
				in.SendAt(9, "a", "3")
				in.SendAt(19, "a", "4") // the row of 9 is there until 19, included
				in.SendAt(8, "c", "5")  // too late to stay
				in.SendAt(20, "c", "6")
				if got := changesOf(d); got != c.want {
					t.Errorf("%s, want\n%s", got, c.want)
				}
				name := "rows"
				if c.name == "table" {
					name = "events"
				}
				rows := topologytest.Table[string, string](d, name)
				if got := fmt.Sprint(rows.Rows()); got != c.rows {
					t.Errorf("rows %s, want %s", got, c.rows)
				}
			}, b)
		})
	}
}

// Rows with a time to live against a map that is looked through at each record, with deletions
// and times out of order, every way.
func TestTTLModel(t *testing.T) {
	type event struct {
		at   topology.Time
		k, v string
	}
	type row struct {
		v  string
		at topology.Time
	}
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			return event{
				topology.Time(rapid.IntRange(0, 60).Draw(t, "at")),
				rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"),
				rapid.SampledFrom([]string{"x", "y", ""}).Draw(t, "value"),
			}
		}), 0, 30).Draw(rt, "events")
		if rapid.Bool().Draw(rt, "ordered") {
			slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
		}
		var want []string
		rows, now := map[string]row{}, topology.Time(-1)
		expire := func() {
			keys := slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
				return cmp.Or(cmp.Compare(rows[a].at, rows[b].at), cmp.Compare(a, b))
			})
			for _, k := range keys {
				if rows[k].at+10 < now {
					delete(rows, k)
					want = append(want, fmt.Sprintf("%s=-@%d", k, now))
				}
			}
		}
		for _, e := range events {
			now = max(now, e.at)
			expire()
			if e.v == "" {
				delete(rows, e.k)
				want = append(want, fmt.Sprintf("%s=-@%d", e.k, e.at))
				continue
			}
			rows[e.k] = row{e.v, e.at}
			want = append(want, fmt.Sprintf("%s=%s@%d", e.k, e.v, e.at))
			expire()
		}
		for _, way := range []topologytest.Config{{}, {Seed: 1 + rapid.Uint64().Draw(rt, "seed")/2}, {CommitEvery: 2, CrashAfter: 3}} {
			b := topology.New("ttl")
			seen(Latest.Table(b, topology.TTL(ttl)))
			d := way.New(t, b)
			in := topologytest.Topic(d, Latest)
			for _, e := range events {
				value := []byte(e.v)
				if e.v == "" {
					value = nil
				}
				in.SendRawAt(e.at, []byte(e.k), value)
			}
			if got := changesOf(d); got != strings.Join(want, " ") {
				rt.Fatalf("%+v: %s, want\n%s", way, got, strings.Join(want, " "))
			}
			left := map[string]string{}
			for k, r := range rows {
				left[k] = r.v
			}
			if got := topologytest.Table[string, string](d, "latest").Rows(); !maps.Equal(got, left) {
				rt.Fatalf("rows %v, want %v", got, left)
			}
		}
	})
}

func TestTTLMistakes(t *testing.T) {
	b := topology.New("ttl")
	rows := Rows.Table(b)
	Words.Stream(b, topology.TTL(ttl)).ToTable("a", topology.TTL(time.Microsecond))
	topology.Count(Words.Stream(b).Window(topology.Tumbling(ttl)), "b", topology.TTL(ttl))
	topology.JoinTables(rows, Plain.Table(b), "c", plus, topology.TTL(ttl))
	topology.JoinForeign(rows, Plain.Table(b), "d", first, plus, topology.TTL(ttl))
	topology.CountTable(rows, "e", first, topology.TTL(ttl))
	_, err := b.Build()
	if err == nil {
		t.Fatal("it builds")
	}
	for _, want := range []string{
		"TTL(10ms): a stream has no rows", "TTL(1µs): it is a millisecond", "rows of windows go when",
		`"c": TTL(10ms): a join's rows`, `"d": TTL(10ms): a join's rows`, "rows of groups follow",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
