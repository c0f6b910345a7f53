package topology_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The topics of the tests of tables.
var (
	RowsA = topology.NewTopic("rows-a", codec.String, codec.String)
	RowsB = topology.NewTopic("rows-b", codec.String, codec.String, topology.Compacted())
	RowsC = topology.NewTopic("rows-c", codec.String, codec.String)
)

func orNone(a, b topology.Opt[string]) string { return a.Or("-") + "+" + b.Or("-") }
func plusOr(a string, b topology.Opt[string]) string {
	return orNone(topology.Some(a), b)
}

func TestJoinTables(t *testing.T) {
	b := topology.New("tables")
	left, right := RowsA.Table(b), RowsB.Table(b)
	inner := topology.JoinTables(left, right, "inner", plus)
	inner.ToStream().To(Out)
	topology.LeftJoinTables(left, right, "left", plusOr).ToStream().To(Out2)
	topology.Map(topology.Changes(topology.OuterJoinTables(left, right, "outer", orNone)), func(c topology.Change[string]) string {
		return c.Old.Or("none") + " to " + c.New.Or("none")
	}).To(caseTopic("outer"))
	topology.Join(Words.Stream(b), inner, "lookup", plus).To(caseTopic("found"))
	topologytest.EveryWay(t, func(d *driver) {
		left, right := open(d, RowsA), open(d, RowsB)
		left.Send("k", "a")
		open(d, Out).WantNone()
		open(d, Out2).Want("a+-")
		open(d, caseTopic("outer")).Want("none to a+-")
		right.Send("k", "x")
		right.Send("k", "y")
		left.Delete("k")
		left.Send("other", "b")
		right.Delete("k")
		open(d, Out).Want("a+x", "a+y")
		open(d, Out2).Want("a+x", "a+y", "b+-")
		open(d, caseTopic("outer")).Want("a+- to a+x", "a+x to a+y", "a+y to -+y", "none to b+-", "-+y to none")
		open(d, Words).Send("k", "w")
		right.Send("other", "z")
		open(d, Words).Send("other", "w")
		open(d, caseTopic("found")).Want("w+b+z")
	}, b)
}

// The result has the greater time of both rows, whichever came first.
func TestJoinTablesTime(t *testing.T) {
	b := topology.New("times")
	topology.JoinTables(RowsA.Table(b), RowsB.Table(b), "join", plus).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, RowsA).SendAt(topologytest.At("10:00"), "k", "a")
		open(d, RowsB).SendAt(topologytest.At("09:00"), "k", "x")
		open(d, RowsB).SendAt(topologytest.At("11:00"), "k", "y")
		rs := open(d, Out).Records()
		if len(rs) != 2 || rs[0].Time != topologytest.At("10:00") || rs[1].Time != topologytest.At("11:00") {
			t.Errorf("%v", rs)
		}
	}, b)
}

// Where one record comes in on both sides, the result's old row is the one that it had: so
// what is folded behind it stays right.
func TestJoinOfATableWithItself(t *testing.T) {
	b := topology.New("diamond")
	rows := RowsA.Table(b)
	twice := topology.JoinTables(rows, topology.MapTable(rows, upper), "twice", plus)
	topology.AggregateTable(twice, "all", func(string) string { return "all" },
		func(n int64, s string) int64 { return n + int64(len(s)) },
		func(n int64, s string) int64 { return n - int64(len(s)) }).To(Counts)
	topologytest.EveryWay(t, func(d *driver) {
		a := open(d, RowsA)
		a.Send("k", "a")
		a.Send("k", "aaaa")
		a.Send("k", "aa")
		topologytest.Table[string, int64](d, "all").Want(map[string]int64{"all": 5})
		a.Delete("k")
		topologytest.Table[string, int64](d, "all").Want(map[string]int64{"all": 0})
	}, b)
}

func TestCombine(t *testing.T) {
	b := topology.New("combine")
	put := func(r, v string) string { return r + v }
	all := topology.Combine("all", topology.Needs(RowsA.Table(b), put), topology.MayHave(RowsB.Table(b), put), topology.MayHave(RowsC.Table(b), put))
	topology.Map(topology.Changes(all), func(c topology.Change[string]) string { return c.Old.Or("none") + " to " + c.New.Or("none") }).To(Out)
	topology.LeftJoin(Words.Stream(b), all, "lookup", orNobody).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, RowsB).Send("k", "b")
		open(d, RowsC).Send("k", "c")
		open(d, Words).Send("k", "w")
		open(d, RowsA).Send("k", "a")
		open(d, RowsB).Delete("k")
		open(d, Words).Send("k", "w")
		open(d, RowsA).Delete("k")
		open(d, RowsB).Send("k", "b")
		open(d, Out).Want("none to abc", "abc to ac", "ac to none")
		open(d, Out2).Want("w+nobody", "w+ac")
	}, b)
}

func TestAggregateTable(t *testing.T) {
	b := topology.New("groups")
	rows := RowsA.Table(b)
	topology.CountTable(rows, "count", first).To(Counts)
	topology.AggregateTable(rows, "texts", first,
		func(sum, s string) string { return sum + "+" + s },
		func(sum, s string) string { return sum + "-" + s },
		topology.DeleteWhen(func(s string) bool { return len(s) == 12 }), topology.KeyCodec(codec.Text[string]())).To(Out)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if text := plan.Describe(topology.AsText); !strings.Contains(text, "groups-count-repartition") {
		t.Errorf("no repartition topic:\n%s", text)
	}
	topologytest.EveryWay(t, func(d *driver) {
		a := open(d, RowsA)
		a.Send("k", "x1")
		a.Send("k", "x2") // one record: the group stays
		topologytest.Topic(d, Counts).Want(1, 1)
		open(d, Out).Want("+x1", "+x1-x1+x2")
		a.Send("k", "y3") // the old group first
		a.Delete("k")
		topologytest.Topic(d, Counts).Want(0, 1, 0)
		open(d, Out).Want("", "+y3", "+y3-y3") // the first is a deletion
		a.Send("j", "x4")
		open(d, Out).Want("+x4")
	}, b)
}

// A row is not taken out of a group that is not there.
func TestAggregateTableDeleted(t *testing.T) {
	b := topology.New("deleted")
	topology.AggregateTable(RowsA.Table(b), "texts", first,
		func(sum, s string) string { return sum + "+" + s },
		func(sum, s string) string { return sum + "-" + s },
		topology.DeleteWhen(func(s string) bool { return s == "+x1+x2" })).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		a := open(d, RowsA)
		a.Send("k", "x1")
		a.Send("j", "x2")
		a.Send("k", "x3")
		a.Delete("j")
		open(d, Out).Want("+x1", "", "+x3", "+x3-x2")
	}, b)
}

func (s sent) String() string { return fmt.Sprintf("%s %s=%q @%d", s.topic, s.key, s.value, s.at) }

// Joins of tables and groups of tables are what a loop over maps makes of them, every way.
func TestTablesAgainstMaps(t *testing.T) {
	b := topology.New("model")
	left, right := RowsA.Table(b), RowsB.Table(b)
	inner := topology.JoinTables(left, right, "inner", plus)
	put := func(r, v string) string { return r + v }
	tables := map[string]topology.Table[string, string]{
		"i": inner,
		"l": topology.LeftJoinTables(left, right, "left", plusOr),
		"o": topology.OuterJoinTables(left, right, "outer", orNone),
		"f": topology.LeftJoinTables(left.Filter(func(s string) bool { return s != "x" }), inner, "filtered", plusOr),
		"c": topology.Combine("combine", topology.MayHave(left, put), topology.Needs(right, put), topology.MayHave(RowsC.Table(b), put)),
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		tables[name].To(caseTopic(name))
		topology.CountTable(tables[name], name+"-by-last", func(s string) string { return s[len(s)-1:] }).To(topology.NewTopic(name+"-count", codec.String, codec.Int64))
	}
	keep := func(m map[string]string, k string, v topology.Opt[string]) {
		if v.OK {
			m[k] = v.Value
		}
	}
	model := func(a, b, c map[string]string) map[string]map[string]string {
		want := map[string]map[string]string{}
		for name := range tables {
			want[name] = map[string]string{}
		}
		for _, k := range []string{"1", "2", "3"} {
			row := func(m map[string]string) topology.Opt[string] {
				v, ok := m[k]
				return topology.Opt[string]{Value: v, OK: ok}
			}
			x, y, z := row(a), row(b), row(c)
			in := topology.Opt[string]{Value: x.Value + "+" + y.Value, OK: x.OK && y.OK}
			keep(want["i"], k, in)
			keep(want["l"], k, topology.Opt[string]{Value: x.Value + "+" + y.Or("-"), OK: x.OK})
			keep(want["o"], k, topology.Opt[string]{Value: orNone(x, y), OK: x.OK || y.OK})
			keep(want["f"], k, topology.Opt[string]{Value: x.Value + "+" + in.Or("-"), OK: x.OK && x.Value != "x"})
			keep(want["c"], k, topology.Opt[string]{Value: x.Or("") + y.Value + z.Or(""), OK: y.OK})
		}
		return want
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
			return sent{
				topic: rapid.SampledFrom([]string{"rows-a", "rows-b", "rows-c"}).Draw(t, "topic"),
				key:   rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "key"),
				value: rapid.SampledFrom([]string{"x", "y", "z", ""}).Draw(t, "value"),
				at:    rapid.Int64Range(0, 9).Draw(t, "at"),
			}
		}), 1, 30).Draw(rt, "steps")
		rows := map[string]map[string]string{"rows-a": {}, "rows-b": {}, "rows-c": {}}
		for _, s := range steps {
			if s.value == "" {
				delete(rows[s.topic], s.key)
			} else {
				rows[s.topic][s.key] = s.value
			}
		}
		want := model(rows["rows-a"], rows["rows-b"], rows["rows-c"])
		for _, way := range []topologytest.Config{{}, {Batch: 100, CommitEvery: 100}, {Seed: 3, CrashAfter: 4}, {Partitions: 4}} {
			d := way.New(t, b)
			for _, s := range steps {
				var v []byte
				if s.value != "" {
					v = []byte(s.value)
				}
				open(d, caseTopic(s.topic)).SendRawAt(topologytest.At("00:01")+topology.Time(s.at), []byte(s.key), v)
			}
			for name, rows := range want {
				got := map[string]string{}
				for _, r := range topologytest.Topic(d, topology.NewTopic(name, codec.String, codec.Optional(codec.String))).Records() {
					if delete(got, r.Key); r.Value.OK {
						got[r.Key] = r.Value.Value
					}
				}
				if !maps.Equal(got, rows) {
					rt.Fatalf("%+v: table %s: got %v, want %v", way, name, got, rows)
				}
				counts := map[string]int64{}
				for _, v := range rows {
					counts[v[len(v)-1:]]++
				}
				stored := topologytest.Table[string, int64](d, name+"-by-last").Rows()
				maps.DeleteFunc(stored, func(_ string, n int64) bool { return n == 0 })
				if !maps.Equal(stored, counts) {
					rt.Fatalf("%+v: counts of %s: got %v, want %v", way, name, stored, counts)
				}
			}
		}
	})
}
