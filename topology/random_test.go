package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// randomTopology draws a topology: streams and tables that are made of each other by
// random operators, and all of which lead somewhere.
func randomTopology(t *rapid.T) (b *topology.Builder, tables []string) {
	b = topology.New("random")
	streams := []topology.Stream[string, string]{Words.Stream(b), Others.Stream(b)}
	rows := []topology.Table[string, string]{Rows.Table(b)}
	tables = []string{"rows"}
	used := map[int]bool{}
	pick := func() topology.Stream[string, string] {
		i := rapid.IntRange(0, len(streams)-1).Draw(t, "stream")
		used[i] = true
		return streams[i]
	}
	table := func() topology.Table[string, string] { return rapid.SampledFrom(rows).Draw(t, "table") }
	name := func() string { return fmt.Sprintf("n%d", len(streams)+len(rows)) }
	cut := func(s string) string { return s[max(0, len(s)-9):] }
	add := func(s topology.Stream[string, string]) { streams = append(streams, s) }
	computed := func(tb topology.Table[string, string]) {
		rows = append(rows, tb)
		add(tb.ToStream())
	}
	kept := func(tb topology.Table[string, string], name string) {
		rows, tables = append(rows, tb), append(tables, name)
		add(tb.ToStream())
	}
	for range rapid.IntRange(1, 8).Draw(t, "operators") {
		n := name()
		switch op := rapid.SampledFrom([]string{"map", "filter", "split", "flatMap", "keyBy", "keyBy", "merge", "repartition", "window", "count", "reduce", "process", "join", "leftJoin", "toTable", "changes", "mapTable", "joinTables", "leftJoinTables", "outerJoinTables", "combine"}).Draw(t, "op"); op {
		case "map":
			add(topology.Map(pick(), func(s string) string { return cut(s + "m") }))
		case "filter":
			add(pick().Filter(func(s string) bool { return len(s)%3 != 0 }))
		case "split":
			yes, no := pick().Split(func(s string) bool { return len(s)%2 == 0 })
			add(yes)
			add(no)
		case "flatMap":
			add(topology.FlatMap(pick(), func(s string, out *topology.Out[string]) {
				for i := range len(s) % 3 {
					out.Emit(s[i:])
				}
			}))
		case "keyBy":
			add(topology.KeyBy(pick(), n, func(s string) string { return s[len(s)-1:] }))
		case "merge":
			add(pick().Merge(pick()))
		case "repartition":
			add(pick().Repartition(n))
		case "count":
			add(topology.Map(topology.Count(pick(), n).ToStream(), func(k int64) string { return fmt.Sprint(k) }))
		case "window": // with grace for all: what is late depends on the partition
			w := rapid.SampledFrom([]topology.Window{
				topology.Hopping(40*time.Millisecond, 20*time.Millisecond), topology.Session(2 * time.Millisecond), topology.Sliding(5 * time.Millisecond),
			}).Draw(t, "windows").Grace(time.Hour)
			t := topology.Reduce(pick().Window(w), n, func(a, b string) string { return cut(a + b) })
			type result = topology.Record[topology.Windowed[string], string]
			byKey := topology.KeyBy(topology.Records(t.ToStream()), n+"-key", func(r result) string { return r.Key.Key })
			add(topology.Values(byKey))
		case "reduce":
			kept(topology.Reduce(pick(), n, func(a, b string) string { return cut(a + b) }, topology.DeleteWhen(func(s string) bool { return len(s) == 9 })), n)
		case "process":
			add(topology.Process(pick(), n, func(s, v string, out *topology.Out[string]) string {
				if s != v {
					out.Emit(cut(s + v))
				}
				return v
			}))
			tables = append(tables, n)
		case "join":
			add(topology.Join(pick(), table(), n, func(a, b string) string { return cut(a + b) }))
		case "leftJoin":
			add(topology.LeftJoin(pick(), table(), n, func(a string, b topology.Opt[string]) string { return cut(a + b.Or("?")) }))
		case "toTable":
			kept(pick().ToTable(n), n)
		case "changes":
			add(topology.Map(topology.Changes(table()), func(c topology.Change[string]) string { return cut(c.Old.Or("-") + c.New.Or("-")) }))
		case "joinTables":
			computed(topology.JoinTables(table(), table(), n, func(a, b string) string { return cut(a + b) }))
		case "leftJoinTables":
			computed(topology.LeftJoinTables(table(), table(), n, func(a string, b topology.Opt[string]) string { return cut(a + b.Or("?")) }))
		case "outerJoinTables":
			computed(topology.OuterJoinTables(table(), table(), n, func(a, b topology.Opt[string]) string { return cut(a.Or("?") + b.Or("!")) }))
		case "combine":
			put := func(r, v string) string { return cut(r + v) }
			computed(topology.Combine(n, topology.Needs(table(), put), topology.MayHave(table(), put), topology.MayHave(table(), put)))
		case "mapTable":
			rows = append(rows, topology.MapTable(table(), func(s string) string { return cut(s + "t") }))
			add(rows[len(rows)-1].ToStream())
		}
	}
	for i, s := range streams {
		if !used[i] {
			s.To(rapid.SampledFrom([]topology.Topic[string, string]{Out, Out2}).Draw(t, "to"))
		}
	}
	return b, tables
}

// sent is one step of a random scenario.
type sent struct {
	topic, key, value string
	at                int64 // 0: the driver's time
}

// run runs a scenario and returns what came out: each topic's records by key, since there
// is no order between keys where there are several partitions, and the tables.
func run(t *testing.T, c topologytest.Config, b *topology.Builder, tables []string, steps []sent) string {
	d := c.New(t, b)
	var out strings.Builder
	topics := map[string]*topologytest.TopicHandle[string, string]{}
	for _, tp := range []topology.Topic[string, string]{Words, Others, Rows} {
		topics[tp.Name()] = topologytest.Topic(d, tp)
	}
	for _, s := range steps {
		switch h := topics[s.topic]; {
		case s.value == "":
			h.Delete(s.key)
		case s.at > 0:
			h.SendAt(topologytest.At("00:01").Add(0)+topology.Time(s.at), s.key, s.value)
		default:
			h.Send(s.key, s.value)
		}
	}
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, tp := range []topology.Topic[string, string]{Out, Out2} {
		if !strings.Contains(plan.Describe(topology.AsText), "to topic "+tp.Name()+"\n") {
			continue
		}
		var lines []string
		for _, r := range topologytest.Topic(d, tp).Records() {
			lines = append(lines, fmt.Sprintf("%s %s: %s @%d\n", tp.Name(), r.Key, r.Value, r.Time))
		}
		slices.SortStableFunc(lines, func(a, b string) int {
			return strings.Compare(a[:strings.IndexByte(a, ':')], b[:strings.IndexByte(b, ':')])
		})
		out.WriteString(strings.Join(lines, ""))
	}
	for _, name := range tables {
		fmt.Fprintf(&out, "table %s %v\n", name, topologytest.Table[string, string](d, name).Rows())
	}
	return out.String()
}

// Any topology gives the same, every way.
func TestRandomTopologiesEveryWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, tables := randomTopology(rt)
		if plan, err := b.Build(); err != nil {
			rt.Fatal(err)
		} else {
			rt.Log(plan.Describe(topology.AsText))
		}
		var steps []sent
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			s := sent{
				topic: rapid.SampledFrom([]string{"words", "words", "others", "rows"}).Draw(rt, "topic"),
				key:   rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"),
				value: rapid.SampledFrom([]string{"x", "ya", "zab", "abcd", "c", ""}).Draw(rt, "value"),
			}
			if rapid.IntRange(0, 9).Draw(rt, "odd") == 0 {
				s.at = int64(rapid.IntRange(1, 50).Draw(rt, "at"))
			}
			steps = append(steps, s)
		}
		want := run(t, topologytest.Config{}, b, tables, steps)
		for _, c := range []topologytest.Config{
			{Batch: 100, CommitEvery: 100},
			{Batch: 2, CommitEvery: 3, CrashAfter: 4},
			{CrashAfter: 3, CommitEvery: 2},
			{Seed: 1 + rapid.Uint64Range(0, 1<<40).Draw(rt, "seed")},
			{Seed: 7, CrashAfter: 5},
			{Partitions: 4},
			{Partitions: 3, Seed: 5, CrashAfter: 7},
		} {
			if got := run(t, c, b, tables, steps); got != want {
				rt.Fatalf("%+v: got\n%s\nwant\n%s", c, got, want)
			}
		}
	})
}
