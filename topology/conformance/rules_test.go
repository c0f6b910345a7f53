package conformance_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/seed-81380e12/limpet/core"
)

// Each rule's model of Kafka Streams makes just what the cases say, of their inputs alone: of all cases
// of its operators, not only of those that differ. So what the rule changes of it is all that is different.
func TestRulesUnderstandKafkaStreams(t *testing.T) {
	cases, err := readConformanceDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	understood, differ := map[string]int{}, map[string]int{}
	for _, c := range cases {
		r, streams, limpet := ruleOf(c)
		if streams == nil {
			continue // no rule has anything to say of it
		}
		if err := c.compare(streams.result()); err != nil {
			t.Errorf("%s: %s does not understand it: %v", c.ID, r.name, err)
			continue
		}
		if understood[r.name]++; c.compare(limpet.result()) != nil {
			differ[r.name]++
		}
	}
	for name := range ruleNames() {
		least := 40
		if name == "nothing-kept" || name == "before-zero" || name == "version-late" {
			least = 12 // of windows and views that hardly anybody has
		}
		if understood[name] < least {
			t.Errorf("%s: only %d cases are understood", name, understood[name])
		}
	}
	t.Logf("of so many cases %v so many differ: %v", understood, differ)
}

func ruleNames() map[string]bool {
	names := map[string]bool{}
	for _, rules := range conformanceRules {
		for _, r := range rules {
			names[r.name] = true
		}
	}
	return names
}

// A rule is no excuse: where it differs, neither what Kafka Streams makes of the case nor anything else
// than what the rule's model works out is accepted; and a case that does not come from Kafka Streams
// has no rule.
func TestRulesSeeWrongOutputs(t *testing.T) {
	cases, err := readConformanceDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range cases {
		r, want := expectOf(c)
		if want == nil || c.compare(want.result()) == nil || seen[r.name] {
			continue
		}
		seen[r.name] = true
		t.Run(r.name, func(t *testing.T) {
			if rule, err := judge(c, want.result()); rule != r.name || err != nil {
				t.Fatalf("%s: %q, %v", c.ID, rule, err)
			}
			if _, err := judge(c, c.result()); err == nil {
				t.Errorf("%s: what comes of it in Kafka Streams passes", c.ID)
			}
			n := 0
			for what, wrong := range wrongResults(want.result()) {
				n++
				if _, err := judge(c, wrong); err == nil {
					t.Errorf("%s: %s, and it passes", c.ID, what)
				}
			}
			if n < 4 {
				t.Fatalf("%s: only %d wrong results", c.ID, n)
			}
			// No rule explains what is in no way Kafka Streams'.
			for what, wrong := range wrongResults(c.result()) {
				other := c.with(slices.Clone(c.Steps))
				for i := range other.Steps {
					other.Steps[i].Want = wrong.steps[i]
				}
				other.States = wrong.states
				if rule, err := judge(other, want.result()); err == nil {
					t.Errorf("%s: what it says is wrong (%s), and it passes by %q", c.ID, what, rule)
				}
			}
		})
	}
	for name := range ruleNames() {
		if !seen[name] {
			t.Errorf("%s: no case differs by it", name)
		}
	}
}

// wrongResults yields results that differ from one in a single record or row each.
func wrongResults(of *conformanceResult) func(yield func(string, *conformanceResult) bool) {
	return func(yield func(string, *conformanceResult) bool) {
		last, topic := -1, ""
		for i, s := range of.steps {
			for name, rs := range s {
				if len(rs) > 0 {
					last, topic = i, name
				}
			}
		}
		records := map[string]func(rs []conformanceRecord) []conformanceRecord{
			"a record is missing": func(rs []conformanceRecord) []conformanceRecord { return rs[1:] },
			"a record is there twice": func(rs []conformanceRecord) []conformanceRecord {
				return append(rs, rs[len(rs)-1])
			},
			"a time is another one": func(rs []conformanceRecord) []conformanceRecord {
				rs[0].At++
				return rs
			},
			"a value is another one": func(rs []conformanceRecord) []conformanceRecord {
				rs[0].Value = some("other")
				return rs
			},
		}
		for what, f := range records {
			r := &conformanceResult{slices.Clone(of.steps), of.states}
			r.steps[last] = maps.Clone(r.steps[last])
			r.steps[last][topic] = f(slices.Clone(r.steps[last][topic]))
			if !yield(what, r) {
				return
			}
		}
		rows := map[string]func(rows []stateLine) []stateLine{
			"a row is missing": func(rows []stateLine) []stateLine { return rows[1:] },
			"a row is another one": func(rows []stateLine) []stateLine {
				rows[0].value = "other"
				return rows
			},
			"there is a row more": func(rows []stateLine) []stateLine {
				more := rows[0]
				more.key = "other"
				return append(rows, more)
			},
		}
		for store, lines := range of.states {
			if len(lines) == 0 {
				continue
			}
			// The youngest one: older ones may be hidden.
			lines = slices.Clone(lines)
			slices.SortFunc(lines, func(a, b stateLine) int { return int(b.base() - a.base()) })
			for what, f := range rows {
				r := &conformanceResult{of.steps, maps.Clone(of.states)}
				r.states[store] = f(slices.Clone(lines))
				if !yield(what, r) {
					return
				}
			}
		}
	}
}

// base is the time by which a row is old.
func (l stateLine) base() core.Time {
	if l.window == nil {
		return l.at
	}
	return l.window.Start
}
