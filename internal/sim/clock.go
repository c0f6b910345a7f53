package sim

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Wall clocks. Each machine has its own, which is set now and then, mostly back. That of the brokers, and what processes measure
// time by, go on evenly (but for jumps of all of them, see jump). A task's ticks must never go back, nor may rows come back to
// life whose tombstones are gone, since local state seems to be younger than it is.

// skewMost is how far a machine's clock is ahead or behind at most: from one to the other is less than the eighth of a day
// that the product allows for.
const skewMost = core.Time(80 * time.Minute / time.Millisecond)

// wall is the machine's wall clock.
func (s *slot) wall() time.Time { return time.UnixMilli(int64(s.w.now + s.skew)) }

// setClock sets the machine's wall clock: by a second, a minute, or as far as it goes.
func (s *slot) setClock() {
	w := s.w
	by := []core.Time{1000, 60_000, 2 * skewMost, 2 * skewMost}[w.rng.IntN(4)]
	if !w.chance(4) {
		by = -by
	}
	was := s.skew
	if s.skew = min(skewMost, max(-skewMost, was+by)); s.skew == was {
		return
	}
	w.note("clock set", s.instance, int64(s.skew), int64(was))
	switch {
	case s.skew > was:
	case s.life == nil:
		invariant.Sometimes("sim: a clock is set back while no process runs")
	default:
		invariant.Sometimes("sim: a clock is set back while a process runs")
	}
	if s.life != nil {
		w.faults.strikes(w, "clock set", s.instance)
	}
}
