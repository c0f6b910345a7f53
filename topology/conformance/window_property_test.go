package conformance_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// randomWindows draws a case of windows and records.
func randomWindows(t *rapid.T) *windowCase {
	c := &windowCase{ID: "random", Op: rapid.SampledFrom([]string{"window", "emit-on-close", "suppress-window"}).Draw(t, "op")}
	c.Window = rapid.SampledFrom([]string{"time", "sliding", "session"}).Draw(t, "window")
	ms := func(name string, least, most int64) int64 { return rapid.Int64Range(least, most).Draw(t, name) }
	c.SizeMs, c.DiffMs, c.GapMs, c.GraceMs = ms("size", 1, 12), ms("difference", 0, 12), ms("gap", 0, 9), ms("grace", 0, 15)
	c.AdvanceMs = ms("advance", 1, c.SizeMs)
	c.Aggregate = rapid.SampledFrom([]string{"count", "sum", "concat", "reduce"}).Draw(t, "aggregate")
	if c.Window == "time" && rapid.Bool().Draw(t, "reset") {
		c.Aggregate = "concat-reset"
	}
	if rapid.IntRange(0, 3).Draw(t, "retain") == 0 {
		c.RetentionMs = ms("retention", 1, 100)
	}
	at := ms("begin", 0, 40)
	for range rapid.IntRange(1, 40).Draw(t, "records") {
		at = max(0, at+ms("step", -6, 9))
		if rapid.IntRange(0, 15).Draw(t, "jump") == 0 {
			at += 50
		}
		in := windowIn{Topic: "input", Ts: at, Value: rapid.SampledFrom([]any{"1", "2", "x", nil}).Draw(t, "value")}
		if key := rapid.SampledFrom([]string{"A", "B", "A", "AB", ""}).Draw(t, "key"); key != "" {
			in.Key = &key
		}
		c.ins = append(c.ins, in)
	}
	return c
}

// Whatever the windows and the records are: the same as the model, in every way, and just the rows
// are there that it has. What comes too late is counted, and in the stream of late records.
func TestWindowsAreAsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := randomWindows(rt)
		m := c.model()
		want, late := [][]string(nil), []string(nil)
		for _, in := range c.ins {
			want = append(want, m.play(&windowCase{ins: []windowIn{in}})...)
			if m.Late {
				late = append(late, fmt.Sprintf("%s = %s @%d", text(in.Key), text(in.text()), in.Ts))
			}
		}
		ways := append(slices.Clone(windowWays), topologytest.Config{Seed: rapid.Uint64().Draw(rt, "seed"), CrashAfter: 4})
		var first map[modelKey]string
		for i, way := range ways {
			c.hasRows = true
			got, rows := c.play(t, way, i == 0)
			if i > 0 {
				want = [][]string{slices.Concat(want...)}
			}
			if !slices.EqualFunc(got, want, slices.Equal) {
				rt.Fatalf("%+v: %v, %s", way, c.rule(), firstDiff(got, want))
			}
			if i == 0 {
				first = rows
			} else if !maps.Equal(rows, first) {
				rt.Fatalf("%+v: %v, rows %v, one by one they were %v", way, c.rule(), rows, first)
			}
			if i == 0 {
				m.compareRows(rt, c, rows)
			}
			if c.late != len(late) || !slices.Equal(c.lates, late) {
				rt.Fatalf("%+v: %d late, %v, want %v", way, c.late, c.lates, late)
			}
		}
	})
}

// compareRows finds rows that are not the model's, and those that are not there.
func (m *windowModel) compareRows(t *rapid.T, c *windowCase, rows map[modelKey]string) {
	want := map[modelKey]string{}
	for k, r := range m.Rows {
		want[windowed(k)] = r.Value
	}
	if !maps.Equal(rows, want) {
		t.Fatalf("%v: rows are %v, want %v", c.rule(), rows, want)
	}
}

// firstDiff is the first step in which two differ.
func firstDiff(got, want [][]string) string {
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			return fmt.Sprintf("step %d: got\n%s\nwant\n%s", i, strings.Join(got[i], "\n"), strings.Join(want[i], "\n"))
		}
	}
	return ""
}

// With grace for all, there is for each record a window that ends with it, and one behind it
// where there is something in it; each holds what lies in it.
func TestSlidingWindowsByDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &windowCase{Op: "window", Window: "sliding", Aggregate: "count", GraceMs: 1 << 30, hasRows: true}
		c.DiffMs = rapid.Int64Range(0, 10).Draw(rt, "difference")
		times := rapid.SliceOfN(rapid.Int64Range(0, 60), 1, 25).Draw(rt, "times")
		key := "k"
		for _, at := range times {
			c.ins = append(c.ins, windowIn{Topic: "input", Key: &key, Value: "1", Ts: at})
		}
		slices.Sort(times)
		want := map[modelKey]string{}
		hold := func(start int64) {
			start = max(start, 0)
			n := 0
			for _, at := range times {
				if at >= start && at <= start+c.DiffMs {
					n++
				}
			}
			if n > 0 {
				want[modelKey{Key: key, Start: topology.Time(start), End: topology.Time(start + c.DiffMs)}] = fmt.Sprint(n)
			}
		}
		for _, at := range times {
			hold(at - c.DiffMs)
			hold(at + 1)
		}
		if _, rows := c.play(t, topologytest.Config{}, false); !maps.Equal(rows, want) {
			rt.Fatalf("times %v, difference %d: got %v, want %v", times, c.DiffMs, rows, want)
		}
	})
}
