package conformance_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// checkCase says why a case cannot be taken for what it says: what is misspelt would not be compared.
func checkCase(m map[string]any) error {
	if !slices.ContainsFunc([]string{"steps", "inputs"}, func(k string) bool { return len(list(m[k])) > 0 }) {
		return errors.New("nothing comes in")
	}
	expects := len(list(m["inputs"])) > 0 && (m["expected"] != nil || m["expected_on_update"] != nil || m["expected_on_close"] != nil)
	for i, v := range list(m["steps"]) {
		s, ok := v.(map[string]any)
		if !ok || len(s) == 0 {
			return fmt.Errorf("step %d: neither in, out, expect nor state", i)
		}
		for k, v := range s {
			var isA bool
			switch k {
			case "in", "state", "expect":
				_, isA = v.(map[string]any)
			case "out":
				_, isA = v.([]any)
			default:
				return fmt.Errorf("step %d: what is %q?", i, k)
			}
			if !isA {
				return fmt.Errorf("step %d: %s is %v", i, k, v)
			}
			expects = expects || k != "in"
		}
		if i == 0 && s["in"] == nil && s["out"] != nil {
			return errors.New("step 0: out, but nothing came in")
		}
		if err := checkStep(s); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if !expects {
		return errors.New("nothing is expected")
	}
	return wholeNumbers(m)
}

// checkStep checks the records and rows of a step.
func checkStep(s map[string]any) error {
	if err := wholeNumbers(s); err != nil {
		return err
	}
	if in, ok := s["in"].(map[string]any); ok {
		if err := hasKeys(in, "topic", "key", "value", "ts"); err != nil {
			return err
		}
	}
	all := []any{s["out"]}
	if topics, ok := s["expect"].(map[string]any); ok {
		for _, rs := range topics {
			all = append(all, rs)
		}
	}
	if st, ok := s["state"].(map[string]any); ok {
		if err := hasKeys(st, "store", "rows"); err != nil {
			return err
		}
		all = append(all, st["rows"])
	}
	for _, rs := range all {
		l, ok := rs.([]any)
		if !ok && rs != nil {
			return fmt.Errorf("%v is no list", rs)
		}
		for _, r := range l {
			m, ok := r.(map[string]any)
			if !ok {
				return fmt.Errorf("%v is no record", r)
			}
			if err := hasKeys(m, "key", "value"); err != nil {
				return err
			}
			for k := range m {
				if !slices.Contains([]string{"topic", "key", "value", "ts"}, k) {
					return fmt.Errorf("record %v: what is %q?", m, k)
				}
			}
		}
	}
	return nil
}

func hasKeys(m map[string]any, keys ...string) error {
	for _, k := range keys {
		if _, ok := m[k]; !ok {
			return fmt.Errorf("%v has no %s", m, k)
		}
	}
	return nil
}

// wholeNumbers finds a number that is not whole, at any depth.
func wholeNumbers(v any) error {
	switch v := v.(type) {
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return fmt.Errorf("%v is no whole number", v)
		}
	case []any:
		for _, e := range v {
			if err := wholeNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := wholeNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// A case that says nothing, or what nobody reads, is an error: it would pass whatever came of it.
func TestCasesAreReadStrictly(t *testing.T) {
	const in = `{"in":{"topic":"left","key":"A","value":"1","ts":1}}`
	for _, tt := range []struct{ name, steps, want string }{
		{"as it should be", in + `,{"expect":{"out":[{"key":"A","value":"1","ts":1}]}}`, ""},
		{"nothing comes out", in + `,{"expect":{}}`, ""},
		{"no steps", ``, "nothing comes in"},
		{"nothing expected", in, "nothing is expected"},
		{"an empty step", in + `,{}`, "neither in, out, expect nor state"},
		{"a step that is none", in + `,7`, "neither in, out, expect nor state"},
		{"an unknown step", in + `,{"expct":{}}`, `what is "expct"?`},
		{"an unknown key beside another", in + `,{"expect":{},"stat":{}}`, `what is "stat"?`},
		{"expect is a list", in + `,{"expect":[]}`, "expect is []"},
		{"an unknown key of a record", in + `,{"expect":{"out":[{"key":"A","value":"1","time":1}]}}`, `what is "time"?`},
		{"a topic of no list", in + `,{"expect":{"out":7}}`, "7 is no list"},
		{"a record that is none", in + `,{"expect":{"out":[7]}}`, "7 is no record"},
		{"a record with no value", in + `,{"expect":{"out":[{"key":"A","val":"1","ts":1}]}}`, "has no value"},
		{"an input with no time", `{"in":{"topic":"left","key":"A","value":"1"}},{"expect":{}}`, "has no ts"},
		{"a state with no rows", in + `,{"state":{"store":"s"}}`, "has no rows"},
		{"a broken value", in + `,{"expect":{"out":[{"key":"A","value":1.5,"ts":1}]}}`, "1.5 is no whole number"},
		{"a broken time", in + `,{"state":{"store":"s","rows":[{"key":"A","value":1,"ts":0.5}]}}`, "0.5 is no whole number"},
		{"a broken window", in + `,{"state":{"store":"s","rows":[{"key":{"key":"A","start":0.5,"end":2},"value":1}]}}`, "0.5 is no whole number"},
		{"out before in", `{"out":[]}`, "nothing came in"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "case.json")
			text := `{"format":"conformance/v1","op":"join-stream-stream","cases":[{"id":"c","steps":[` + tt.steps + `]}]}`
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readConformance(file)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
