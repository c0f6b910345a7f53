package topology_test

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

func TestJoinStreams(t *testing.T) {
	b := topology.New("streams")
	words, others := Words.Stream(b), Others.Stream(b)
	w := topology.Between(-time.Minute, 2*time.Minute).Grace(time.Minute)
	topology.JoinStreams(words, others, "inner", w, plus).To(Out)
	topology.LeftJoinStreams(words, others, "left", w, plusOr).To(Out2)
	topology.OuterJoinStreams(words, others, "outer", w, orNone).To(caseTopic("outer"))
	topologytest.EveryWay(t, func(d *driver) {
		words, others := open(d, Words), open(d, Others)
		at := topologytest.At
		words.SendAt(at("10:00"), "k", "a")
		others.SendAt(at("09:58"), "k", "early") // it waits: for words of 09:56 to 09:59
		others.SendAt(at("09:59"), "k", "x")     // the bounds belong to the window
		others.SendAt(at("10:02"), "k", "y")
		open(d, Out).Want("a+x", "a+y")
		others.SendAt(at("10:02:30"), "k", "z")
		words.SendAt(at("10:01"), "k", "b")
		open(d, Out).Want("b+y", "b+z")
		open(d, Out2).Want("a+x", "a+y", "b+y", "b+z")
		open(d, caseTopic("outer")).Want("-+early", "a+x", "a+y", "b+y", "b+z")
		words.SendAt(at("10:10"), "k", "c")
		others.SendAt(at("10:13"), "k", "late")
		open(d, Out2).WantNone() // c waits a minute longer
		others.SendAt(at("10:13:00.001"), "k", "later")
		open(d, Out).WantNone()
		open(d, Out2).Want("c+-")
		words.SendAt(at("09:00"), "k", "too late")
		open(d, Out2).Want("too late+-")
		open(d, caseTopic("outer")).Want("c+-", "too late+-")
	}, b)
}

// What cannot be matched any more is in no store, and in no changelog.
func TestJoinedRecordsExpire(t *testing.T) {
	b := topology.New("expire")
	topology.OuterJoinStreams(Words.Stream(b), Others.Stream(b), "join", topology.Within(time.Second), orNone).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		for i := range 20 {
			at := topologytest.At("10:00").Add(time.Duration(i) * time.Minute)
			open(d, Words).SendAt(at, "k", fmt.Sprint("w", i))
			open(d, Others).SendAt(at.Add(time.Millisecond), "k", fmt.Sprint("o", i%3))
		}
		for i := range 20 {
			open(d, Others).SendAt(topologytest.At("11:00").Add(time.Duration(i)*time.Minute), "k", "alone")
		}
		open(d, Words).SendAt(topologytest.At("12:00"), "k", "last")
		got := open(d, Out).Values()
		if len(got) != 40 || got[0] != "w0+o0" || got[39] != "-+alone" {
			t.Errorf("%d results: %v", len(got), got)
		}
		d.Crash()
		for name, want := range map[string]int{"join-outer-this-join-store": 1, "join-outer-other-join-store": 1, "join-outer-shared-join-store": 1} {
			if n := topologytest.Count(d, name); n != want {
				t.Errorf("store %s has %d rows, want %d", name, n, want)
			}
		}
	}, b)
}

func TestSelfJoin(t *testing.T) {
	b := topology.New("self")
	words := Words.Stream(b)
	topology.JoinStreams(words, words, "pairs", topology.Between(0, time.Minute), plus).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		words := open(d, Words)
		words.Send("k", "a")
		words.Send("k", "b")
		words.SendAt(topologytest.At("00:02"), "k", "c")
		open(d, Out).Want("a+a", "a+b", "b+b", "c+c")
	}, b)
}

// A record with no key meets nobody.
func TestJoinStreamsNullKeys(t *testing.T) {
	b := topology.New("keyless")
	words, others := Words.Stream(b), Others.Stream(b)
	topology.JoinStreams(words, others, "inner", topology.Within(time.Minute), plus).To(Out)
	topology.LeftJoinStreams(words, others, "left", topology.Within(time.Minute), plusOr).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, Words).SendRaw(nil, []byte("a"))
		open(d, Others).SendRaw(nil, []byte("x"))
		open(d, Out).WantNone()
		open(d, Out2).Want("a+-")
		if n := d.Dropped("inner", topology.NullKey); n != 2 {
			t.Errorf("inner dropped %d, want 2", n)
		}
		if n := d.Dropped("left", topology.NullKey); n != 1 {
			t.Errorf("left dropped %d, want 1", n)
		}
	}, b)
}

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
