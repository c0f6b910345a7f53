package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// Any join of streams is what nested loops make of it, every way.
func TestJoinStreamsAgainstLoops(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom([]string{"inner", "left", "outer"}).Draw(rt, "kind")
		before := rapid.Int64Range(-3, 8).Draw(rt, "before")
		after := rapid.Int64Range(max(-3, -before), 8).Draw(rt, "after")
		grace := rapid.SampledFrom([]int64{0, 0, 1, 5, 100}).Draw(rt, "grace")
		self := rapid.IntRange(0, 5).Draw(rt, "self") == 0
		m := modelOf(kind, [3]int64{before, after, grace}, "%s+%s")
		m.self = self
		m.single = self && kind == "inner" && min(before, after) >= 0 && rapid.Bool().Draw(rt, "single")
		var steps []conformanceStep
		at := int64(50)
		for i := range rapid.IntRange(1, 40).Draw(rt, "records") {
			at = max(0, at+rapid.Int64Range(-4, 5).Draw(rt, "later"))
			if rapid.IntRange(0, 15).Draw(rt, "jump") == 0 {
				at += 30
			}
			r := conformanceRecord{Topic: rapid.SampledFrom([]string{"left", "right"}).Draw(rt, "topic"), At: topology.Time(at)}
			if self {
				r.Topic = "left"
			}
			if k := rapid.SampledFrom([]string{"a", "a", "a", "ab", "b", ""}).Draw(rt, "key"); k != "" {
				r.Key = &k
			}
			if v := fmt.Sprint(i); rapid.IntRange(0, 12).Draw(rt, "null") > 0 {
				r.Value = &v
			}
			steps = append(steps, conformanceStep{In: []conformanceRecord{r}})
		}
		b := topology.New("case")
		left := nullStrings("left").Stream(b)
		right := left
		if !self {
			right = nullStrings("right").Stream(b)
		}
		w := topology.Between(-time.Duration(before)*time.Millisecond, time.Duration(after)*time.Millisecond).Grace(time.Duration(grace) * time.Millisecond)
		if m.single {
			topology.JoinSelf(left, "join", w, func(a, b nullable) nullable { return topology.Some(joinText("%s+%s")(a, b)) }).To(nullStrings("out"))
		} else {
			joinStreamsBy(kind, left, right, "join", w, joinText("%s+%s")).To(nullStrings("out"))
		}
		c := &conformanceCase{Steps: m.run(steps, "left")}
		one := playCase(t, c, newSpec(b), topologytest.Config{}, true)
		if err := c.compare(one); err != nil {
			rt.Fatalf("%s join, before %d, after %d, grace %d: %v", kind, before, after, grace, err)
		}
		all := one.joined()
		for _, way := range append(slices.Clone(windowWays), topologytest.Config{Seed: 1 + rapid.Uint64Range(0, 1<<30).Draw(rt, "seed"), CrashAfter: 4}) {
			if err := all.compare(playCase(t, c, newSpec(b), way, false)); err != nil {
				rt.Fatalf("%s join, before %d, after %d, grace %d: %+v: %v", kind, before, after, grace, way, err)
			}
		}
		// With several partitions each has its own time: with a long grace none matters.
		if kind == "inner" && grace == 100 {
			got := playCase(t, c, newSpec(b), topologytest.Config{Partitions: 4}, false)
			if w, g := byKey(all.steps[0]["out"]), byKey(got.steps[0]["out"]); w != g {
				rt.Fatalf("four partitions: want\n%s\ngot\n%s", w, g)
			}
		}
	})
}

// byKey lists records by key; those of a key keep their order.
func byKey(rs []conformanceRecord) string {
	slices.SortStableFunc(rs, func(a, b conformanceRecord) int { return strings.Compare(text(a.Key), text(b.Key)) })
	return fmt.Sprint(rs)
}
