package randomtopo

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// inOrder are operators whose results depend on which key's records come first, on how they lie
// in partitions, or on the clock. Of the same decisions they make the same results.
var inOrder = []operator{
	{"joinStreams", []string{"JoinStreams", "Within"}, func(d *drawing, n string) {
		a, b := d.pick(), d.pick()
		d.add(topology.JoinStreams(a.Stream, b.Stream, n, joined, both), d.plain.JoinStreams(a.plain, b.plain, plainJoined, plain.Unmatched{}, bothRows))
	}},
	{"leftJoinStreams", []string{"LeftJoinStreams", "Between"}, func(d *drawing, n string) {
		a, b := d.pick(), d.pick()
		d.add(
			topology.LeftJoinStreams(a.Stream, b.Stream, n, topology.Between(-2*time.Millisecond, 9*time.Millisecond), perhaps),
			d.plain.JoinStreams(a.plain, b.plain, plain.Between{From: -2, To: 9}, plain.Unmatched{Left: true}, leftOf),
		)
	}},
	{"outerJoinStreams", []string{"OuterJoinStreams"}, func(d *drawing, n string) {
		a, b := d.pick(), d.pick()
		d.add(topology.OuterJoinStreams(a.Stream, b.Stream, n, joined, either), d.plain.JoinStreams(a.plain, b.plain, plainJoined, plain.Unmatched{Left: true, Right: true}, either))
	}},
	{"joinSelf", []string{"JoinSelf"}, func(d *drawing, n string) {
		in := d.pick()
		d.add(
			topology.JoinSelf(in.Stream, n, topology.Between(0, 5*time.Millisecond).Grace(3*time.Millisecond), both),
			d.plain.JoinSelf(in.plain, plain.Between{To: 5, Grace: 3}, both),
		)
	}},
	{"joinForeign", []string{"JoinForeign"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		d.computed(table{topology.JoinForeign(a.Table, b.Table, n, last, both), d.plain.JoinForeign(a.plain, b.plain, n, last, false, bothOf)})
	}},
	{"leftJoinForeign", []string{"LeftJoinForeign"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		d.computed(table{topology.LeftJoinForeign(a.Table, b.Table, n, last, perhaps), d.plain.JoinForeign(a.plain, b.plain, n, last, true, perhaps)})
	}},
	{"dedup", []string{"Deduplicate"}, func(d *drawing, n string) {
		in := d.pick()
		d.add(topology.Deduplicate(in.Stream, n, same, 20*time.Millisecond), d.plain.Deduplicate(in.plain, same, 20))
	}},
	{"throttle", []string{"Throttle"}, func(d *drawing, n string) {
		in := d.pick()
		some, rest := topology.Throttle(in.Stream, n, 2, 10*time.Millisecond)
		plainSome, plainRest := d.plain.Throttle(in.plain, 2, 10)
		d.add(some, plainSome)
		d.add(rest, plainRest)
	}},
	{"reorder", []string{"Reorder"}, func(d *drawing, n string) {
		in := d.pick()
		d.add(
			topology.Reorder(in.Stream, n, func(s string) int64 { return int64(len(s)) }, 10*time.Millisecond),
			d.plain.Reorder(in.plain, func(s string) int { return len(s) }, 10),
		)
	}},
	{"emitEvery", []string{"EmitEvery"}, func(d *drawing, n string) {
		tb := d.table()
		d.computed(table{topology.EmitEvery(tb.Table, n, 7*time.Millisecond), d.plain.EmitEvery(tb.plain, 7)})
	}},
	{"emitPerCommit", []string{"EmitPerCommit"}, func(d *drawing, _ string) {
		tb := d.table()
		d.computed(table{topology.EmitPerCommit(tb.Table), d.plain.EmitPerCommit(tb.plain)})
	}},
	{"suppress", []string{"Suppress", "UntilTimeLimit"}, func(d *drawing, n string) {
		tb := d.table()
		d.computed(table{topology.Suppress(tb.Table, n, topology.UntilTimeLimit(9*time.Millisecond)), d.plain.Suppress(tb.plain, plain.Suppressed{Wait: 9})})
	}},
	{"suppressEarly", []string{"Suppress", "MaxRecords", "MaxBytes", "EmitEarly"}, func(d *drawing, n string) {
		tb := d.table()
		d.computed(table{
			topology.Suppress(tb.Table, n, topology.UntilTimeLimit(time.Second), topology.MaxRecords(2), topology.MaxBytes(60), topology.EmitEarly()),
			d.plain.Suppress(tb.plain, plain.Suppressed{Wait: 1000, Records: 2, Bytes: 60}),
		})
	}},
	{"countTable", []string{"CountTable"}, func(d *drawing, n string) {
		tb := d.table()
		counted := d.plain.ToStream(d.plain.AggregateTable(tb.plain, n, last, plain.CountRows))
		d.add(topology.Map(topology.CountTable(tb.Table, n, last).ToStream(), func(k int64) string { return fmt.Sprint(k) }), counted)
	}},
	{"reduceTable", []string{"ReduceTable"}, func(d *drawing, n string) {
		tb, less := d.table(), func(sum, v string) string { return cut(sum + "-" + v) }
		d.kept(table{
			topology.ReduceTable(tb.Table, n, last, both, less),
			d.plain.AggregateTable(tb.plain, n, last, plain.Group{First: same, Add: both, Less: less}),
		}, n)
	}},
	{"aggregateTable", []string{"AggregateTable"}, func(d *drawing, n string) {
		tb, more, less := d.table(), func(a, v string) string { return cut(a + v + "+") }, func(a, v string) string { return cut(a + v + "-") }
		d.kept(table{
			topology.AggregateTable(tb.Table, n, last, more, less),
			d.plain.AggregateTable(tb.plain, n, last, plain.Group{Add: more, Less: less}),
		}, n)
	}},
	{"aggregate", []string{"Aggregate", "Also"}, func(d *drawing, n string) {
		a, b := d.pick(), d.pick()
		d.kept(table{
			topology.Aggregate(a.Stream, n, both, topology.Also(b.Stream, and)),
			d.plain.Aggregate(a.plain, n, plain.Fold{Add: both}, plain.Also{In: b.plain, Add: and}),
		}, n)
	}},
	{"peek", []string{"Peek"}, func(d *drawing, _ string) {
		in := d.pick()
		d.add(in.Peek(func(string) {}), d.plain.Map(in.plain, same))
	}},
	{"withHeader", []string{"WithHeader"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(v string, h topology.Headers) topology.Headers { return h.With("h", v) }
		d.add(in.WithHeader("h", same), d.plain.WithHeaders(in.plain, f))
	}},
	{"withHeaders", []string{"WithHeaders"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(v string, h topology.Headers) topology.Headers { return h.With("hs", last(v+"-")) }
		d.add(in.WithHeaders(f), d.plain.WithHeaders(in.plain, f))
	}},
	{"ofType", []string{"OfType"}, func(d *drawing, _ string) {
		in := d.pick()
		some := topology.Map(in.Stream, func(s string) any {
			if len(s)%2 == 0 {
				return len(s)
			}
			return s
		})
		d.add(topology.OfType[string](some), d.plain.Filter(in.plain, func(s string) bool { return len(s)%2 != 0 }))
	}},
	{"filterTable", []string{"Table.Filter"}, func(d *drawing, _ string) {
		tb, keep := d.table(), func(s string) bool { return len(s)%3 != 0 }
		d.computed(table{tb.Filter(keep), d.plain.FilterTable(tb.plain, false, keep)})
	}},
	{"filterTableAll", []string{"Table.Filter", "EveryDeletion"}, func(d *drawing, _ string) {
		tb, keep := d.table(), func(s string) bool { return len(s)%2 == 0 }
		d.computed(table{tb.Filter(keep, topology.EveryDeletion()), d.plain.FilterTable(tb.plain, true, keep)})
	}},
	{"tableTo", []string{"Table.To"}, func(d *drawing, _ string) {
		tb := d.table()
		tb.To(Out2)
		d.plain.TableTo(tb.plain, Out2.Name())
	}},
	{"stored", []string{"JoinTables", "Stored"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		d.kept(table{
			topology.JoinTables(a.Table, b.Table, n, both, topology.Stored()),
			d.plain.JoinTables(a.plain, b.plain, n, plain.Needed{Left: true, Right: true, Stored: true}, bothRows),
		}, n)
	}},
	{"ttl", []string{"TTL"}, func(d *drawing, n string) {
		in := d.pick()
		d.kept(table{in.ToTable(n, topology.TTL(12*time.Millisecond)), d.plain.ToTableTTL(in.plain, n, 12)}, n)
	}},

	{"toVersionedTable", []string{"ToVersionedTable", "DeleteWhen", "NewProcessor", "Output", "Read", "Moment"}, toVersionedTable},
	{"joinVersion", []string{"Join"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.version()
		d.add(topology.Join(in.Stream, tb.Table, n, both), d.plain.Join(in.plain, tb.plain, false, bothOf))
	}},
	{"leftJoinVersion", []string{"LeftJoin"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.version()
		d.add(topology.LeftJoin(in.Stream, tb.Table, n, perhaps), d.plain.Join(in.plain, tb.plain, true, perhaps))
	}},
	{"joinTablesVersion", []string{"OuterJoinTables"}, func(d *drawing, n string) {
		a, b := d.version(), d.table()
		d.computed(table{topology.OuterJoinTables(a.Table, b.Table, n, either), d.plain.JoinTables(a.plain, b.plain, n, plain.Needed{}, either)})
	}},
	{"joinForeignVersion", []string{"LeftJoinForeign"}, func(d *drawing, n string) {
		a, b := d.table(), d.version()
		d.computed(table{topology.LeftJoinForeign(a.Table, b.Table, n, last, perhaps), d.plain.JoinForeign(a.plain, b.plain, n, last, true, perhaps)})
	}},
	{"joinGrace", []string{"Join", "Grace"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.version()
		d.add(
			topology.Join(in.Stream, tb.Table, n, both, topology.Grace(6*time.Millisecond)),
			d.plain.JoinGrace(in.plain, tb.plain, plain.Waiting{Grace: 6}, false, bothOf),
		)
	}},
	{"leftJoinGrace", []string{"LeftJoin", "Grace", "MaxRecords", "EmitEarly"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.table()
		d.add(
			topology.LeftJoin(in.Stream, tb.Table, n, perhaps, topology.Grace(6*time.Millisecond), topology.MaxRecords(3), topology.EmitEarly()),
			d.plain.JoinGrace(in.plain, tb.plain, plain.Waiting{Grace: 6, Most: 3}, true, perhaps),
		)
	}},
	{"joinWait", []string{"Join", "Wait"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.version()
		d.add(
			topology.Join(in.Stream, tb.Table, n, both, topology.Wait(8*time.Millisecond)),
			d.plain.JoinWait(in.plain, tb.plain, 8, false, bothOf),
		)
	}},
	{"leftJoinWait", []string{"LeftJoin", "Wait"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.table()
		d.add(
			topology.LeftJoin(in.Stream, tb.Table, n, perhaps, topology.Wait(8*time.Millisecond)),
			d.plain.JoinWait(in.plain, tb.plain, 8, true, perhaps),
		)
	}},

	{"joinGlobal", []string{"JoinGlobal"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.global()
		d.add(topology.JoinGlobal(in.Stream, tb, n, last, both), d.plain.JoinGlobal(in.plain, Globals.Name(), false, last, bothOf))
	}},
	{"leftJoinGlobal", []string{"LeftJoinGlobal"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.global()
		d.add(topology.LeftJoinGlobal(in.Stream, tb, n, last, perhaps), d.plain.JoinGlobal(in.plain, Globals.Name(), true, last, perhaps))
	}},

	{"processor", []string{"NewProcessor", "On", "Output", "Read", "ReadPartition", "ReadGlobal", "Moment", "Processor.State"}, processor},
	{"timers", []string{"NewProcessor", "Processor.OnTimer", "Timer", "WallTimer", "MaxTimers"}, timers},
}

// plainJoined is joined.
var plainJoined = plain.Between{From: -15, To: 15, Grace: 10}

func and(a, v string) string { return cut(a + "&" + v) }

// leftOf is perhaps, where the plain form asks for a left value that may be missing and is there.
func leftOf(a, b topology.Opt[string]) string { return perhaps(a.Value, b) }
