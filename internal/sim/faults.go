package sim

import (
	"errors"
	"strconv"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/statestore"
)

// faults decides what goes wrong, and when. What is drawn need not have an effect: a process that
// stands still may have had nothing to do. So a fault counts where it has one.
type faults struct {
	on     bool
	n      int // that had an effect
	began  map[fault]bool
	last   fault // that had an effect
	lastAt int   // at this step
}

// fault is what went wrong, and with whom.
type fault struct{ what, who string }

// begin plants a fault that has its effect later, if at all.
func (f *faults) begin(what, who string) {
	if f.began == nil {
		f.began = map[fault]bool{}
	}
	f.began[fault{what, who}] = true
}

// strikes is a fault with an effect at once.
func (f *faults) strikes(w *world, what, who string) {
	f.begin(what, who)
	f.took(w, what, who)
}

// took says that a fault has an effect now. It counts once, however long that lasts. What one stroke does
// in one step is one fault.
func (f *faults) took(w *world, what, who string) {
	x := fault{what, who}
	if f.began[x] {
		delete(f.began, x)
		f.n++
	}
	if f.last != x && f.last != (fault{}) && w.steps > f.lastAt && w.steps-f.lastAt < 10 {
		invariant.Sometimes("sim: two faults at once")
	}
	f.last, f.lastAt = x, w.steps
}

// fate is what becomes of a request.
type fate uint8

const (
	answered fate = iota
	requestLost
	requestLate
	requestRefused
	answerLost
	requestTwice // it is sent again, as no answer came, and both come in
)

// request draws the fate of one request.
func (f *faults) request(w *world) fate {
	if !f.on || !w.chance(22) {
		return answered
	}
	fate := min(fate(1+w.rng.IntN(8)), requestTwice)
	w.note("fate", "", int64(fate), 0)
	return fate
}

// strike lets something go wrong, now and then.
func (f *faults) strike(w *world) {
	if !f.on || !w.chance(w.set.faultEvery) {
		return
	}
	s := w.slots[w.rng.IntN(len(w.slots))]
	l := s.life
	if w.chance(16) {
		s.setClock()
		return
	}
	if l == nil {
		if s.startAt-w.now > day/2 && w.chance(2) {
			w.jump(day)
		}
		return
	}
	switch w.rng.IntN(16) {
	case 15:
		if !s.bad.struck {
			f.planRead(w, s)
		}
	case 0, 1, 2:
		l.crash()
		if w.reads(readGlobal) && w.chance(2) { // for longer than its rows are to be believed
			s.startAt = w.now + day
		}
		switch w.rng.IntN(16) {
		case 0, 1:
			w.note("disk lost", s.instance, 0, 0)
			_ = s.disk.Close()
			s.disk = w.newDisk()
		case 2:
			w.note("disk damaged", s.instance, 0, 0)
			s.damaged = true
			f.begin("disk damaged", s.instance)
		}
	case 3: // stands still, often for longer than its session
		l.until = w.now + core.Time(w.rng.IntN(int(time.Duration(3+12*w.rng.IntN(2))*w.set.session/time.Millisecond)))
		if l.still = 0; w.chance(2) {
			l.still, l.deaf = w.steps+w.rng.IntN(600), w.rng.IntN(100)
		}
		l.asked = w.chance(2)
		w.note("pause", s.instance, int64(l.until-w.now), 0)
		f.begin("pause", s.instance)
	case 4, 13:
		if l.member == nil {
			return
		}
		l.member.mute = w.now + core.Time(w.rng.IntN(int(3*w.set.session/time.Millisecond)))
		w.note("mute", s.instance, int64(l.member.mute-w.now), 0)
		f.begin("mute", s.instance)
	case 5:
		if g := w.kafka.group; len(g.seats) > 0 && !g.dirty {
			g.dirty = true
			f.strikes(w, "rebalance", "")
			w.note("rebalance asked", "", 0, 0)
		}
	case 6:
		w.kafka.down = w.now + core.Time(w.rng.IntN(int(2*w.set.txnTimeout/time.Millisecond)))
		w.note("coordinators down", "", int64(w.kafka.down-w.now), 0)
		f.begin("coordinators down", "")
	case 7:
		if l.st != nil && !l.leaving && l.st.Err() == nil {
			l.leave()
			f.strikes(w, "stop", s.instance)
		}
	case 8:
		w.clean()
	case 9:
		if l.st != nil {
			l.sick, l.wasSick = diskState(1+w.rng.IntN(2)), true
			w.note("disk", s.instance, int64(l.sick), 0)
			f.begin("disk", s.instance)
		}
	case 10, 14:
		by := core.Time(w.rng.IntN(60_000))
		if !w.chance(3) {
			by = day
		}
		w.jump(by)
	case 11:
		l.panics = 1 + w.rng.IntN(20)
		w.note("panic planted", s.instance, int64(l.panics), 0)
		f.begin("panic", s.instance)
	case 12: // down for long, or for more than a day
		l.crash()
		s.startAt = w.now + core.Time(w.rng.IntN(5000))
		if w.chance(2) {
			s.startAt = w.now + day
			s.setClock()
		}
	}
}

// day is more than topics keep tombstones.
const day = core.Time(25 * time.Hour / time.Millisecond)

// openTries is how often the shell begins to read a table anew before it gives up.
const openTries = 5

// jump sets the clock forward. What is to be cleaned is cleaned before and after.
func (w *world) jump(by core.Time) {
	w.clean()
	if w.now += by; by >= day {
		w.jumps++
	}
	w.faults.strikes(w, "clock", "")
	w.note("clock jumps", "", int64(by), 0)
	w.clean()
}

// user is called by the functions of some topologies: they panic where a fault says so.
func (w *world) user() {
	l := w.running
	if l == nil || l.panics == 0 {
		return
	}
	if l.panics--; l.panics == 0 {
		l.panicked = true
		w.faults.took(w, "panic", l.slot.instance)
		panic("a user function panics")
	}
}

// cleanable is the offset up to which a partition may be compacted: of sources what is consumed, of global
// tables what all processes have. A log whose compaction lags (min.compaction.lag.ms) keeps the versions of
// rows for a history and a day by the brokers' clock, of which stream time must not be farther behind than that day.
// Here clocks jump by days; so the lag is two histories, by the times of the records.
func (w *world) cleanable(t *topic, p *partition) core.Offset {
	to := p.end()
	switch {
	case w.isGlobal(t.Name):
		for _, x := range w.following(p.Partition) {
			to = min(to, x.next)
		}
		return to
	case !w.internal(t.Name):
		return w.kafka.offsets[p.Partition].Next
	}
	lag, err := strconv.ParseInt(t.Config["min.compaction.lag.ms"], 10, 64)
	if err != nil || w.bug("versions are compacted though they can be seen") {
		return to
	}
	history, newest := time.Duration(lag)*time.Millisecond-24*time.Hour, core.NoTime
	for o := range p.stable() {
		if e := &p.log[o]; e.committed() {
			newest = max(newest, e.rec.Time)
		}
	}
	for o := p.start; o < to; o++ {
		if e := &p.log[o]; e.committed() && newest.Sub(e.rec.Time) < 2*history {
			return o
		}
	}
	return to
}

// clean compacts what is to be compacted. Of sources it leaves what is not consumed yet.
func (w *world) clean() {
	for _, t := range w.kafka.sorted() {
		if !t.compacted() {
			continue
		}
		for _, p := range t.parts {
			to := w.cleanable(t, p)
			gone, changed := p.compact(w.now.Add(-24*time.Hour), w.now, to)
			if gone {
				invariant.Sometimes("sim: a tombstone is gone")
			}
			if changed {
				w.faults.strikes(w, "compaction", t.Name)
			}
			// Compaction leaves the first offset where it is. But topics of others may be cut off where all is gone already, by a policy that
			// they have for a while; a changelog of the application's own may not: see cutoff.
			if w.chance(3) && !w.internal(t.Name) {
				for p.start < min(to, p.stable()) && (p.log[p.start].gone || p.log[p.start].control) {
					p.start++
				}
			}
			w.note("compact", t.Name, int64(p.ID), 0)
		}
	}
}

// excuse reports whether a worker may stop with an error.
func (f *faults) excuse(l *life, err error) bool {
	switch {
	case l.slot.bad.excused(l.w, err):
		return true
	case l.slot.damaged && errors.Is(err, statestore.ErrCorrupt):
		invariant.Sometimes("sim: a worker stops since its store is damaged")
		return true
	case l.panicked && errors.Is(err, core.ErrPanic):
		invariant.Sometimes("sim: a worker stops since a user function panics")
		return true
	case l.w.jumps-l.jumps >= openTries && errors.Is(err, shell.ErrMismatch): // each try took longer than tombstones are kept
		return true
	case l.wasSick && (errors.Is(err, statestore.ErrFull) || errors.Is(err, statestore.ErrIO)):
		invariant.Sometimes("sim: a worker stops since its disk fails")
		return true
	}
	return errors.Is(err, errRefused) && f.n > 0
}

// stop ends all faults: from now on everything works.
func (f *faults) stop(w *world) {
	f.on = false
	clear(f.began)
	w.kafka.down = w.now
	for _, s := range w.slots {
		s.skew = skewMost // so that none waits for a time that another one has had
		s.startAt = min(s.startAt, w.now)
		if !s.bad.struck {
			s.bad = badRead{}
		}
		if l := s.life; l != nil {
			l.until, l.still, l.deaf = w.now, 0, 0
			l.sick, l.panics = diskFine, 0
			if l.member != nil {
				l.member.mute = w.now
			}
		}
	}
	w.note("calm", "", 0, 0)
}
