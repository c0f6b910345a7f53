package sim

import (
	"fmt"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/randomtopo"
	"github.com/seed-81380e12/limpet/topology"
)

// random is a topology of random operators. What must come of it only its second run says.
var random = scenario{
	name: "random",
	build: func(w *world) *topology.Builder {
		b, _ := randomtopo.Config{InOrder: true, Drawn: func(name string) { w.drawn = append(w.drawn, name) }}.Draw(func(n int, _ string) int { return w.rng.IntN(n) })
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
		return input{topic, fmt.Append(nil, string(rune('a'+w.rng.IntN(4)))), v, epoch + core.Time(at), -1}
	},
}
