package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/internal/randomtopo"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// sent is one step of a random scenario.
type sent struct {
	topic, key, value string
	at                int64 // 0: the driver's time
}

// run runs a scenario and returns what came out: each topic's records by key, since there
// is no order between keys where there are several partitions, and the tables.
func run(t *testing.T, c topologytest.Config, b *topology.Builder, tables []string, steps []sent) string {
	d := c.New(t, b)
	var out strings.Builder
	topics := map[string]*topologytest.TopicHandle[string, string]{}
	for _, tp := range []topology.Topic[string, string]{Words, Others, Rows} {
		topics[tp.Name()] = topologytest.Topic(d, tp)
	}
	for _, s := range steps {
		switch h := topics[s.topic]; {
		case s.value == "":
			h.Delete(s.key)
		case s.at > 0:
			h.SendAt(topologytest.At("00:01").Add(0)+topology.Time(s.at), s.key, s.value)
		default:
			h.Send(s.key, s.value)
		}
	}
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, tp := range []topology.Topic[string, string]{Out, Out2} {
		if !strings.Contains(plan.Describe(topology.AsText), "to topic "+tp.Name()+"\n") {
			continue
		}
		var lines []string
		for _, r := range topologytest.Topic(d, tp).Records() {
			lines = append(lines, fmt.Sprintf("%s %s: %s @%d\n", tp.Name(), r.Key, r.Value, r.Time))
		}
		slices.SortStableFunc(lines, func(a, b string) int {
			return strings.Compare(a[:strings.IndexByte(a, ':')], b[:strings.IndexByte(b, ':')])
		})
		out.WriteString(strings.Join(lines, ""))
	}
	for _, name := range tables {
		fmt.Fprintf(&out, "table %s %v\n", name, topologytest.Table[string, string](d, name).Rows())
	}
	return out.String()
}

// Any topology gives the same, every way.
func TestRandomTopologiesEveryWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, tables, _ := randomtopo.Config{}.Draw(func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) })
		if plan, err := b.Build(); err != nil {
			rt.Fatal(err)
		} else {
			rt.Log(plan.Describe(topology.AsText))
		}
		var steps []sent
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			s := sent{
				topic: rapid.SampledFrom([]string{"words", "words", "others", "rows"}).Draw(rt, "topic"),
				key:   rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"),
				value: rapid.SampledFrom([]string{"x", "ya", "zab", "abcd", "c", ""}).Draw(rt, "value"),
			}
			if rapid.IntRange(0, 9).Draw(rt, "odd") == 0 {
				s.at = int64(rapid.IntRange(1, 50).Draw(rt, "at"))
			}
			steps = append(steps, s)
		}
		want := run(t, topologytest.Config{}, b, tables, steps)
		for _, c := range []topologytest.Config{
			{Batch: 100, CommitEvery: 100},
			{Batch: 2, CommitEvery: 3, CrashAfter: 4},
			{CrashAfter: 3, CommitEvery: 2},
			{Seed: 1 + rapid.Uint64Range(0, 1<<40).Draw(rt, "seed")},
			{Seed: 7, CrashAfter: 5},
			{Partitions: 4},
			{Partitions: 3, Seed: 5, CrashAfter: 7},
		} {
			if got := run(t, c, b, tables, steps); got != want {
				rt.Fatalf("%+v: got\n%s\nwant\n%s", c, got, want)
			}
		}
	})
}
