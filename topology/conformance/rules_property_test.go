package conformance_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
)

// On random inputs, what comes out is what the rules' models say, in every way: here the cases are made by
// the models of Kafka Streams.
func TestRulesOnRandomCases(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &conformanceCase{States: map[string][]stateLine{}}
		of := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(rt, label) }
		history := func() float64 { return float64(rapid.IntRange(0, 12).Draw(rt, "history")) }
		views := []string{"as is", "filter: the number in the value is even", "mapValues: value followed by '!'"}
		var topics, values []string
		switch c.Op = of("op", "join-foreign-key", "join-table-three", "versioned-store", "join-table-table", "join-stream-table-versioned", "join-stream-table-grace", "table", "table-aggregate"); c.Op {
		case "join-foreign-key":
			c.Params = map[string]any{"join": of("join", "inner", "left"), "right_table": of("right", "left", "right"), "result_store": "joined"}
			topics, values = []string{"left", c.str("right_table")}, []string{"A:1", "B:1", "A:2", "C:1", "-:1", "@:1", ""}
			c.States["joined"] = nil
		case "join-table-three":
			c.Params = map[string]any{"join1": of("join1", "inner", "left", "outer"), "join2": of("join2", "inner", "left", "outer"), "third": of("third", "a", "b", "c")}
			for i, store := range []string{"ab", "abc"} {
				if rapid.Bool().Draw(rt, store) {
					c.Params[fmt.Sprint("store", i+1)], c.States[store] = store, nil
				}
			}
			topics, values = []string{"a", "b", c.str("third")}, []string{"1", "2", ""}
		case "join-table-table":
			c.Params = map[string]any{"join": of("join", "inner", "left", "outer"), "versioned_history_ms": history(), "left_view": of("left view", views...), "right_view": of("right view", views...)}
			topics, values = []string{"left", "right"}, []string{"1", "2", ""}
			if rapid.Bool().Draw(rt, "stored") {
				c.Params["result_store"], c.States["joined"] = "joined", nil
			}
		case "table":
			c.Params = map[string]any{"source_store": "src", "versioned_history_ms": history()}
			topics, values, c.States["src"] = []string{"input"}, []string{"1", "2", "3", "4", ""}, nil
			var ops []any
			for i := range rapid.IntRange(0, 3).Draw(rt, "ops") {
				op := map[string]any{"do": of("do", "filter", "filterNot", "mapValues"), "predicate": of("predicate", "v % 2 == 0", "v > 2"), "result": of("result", "v / 2", "null if v % 3 == 0, else v")}
				if rapid.Bool().Draw(rt, "stored") {
					op["store"], c.States[fmt.Sprint("s", i)] = fmt.Sprint("s", i), nil
				}
				ops = append(ops, op)
			}
			c.Params["ops"] = ops
		case "table-aggregate":
			c.Params = map[string]any{"aggregate": of("aggregate", "count", "sum", "sum-zero-is-null", "concat", "reduce"), "store": "agg", "filter_before": of("filter", "", "the number in the value is even"), "versioned_history_ms": history()}
			topics, values, c.States["agg"] = []string{"input"}, []string{"x:1", "x:2", "y:1", "y:2", "-:1", ""}, nil
		case "join-stream-table-versioned", "join-stream-table-grace":
			c.Params = map[string]any{"join": of("join", "inner", "left"), "history_retention_ms": history(), "table_view": of("view", views...)}
			if c.Op == "join-stream-table-grace" {
				c.Params["grace_ms"] = history()
			}
			topics, values, c.States["vt"] = []string{"stream", "table", "table"}, []string{"1", "2", ""}, nil
		default:
			c.Params = map[string]any{"history_retention_ms": history(), "store": "vs"}
			topics, values, c.States["vs"] = []string{"put", "put", "delete", "get", "get-as-of"}, []string{"v"}, nil
		}
		if (c.Op == "join-foreign-key" || c.Op == "join-table-three") && rapid.Bool().Draw(rt, "versions") {
			c.Params["versioned_history_ms"] = history()
		}
		at := 20
		for i := range rapid.IntRange(1, 25).Draw(rt, "records") {
			at = max(0, at+rapid.SampledFrom([]int{-5, -2, -1, 0, 0, 1, 3, 7}).Draw(rt, "later"))
			r := conformanceRecord{Topic: of("topic", topics...), Key: some(of("key", "A", "B", "AB")), At: core.Time(at)}
			if v := of("value", values...); v != "" && r.Topic != "delete" && r.Topic != "get" && r.Topic != "get-as-of" {
				if c.Op == "versioned-store" { // there each version is told by its value
					v = fmt.Sprint("v", i)
				}
				r.Value = &v
			}
			c.Steps = append(c.Steps, conformanceStep{In: []conformanceRecord{r}})
		}
		_, streams, _ := ruleOf(c)
		c.Steps, c.States = streams.Steps, streams.States
		if _, err := runConformance(t, c); err != nil {
			rt.Fatalf("%v: %v", c.Params, err)
		}
	})
}
