package randomtopo

import (
	"fmt"

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
		d.add(topology.Map(d.pick(), func(s string) string { return cut(s + "m") }))
	}},
	{"filter", []string{"Filter"}, func(d *drawing, _ string) { d.add(d.pick().Filter(func(s string) bool { return len(s)%3 != 0 })) }},
	{"split", []string{"Split"}, func(d *drawing, _ string) {
		d.add(two(d.pick().Split(func(s string) bool { return len(s)%2 == 0 }))...)
	}},
	{"flatMap", []string{"FlatMap"}, func(d *drawing, _ string) {
		d.add(topology.FlatMap(d.pick(), func(s string, out *topology.Out[string]) {
			for i := range len(s) % 3 {
				out.Emit(s[i:])
			}
		}))
	}},
	{"keyBy", []string{"KeyBy"}, keyBy},
	{"keyBy", []string{"KeyBy"}, keyBy}, // more often
	{"merge", []string{"Merge"}, func(d *drawing, _ string) { d.add(d.pick().Merge(d.pick())) }},
	{"repartition", []string{"Repartition"}, func(d *drawing, n string) { d.add(d.pick().Repartition(n)) }},
	{"window", []string{"Reduce", "Hopping", "Session", "Sliding"}, graceForAll},
	{"count", []string{"Count"}, func(d *drawing, n string) {
		d.add(topology.Map(topology.Count(d.pick(), n).ToStream(), func(k int64) string { return fmt.Sprint(k) }))
	}},
	{"reduce", []string{"Reduce", "DeleteWhen"}, func(d *drawing, n string) {
		d.kept(topology.Reduce(d.pick(), n, both, topology.DeleteWhen(func(s string) bool { return len(s) == 9 })), n)
	}},
	{"process", []string{"Process"}, func(d *drawing, n string) {
		d.add(topology.Process(d.pick(), n, func(s, v string, out *topology.Out[string]) string {
			if s != v {
				out.Emit(cut(s + v))
			}
			return v
		}))
		d.tables = append(d.tables, n)
	}},
	{"join", []string{"Join"}, func(d *drawing, n string) { d.add(topology.Join(d.pick(), d.table(), n, both)) }},
	{"leftJoin", []string{"LeftJoin"}, func(d *drawing, n string) { d.add(topology.LeftJoin(d.pick(), d.table(), n, perhaps)) }},
	{"toTable", []string{"Stream.ToTable"}, func(d *drawing, n string) { d.kept(d.pick().ToTable(n), n) }},
	{"changes", []string{"Changes"}, func(d *drawing, _ string) {
		d.add(topology.Map(topology.Changes(d.table()), func(c topology.Change[string]) string { return cut(c.Old.Or("-") + c.New.Or("-")) }))
	}},
	{"mapTable", []string{"MapTable", "Table.ToStream"}, func(d *drawing, _ string) {
		d.computed(topology.MapTable(d.table(), func(s string) string { return cut(s + "t") }))
	}},
	{"joinTables", []string{"JoinTables"}, func(d *drawing, n string) { d.computed(topology.JoinTables(d.table(), d.table(), n, both)) }},
	{"leftJoinTables", []string{"LeftJoinTables"}, func(d *drawing, n string) {
		d.computed(topology.LeftJoinTables(d.table(), d.table(), n, perhaps))
	}},
	{"outerJoinTables", []string{"OuterJoinTables"}, func(d *drawing, n string) {
		d.computed(topology.OuterJoinTables(d.table(), d.table(), n, either))
	}},
	{"combine", []string{"Combine", "Needs", "MayHave"}, func(d *drawing, n string) {
		d.computed(topology.Combine(n, topology.Needs(d.table(), both), topology.MayHave(d.table(), both), topology.MayHave(d.table(), both)))
	}},
}

func two[T any](a, b T) []T { return []T{a, b} }

func keyBy(d *drawing, n string) { d.add(topology.KeyBy(d.pick(), n, last)) }
