package sim

import (
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/randomtopo"
	"github.com/seed-81380e12/limpet/topology"
)

// random is a topology of random operators. What must come of it only its second run says.
var random = scenario{
	name: "random",
	build: func(w *world) *topology.Builder {
		b, _ := randomtopo.Config{InOrder: true}.Draw(func(n int, _ string) int { return w.rng.IntN(n) })
		return b
	},
	topics: func(w *world) {
		w.makeCompacted("rows")
		w.make("words", "others", "out", "out2")
	},
	next: func(w *world, n int, aborted bool) input {
		topic := []string{"words", "words", "others", "rows"}[w.rng.IntN(4)]
		v := []byte([]string{"x", "ya", "zab", "abcd", "c"}[w.rng.IntN(5)])
		switch {
		case topic == "rows" && w.chance(5):
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
