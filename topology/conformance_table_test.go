package topology_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func init() {
	conformanceOps["join-table-table"] = tableTableCase
	conformanceOps["join-table-three"] = threeTablesCase
	conformanceOps["TableTableJoinIntegrationTest"] = tableIntegrationCase
	conformanceOps["table-aggregate"] = tableAggregateCase
	conformanceRules["join-table-table"] = []conformanceRule{{"table-filter", filterKnowsOldRows}}
	conformanceRules["join-table-three"] = []conformanceRule{{"joined-row-time", timeOfPartsThatAreThere}, {"gone-at-once", goneAtOnce}}
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

// viewOf puts the view that a case names on a table.
func viewOf(t strTable, view string) strTable {
	switch {
	case strings.HasPrefix(view, "filter"):
		return t.Filter(even)
	case strings.HasPrefix(view, "mapValues"):
		return topology.MapTable(t, func(s string) string { return s + "!" })
	}
	return t
}

// joinText joins as Kafka Streams' cases do: what is missing is "null".
func joinText(format string) func(a, b topology.Opt[string]) string {
	return func(a, b topology.Opt[string]) string { return fmt.Sprintf(format, a.Or("null"), b.Or("null")) }
}

// joinBy joins two tables as a case says it.
func joinBy(kind string, a, b strTable, name string, f func(a, b topology.Opt[string]) string) strTable {
	del := topology.DeleteWhen(isNoValue)
	switch kind {
	case "inner":
		return topology.JoinTables(a, b, name, func(x, y string) string { return f(topology.Some(x), topology.Some(y)) }, del)
	case "left":
		return topology.LeftJoinTables(a, b, name, func(x string, y topology.Opt[string]) string { return f(topology.Some(x), y) }, del)
	}
	return topology.OuterJoinTables(a, b, name, f, del)
}

func tableTableCase(c *conformanceCase) *topology.Builder {
	if c.Params["versioned_history_ms"] != nil {
		return nil
	}
	b := topology.New("case")
	left := viewOf(caseTopic("left").Table(b), c.str("left_view"))
	right := viewOf(caseTopic("right").Table(b), c.str("right_view"))
	f := joinText("%s+%s")
	if strings.HasPrefix(c.str("joiner"), "null if both values end in the same digit") {
		plain := f
		f = func(a, b topology.Opt[string]) string {
			if a.OK && b.OK && a.Value[len(a.Value)-1] == b.Value[len(b.Value)-1] {
				return noValue
			}
			return plain(a, b)
		}
	}
	joinBy(c.str("join"), left, right, "joined", f).To(caseTopic("out"))
	return b
}

func threeTablesCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	ab := joinBy(c.str("join1"), caseTopic("a").Table(b), caseTopic("b").Table(b), "ab", joinText("(%s+%s)"))
	joinBy(c.str("join2"), ab, caseTopic(c.str("third")).Table(b), "abc", joinText("%s*%s")).To(caseTopic("out"))
	return b
}

// tableIntegrationCase reads what the case's topology is from its text.
func tableIntegrationCase(c *conformanceCase) *topology.Builder {
	if c.Params["versioned_history_retention_ms"] != nil {
		return nil
	}
	first, second, twice := strings.Cut(c.str("topology"), ", then ")
	b := topology.New("case")
	right := caseTopic("inputTopicRight").Table(b)
	t := joinBy(joinKind(first), caseTopic("inputTopicLeft").Table(b), right, "first", joinText("%s-%s"))
	if twice {
		t = joinBy(joinKind(second), t, right, "second", joinText("%s-%s"))
	}
	t.To(caseTopic("out"))
	return b
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

func tableAggregateCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	t := caseTopic("input").Table(b)
	if c.Params["filter_before"] != nil {
		t = t.Filter(even)
	}
	group := func(s string) string { g, _, _ := strings.Cut(s, ":"); return g }
	t = t.Filter(func(s string) bool { return group(s) != "-" })
	amount := func(s string) string { return s[strings.IndexByte(s, ':')+1:] }
	number := func(s string) int64 { n, _ := strconv.ParseInt(amount(s), 10, 64); return n }
	switch kind := c.str("aggregate"); kind {
	case "count":
		counts := topology.CountTable(t, "agg", group)
		topology.MapTable(counts, decimal).To(caseTopic("out"))
	case "sum", "sum-zero-is-null":
		var opts []topology.GroupOption
		if kind != "sum" {
			opts = append(opts, topology.DeleteWhen(func(n int64) bool { return n == 0 }))
		}
		sums := topology.AggregateTable(t, "agg", group,
			func(n int64, s string) int64 { return n + number(s) },
			func(n int64, s string) int64 { return n - number(s) }, opts...)
		topology.MapTable(sums, decimal).To(caseTopic("out"))
	case "reduce":
		sums := topology.ReduceTable(t, "agg", group,
			func(sum, s string) string { return sum + "+" + amount(s) },
			func(sum, s string) string { return sum + "-" + amount(s) })
		topology.MapTable(sums, amount).To(caseTopic("out"))
	default:
		topology.AggregateTable(t, "agg", group,
			func(sum, s string) string { return sum + "+" + amount(s) },
			func(sum, s string) string { return sum + "-" + amount(s) }).To(caseTopic("out"))
	}
	return b
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// filterKnowsOldRows is the rule "table-filter": a filter of a table passes nothing on for a
// row that was not there before and is not there now. So a record makes no result that does
// not pass, and did not before.
func filterKnowsOldRows(c *conformanceCase) []conformanceStep {
	type row struct{ topic, key string }
	passed := map[row]bool{}
	var steps []conformanceStep
	for _, s := range c.Steps {
		in := s.In[0]
		if in.Key != nil && strings.HasPrefix(c.str(in.Topic+"_view"), "filter") {
			k := row{in.Topic, *in.Key}
			before := passed[k]
			if passed[k] = in.Value != nil && even(*in.Value); !before && !passed[k] {
				s.Want = nil
			}
		}
		steps = append(steps, s)
	}
	return steps
}

// timeOfPartsThatAreThere is the rule "joined-row-time": the row of a join has the greatest
// time of the rows that it is made of. Kafka Streams does so too, unless it keeps the
// joined rows in a store: there a row has the time of the last change, if that took a part
// of it away, too.
func timeOfPartsThatAreThere(c *conformanceCase) []conformanceStep {
	if c.Params["store1"] == nil || c.str("third") != "c" {
		return nil
	}
	type row struct{ topic, key string }
	times := map[row]core.Time{}
	var steps []conformanceStep
	for _, s := range c.Steps {
		in := s.In[0]
		if in.Key != nil {
			delete(times, row{in.Topic, *in.Key})
			if in.Value != nil {
				times[row{in.Topic, *in.Key}] = in.At
			}
		}
		if out := s.Want["out"]; in.Topic == "c" && len(out) == 1 {
			at := in.At
			a, aOK := times[row{"a", *in.Key}]
			b, bOK := times[row{"b", *in.Key}]
			kind := c.str("join1")
			if aOK && bOK || aOK && kind != "inner" || bOK && kind == "outer" {
				at = max(at, a, b) // what is missing is 0
			}
			r := out[0]
			r.At = at
			s.Want = map[string][]conformanceRecord{"out": {r}}
		}
		steps = append(steps, s)
	}
	return steps
}

// goneAtOnce is the rule "gone-at-once": where a record takes the rows of both sides of a
// join away at once, since both are made of the same table, the result is deleted. Kafka
// Streams leaves it there for ever. And such a join deletes only what is there.
func goneAtOnce(c *conformanceCase) []conformanceStep {
	const left, right = "inputTopicLeft", "inputTopicRight"
	a, b, third := "a", "b", c.str("third")
	kind1, kind2 := c.str("join1"), c.str("join2")
	if kind1 == "" {
		first, second, twice := strings.Cut(c.str("topology"), ", then ")
		if !twice {
			return nil
		}
		a, b, third = left, right, right
		kind1, kind2 = joinKind(first), joinKind(second)
	}
	if third != a && third != b {
		return nil
	}
	there := func(kind string, x, y bool) bool {
		return x && y || x && kind == "left" || (x || y) && kind == "outer"
	}
	type row struct{ topic, key string }
	times, results := map[row]core.Time{}, map[string]bool{}
	has := func(topic, key string) bool { _, ok := times[row{topic, key}]; return ok }
	var steps []conformanceStep
	for _, s := range c.Steps {
		in := s.In[0]
		if in.Key == nil {
			steps = append(steps, s)
			continue
		}
		delete(times, row{in.Topic, *in.Key})
		if in.Value != nil {
			times[row{in.Topic, *in.Key}] = in.At
		}
		var out []conformanceRecord
		for _, r := range s.Want["out"] {
			if r.Value != nil || results[*r.Key] {
				out = append(out, r)
			}
			results[*r.Key] = r.Value != nil
		}
		if k := *in.Key; results[k] && !there(kind2, there(kind1, has(a, k), has(b, k)), has(third, k)) {
			at := in.At
			for _, other := range []string{a, b} { // the first join's result has its time too
				at = max(at, times[row{other, k}])
			}
			out = append(out, conformanceRecord{Key: in.Key, At: at})
			results[k] = false
		}
		steps = append(steps, conformanceStep{s.In, map[string][]conformanceRecord{"out": out}})
	}
	return steps
}
