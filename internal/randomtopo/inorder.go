package randomtopo

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// inOrder are operators whose results depend on which key's records come first, on how they lie
// in partitions, or on the clock. Of the same decisions they make the same results.
var inOrder = []operator{
	{"joinStreams", []string{"JoinStreams", "Within"}, func(d *drawing, n string) {
		d.todo(topology.JoinStreams(d.in(), d.in(), n, joined, both))
	}},
	{"leftJoinStreams", []string{"LeftJoinStreams", "Between"}, func(d *drawing, n string) {
		d.todo(topology.LeftJoinStreams(d.in(), d.in(), n, topology.Between(-2*time.Millisecond, 9*time.Millisecond), perhaps))
	}},
	{"outerJoinStreams", []string{"OuterJoinStreams"}, func(d *drawing, n string) {
		d.todo(topology.OuterJoinStreams(d.in(), d.in(), n, joined, either))
	}},
	{"joinSelf", []string{"JoinSelf"}, func(d *drawing, n string) {
		d.todo(topology.JoinSelf(d.in(), n, topology.Between(0, 5*time.Millisecond).Grace(3*time.Millisecond), both))
	}},
	{"joinForeign", []string{"JoinForeign"}, func(d *drawing, n string) {
		d.todoComputed(topology.JoinForeign(d.tb(), d.tb(), n, last, both))
	}},
	{"leftJoinForeign", []string{"LeftJoinForeign"}, func(d *drawing, n string) {
		d.todoComputed(topology.LeftJoinForeign(d.tb(), d.tb(), n, last, perhaps))
	}},
	{"dedup", []string{"Deduplicate"}, func(d *drawing, n string) {
		d.todo(topology.Deduplicate(d.in(), n, func(s string) string { return s }, 20*time.Millisecond))
	}},
	{"throttle", []string{"Throttle"}, func(d *drawing, n string) {
		d.todo(two(topology.Throttle(d.in(), n, 2, 10*time.Millisecond))...)
	}},
	{"reorder", []string{"Reorder"}, func(d *drawing, n string) {
		d.todo(topology.Reorder(d.in(), n, func(s string) int64 { return int64(len(s)) }, 10*time.Millisecond))
	}},
	{"emitEvery", []string{"EmitEvery"}, func(d *drawing, n string) {
		d.todoComputed(topology.EmitEvery(d.tb(), n, 7*time.Millisecond))
	}},
	{"emitPerCommit", []string{"EmitPerCommit"}, func(d *drawing, _ string) { d.todoComputed(topology.EmitPerCommit(d.tb())) }},
	{"suppress", []string{"Suppress", "UntilTimeLimit"}, func(d *drawing, n string) {
		d.todoComputed(topology.Suppress(d.tb(), n, topology.UntilTimeLimit(9*time.Millisecond)))
	}},
	{"suppressEarly", []string{"Suppress", "MaxRecords", "MaxBytes", "EmitEarly"}, func(d *drawing, n string) {
		d.todoComputed(topology.Suppress(d.tb(), n, topology.UntilTimeLimit(time.Second), topology.MaxRecords(2), topology.MaxBytes(60), topology.EmitEarly()))
	}},
	{"countTable", []string{"CountTable"}, func(d *drawing, n string) {
		d.todo(topology.Map(topology.CountTable(d.tb(), n, last).ToStream(), func(k int64) string { return fmt.Sprint(k) }))
	}},
	{"reduceTable", []string{"ReduceTable"}, func(d *drawing, n string) {
		d.todoKept(topology.ReduceTable(d.tb(), n, last, both, func(sum, v string) string { return cut(sum + "-" + v) }), n)
	}},
	{"aggregateTable", []string{"AggregateTable"}, func(d *drawing, n string) {
		d.todoKept(topology.AggregateTable(d.tb(), n, last, func(a, v string) string { return cut(a + v + "+") }, func(a, v string) string { return cut(a + v + "-") }), n)
	}},
	{"aggregate", []string{"Aggregate", "Also"}, func(d *drawing, n string) {
		d.todoKept(topology.Aggregate(d.in(), n, both, topology.Also(d.in(), func(a, v string) string { return cut(a + "&" + v) })), n)
	}},
	{"peek", []string{"Peek"}, func(d *drawing, _ string) { d.todo(d.in().Peek(func(string) {})) }},
	{"withHeader", []string{"WithHeader"}, func(d *drawing, _ string) {
		d.todo(d.in().WithHeader("h", func(v string) string { return v }))
	}},
	{"withHeaders", []string{"WithHeaders"}, func(d *drawing, _ string) {
		d.todo(d.in().WithHeaders(func(v string, h topology.Headers) topology.Headers { return h.With("hs", last(v+"-")) }))
	}},
	{"ofType", []string{"OfType"}, func(d *drawing, _ string) {
		some := topology.Map(d.in(), func(s string) any {
			if len(s)%2 == 0 {
				return len(s)
			}
			return s
		})
		d.todo(topology.OfType[string](some))
	}},
	{"filterTable", []string{"Table.Filter"}, func(d *drawing, _ string) {
		d.todoComputed(d.tb().Filter(func(s string) bool { return len(s)%3 != 0 }))
	}},
	{"filterTableAll", []string{"Table.Filter", "EveryDeletion"}, func(d *drawing, _ string) {
		d.todoComputed(d.tb().Filter(func(s string) bool { return len(s)%2 == 0 }, topology.EveryDeletion()))
	}},
	{"tableTo", []string{"Table.To"}, func(d *drawing, _ string) {
		d.tb().To(Out2)
		d.plain.Unknown()
	}},
	{"stored", []string{"JoinTables", "Stored"}, func(d *drawing, n string) {
		d.todoKept(topology.JoinTables(d.tb(), d.tb(), n, both, topology.Stored()), n)
	}},
	{"ttl", []string{"TTL"}, func(d *drawing, n string) { d.todoKept(d.in().ToTable(n, topology.TTL(12*time.Millisecond)), n) }},

	{"toVersionedTable", []string{"ToVersionedTable", "DeleteWhen", "NewProcessor", "Output", "Read", "Moment"}, func(d *drawing, n string) {
		tb := topology.ToVersionedTable(d.in(), n, history, topology.DeleteWhen(func(s string) bool { return len(s)%3 == 0 }))
		d.versions(tb)
		p := topology.NewProcessor(d.in(), n+"-read", func(_, v string, p *reader) string {
			row, _ := p.Row.Get() // what is deleted has no value, whether somebody looks at the bool or not
			then, _ := p.Row.AsOf(p.Moment.Time() - 5)
			p.Out.Emit(cut(row + then + v))
			return v
		})
		topology.Read(p, &p.Ports.Row, tb)
		d.todo(topology.Output(p, &p.Ports.Out))
	}},
	{"joinVersion", []string{"Join"}, func(d *drawing, n string) { d.todo(topology.Join(d.in(), d.version(), n, both)) }},
	{"leftJoinVersion", []string{"LeftJoin"}, func(d *drawing, n string) {
		d.todo(topology.LeftJoin(d.in(), d.version(), n, perhaps))
	}},
	{"joinTablesVersion", []string{"OuterJoinTables"}, func(d *drawing, n string) {
		d.todoComputed(topology.OuterJoinTables(d.version(), d.tb(), n, either))
	}},
	{"joinForeignVersion", []string{"LeftJoinForeign"}, func(d *drawing, n string) {
		d.todoComputed(topology.LeftJoinForeign(d.tb(), d.version(), n, last, perhaps))
	}},
	{"joinGrace", []string{"Join", "Grace"}, func(d *drawing, n string) {
		d.todo(topology.Join(d.in(), d.version(), n, both, topology.Grace(6*time.Millisecond)))
	}},
	{"leftJoinGrace", []string{"LeftJoin", "Grace", "MaxRecords", "EmitEarly"}, func(d *drawing, n string) {
		d.todo(topology.LeftJoin(d.in(), d.tb(), n, perhaps, topology.Grace(6*time.Millisecond), topology.MaxRecords(3), topology.EmitEarly()))
	}},
	{"joinWait", []string{"Join", "Wait"}, func(d *drawing, n string) {
		d.todo(topology.Join(d.in(), d.version(), n, both, topology.Wait(8*time.Millisecond)))
	}},
	{"leftJoinWait", []string{"LeftJoin", "Wait"}, func(d *drawing, n string) {
		d.todo(topology.LeftJoin(d.in(), d.tb(), n, perhaps, topology.Wait(8*time.Millisecond)))
	}},

	{"joinGlobal", []string{"JoinGlobal"}, func(d *drawing, n string) {
		d.todo(topology.JoinGlobal(d.in(), d.global(), n, last, both))
	}},
	{"leftJoinGlobal", []string{"LeftJoinGlobal"}, func(d *drawing, n string) {
		d.todo(topology.LeftJoinGlobal(d.in(), d.global(), n, last, perhaps))
	}},

	{"processor", []string{"NewProcessor", "On", "Output", "Read", "ReadPartition", "ReadGlobal", "Moment", "Processor.State"}, processor},
	{"timers", []string{"NewProcessor", "Processor.OnTimer", "Timer", "WallTimer", "MaxTimers"}, timers},
}

// reader are the ports of a processor that reads a table.
type reader struct {
	Out    topology.Out[string]
	Row    topology.Row[string]
	Moment topology.Moment[string]
}

// ports are those of a processor that looks around.
type ports struct {
	A, B   topology.Out[string]
	Row    topology.Row[string]
	Near   topology.Range[string, string]
	All    topology.Rows[string, string]
	Moment topology.Moment[string]
}

func processor(d *drawing, n string) {
	p := topology.NewProcessor(d.in(), n, func(s, v string, p *ports) string {
		row, _ := p.Row.Get()
		then, _ := p.Row.AsOf(p.Moment.Time() - 5)
		p.A.Emit(cut(row + then + v))
		for k, v := range p.Near.Between("a", "c") {
			p.B.Emit(cut(k + v))
		}
		return v
	})
	topology.On(p, d.in(), func(s, v string, p *ports) string {
		if far, ok := p.All.Get(last(v)); ok {
			p.A.EmitAt(p.Moment.Time()+3, cut(far+s))
		}
		for k := range p.Near.From(p.Moment.Key()) {
			s += k
		}
		for k := range p.Near.Prefix("b") {
			s += k
		}
		return cut(s + v)
	})
	topology.Read(p, &p.Ports.Row, d.version())
	topology.ReadPartition(p, &p.Ports.Near, d.ranges[d.choose(len(d.ranges), "range")].Table)
	topology.ReadGlobal(p, &p.Ports.All, d.global())
	d.todo(topology.Output(p, &p.Ports.A), topology.Output(p, &p.Ports.B))
	d.todoKept(p.State(), n)
}

// alarms are the ports of a processor with timers.
type alarms struct {
	Out    topology.Out[string]
	Soon   topology.Timer
	Idle   topology.WallTimer
	Moment topology.Moment[string]
}

func timers(d *drawing, n string) {
	p := topology.NewProcessor(d.in(), n, func(s, v string, p *alarms) string {
		switch len(v) {
		case 1:
			p.Soon.In(7 * time.Millisecond)
		case 2:
			p.Soon.At(p.Moment.Time() + 2)
		case 3:
			p.Soon.Cancel()
			p.Idle.In(30 * time.Millisecond)
		}
		return cut(s + v)
	}, topology.MaxTimers(1000))
	p.OnTimer(&p.Ports.Soon, func(s string, p *alarms) string {
		p.Out.Emit(cut(s + "s"))
		return s
	})
	p.OnTimer(&p.Ports.Idle, func(s string, p *alarms) string {
		p.Out.Emit(cut(s + "w"))
		p.Soon.In(time.Millisecond)
		return ""
	})
	d.todo(topology.Output(p, &p.Ports.Out))
}
