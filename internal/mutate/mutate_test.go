package main

import (
	"strings"
	"testing"
)

// Each mutant is in its file, once, and is Go: so a list that is out of date is noticed at
// once, not by the next long run.
func TestMutants(t *testing.T) {
	all := mutants()
	if len(all) < 40 {
		t.Errorf("%d mutants, at least 40 should be", len(all))
	}
	rules := map[string]bool{}
	for _, m := range all {
		if rules[m.rule] {
			t.Errorf("%s: twice", m.rule)
		}
		if rules[m.rule] = true; m.old == m.new {
			t.Errorf("%s: it breaks nothing", m.rule)
		}
	}
	if _, err := overlayOf(all, "../..", t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestSwitched(t *testing.T) {
	const src = "package p\n\nfunc f(a, b int) bool {\n\treturn a < b\n}\n\nfunc g() int { return 1 }\n\nvar v = 1\n"
	all := []mutant{
		{rule: "less", old: "a < b", new: "a <= b"},
		{rule: "one", old: "return 1", new: "return 2"},
		{rule: "absent", old: "return 3", new: "return 4"},
		{rule: "twice", old: "return", new: "panic"},
		{rule: "no Go", old: "a < b", new: "a <"},
		{rule: "outside", old: "var v = 1", new: "var v = 2"},
	}
	got, err := switched(src, all, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"case 1:\n\n\treturn a <= b\n", "default:\n\n\treturn a < b\n", "case 2:\n return 2 \n", "var v = 1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nhas no %q", got, want)
		}
	}
	for n := 3; n <= len(all); n++ {
		if _, err := switched(src, all, []int{n}); err == nil {
			t.Errorf("%s: no error", all[n-1].rule)
		}
	}
}
