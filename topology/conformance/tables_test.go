package conformance_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func init() {
	conformanceOps["join-table-table"] = tableTableCase
	conformanceOps["join-table-three"] = threeTablesCase
	conformanceOps["TableTableJoinIntegrationTest"] = tableIntegrationCase
	conformanceOps["table-aggregate"] = tableAggregateCase
	conformanceRules["join-table-table"] = []conformanceRule{{"tombstone-forgotten", tombstoneForgotten(joinVersionedTables)}}
	conformanceRules["table-aggregate"] = []conformanceRule{{"tombstone-forgotten", tombstoneForgotten(groupTable)}}
	conformanceRules["join-table-three"] = []conformanceRule{{"gone-at-once", goneAtOnce}}
	conformanceRules["TableTableJoinIntegrationTest"] = []conformanceRule{{"gone-at-once", goneAtOnce}}
}

type strTable = topology.Table[string, string]

func caseTopic(name string) topology.Topic[string, string] {
	return topology.NewTopic(name, codec.String, codec.String)
}

// noValue is what a function returns that has none: a DeleteWhen knows it.
const noValue = "<null>"

func isNoValue(s string) bool { return s == noValue }

// even reports whether the number in a value is even.
func even(s string) bool {
	n, _ := strconv.Atoi(strings.TrimLeft(s[strings.IndexByte(s, ':')+1:], "abcdefghijklmnopqrstuvwxyz"))
	return n%2 == 0
}

// viewOf puts the view that a case names on a table; see filterBy for told.
func viewOf[K comparable](t topology.Table[K, string], view string, told bool) topology.Table[K, string] {
	switch {
	case strings.HasPrefix(view, "filter"):
		return filterBy(t, told, even)
	case strings.HasPrefix(view, "mapValues"):
		return topology.MapTable(t, func(s string) string { return s + "!" })
	case view != "" && view != "as is":
		panic("view " + view)
	}
	return t
}

// joinText joins as Kafka Streams' cases do: what is missing is "null".
func joinText(format string) func(a, b topology.Opt[string]) string {
	return func(a, b topology.Opt[string]) string { return fmt.Sprintf(format, a.Or("null"), b.Or("null")) }
}

// joinBy joins two tables as a case says it.
func joinBy(kind string, a, b strTable, name string, f func(a, b topology.Opt[string]) string, opts ...topology.StateOption) strTable {
	opts = append(opts, topology.DeleteWhen(isNoValue))
	switch kind {
	case "inner":
		return topology.JoinTables(a, b, name, func(x, y string) string { return f(topology.Some(x), topology.Some(y)) }, opts...)
	case "left":
		return topology.LeftJoinTables(a, b, name, func(x string, y topology.Opt[string]) string { return f(topology.Some(x), y) }, opts...)
	}
	return topology.OuterJoinTables(a, b, name, f, opts...)
}

// stored is the option for a store that a case names.
func (c *conformanceCase) stored(param string) (opts []topology.StateOption) {
	if c.has(param) {
		opts = append(opts, topology.Stored())
	}
	return opts
}

// table reads a topic as a table, one that keeps versions where the case has a history.
func (c *conformanceCase) table(b *topology.Builder, topic, history string) strTable {
	if c.has(history) {
		return topology.VersionedTable(b, caseTopic(topic), c.ms(history))
	}
	return caseTopic(topic).Table(b)
}

func tableTableCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	kind := c.str("join")
	const history = "versioned_history_ms"
	plain := !c.has(history) // a filter on a table that keeps versions is not told old values
	left := viewOf(c.table(b, "left", history), c.str("left_view"), plain && kind != "inner")
	right := viewOf(c.table(b, "right", history), c.str("right_view"), plain && kind == "outer")
	f := joinText("%s+%s")
	if none := c.joinsToNone(); none != nil {
		plain := f
		f = func(a, b topology.Opt[string]) string {
			if a.OK && b.OK && none(a.Value, b.Value) {
				return noValue
			}
			return plain(a, b)
		}
	}
	joinBy(kind, left, right, "joined", f, c.stored("result_store")...).To(caseTopic("out"))
	s := newSpec(b)
	if c.has("result_store") {
		s.state(c.str("result_store"), "joined", wireText{plainText, plainText})
	}
	return s
}

// joinsToNone says of which values a case's joiner makes none; nil where there are no such ones.
func (c *conformanceCase) joinsToNone() func(a, b string) bool {
	switch joiner := c.str("joiner"); {
	case strings.HasPrefix(joiner, "null if both values end in the same digit"):
		return func(a, b string) bool { return a[len(a)-1] == b[len(b)-1] }
	case joiner != "" && joiner != `left + "+" + right`:
		panic("joiner " + joiner)
	}
	return nil
}

func threeTablesCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	table := func(topic string) strTable { return c.table(b, topic, "versioned_history_ms") }
	ab := joinBy(c.str("join1"), table("a"), table("b"), "ab", joinText("(%s+%s)"), c.stored("store1")...)
	joinBy(c.str("join2"), ab, table(c.str("third")), "abc", joinText("%s*%s"), c.stored("store2")...).To(caseTopic("out"))
	s := newSpec(b)
	for i, name := range []string{"ab", "abc"} {
		if store := c.str(fmt.Sprint("store", i+1)); store != "" {
			s.state(store, name, wireText{plainText, plainText})
		}
	}
	return s
}

// tableIntegrationCase reads what the case's topology is from its text.
func tableIntegrationCase(c *conformanceCase) *conformanceSpec {
	of := func(b *topology.Builder, side, topic string) strTable {
		if kept := c.str("topology"); !strings.Contains(kept, "both tables versioned") && !strings.Contains(kept, side+" table versioned") {
			return caseTopic(topic).Table(b)
		}
		return c.table(b, topic, "versioned_history_retention_ms")
	}
	first, second, twice := strings.Cut(c.str("topology"), ", then ")
	b := topology.New("case")
	right := of(b, "right", "inputTopicRight")
	t := joinBy(joinKind(first), of(b, "left", "inputTopicLeft"), right, "first", joinText("%s-%s"))
	if twice {
		t = joinBy(joinKind(second), t, right, "second", joinText("%s-%s"))
	}
	t.To(caseTopic("out"))
	return newSpec(b)
}

// joinKind finds the word for the kind of a join.
func joinKind(s string) string {
	for _, k := range []string{"inner", "left", "outer"} {
		if strings.Contains(s, k+" join") {
			return k
		}
	}
	panic(s)
}

func tableAggregateCase(c *conformanceCase) *conformanceSpec {
	b := topology.New("case")
	t := c.table(b, "input", "versioned_history_ms")
	switch c.str("filter_before") {
	case "":
	case "the number in the value is even":
		t = t.Filter(even)
	default:
		panic("filter_before " + c.str("filter_before"))
	}
	group := func(s string) string { g, _, _ := strings.Cut(s, ":"); return g }
	t = t.Filter(func(s string) bool { return group(s) != "-" })
	amount := func(s string) string { return s[strings.IndexByte(s, ':')+1:] }
	number := func(s string) int64 { n, _ := strconv.ParseInt(amount(s), 10, 64); return n }
	s := newSpec(b)
	numbers := wireText{plainText, decodedText(codec.Int64)}
	done := func(t topology.Table[string, int64]) {
		s.outs["out"] = numbers
		s.state(c.str("store"), "agg", numbers)
		t.To(topology.NewTopic("out", codec.String, codec.Int64))
	}
	s.state(c.str("store"), "agg", wireText{plainText, plainText})
	switch kind := c.str("aggregate"); kind {
	case "count":
		done(topology.CountTable(t, "agg", group))
	case "sum", "sum-zero-is-null":
		var opts []topology.GroupOption
		if kind != "sum" {
			opts = append(opts, topology.DeleteWhen(func(n int64) bool { return n == 0 }))
		}
		done(topology.AggregateTable(t, "agg", group,
			func(n int64, s string) int64 { return n + number(s) },
			func(n int64, s string) int64 { return n - number(s) }, opts...))
	case "reduce":
		sums := topology.ReduceTable(t, "agg", group,
			func(sum, s string) string { return sum + "+" + amount(s) },
			func(sum, s string) string { return sum + "-" + amount(s) })
		s.state(c.str("store"), "agg", wireText{plainText, func(b []byte) string { return amount(string(b)) }})
		topology.MapTable(sums, amount).To(caseTopic("out"))
	case "concat":
		topology.AggregateTable(t, "agg", group,
			func(sum, s string) string { return sum + "+" + amount(s) },
			func(sum, s string) string { return sum + "-" + amount(s) }).To(caseTopic("out"))
	default:
		panic("aggregate " + kind)
	}
	return s
}
