package randomtopo

import (
	"fmt"

	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
)

// always is in each topology.
var always = []operator{{has: []string{"Topic.Stream", "Stream.To", "To", "New", "Compacted"}}}

// beside are drawn beside operators: of sources, sinks and the whole, and what others bring along.
var beside = []string{
	"Topic.Table", "AdvanceIdle", "Stamp", "TimeFrom", "WallTime", "TopicFrom", "PartitionBy", "Topic.GlobalTable", "VersionedTable", "Records", "Values",
}

// anyOrder are operators whose results, key by key, are the same however input is split.
var anyOrder = []operator{
	{"map", []string{"Map"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(s string) string { return cut(s + "m") }
		d.add(topology.Map(in.Stream, f), d.plain.Map(in.plain, f))
	}},
	{"filter", []string{"Filter"}, func(d *drawing, _ string) {
		in, keep := d.pick(), func(s string) bool { return len(s)%3 != 0 }
		d.add(in.Filter(keep), d.plain.Filter(in.plain, keep))
	}},
	{"split", []string{"Split"}, func(d *drawing, _ string) {
		in, test := d.pick(), func(s string) bool { return len(s)%2 == 0 }
		yes, no := in.Split(test)
		plainYes, plainNo := d.plain.Split(in.plain, test)
		d.add(yes, plainYes)
		d.add(no, plainNo)
	}},
	{"flatMap", []string{"FlatMap"}, func(d *drawing, _ string) {
		in, f := d.pick(), func(s string) (all []string) {
			for i := range len(s) % 3 {
				all = append(all, s[i:])
			}
			return all
		}
		d.add(topology.FlatMap(in.Stream, func(s string, out *topology.Out[string]) {
			for _, v := range f(s) {
				out.Emit(v)
			}
		}), d.plain.FlatMap(in.plain, f))
	}},
	{"keyBy", []string{"KeyBy"}, keyBy},
	{"keyBy", []string{"KeyBy"}, keyBy}, // more often
	{"merge", []string{"Merge"}, func(d *drawing, _ string) {
		a, b := d.pick(), d.pick()
		d.add(a.Merge(b.Stream), d.plain.Merge(a.plain, b.plain))
	}},
	{"repartition", []string{"Repartition"}, func(d *drawing, n string) {
		in := d.pick()
		d.add(in.Repartition(n), d.plain.Repartition(in.plain, n))
	}},
	{"window", []string{"Reduce", "Hopping", "Session", "Sliding"}, graceForAll},
	{"count", []string{"Count"}, func(d *drawing, n string) {
		in := d.pick()
		counted := d.plain.ToStream(d.plain.Aggregate(in.plain, n, plain.Count))
		d.add(topology.Map(topology.Count(in.Stream, n).ToStream(), func(k int64) string { return fmt.Sprint(k) }), counted)
	}},
	{"reduce", []string{"Reduce", "DeleteWhen"}, func(d *drawing, n string) {
		in, done := d.pick(), func(s string) bool { return len(s) == 9 }
		d.kept(table{
			topology.Reduce(in.Stream, n, both, topology.DeleteWhen(done)),
			d.plain.Aggregate(in.plain, n, plain.Fold{First: same, Add: both, Done: done}),
		}, n)
	}},
	{"process", []string{"Process"}, func(d *drawing, n string) {
		in, step := d.pick(), func(s, v string) (now string, emit []string) {
			if s != v {
				emit = append(emit, cut(s+v))
			}
			return v, emit
		}
		d.add(topology.Process(in.Stream, n, func(s, v string, out *topology.Out[string]) string {
			now, emit := step(s, v)
			for _, v := range emit {
				out.Emit(v)
			}
			return now
		}), d.plain.Process(in.plain, n, step))
		d.tables = append(d.tables, n)
	}},
	{"join", []string{"Join"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.table()
		d.add(topology.Join(in.Stream, tb.Table, n, both), d.plain.Join(in.plain, tb.plain, false, bothOf))
	}},
	{"leftJoin", []string{"LeftJoin"}, func(d *drawing, n string) {
		in, tb := d.pick(), d.table()
		d.add(topology.LeftJoin(in.Stream, tb.Table, n, perhaps), d.plain.Join(in.plain, tb.plain, true, perhaps))
	}},
	{"toTable", []string{"Stream.ToTable"}, func(d *drawing, n string) {
		in := d.pick()
		d.kept(table{in.ToTable(n), d.plain.ToTable(in.plain, n)}, n)
	}},
	{"changes", []string{"Changes"}, func(d *drawing, _ string) {
		tb, f := d.table(), func(old, now topology.Opt[string]) string { return cut(old.Or("-") + now.Or("-")) }
		changed := topology.Map(topology.Changes(tb.Table), func(c topology.Change[string]) string { return f(c.Old, c.New) })
		d.add(changed, d.plain.Changes(tb.plain, f))
	}},
	{"mapTable", []string{"MapTable", "Table.ToStream"}, func(d *drawing, _ string) {
		tb, f := d.table(), func(s string) string { return cut(s + "t") }
		d.computed(table{topology.MapTable(tb.Table, f), d.plain.MapTable(tb.plain, f)})
	}},
	{"joinTables", []string{"JoinTables"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		d.computed(table{topology.JoinTables(a.Table, b.Table, n, both), d.plain.JoinTables(a.plain, b.plain, n, plain.Needed{Left: true, Right: true}, bothRows)})
	}},
	{"leftJoinTables", []string{"LeftJoinTables"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		left := func(a, b topology.Opt[string]) string { return perhaps(a.Value, b) }
		d.computed(table{topology.LeftJoinTables(a.Table, b.Table, n, perhaps), d.plain.JoinTables(a.plain, b.plain, n, plain.Needed{Left: true}, left)})
	}},
	{"outerJoinTables", []string{"OuterJoinTables"}, func(d *drawing, n string) {
		a, b := d.table(), d.table()
		d.computed(table{topology.OuterJoinTables(a.Table, b.Table, n, either), d.plain.JoinTables(a.plain, b.plain, n, plain.Needed{}, either)})
	}},
	{"combine", []string{"Combine", "Needs", "MayHave"}, func(d *drawing, n string) {
		a, b, c := d.table(), d.table(), d.table()
		d.computed(table{
			topology.Combine(n, topology.Needs(a.Table, both), topology.MayHave(b.Table, both), topology.MayHave(c.Table, both)),
			d.plain.Combine(n, plain.Part{Table: a.plain, Need: true, Put: both}, plain.Part{Table: b.plain, Put: both}, plain.Part{Table: c.plain, Put: both}),
		})
	}},
}

func keyBy(d *drawing, n string) {
	in := d.pick()
	d.add(topology.KeyBy(in.Stream, n, last), d.plain.KeyBy(in.plain, n, last))
}

func same(s string) string { return s }

// bothOf and bothRows are both, where the plain form asks for what may be missing and is there.
func bothOf(a string, b topology.Opt[string]) string { return both(a, b.Value) }
func bothRows(a, b topology.Opt[string]) string      { return both(a.Value, b.Value) }
