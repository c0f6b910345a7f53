package prices

import (
	"testing"

	rr "github.com/seed-81380e12/limpet/examples/requestresponse"
)

func TestAudit(t *testing.T) {
	o := rr.Outcome{Product: "x", Cents: 100, Answered: true}
	want := map[string]rr.Outcome{"a": o, "b": o}
	for what, c := range map[string]struct {
		got  map[string][]rr.Outcome
		line string
	}{
		"right":      {map[string][]rr.Outcome{"a": {o}, "b": {o}}, "questions=2 outcomes=2 missing=0 duplicated=0 wrong=0 unanswered=0"},
		"lost":       {map[string][]rr.Outcome{"a": {o}}, "questions=2 outcomes=1 missing=1 duplicated=0 wrong=0 unanswered=0"},
		"doubled":    {map[string][]rr.Outcome{"a": {o, o}, "b": {o}}, "questions=2 outcomes=3 missing=0 duplicated=1 wrong=0 unanswered=0"},
		"wrong":      {map[string][]rr.Outcome{"a": {{Product: "x", Cents: 1, Answered: true}}, "b": {o}}, "questions=2 outcomes=2 missing=0 duplicated=0 wrong=1 unanswered=0"},
		"unanswered": {map[string][]rr.Outcome{"a": {{Product: "x"}}, "b": {o}}, "questions=2 outcomes=2 missing=0 duplicated=0 wrong=0 unanswered=1"},
		"invented":   {map[string][]rr.Outcome{"a": {o}, "b": {o}, "c": {o}}, "questions=2 outcomes=3 missing=0 duplicated=0 wrong=1 unanswered=0"},
	} {
		r := judge(want, c.got)
		if r.String() != c.line || r.Clean() != (what == "right") {
			t.Errorf("%s: got %v, clean %v", what, r, r.Clean())
		}
	}
}
