package core

// Clock is the time of one operator: the greatest time of the records that it took for
// processing. What is late and what has closed is decided by it. It is part of the
// committed state, so a restart changes none of these decisions.
type Clock struct {
	hash          uint32
	at, committed Time
}

// firstClock is where the clocks begin in Commit.Times.
const firstClock = 2

// NewClock adds the clock of the operator with a name to t. No two operators with a clock
// may have names of the same ClockHash.
func NewClock(t *Task, name string) *Clock {
	c := &Clock{hash: ClockHash(name), at: NoTime}
	for i := firstClock; i+1 < len(t.cfg.Times); i += 2 {
		if Time(c.hash) == t.cfg.Times[i] {
			c.at = t.cfg.Times[i+1]
		}
	}
	c.committed = c.at
	t.clocks = append(t.clocks, c)
	return c
}

// ClockHash is what stands for an operator's name in Commit.Times: its 32-bit FNV-1a hash.
func ClockHash(name string) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h
}

// move moves the clock on, never back.
func (c *Clock) move(at Time) { c.at = max(c.at, at) }

// plus is t + d, or the greatest time where that lies beyond.
func (t Time) plus(d Time) Time {
	if t > 0 && d > maxTime-t {
		return maxTime
	}
	return t + d
}
