package shell

import (
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// The wall clock may be set back while a process runs, or between two of them, and stand still as seen by Go while a machine
// sleeps. So what a process measures goes by both of Go's clocks; and what lies between two processes, which only
// the wall clock knows, has some slack.

// elapsed is how long ago since was: the longer of what the wall clock says, which may have been set, and the monotonic one,
// which on Linux stands still while the machine sleeps. (No test can set one of them alone.)
func elapsed(now, since time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// clockSlack is the part of the time for which tombstones are kept by which clocks may have been set back in it: an eighth,
// 3 of 24 hours.
const clockSlack = 8

// tooOld reports whether rows of this age may miss tombstones that are gone: they are kept for keeps. Of rows that
// are of a time to come nothing is known: the clock was wrong then, or is now.
func tooOld(age, keeps time.Duration) bool {
	if invariant.Bug("a clock that was set back is believed") {
		return age > keeps
	}
	slack := keeps / clockSlack
	return age > keeps-slack || age < -slack
}

// arrives is the wall clock's time for what arrives now: ticks, and records of sources that go by it. It never goes back: where
// the clock is set back, it stands still until the clock is there again.
func (w *worker) arrives() core.Time {
	now := core.Time(w.cfg.Now().UnixMilli())
	if now < w.arrived {
		invariant.Sometimes("shell: records or ticks come by a clock that was set back")
	}
	w.arrived = max(w.arrived, now)
	return w.arrived
}
