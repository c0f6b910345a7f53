package upgrade

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The topics. out has what each operator makes, with its name as the key.
var (
	in       = topology.NewTopic("in", codec.String, codec.String)
	other    = topology.NewTopic("other", codec.String, codec.String)
	numbered = topology.NewTopic("numbered", codec.String, codec.String)
	rows     = topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	facts    = topology.NewTopic("facts", codec.String, codec.String, topology.Compacted())
	prices   = topology.NewTopic("prices", codec.String, codec.String)
	out      = topology.NewTopic("out", codec.String, codec.String)
)

// total is a state that is stored as JSON.
type total struct {
	N    int64
	Last string
}

func (t total) and(v string) total { return total{t.N + 1, v} }

// ports are those of a processor with both kinds of timers.
type ports struct {
	Out   topology.Out[string]
	Later topology.Timer
	Wall  topology.WallTimer
}

// show writes what a stream has, with keys and times.
func show[K comparable, V any](s topology.Stream[K, V], name string) {
	lines := topology.Map(topology.Records(s), func(r topology.Record[K, V]) string {
		return fmt.Sprintf("%v %v @%d", r.Key, r.Value, r.Time)
	})
	topology.KeyBy(lines, name+"-shown", func(string) string { return name }).To(out)
}

// changes writes a table's changes.
func changes[K comparable, V any](t topology.Table[K, V], name string) {
	show(topology.Changes(t), name)
}

func plus(a, b string) string                          { return a + "+" + b }
func minus(a, b string) string                         { return strings.Replace(a, b, "", 1) }
func orNone(a string, b topology.Opt[string]) string   { return a + "+" + b.Or("none") }
func either(a, b topology.Opt[string]) string          { return a.Or("none") + "+" + b.Or("none") }
func first(v string) string                            { return v[:1] }
func isLast(v string) bool                             { return strings.HasSuffix(v, "9") }
func number(v string) int64                            { n, _ := strconv.ParseInt(v, 10, 64); return n }
func left(name string, of topology.Opt[string]) string { return name + " of " + of.Or("nobody") }

// shown is how many operators write to out.
const shown = 36

// everything has each operator that keeps state, in each way in which its rows differ.
func everything() *topology.Builder {
	b := topology.New("everything")
	ins, others, table := in.Stream(b), other.Stream(b), rows.Table(b)
	ofRows(ins, table)
	ofWindows(ins)
	ofTime(b, ins, table)
	ofStreams(ins, others)
	ofTables(b, ins, table)
	ofProcessors(ins, others)
	return b
}

// ofRows are tables and aggregates with a row for each key.
func ofRows(ins topology.Stream[string, string], table topology.Table[string, string]) {
	changes(table, "rows")
	changes(ins.ToTable("latest", topology.DeleteWhen(isLast)), "latest")
	changes(ins.ToTable("brief", topology.TTL(20*time.Second)), "brief")
	changes(topology.Count(ins, "count"), "count")
	changes(topology.Reduce(ins, "reduce", plus), "reduce")
	changes(topology.Aggregate(ins, "aggregate", total.and, topology.TTL(30*time.Second)), "aggregate")
}

// ofWindows are aggregates in windows of each kind.
func ofWindows(ins topology.Stream[string, string]) {
	const size, grace = 20 * time.Second, 10 * time.Second
	changes(topology.Count(ins.Window(topology.Tumbling(size).Grace(grace)), "tumbling", topology.EmitOnClose()), "tumbling")
	changes(topology.Reduce(ins.Window(topology.Hopping(size, size/2).Grace(grace)), "hopping", plus), "hopping")
	changes(topology.Count(ins.Window(topology.Sliding(size).Grace(grace)), "sliding"), "sliding")
	changes(topology.Reduce(ins.Window(topology.Session(4*time.Second).Grace(grace)), "session", plus), "session")
	changes(topology.Count(ins.Window(topology.Unlimited(0)), "unlimited"), "unlimited")
	kept := topology.Count(ins.Window(topology.Tumbling(size).Grace(grace)), "retained", topology.Retain(2*time.Minute))
	changes(topology.Suppress(kept, "until-closed", topology.UntilClosed()), "until-closed")
}

// ofTime is what holds changes and records back.
func ofTime(b *topology.Builder, ins topology.Stream[string, string], table topology.Table[string, string]) {
	sums := topology.Reduce(ins, "sums", plus)
	changes(topology.Suppress(sums, "until-limit", topology.UntilTimeLimit(15*time.Second)), "until-limit")
	changes(topology.Suppress(sums, "bounded", topology.UntilTimeLimit(time.Minute), topology.MaxRecords(3), topology.EmitEarly()), "bounded")
	changes(topology.EmitEvery(sums, "every", 15*time.Second), "every")
	show(topology.Join(ins, table, "grace", plus, topology.Grace(10*time.Second)), "grace")
	show(topology.LeftJoin(ins, table, "wait", left, topology.Wait(25*time.Second)), "wait")
	show(topology.Deduplicate(ins, "once", func(v string) string { return v[len(v)-1:] }, 30*time.Second), "once")
	slow, rest := topology.Throttle(ins, "slow", 2, 20*time.Second)
	show(slow, "slow")
	show(rest, "throttled")
	show(topology.Reorder(numbered.Stream(b), "reorder", number, time.Minute), "reorder")
}

// ofStreams are joins of streams.
func ofStreams(ins, others topology.Stream[string, string]) {
	near := topology.Within(8 * time.Second).Grace(4 * time.Second)
	show(topology.JoinStreams(ins, others, "pairs", near, plus), "pairs")
	show(topology.LeftJoinStreams(ins, others, "lefts", near, orNone), "lefts")
	show(topology.OuterJoinStreams(ins, others, "outers", near, either), "outers")
	show(topology.JoinSelf(ins, "selves", near, plus), "selves")
}

// ofTables are tables of versions, joins and groups of tables.
func ofTables(b *topology.Builder, ins topology.Stream[string, string], table topology.Table[string, string]) {
	versions := topology.VersionedTable(b, prices, time.Minute)
	show(topology.LeftJoin(ins, versions, "then", left), "then")
	show(topology.LeftJoin(ins, versions, "then-waited", left, topology.Grace(10*time.Second)), "then-waited")
	own := topology.ToVersionedTable(ins, "own-versions", time.Minute, topology.DeleteWhen(isLast))
	changes(own, "own-versions")

	right := facts.Table(b)
	changes(topology.OuterJoinTables(table, right, "joined", either, topology.Stored()), "joined")
	changes(topology.JoinForeign(table, right, "foreign", first, plus), "foreign")
	changes(topology.LeftJoinForeign(table, right, "foreign-left", first, orNone), "foreign-left")
	changes(topology.CountTable(table, "by-first", first), "by-first")
	changes(topology.ReduceTable(table, "texts", first, plus, minus), "texts")
	changes(topology.AggregateTable(table, "totals", first, total.and, func(t total, v string) total { return total{t.N - 1, v} }), "totals")
}

// ofProcessors are states of functions, and timers.
func ofProcessors(ins, others topology.Stream[string, string]) {
	show(topology.Process(ins, "process", func(t total, v string, o *topology.Out[string]) total {
		t = t.and(v)
		o.Emit(fmt.Sprint(t))
		return t
	}), "process")
	p := topology.NewProcessor(ins, "timers", func(s, v string, p *ports) string {
		p.Later.In(25 * time.Second)
		p.Wall.In(time.Hour)
		return s + v + ","
	})
	topology.On(p, others, func(s, v string, p *ports) string {
		if isLast(v) {
			p.Later.Cancel()
		}
		return s
	})
	p.OnTimer(&p.Ports.Later, func(s string, p *ports) string { p.Out.Emit("later " + s); return "" })
	p.OnTimer(&p.Ports.Wall, func(s string, p *ports) string { p.Out.Emit("wall " + s); return s })
	show(topology.Output(p, &p.Ports.Out), "timers")
}
