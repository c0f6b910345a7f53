package core

// Clock is the time of one operator: the greatest time of the records that it took for
// processing. What is late and what has closed is decided by it. It is part of the
// committed state, so a restart changes none of these decisions.
type Clock struct {
	t             *Task
	hash          uint32
	at, committed Time
	clean         Time // as of Task.clean: later than committed behind a commit that is written nowhere
	pass          []onPass
}

// firstClock is where the clocks begin in Commit.Times.
const firstClock = 2

// NewClock adds the clock of the operator with a name to t. No two operators with a clock
// may have names of the same ClockHash.
func NewClock(t *Task, name string) *Clock {
	c := &Clock{t: t, hash: ClockHash(name), at: NoTime}
	for i := firstClock; i+1 < len(t.cfg.Times); i += 2 {
		if Time(c.hash) == t.cfg.Times[i] {
			c.at = t.cfg.Times[i+1]
		}
	}
	c.committed, c.clean = c.at, c.at
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

// onPass is what is done when the operator's time is moved on without a record: load gets
// ready while it is still the old one, and reports false where that failed; due does what is
// due then.
type onPass struct {
	load func(*Tx) bool
	due  func(*Tx)
}

func (c *Clock) onPass(load func(*Tx) bool, due func(*Tx)) {
	c.pass = append(c.pass, onPass{load, due})
}

// moveOn moves the clock on without a record.
func (c *Clock) moveOn(tx *Tx, to Time) {
	if to <= c.at {
		return
	}
	for _, p := range c.pass {
		if !p.load(tx) {
			return
		}
	}
	if len(c.pass) > 0 {
		c.move(to)
	}
	for _, p := range c.pass {
		if p.due(tx); tx.err != nil {
			return
		}
	}
}

// move moves the clock on, never back.
func (c *Clock) move(at Time) {
	if at > c.at {
		c.at = at
		c.t.writes++
		c.t.hard = true
	}
}

// plus is t + d, or the greatest time where that lies beyond.
func (t Time) plus(d Time) Time {
	if t > 0 && d > maxTime-t {
		return maxTime
	}
	return t + d
}
