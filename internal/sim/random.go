package sim

import (
	"fmt"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/randomtopo"
	"github.com/seed-81380e12/limpet/topology"
)

// randomEvery is which seeds have a random topology, if they choose.
const randomEvery = 4

// random is a topology of random operators, which package plain computes, too.
var random = scenario{
	name: "random",
	build: func(w *world) *topology.Builder {
		next := func(n int) int { return int(w.opt.Seed / randomEvery % uint64(n)) } // so that each comes in its turn
		b, _, model := randomtopo.Config{InOrder: true, Drawn: func(name string) { w.drawn = append(w.drawn, name) }}.Draw(func(n int, what string) int {
			drawn := w.rng.IntN(n)
			if what == "operator" && next != nil {
				drawn, next = next(n), nil
			}
			return drawn
		})
		w.model = model
		return b
	},
	topics: func(w *world) {
		w.makeCompacted("rows", "globals")
		w.make("words", "others", "versions", "out", "out2")
	},
	next: func(w *world, n int, aborted bool) input {
		topics := []string{"words", "words", "others", "rows"}
		if w.isGlobal("globals") {
			topics = append(topics, "globals")
		}
		if slices.Contains(w.drawn, "VersionedTable") {
			topics = append(topics, "versions")
		}
		topic := topics[w.rng.IntN(len(topics))]
		v := []byte([]string{"x", "ya", "zab", "abcd", "c"}[w.rng.IntN(5)])
		switch {
		case topic != "words" && topic != "others" && w.chance(5):
			v = nil
		case aborted:
			v = []byte("aborted")
		}
		at := n
		if w.chance(10) {
			at = w.rng.IntN(n + 50)
		}
		key := fmt.Append(nil, string(rune('a'+w.rng.IntN(4))))
		if (topic == "words" || topic == "others") && w.chance(30) {
			key = nil
		}
		return input{topic, key, v, epoch + core.Time(at), -1}
	},
	model: plainRows,
	says:  "what each transaction writes to outputs and repartition topics is what a plain interpreter writes that shares nothing with the core, record by record, and at the end tables have its rows",
}
