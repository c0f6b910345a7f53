package randomtopo

import (
	"fmt"
	"slices"
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

// inOrder are operators whose results depend on which key's records come first, on how they lie
// in partitions, or on the clock. Of the same decisions they make the same results.
var inOrder = []string{
	"joinStreams", "outerJoinStreams", "joinForeign", "leftJoinForeign", "dedup", "throttle", "reorder",
	"emitEvery", "suppress", "countTable", "finalWindow",
}

// Config is what is drawn.
type Config struct {
	// InOrder draws all operators, and in a third of the topologies lets the clock move time on
	// where nothing comes. Without it there are only those whose results, key by key, are the
	// same however input is split.
	InOrder bool
}

// Draw draws a topology: streams and tables that are made of each other by random
// operators, and all of which lead somewhere. choose returns a number below n; what says
// for what. tables are the names of those that can be read as string to string.
func (c Config) Draw(choose func(n int, what string) int) (b *topology.Builder, tables []string) {
	operators, options := operators, []topology.BuilderOption(nil)
	if c.InOrder {
		operators = slices.Concat(operators, inOrder)
		if choose(3, "idle") == 0 {
			options = append(options, topology.AdvanceIdle(60*time.Millisecond))
		}
	}
	b = topology.New("random", options...)
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
			add(topology.KeyBy(pick(), n, last))
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
			add(topology.Values(topology.KeyBy(topology.Records(t.ToStream()), n+"-key", windowKey)))
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
		case "joinStreams":
			add(topology.JoinStreams(pick(), pick(), n, joined, func(a, b string) string { return cut(a + b) }))
		case "outerJoinStreams":
			add(topology.OuterJoinStreams(pick(), pick(), n, joined, func(a, b topology.Opt[string]) string { return cut(a.Or("?") + b.Or("!")) }))
		case "joinForeign":
			computed(topology.JoinForeign(table(), table(), n, last, func(a, b string) string { return cut(a + b) }))
		case "leftJoinForeign":
			computed(topology.LeftJoinForeign(table(), table(), n, last, func(a string, b topology.Opt[string]) string { return cut(a + b.Or("?")) }))
		case "dedup":
			add(topology.Deduplicate(pick(), n, func(s string) string { return s }, 20*time.Millisecond))
		case "throttle":
			allowed, rest := topology.Throttle(pick(), n, 2, 10*time.Millisecond)
			add(allowed)
			add(rest)
		case "reorder":
			add(topology.Reorder(pick(), n, func(s string) int64 { return int64(len(s)) }, 10*time.Millisecond))
		case "emitEvery":
			computed(topology.EmitEvery(table(), n, 7*time.Millisecond))
		case "suppress":
			computed(topology.Suppress(table(), n, topology.UntilTimeLimit(9*time.Millisecond)))
		case "countTable":
			add(topology.Map(topology.CountTable(table(), n, last).ToStream(), func(k int64) string { return fmt.Sprint(k) }))
		case "finalWindow": // with so short a grace that records are late
			ws := []topology.Window{
				topology.Tumbling(20 * time.Millisecond), topology.Hopping(40*time.Millisecond, 20*time.Millisecond),
				topology.Session(2 * time.Millisecond), topology.Sliding(5 * time.Millisecond),
			}
			w := ws[choose(len(ws), "windows")].Grace(10 * time.Millisecond)
			t := topology.Reduce(pick().Window(w), n, func(a, b string) string { return cut(a + b) })
			final := topology.Suppress(t, n+"-final", topology.UntilClosed())
			add(topology.Values(topology.KeyBy(topology.Records(final.ToStream()), n+"-key", windowKey)))
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

// joined is when records of two streams are partners.
var joined = topology.Within(15 * time.Millisecond).Grace(10 * time.Millisecond)

// cut keeps values short.
func cut(s string) string { return s[max(0, len(s)-9):] }

func last(s string) string { return s[len(s)-1:] }

func windowKey(r topology.Record[topology.Windowed[string], string]) string { return r.Key.Key }
