package sim

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// traceLast is how many events a failure shows.
const traceLast = 120

// trace remembers the last events and a hash of all of them.
type trace struct {
	last []event
	n    int
	hash uint64
}

// event is one thing that happened. Text is made of it only where it is shown.
type event struct {
	step int
	now  core.Time
	what string
	who  string
	a, b int64
}

const fnvPrime = 1099511628211

// note adds an event to the trace.
func (w *world) note(what, who string, a, b int64) {
	t := &w.trace
	t.last[t.n%len(t.last)] = event{w.steps, w.now, what, who, a, b}
	t.n++
	h := t.hash
	if h == 0 {
		h = fnv.New64a().Sum64()
	}
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * fnvPrime
	}
	for i := range len(who) {
		h = (h ^ uint64(who[i])) * fnvPrime
	}
	for _, v := range [...]uint64{uint64(a), uint64(b), uint64(w.now), uint64(w.steps)} {
		h = (h ^ v) * fnvPrime
		h ^= h >> 29
	}
	t.hash = h
}

func (t *trace) String() string {
	var b strings.Builder
	for i := max(0, t.n-len(t.last)); i < t.n; i++ {
		e := &t.last[i%len(t.last)]
		fmt.Fprintf(&b, "%6d +%-6d %-18s %-40s %d %d\n", e.step, e.now-epoch, e.what, e.who, e.a, e.b)
	}
	return b.String()
}
