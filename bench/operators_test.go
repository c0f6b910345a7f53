package bench

import (
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The topics of the operators' benchmarks: whole numbers by whole numbers.
var (
	opIn    = topology.NewTopic("in", codec.Int64, codec.Int64)
	opMore  = topology.NewTopic("more", codec.Int64, codec.Int64)
	opRows  = topology.NewTopic("rows", codec.Int64, codec.Int64) // written once
	opTable = topology.NewTopic("table", codec.Int64, codec.Int64)
	opOther = topology.NewTopic("other", codec.Int64, codec.Int64)
	opOdd   = topology.NewTopic("odd", codec.Int64, codec.Int64)
	opOut   = topology.NewTopic("out", codec.Int64, codec.Int64)
)

// operator is a row of docs/operators.md, as small a topology as there is.
type operator struct {
	name  string
	build func(b *topology.Builder)
	// allocates says why it allocates for each record; "": it does not.
	allocates string
}

type (
	ints   = topology.Stream[int64, int64]
	optInt = topology.Opt[int64]
)

func addInt(a, b int64) int64                   { return a + b }
func lessInt(a, b int64) int64                  { return a - b }
func plusOpt(a int64, b optInt) int64           { return a + b.Value }
func plusOpts(a, b optInt) int64                { return a.Value + b.Value }
func even(n int64) bool                         { return n%2 == 0 }
func group(n int64) int64                       { return n % 50 }
func emitInt(n int64, out *topology.Out[int64]) { out.Emit(n) }

// oneStream, oneTable and the like are topologies of one operator on one or two inputs.
func oneStream(f func(ints) ints) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opIn.Stream(b)).To(opOut) }
}

func twoStreams(f func(l, r ints) ints) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opIn.Stream(b), opMore.Stream(b)).To(opOut) }
}

func oneTable(f func(topology.Table[int64, int64]) topology.Table[int64, int64]) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opTable.Table(b)).To(opOut) }
}

func twoTables(f func(l, r topology.Table[int64, int64]) topology.Table[int64, int64]) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opTable.Table(b), opOther.Table(b)).To(opOut) }
}

func joined(f func(ints, topology.Table[int64, int64]) ints) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opIn.Stream(b), opRows.Table(b)).To(opOut) }
}

func folded(f func(ints) topology.Table[int64, int64]) func(*topology.Builder) {
	return func(b *topology.Builder) { f(opIn.Stream(b)).To(opOut) }
}

func windows(w topology.Window, keys topology.Codec[topology.Windowed[int64]], opts ...topology.AggregateOption) func(*topology.Builder) {
	return func(b *topology.Builder) {
		topology.Count(opIn.Stream(b).Window(w), "op", opts...).To(topology.NewTopic("out", keys, codec.Int64))
	}
}

type opPorts struct {
	Out topology.Out[int64]
	Row topology.Row[int64]
}

type opTimers struct {
	Out topology.Out[int64]
	Due topology.Timer
}

type opAlarms struct {
	Out topology.Out[int64]
	Due topology.WallTimer
}

type opGlobal struct {
	Out  topology.Out[int64]
	Rows topology.Rows[int64, int64]
}

type opMoment struct {
	Out  topology.Out[int64]
	Here topology.Moment[int64]
}

type opRefused struct {
	Refused topology.Rejection
}

// opEvent is an interface of two types, whose values are made once: to make one allocates.
type (
	opEvent  interface{ number() int64 }
	opEven   int64
	opUneven int64
)

type rangePorts struct {
	Out  topology.Out[int64]
	Rows topology.Range[int64, int64]
}

func (n opEven) number() int64   { return int64(n) }
func (n opUneven) number() int64 { return int64(n) }

var opEvents = [2]opEvent{opEven(2), opUneven(1)}

func processor(b *topology.Builder) topology.Processor[int64, int64, opPorts] {
	p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opPorts) int64 {
		row, _ := p.Row.Get()
		p.Out.Emit(row + v)
		return s + v
	})
	topology.Read(p, &p.Ports.Row, opRows.Table(b))
	return p
}

const second = time.Second

var perSecond = codec.Windowed(codec.Int64, second)

var operators = []operator{
	{name: "Stream.To", build: oneStream(func(s ints) ints { return s })},
	{name: "Stream.To/TopicFrom", build: func(b *topology.Builder) {
		opIn.Stream(b).To(opOut, topology.TopicFrom(func(n int64) topology.Topic[int64, int64] {
			if even(n) {
				return opOut
			}
			return opOdd
		}, opOdd))
	}},
	{name: "Stream.To/PartitionBy", build: func(b *topology.Builder) {
		opIn.Stream(b).To(opOut, topology.PartitionBy(func(v int64, n int) int { return int(v) % n }))
	}},
	{name: "Table.To", build: oneTable(func(t topology.Table[int64, int64]) topology.Table[int64, int64] { return t })},
	{name: "Filter", build: oneStream(func(s ints) ints { return s.Filter(even) })},
	{name: "Split", build: func(b *topology.Builder) {
		yes, no := opIn.Stream(b).Split(even)
		yes.To(opOut)
		no.To(opOut)
	}},
	{name: "Merge", build: twoStreams(func(l, r ints) ints { return l.Merge(r) })},
	{name: "Map", build: oneStream(func(s ints) ints { return topology.Map(s, group) })},
	{name: "FlatMap", build: oneStream(func(s ints) ints { return topology.FlatMap(s, emitInt) })},
	{name: "Peek", build: oneStream(func(s ints) ints { return s.Peek(func(int64) {}) })},
	{name: "WithHeader", build: oneStream(func(s ints) ints {
		return s.WithHeader("h", func(int64) string { return "v" })
	})},
	{name: "WithHeaders", build: oneStream(func(s ints) ints {
		return s.WithHeaders(func(_ int64, h topology.Headers) topology.Headers { return h })
	})},
	{name: "OfType", build: oneStream(func(s ints) ints {
		events := topology.Map(s, func(n int64) opEvent { return opEvents[n&1] })
		return topology.Map(topology.OfType[opEven](events), opEven.number)
	})},
	{name: "Records, Values", build: oneStream(func(s ints) ints { return topology.Values(topology.Records(s)) })},
	{name: "KeyBy", build: oneStream(func(s ints) ints { return topology.KeyBy(s, "op", group) })},
	{name: "Repartition", build: oneStream(func(s ints) ints { return s.Repartition("op") })},
	{name: "ToTable", build: folded(func(s ints) topology.Table[int64, int64] { return s.ToTable("op") })},
	{name: "Table.Filter", build: oneTable(func(t topology.Table[int64, int64]) topology.Table[int64, int64] { return t.Filter(even) })},
	{name: "MapTable", build: oneTable(func(t topology.Table[int64, int64]) topology.Table[int64, int64] { return topology.MapTable(t, group) })},
	{name: "Table.ToStream", build: func(b *topology.Builder) { opTable.Table(b).ToStream().To(opOut) }},
	{name: "Changes", build: func(b *topology.Builder) {
		topology.Map(topology.Changes(opTable.Table(b)), func(c topology.Change[int64]) int64 { return c.New.Value }).To(opOut)
	}},
	{name: "Suppress/time limit", build: oneTable(func(t topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.Suppress(t, "op", topology.UntilTimeLimit(second))
	})},
	{name: "Suppress/closed", build: func(b *topology.Builder) {
		topology.Suppress(topology.Count(opIn.Stream(b).Window(topology.Tumbling(second)), "count"), "op", topology.UntilClosed()).
			To(topology.NewTopic("out", perSecond, codec.Int64))
	}},
	{name: "Join", build: joined(func(s ints, t topology.Table[int64, int64]) ints { return topology.Join(s, t, "op", addInt) })},
	{name: "LeftJoin", build: joined(func(s ints, t topology.Table[int64, int64]) ints { return topology.LeftJoin(s, t, "op", plusOpt) })},
	{name: "Join/Grace", build: joined(func(s ints, t topology.Table[int64, int64]) ints {
		return topology.Join(s, t, "op", addInt, topology.Grace(second/10))
	})},
	{name: "Join/Wait, with a row", build: joined(func(s ints, t topology.Table[int64, int64]) ints {
		return topology.Join(s, t, "op", addInt, topology.Wait(second))
	})},
	{name: "Join/Wait, with none", build: func(b *topology.Builder) {
		none := opRows.Table(b).Filter(func(int64) bool { return false })
		topology.LeftJoin(opIn.Stream(b), none, "op", plusOpt, topology.Wait(second/10)).To(opOut)
	}},
	{name: "VersionedTable/LeftJoin", build: func(b *topology.Builder) {
		topology.LeftJoin(opIn.Stream(b), topology.VersionedTable(b, opTable, second/10), "op", plusOpt).To(opOut)
	}},
	{name: "ToVersionedTable/LeftJoin", build: func(b *topology.Builder) {
		topology.LeftJoin(opIn.Stream(b), topology.ToVersionedTable(opMore.Stream(b), "rows", second/10), "op", plusOpt).To(opOut)
	}},
	{name: "JoinGlobal", build: func(b *topology.Builder) {
		topology.JoinGlobal(opIn.Stream(b), opRows.GlobalTable(b), "op", group, addInt).To(opOut)
	}},
	{name: "LeftJoinGlobal", build: func(b *topology.Builder) {
		topology.LeftJoinGlobal(opIn.Stream(b), opRows.GlobalTable(b), "op", group, plusOpt).To(opOut)
	}},
	{name: "JoinStreams", build: twoStreams(func(l, r ints) ints {
		return topology.JoinStreams(l, r, "op", topology.Within(second/10), addInt)
	})},
	{name: "JoinSelf", build: oneStream(func(s ints) ints {
		return topology.JoinSelf(s, "op", topology.Within(second/10), addInt)
	})},
	{name: "LeftJoinStreams", build: twoStreams(func(l, r ints) ints {
		return topology.LeftJoinStreams(l, r, "op", topology.Within(second/10), plusOpt)
	})},
	{name: "OuterJoinStreams", build: twoStreams(func(l, r ints) ints {
		return topology.OuterJoinStreams(l, r, "op", topology.Within(second/10), plusOpts)
	})},
	{name: "JoinTables", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.JoinTables(l, r, "op", addInt)
	})},
	{name: "JoinTables/Stored", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.JoinTables(l, r, "op", addInt, topology.Stored())
	})},
	{name: "LeftJoinTables", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.LeftJoinTables(l, r, "op", plusOpt)
	})},
	{name: "OuterJoinTables", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.OuterJoinTables(l, r, "op", plusOpts)
	})},
	{name: "Combine", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.Combine("op", topology.Needs(l, addInt), topology.MayHave(r, addInt))
	})},
	{name: "CountTable", build: func(b *topology.Builder) { topology.CountTable(opTable.Table(b), "op", group).To(opOut) }},
	{name: "ReduceTable", build: func(b *topology.Builder) {
		topology.ReduceTable(opTable.Table(b), "op", group, addInt, lessInt).To(opOut)
	}},
	{name: "AggregateTable", build: func(b *topology.Builder) {
		topology.AggregateTable(opTable.Table(b), "op", group, addInt, lessInt).To(opOut)
	}},
	{name: "JoinForeign", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.JoinForeign(l, r, "op", group, addInt)
	})},
	{name: "LeftJoinForeign", build: twoTables(func(l, r topology.Table[int64, int64]) topology.Table[int64, int64] {
		return topology.LeftJoinForeign(l, r, "op", group, plusOpt)
	})},
	{name: "Count", build: folded(func(s ints) topology.Table[int64, int64] { return topology.Count(s, "op") })},
	{name: "Reduce", build: folded(func(s ints) topology.Table[int64, int64] { return topology.Reduce(s, "op", addInt) })},
	{name: "Aggregate", build: folded(func(s ints) topology.Table[int64, int64] { return topology.Aggregate(s, "op", addInt) })},
	{name: "Aggregate/Also", build: func(b *topology.Builder) {
		topology.Aggregate(opIn.Stream(b), "op", addInt, topology.Also(opMore.Stream(b), lessInt)).To(opOut)
	}},
	{name: "Count/EmitPerCommit", build: folded(func(s ints) topology.Table[int64, int64] {
		return topology.EmitPerCommit(topology.Count(s, "op"))
	})},
	{name: "Count/EmitEvery", build: folded(func(s ints) topology.Table[int64, int64] {
		return topology.EmitEvery(topology.Count(s, "op"), "op-every", second/10)
	})},
	{name: "Window/Tumbling", build: windows(topology.Tumbling(second), perSecond)},
	{name: "Window/Hopping", build: windows(topology.Hopping(second, second/4), perSecond)},
	{name: "Window/Sliding", build: windows(topology.Sliding(second/50), codec.Windowed(codec.Int64, second/50))},
	{name: "Window/Session", build: windows(topology.Session(second/50), codec.SessionWindowed(codec.Int64))},
	{name: "Window/Session/EmitOnClose", build: windows(topology.Session(second/50), codec.SessionWindowed(codec.Int64), topology.EmitOnClose())},
	{name: "Window/Session/Merging", build: func(b *topology.Builder) {
		w := opIn.Stream(b).Window(topology.Session(second / 50))
		topology.Aggregate(w, "op", addInt, topology.Merging(addInt)).To(topology.NewTopic("out", codec.SessionWindowed(codec.Int64), codec.Int64))
	}},
	{name: "Window/Unlimited", build: windows(topology.Unlimited(0), codec.UnlimitedWindowed(codec.Int64))},
	{name: "Window/EmitOnClose", build: windows(topology.Tumbling(second), perSecond, topology.EmitOnClose())},
	{name: "Window/Retain", build: windows(topology.Tumbling(second/10), codec.Windowed(codec.Int64, second/10), topology.Retain(second))},
	{name: "Window/Late", build: func(b *topology.Builder) {
		w := opIn.Stream(b).Window(topology.Tumbling(second / 100))
		topology.Count(w, "op").To(topology.NewTopic("counts", codec.Windowed(codec.Int64, second/100), codec.Int64))
		w.Late().To(opOut)
	}},
	{name: "Process", build: oneStream(func(s ints) ints {
		return topology.Process(s, "op", func(s, v int64, out *topology.Out[int64]) int64 { out.Emit(s); return s + v })
	})},
	{name: "NewProcessor", build: func(b *topology.Builder) {
		p := processor(b)
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "NewProcessor/Moment", build: func(b *topology.Builder) {
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opMoment) int64 {
			p.Out.Emit(p.Here.Key() + int64(p.Here.Time()) + v)
			return s
		})
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "NewProcessor/Rejection", build: func(b *topology.Builder) { // which nobody makes use of
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opRefused) int64 {
			if v < 0 {
				p.Refused.Reject(nil)
			}
			return s + v
		})
		p.State().To(opOut)
	}},
	{name: "OnTimer", build: func(b *topology.Builder) {
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opTimers) int64 {
			p.Due.In(100 * time.Millisecond)
			return s + v
		})
		p.OnTimer(&p.Ports.Due, func(s int64, p *opTimers) int64 {
			p.Out.Emit(s)
			return s
		})
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "OnTimer/WallTimer", build: func(b *topology.Builder) {
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opAlarms) int64 {
			p.Due.In(100 * time.Millisecond)
			return s + v
		})
		p.OnTimer(&p.Ports.Due, func(s int64, p *opAlarms) int64 {
			p.Out.Emit(s)
			return s
		})
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "ReadGlobal", build: func(b *topology.Builder) {
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *opGlobal) int64 {
			row, _ := p.Rows.Get(group(v))
			p.Out.Emit(row + v)
			return s
		})
		topology.ReadGlobal(p, &p.Ports.Rows, opRows.GlobalTable(b))
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "Deduplicate", build: oneStream(func(s ints) ints { return topology.Deduplicate(s, "op", group, 100*time.Millisecond) })},
	{name: "Reorder", build: oneStream(func(s ints) ints {
		numbered := topology.Process(s, "number", func(n, _ int64, out *topology.Out[int64]) int64 {
			out.Emit(n + 1)
			return n + 1
		})
		return topology.Reorder(numbered, "op", func(n int64) int64 { return n }, second)
	})},
	{name: "Throttle", build: oneStream(func(s ints) ints {
		few, _ := topology.Throttle(s, "op", 5, 100*time.Millisecond)
		return few
	})},
	{name: "ReadPartition", build: func(b *topology.Builder) {
		p := topology.NewProcessor(opIn.Stream(b), "op", func(s, v int64, p *rangePorts) int64 {
			for _, row := range p.Rows.Between(v%400, v%400+5) {
				s += row
			}
			p.Out.Emit(s)
			return s
		})
		topology.ReadPartition(p, &p.Ports.Rows, opRows.Table(b))
		topology.Output(p, &p.Ports.Out).To(opOut)
	}},
	{name: "Reduce/TTL", build: folded(func(s ints) topology.Table[int64, int64] {
		return topology.Reduce(s, "op", addInt, topology.TTL(second/10))
	})},
	{name: "Processor.State", build: func(b *topology.Builder) {
		p := processor(b)
		topology.Output(p, &p.Ports.Out).To(opOut)
		p.State().To(topology.NewTopic("states", codec.Int64, codec.Int64))
	}},
}

// BenchmarkOperators is a record's way through each operator: decode, the operator, encode,
// and its share of a commit of 5 000 records of each input.
func BenchmarkOperators(b *testing.B) {
	for _, o := range operators {
		b.Run(o.name, func(b *testing.B) {
			r := newOpRun(b, o)
			for range 5 {
				r.round(b)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				n += r.round(b)
			}
		})
	}
}

// Operators allocate nothing for a record, but for those that say why. Maps and lists still
// grow now and then.
func TestOperatorsAllocateNothing(t *testing.T) {
	for _, o := range operators {
		t.Run(o.name, func(t *testing.T) {
			r := newOpRun(t, o)
			for range 8 {
				r.round(t)
			}
			fed := 0
			const rounds = 10
			n := testing.AllocsPerRun(rounds, func() { fed += r.round(t) })
			each := n * (rounds + 1) / float64(fed)
			switch {
			case o.allocates == "" && each > 0.001:
				t.Errorf("%.4f allocations a record (%.0f a round)", each, n)
			case o.allocates != "" && each < 0.5:
				t.Errorf("%.4f allocations a record, though %s: say that it has none", each, o.allocates)
			}
		})
	}
}
