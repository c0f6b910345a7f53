package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	words  = topology.NewTopic("words", codec.String, codec.String)
	counts = topology.NewTopic("counts", codec.String, codec.Int64)
	closed = topology.NewTopic("closed", codec.String, codec.String)
)

// count counts words by their text, by way of a repartition topic. Each count from 1 up
// must come once and in order.
var count = scenario{
	name: "count",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		text := func(s string) string { w.user(); return s }
		topology.Count(topology.KeyBy(words.Stream(b), "by-word", text), "count").To(counts)
		return b
	},
	topics: func(w *world) { w.make("words", "counts") },
	next: func(w *world, n int, aborted bool) input {
		word := fmt.Sprint("w", w.rng.IntN(6))
		if aborted {
			word = "aborted"
		}
		return input{"words", fmt.Append(nil, n), []byte(word), epoch + core.Time(n), -1}
	},
	model: func(w *world) error {
		want := map[string]int64{}
		for _, r := range w.history("words") {
			want[string(r.Value)]++
		}
		got := map[string]int64{}
		for _, r := range w.history("counts") {
			k, n := string(r.Key), int64(binary.BigEndian.Uint64(r.Value))
			if got[k]++; n != got[k] {
				return fmt.Errorf("%s: %d comes where %d is next", k, n, got[k])
			}
		}
		for k, n := range want {
			if got[k] != n {
				return fmt.Errorf("%s: counted up to %d of %d", k, got[k], n)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("counted %v, there were %v", got, want)
		}
		return nil
	},
	says: "each word is counted from 1 up, once and in order",
}

const (
	windowSize  = 20
	windowGrace = 10
)

// windowResult is the result of a window that has closed.
type windowResult = topology.Record[topology.Windowed[string], int64]

func resultText(r windowResult) string {
	return fmt.Sprintf("%s@%d=%d", r.Key.Key, r.Key.Start, r.Value)
}

func keyOfResult(text string) string { k, _, _ := strings.Cut(text, "@"); return k }

// closedWindows are the results of those windows of a partition that have closed.
func closedWindows(p *partition) (results []string) {
	now, open := core.NoTime, map[core.Time]map[string]int{}
	for i := range p.log {
		e := &p.log[i]
		if !e.committed() {
			continue
		}
		now = max(now, e.rec.Time)
		if start := e.rec.Time - e.rec.Time%windowSize; start+windowSize > now-windowGrace {
			if open[start] == nil {
				open[start] = map[string]int{}
			}
			open[start][string(e.rec.Key)]++
		}
	}
	for start, keys := range open {
		if start+windowSize <= now-windowGrace {
			for k, n := range keys {
				results = append(results, fmt.Sprintf("%s@%d=%d", k, start, n))
			}
		}
	}
	return results
}

// windows counts in tumbling windows with grace, and passes on what is final.
var windows = scenario{
	name: "windows",
	build: func(*world) *topology.Builder {
		b := topology.New(app)
		w := words.Stream(b).Window(topology.Tumbling(windowSize * time.Millisecond).Grace(windowGrace * time.Millisecond))
		t := topology.Suppress(topology.Count(w, "per-window"), "final", topology.UntilClosed())
		topology.KeyBy(topology.Map(topology.Records(t.ToStream()), resultText), "by-key", keyOfResult).To(closed)
		return b
	},
	topics: func(w *world) { w.make("words", "closed") },
	next: func(w *world, n int, aborted bool) input {
		at := 1000 + 3*n - w.rng.IntN(40)
		if w.chance(30) {
			at += 100
		}
		v := "x"
		if aborted {
			v, at = "aborted", at+5000
		}
		return input{"words", fmt.Append(nil, "k", w.rng.IntN(4)), []byte(v), epoch + core.Time(at), -1}
	},
	model: func(w *world) error {
		var want []string
		for _, p := range w.kafka.topics["words"].parts {
			want = append(want, closedWindows(p)...)
		}
		return sameValues(w.history("closed"), want)
	},
	says: "each window that has closed has one result, which counts what came before it closed",
}

// sameValues compares values, each as often as it is there, in any order.
func sameValues(got []core.RawRecord, want []string) error {
	var vs []string
	for _, r := range got {
		vs = append(vs, string(r.Value))
	}
	return sameTexts(vs, want)
}

// sameTexts is the same of what stands for records.
func sameTexts(got, want []string) error {
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("there is\n%s\nand the model says\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}
