package randomtopo

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The topics that a random topology reads and writes; Rows is compacted.
var (
	Words  = topology.NewTopic("words", codec.String, codec.String)
	Others = topology.NewTopic("others", codec.String, codec.String)
	Rows   = topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	Out    = topology.NewTopic("out", codec.String, codec.String)
	Out2   = topology.NewTopic("out2", codec.String, codec.String)
)

var operators = []string{
	"map", "filter", "split", "flatMap", "keyBy", "keyBy", "merge", "repartition", "window", "count", "reduce",
	"process", "join", "leftJoin", "toTable", "changes", "mapTable", "joinTables", "leftJoinTables", "outerJoinTables", "combine",
}

// Draw draws a topology: streams and tables that are made of each other by random
// operators, and all of which lead somewhere. choose returns a number below n; what says
// for what. tables are the names of those that can be read as string to string.
func Draw(choose func(n int, what string) int) (b *topology.Builder, tables []string) {
	b = topology.New("random")
	streams := []topology.Stream[string, string]{Words.Stream(b), Others.Stream(b)}
	rows := []topology.Table[string, string]{Rows.Table(b)}
	tables = []string{"rows"}
	used := map[int]bool{}
	pick := func() topology.Stream[string, string] {
		i := choose(len(streams), "stream")
		used[i] = true
		return streams[i]
	}
	table := func() topology.Table[string, string] { return rows[choose(len(rows), "table")] }
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
	for range 1 + choose(8, "operators") {
		n := name()
		switch operators[choose(len(operators), "operator")] {
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
			ws := []topology.Window{
				topology.Hopping(40*time.Millisecond, 20*time.Millisecond), topology.Session(2 * time.Millisecond), topology.Sliding(5 * time.Millisecond),
			}
			w := ws[choose(len(ws), "windows")].Grace(time.Hour)
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
			s.To([]topology.Topic[string, string]{Out, Out2}[choose(2, "to")])
		}
	}
	return b, tables
}
