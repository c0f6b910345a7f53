package randomtopo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// The topics that a random topology reads and writes; Rows and Globals are compacted. Versions and Globals
// are read by some only.
var (
	Words    = topology.NewTopic("words", codec.String, codec.String)
	Others   = topology.NewTopic("others", codec.String, codec.String)
	Rows     = topology.NewTopic("rows", codec.String, codec.String, topology.Compacted())
	Versions = topology.NewTopic("versions", codec.String, codec.String)
	Globals  = topology.NewTopic("globals", codec.String, codec.String, topology.Compacted())
	Out      = topology.NewTopic("out", codec.String, codec.String)
	Out2     = topology.NewTopic("out2", codec.String, codec.String)
)

// operator is one that can be drawn.
type operator struct {
	name string
	// has are the names in docs/operators.md that it stands for.
	has  []string
	draw func(d *drawing, n string)
}

// pairs reports whether it makes pairs of records: n of a key become n² or so.
func (op operator) pairs() bool {
	return op.name == "joinSelf" || strings.HasSuffix(op.name, "oinStreams")
}

// pairsMax is how many of those a topology has: three in a row make n⁸ records of n, more than there is memory for.
const pairsMax = 2

// Config is what is drawn.
type Config struct {
	// InOrder draws all operators. In a third of the topologies functions may fail; in a third of the others
	// the clock moves time on where nothing comes. Without it there are only those whose results, key by key, are the
	// same however input is split.
	InOrder bool
	// Drawn, if not nil, is told what was drawn: the names that docs/operators.md has for it.
	Drawn func(name string)
}

// Operators are the names of docs/operators.md that can be drawn.
func Operators() (names []string) {
	for _, op := range slices.Concat(always, anyOrder, inOrder, windowed, failing) {
		names = append(names, op.has...)
	}
	names = append(names, beside...)
	slices.Sort(names)
	return slices.Compact(names)
}

// drawing is a topology that is being made.
type drawing struct {
	Config
	b      *topology.Builder
	choose func(n int, what string) int

	plain   *plain.Topology
	streams []stream
	used    map[int]bool // of streams
	rows    []table
	ranges  []table  // those with rows of their own, in the order of their keys
	tables  []string // the names of those that can be read as string to string
	moving  []table  // those that keep versions
}

// stream and table are what was made, and what package plain has for it.
type (
	stream struct {
		topology.Stream[string, string]
		plain plain.Stream
	}
	table struct {
		topology.Table[string, string]
		plain plain.Table
	}
)

func (d *drawing) has(names ...string) {
	if d.Drawn != nil {
		for _, n := range names {
			d.Drawn(n)
		}
	}
}

// once is true once in n times.
func (d *drawing) once(n int, what string) bool { return d.choose(n, what) == 0 }

func (d *drawing) pick() stream {
	i := d.choose(len(d.streams), "stream")
	d.used[i] = true
	return d.streams[i]
}

func (d *drawing) table() table { return d.rows[d.choose(len(d.rows), "table")] }

func (d *drawing) add(s topology.Stream[string, string], p plain.Stream) {
	d.streams = append(d.streams, stream{s, p})
}

// computed adds a table, and its changes.
func (d *drawing) computed(tb table) {
	d.rows = append(d.rows, tb)
	d.add(tb.ToStream(), d.plain.ToStream(tb.plain))
}

// kept adds a table with rows of its own.
func (d *drawing) kept(tb table, name string) {
	d.ranges, d.tables = append(d.ranges, tb), append(d.tables, name)
	d.computed(tb)
}

// versions adds a table that keeps versions.
func (d *drawing) versions(tb table) {
	d.moving = append(d.moving, tb)
	d.computed(tb)
}

// version is a table that keeps versions, and joins as well.
func (d *drawing) version() table {
	if len(d.moving) == 0 {
		d.has("VersionedTable")
		d.versions(table{topology.VersionedTable(d.b, Versions, history), d.plain.VersionedTable(Versions.Name(), plain.Time(history.Milliseconds()))})
	}
	return d.moving[d.choose(len(d.moving), "versions")]
}

func (d *drawing) global() topology.GlobalTable[string, string] {
	d.has("Topic.GlobalTable")
	return Globals.GlobalTable(d.b)
}

// Draw draws a topology: streams and tables that are made of each other by random
// operators, and all of which lead somewhere. choose returns a number below n; what says
// for what. tables are the names of those that can be read as string to string. model says what must come of it.
func (c Config) Draw(choose func(n int, what string) int) (b *topology.Builder, tables []string, model *plain.Topology) {
	d := &drawing{Config: c, choose: choose, used: map[int]bool{}, plain: plain.New(), tables: []string{"rows"}}
	operators, others, fails := anyOrder, []topology.SourceOption(nil), false
	var times plain.Times // of others
	var options []topology.BuilderOption
	if c.InOrder {
		operators = slices.Concat(anyOrder, inOrder, windowed)
		if fails = d.once(3, "failing"); fails {
			operators = withFailing(operators)
		}
		if !fails && d.once(3, "idle") {
			options = append(options, topology.AdvanceIdle(60*time.Millisecond))
			d.has("AdvanceIdle")
		}
		if d.once(4, "stamp") {
			options = append(options, envelope.Headers())
			d.plain.Stamp()
			d.has("Stamp")
		}
		if d.once(6, "time from") {
			times.From = func(r topology.Record[string, string]) topology.Time { return r.Time + topology.Time(len(r.Value)) }
			others = append(others, topology.TimeFrom(times.From))
			d.has("TimeFrom")
		} else if d.once(12, "wall time") {
			others = append(others, topology.WallTime())
			times.Arrival = true
			d.has("WallTime")
		}
	}
	for _, op := range always {
		d.has(op.has...)
	}
	d.b = topology.New("random", options...)
	d.add(Words.Stream(d.b), d.plain.Source(Words.Name(), plain.Times{}))
	d.add(Others.Stream(d.b, others...), d.plain.Source(Others.Name(), times))
	if fails { // a table that is restored from its source has rows that were skipped, too
		from := d.streams[1]
		d.rows = []table{{from.ToTable("rows"), d.plain.ToTable(from.plain, "rows")}}
	} else {
		d.has("Topic.Table")
		d.rows = []table{{Rows.Table(d.b), d.plain.TableSource(Rows.Name())}}
	}
	d.ranges = slices.Clone(d.rows)
	pairs := 0
	for range 1 + choose(8, "operators") {
		op := operators[choose(len(operators), "operator")]
		if op.pairs() {
			if pairs == pairsMax {
				continue
			}
			pairs++
		}
		d.has(op.has...)
		op.draw(d, fmt.Sprintf("n%d", len(d.streams)+len(d.rows)))
	}
	for i, s := range d.streams {
		if !d.used[i] {
			d.to(s)
		}
	}
	return d.b, d.tables, d.plain
}

// to writes a stream to one of the outputs.
func (d *drawing) to(s stream) {
	outs := []topology.Topic[string, string]{Out, Out2}
	to := outs[d.choose(2, "to")]
	if d.InOrder && d.once(8, "topic from") {
		d.has("TopicFrom")
		which := func(v string) topology.Topic[string, string] { return outs[len(v)%2] }
		s.To(Out, topology.TopicFrom(which, Out2))
		d.plain.To(s.plain, Out.Name(), plain.Route{Topic: func(v string) string { return which(v).Name() }})
		return
	}
	if d.InOrder && d.once(8, "partition by") {
		d.has("PartitionBy")
		by := func(v string, n int) int { return len(v) % n }
		s.To(to, topology.PartitionBy(by))
		d.plain.To(s.plain, to.Name(), plain.Route{Partition: by})
		return
	}
	s.To(to)
	d.plain.To(s.plain, to.Name(), plain.Route{})
}

// history is how long versions are kept.
const history = 20 * time.Millisecond

// joined is when records of two streams are partners.
var joined = topology.Within(15 * time.Millisecond).Grace(10 * time.Millisecond)

// cut keeps values short.
func cut(s string) string { return s[max(0, len(s)-9):] }

func last(s string) string { return s[len(s)-1:] }

// What functions of two values do.
func both(a, b string) string                         { return cut(a + b) }
func perhaps(a string, b topology.Opt[string]) string { return cut(a + b.Or("?")) }
func either(a, b topology.Opt[string]) string         { return cut(a.Or("?") + b.Or("!")) }
