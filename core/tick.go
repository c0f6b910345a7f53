package core

import (
	"cmp"
	"slices"
	"time"
)

// Time that moves without records: ticks of the wall clock, and operators' time that is
// moved on. Both are inputs, like records.

// Tick tells the task the wall clock's time. It is an input like a record: the task
// has no other clock. A time that is not behind the last tick's is nothing new. Wall timers
// that are due go off; and where AdvanceIdle says so, a task that had nothing to read for
// that long moves its operators' time on.
//
// A task whose Ticks reports true must get a tick before its first record, also after an
// Abort, and then regularly.
func (t *Task) Tick(now Time) (err error) {
	if t.failed != nil {
		return t.failed
	}
	if now < t.times.wall {
		t.sometimes("core: a tick is before the last one")
	}
	if now > t.times.wall || planted("ticks go back with the clock") {
		t.times.wall = now
		t.sayGlobals()
		t.tx.c.decide(Ticked, int64(now))
		defer t.recovered(&err)
		t.noRecord(Ticked, now)
		for _, tick := range t.ticks {
			if tick.do(&t.tx); t.tx.err != nil {
				return t.stop(t.tx.err)
			}
		}
		t.settled()
	}
	switch {
	case t.idleAfter == 0 || now < t.times.wall:
		return nil
	case !t.caughtUp():
		t.idleSince = NoTime
	case t.stepped || t.idleSince == NoTime:
		t.idleSince = now
	case now-t.idleSince >= t.idleAfter:
		t.sometimes("core: nothing has come for long, and time moves on")
		return t.Pass(now - t.idleAfter)
	}
	t.stepped = false
	return nil
}

// Ticks reports whether the task must be told the wall clock's time.
func (t *Task) Ticks() bool { return len(t.ticks) > 0 || t.idleAfter > 0 }

// AdvanceIdle lets ticks move the operators' time on when the task has read all there is,
// and nothing has come for d: to d before the tick. d is in whole milliseconds, more than 0.
func (t *Task) AdvanceIdle(d time.Duration) { t.idleAfter = Ms(d) }

// Pass tells the task that what comes from now on is not older than a time: all operators'
// times move there, and what is due then happens, as if a record of that time had reached
// each of them. It is an input like a record. Older records that come all the same are late.
func (t *Task) Pass(to Time) (err error) {
	if t.failed != nil {
		return t.failed
	}
	if to <= t.passed {
		return nil
	}
	t.passed = to
	t.sayGlobals()
	t.tx.c.decide(Passed, int64(to))
	defer t.recovered(&err)
	t.noRecord(Passed, to)
	for _, c := range t.clocks { // who makes records for another one comes before it
		if c.moveOn(&t.tx, to); t.tx.err != nil {
			return t.stop(t.tx.err)
		}
	}
	t.settled()
	return nil
}

// onTick is what an operator does at a tick.
type onTick struct {
	clock int // the place of its clock in the task: these are in the order of the data
	do    func(*Tx)
}

// onTick adds what the operator with a clock does at each tick.
func (t *Task) onTick(clock *Clock, do func(*Tx)) {
	t.ticks = append(t.ticks, onTick{slices.Index(t.clocks, clock), do})
	slices.SortStableFunc(t.ticks, func(a, b onTick) int { return cmp.Compare(a.clock, b.clock) })
}

// noRecord says that what is done now is done for no record, but for an input of that kind, which tells a time.
func (t *Task) noRecord(kind SourceID, at Time) {
	t.tx.source, t.tx.offset, t.tx.at, t.tx.index, t.tx.nullKey = kind, noOffset, at, 0, false
}

// caughtUp reports whether the task has read all there is, as far as the log is known.
func (t *Task) caughtUp() bool {
	for i := range t.sources {
		if s := &t.sources[i]; len(s.queue) > 0 || !s.caughtUp {
			return false
		}
	}
	return true
}
