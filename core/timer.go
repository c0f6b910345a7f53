package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Timers of processors: for each key and timer of the user's ports there is at most one
// alarm, which is a row. They are in a table of their own; in memory is an index of them
// by time.

// Timer is a port: an alarm for the key in hand, in stream time. What it is set to is
// state: it survives crashes. When the processor's time reaches it, its step runs for that
// key, once. Stream time moves with records only, unless the topology says AdvanceIdle.
type Timer struct {
	_ noCopy
	a alarm
}

// WallTimer is a port: an alarm for the key in hand by the wall clock, whose ticks are
// inputs of the task. It goes off at the first tick at or behind its time; one whose time
// came while nothing ran goes off at the first tick after the start.
type WallTimer struct {
	_ noCopy
	a alarm
}

// alarm is what a step did with a timer: the last call counts.
type alarm struct {
	do alarmDo
	in time.Duration
	at Time
}

type alarmDo uint8

const (
	alarmNone alarmDo = iota
	alarmIn
	alarmAt
	alarmCancel
)

// In sets the alarm to d after the time of the record in hand, or of the alarm that went
// off, in place of what it was set to. In the step of a wall timer it is d after the
// processor's stream time; or after the wall timer's alarm, where there is no stream time,
// since the group's offsets were lost and the state was not. d is cut to whole milliseconds.
func (t *Timer) In(d time.Duration) { t.a = alarm{do: alarmIn, in: d} }

// At sets the alarm to a time, in place of what it was set to. A time that has passed goes
// off behind the record in hand.
func (t *Timer) At(at Time) { t.a = alarm{do: alarmAt, at: at} }

// Cancel takes the alarm back, if it is set.
func (t *Timer) Cancel() { t.a = alarm{do: alarmCancel} }

// String is what a step did with the timer, for tests: "", "in 10m0s", "at 1000" (in ms),
// "cancelled".
func (t *Timer) String() string { return t.a.String() }

// In sets the alarm to d after the last tick, in place of what it was set to. d is cut to
// whole milliseconds.
func (t *WallTimer) In(d time.Duration) { t.a = alarm{do: alarmIn, in: d} }

// At sets the alarm to a time, in place of what it was set to. A time that has passed goes
// off at the next tick.
func (t *WallTimer) At(at Time) { t.a = alarm{do: alarmAt, at: at} }

// Cancel takes the alarm back, if it is set.
func (t *WallTimer) Cancel() { t.a = alarm{do: alarmCancel} }

// String is what a step did with the timer, for tests: as that of Timer.
func (t *WallTimer) String() string { return t.a.String() }

func (a alarm) String() string {
	switch a.do {
	case alarmIn:
		return "in " + a.in.String()
	case alarmAt:
		return fmt.Sprintf("at %d", a.at)
	case alarmCancel:
		return "cancelled"
	}
	return ""
}

// AnyTimer is a *Timer or a *WallTimer.
type AnyTimer interface {
	Port
	alarm() *alarm
	wall() bool
}

func (t *Timer) isPort()           {}
func (t *Timer) alarm() *alarm     { return &t.a }
func (t *Timer) wall() bool        { return false }
func (t *WallTimer) isPort()       {}
func (t *WallTimer) alarm() *alarm { return &t.a }
func (t *WallTimer) wall() bool    { return true }

// TimerKey is the key of an alarm: the timer, by its place among the names of the
// processor's timers, and the processor's key.
type TimerKey[K comparable] struct {
	Timer int32
	Key   K
}

// TimerKeyCodec writes the length of the timer's name as a uvarint, the name and the key.
type TimerKeyCodec[K comparable] struct {
	Names []string // in order
	Key   Codec[K]
}

// Append implements Codec.
func (c TimerKeyCodec[K]) Append(dst []byte, k TimerKey[K]) ([]byte, error) {
	name := c.Names[k.Timer]
	return c.Key.Append(append(binary.AppendUvarint(dst, uint64(len(name))), name...), k.Key)
}

// Decode implements Codec. A name that the processor does not have is an error: the alarm
// would never go off.
func (c TimerKeyCodec[K]) Decode(src []byte) (k TimerKey[K], err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n > uint64(len(src)-size) {
		return k, Malformed(0, "key of a timer: its name is cut short: %q", src)
	}
	name, key := string(src[size:size+int(n)]), src[size+int(n):]
	i, ok := slices.BinarySearch(c.Names, name)
	if !ok {
		return k, Malformed(size, "timer %q is set, and the processor has only: %s. A timer may be taken out of the ports when none is set", name, strings.Join(c.Names, ", "))
	}
	k.Timer = int32(i)
	k.Key, err = c.Key.Decode(key)
	return k, MalformedPart(size+int(n), "key of a timer", err)
}

// Alarm is when a timer goes off, and the headers of the record that set it: what comes of
// the alarm has them too.
type Alarm struct {
	At      Time
	Headers Headers
}

// AlarmCodec writes 8 bytes of time and the headers.
type AlarmCodec struct{}

// Append implements Codec.
func (AlarmCodec) Append(dst []byte, a Alarm) ([]byte, error) {
	return append(binary.BigEndian.AppendUint64(dst, uint64(a.At)), a.Headers.Raw()...), nil
}

// Decode implements Codec.
func (AlarmCodec) Decode(src []byte) (a Alarm, err error) {
	if len(src) < 8 {
		return a, Malformed(len(src), "alarm: %d bytes where 8 or more were expected", len(src))
	}
	a.At = Time(binary.BigEndian.Uint64(src))
	if len(src) > 8 {
		a.Headers = HeadersOf(append([]byte(nil), src[8:]...))
	}
	return a, nil
}

// alarmOrder writes keys so that they sort by the processor's key, then by the timer: zeros
// in the key are escaped, so that no key looks like the beginning of another.
type alarmOrder[K comparable] struct{ key Codec[K] }

func (c alarmOrder[K]) Append(dst []byte, k TimerKey[K]) ([]byte, error) {
	from := len(dst)
	dst, err := c.key.Append(dst, k.Key)
	if err != nil {
		return nil, err
	}
	for i := from; i < len(dst); i++ {
		if dst[i] == 0 {
			dst = slices.Insert(dst, i+1, 0xff)
			i++
		}
	}
	return binary.BigEndian.AppendUint32(append(dst, 0, 0), uint32(k.Timer)), nil
}

func (alarmOrder[K]) Decode([]byte) (k TimerKey[K], err error) { return k, nil }

// Timers are the alarms of a processor.
type Timers[K comparable] struct {
	n     NodeID
	tb    *Table[TimerKey[K], Alarm]
	clock *Clock
	most  int
	kind  []int                            // by timer: streamTimer or wallTimer
	steps []NodeID                         // by timer
	fire  []func(*Tx, Record[K, struct{}]) // by timer
	// due has the alarms by time, of stream timers and of wall timers. Each alarm has an
	// entry with its time or, where it was set anew, an earlier one. Others are stale.
	due    [2]due[TimerKey[K]]
	set    int // how many alarms are set
	loaded bool
	ticks  bool // there are wall timers
	// base is what In counts from, by kind of timer; and least is the least time that an
	// alarm may be set to: one that sets itself again must not go off for ever.
	base, least [2]Time
}

const streamTimer, wallTimer = 0, 1

// NewTimers makes the timers of a processor, whose alarms are the rows of tb. At most so
// many alarms may be set at a time: the index takes about 60 bytes and the key for each.
func NewTimers[K comparable](t *Task, n NodeID, tb *Table[TimerKey[K], Alarm], kc Codec[K], clock *Clock, names, most int) *Timers[K] {
	ts := &Timers[K]{n: n, tb: tb, clock: clock, most: most, kind: make([]int, names), steps: make([]NodeID, names), fire: make([]func(*Tx, Record[K, struct{}]), names)}
	ts.due[streamTimer].kc, ts.due[wallTimer].kc = alarmOrder[K]{kc}, alarmOrder[K]{kc}
	tb.short, tb.aborted = true, func() { ts.loaded = false }
	clock.onPass(ts.load, func(tx *Tx) { ts.run(tx, streamTimer, clock.at) })
	return ts
}

// load makes the index of the committed alarms, as Windows does.
func (ts *Timers[K]) load(tx *Tx) bool {
	if ts.loaded {
		return true
	}
	ts.due[streamTimer].clear()
	ts.due[wallTimer].clear()
	ts.set = 0
	var bad error
	err := ts.tb.view.Scan(nil, nil, func(key, value []byte, _ Time) bool {
		k, err := ts.tb.kc.Decode(key)
		a, err2 := ts.tb.vc.Decode(value)
		if err == nil {
			err = err2
		}
		if err != nil {
			bad = fmt.Errorf("%w: stored timer: %w", ErrDecode, err)
			return false
		}
		ts.set++
		ts.due[ts.kind[k.Timer]].push(dueKey[TimerKey[K]]{at: a.At, key: k})
		return true
	})
	if err != nil {
		bad = fmt.Errorf("%w: %w", ErrState, err)
	}
	if ts.loaded = bad == nil; !ts.loaded {
		tx.fail(ts.tb.node, bad)
	}
	return ts.loaded
}

// begin gets ready for a record and moves the clock.
func (ts *Timers[K]) begin(tx *Tx, at Time) bool {
	if !ts.load(tx) {
		return false
	}
	ts.clock.move(at)
	ts.base, ts.least = [2]Time{at, tx.t.times.wall}, [2]Time{}
	return true
}

// timerPort is the machine's end of a Timer or WallTimer.
type timerPort[K comparable] struct {
	ts    *Timers[K]
	timer int32
	a     *alarm
}

func (p *timerPort[K]) begin(*Tx, NodeID, K) { *p.a = alarm{} }
func (p *timerPort[K]) rejected() error      { return nil }

// end does what the step has done with the timer.
func (p *timerPort[K]) end(tx *Tx, n NodeID, r Record[K, struct{}]) {
	if p.a.do == alarmNone || tx.err != nil {
		return
	}
	ts, k := p.ts, TimerKey[K]{p.timer, r.Key}
	kind := ts.kind[p.timer]
	at := p.a.at
	switch p.a.do {
	case alarmCancel:
		ts.cancel(tx, k, r.Time)
		return
	case alarmIn:
		if ts.base[kind] == NoTime {
			tx.fail(n, fmt.Errorf("%w: WallTimer.In before the first tick", ErrInput))
			return
		}
		at = max(0, ts.base[kind].plus(Ms(p.a.in)))
	case alarmAt:
		if at < 0 {
			tx.fail(n, fmt.Errorf("%w: %d, of At of a timer", ErrTime, at))
			return
		}
	}
	ts.put(tx, k, max(at, ts.least[kind]), r)
}

// put sets an alarm.
func (ts *Timers[K]) put(tx *Tx, k TimerKey[K], at Time, r Record[K, struct{}]) {
	i := ts.tb.find(tx, k)
	if i < 0 {
		return
	}
	c, q := &ts.tb.cells[i], &ts.due[ts.kind[k.Timer]]
	switch {
	case !c.ok && ts.set >= ts.most:
		tx.fail(ts.n, fmt.Errorf("%w: %d timers are set, more must not be: cancel those that are not needed any more, or allow more with MaxTimers", ErrFull, ts.set))
		return
	case !c.ok:
		ts.set++
		q.push(dueKey[TimerKey[K]]{at: at, key: k})
	case at < c.val.At:
		q.push(dueKey[TimerKey[K]]{at: at, key: k})
	}
	ts.tb.put(i, Alarm{At: at, Headers: r.Headers.own()}, r.Time)
	ts.trim(tx)
}

// cancel takes an alarm back. Its entry in the index comes later, and finds nothing.
func (ts *Timers[K]) cancel(tx *Tx, k TimerKey[K], at Time) {
	i := ts.tb.find(tx, k)
	if i < 0 || !ts.tb.cells[i].ok {
		return
	}
	ts.tb.delete(i, at)
	ts.set--
	ts.trim(tx)
}

// run lets the alarms of a kind go off that are due at now: by time, then by the bytes of
// the key, then by name. What their steps set is among them, if it is due.
func (ts *Timers[K]) run(tx *Tx, kind int, now Time) {
	q, had := &ts.due[kind], tx.nullKey
	for tx.nullKey = false; tx.err == nil && len(q.list) > 0 && q.list[0].at <= now; {
		e := q.pop()
		i := ts.tb.find(tx, e.key)
		if i < 0 {
			break
		}
		c := &ts.tb.cells[i]
		if !c.ok || c.val.At < e.at {
			continue // stale
		}
		if c.val.At > e.at { // set anew, to a later time
			e.at = c.val.At
			q.push(e)
			continue
		}
		a := c.val
		ts.tb.delete(i, a.At)
		ts.set--
		ts.base, ts.least = [2]Time{a.At, tx.t.times.wall}, [2]Time{a.At.plus(1), 0}
		if kind == wallTimer {
			// Without a stream time the base is the alarm's, as above: a task that fails
			// here would fail at each start until a record comes.
			if ts.clock.at != NoTime && !planted("what a wall timer sets counts from its alarm") {
				ts.base[streamTimer] = ts.clock.at
			}
			ts.least = [2]Time{0, tx.t.times.wall + 1}
		}
		if outer, ok := tx.letGo(); ok {
			ts.fire[e.key.Timer](tx, Record[K, struct{}]{Key: e.key.Key, Time: a.At, Headers: a.Headers})
			tx.within = outer
		} else {
			leaveOut(tx, ts.steps[e.key.Timer], ts.tb, e.key, a, a.At, a.Headers)
		}
	}
	tx.nullKey = had
}

// trim drops the stale entries of the index when they are most of it.
func (ts *Timers[K]) trim(tx *Tx) {
	if len(ts.due[streamTimer].list)+len(ts.due[wallTimer].list) <= 2*ts.set+1024 {
		return
	}
	for kind := range ts.due {
		q := &ts.due[kind]
		kept := q.list[:0]
		for _, e := range q.list {
			i := ts.tb.find(tx, e.key)
			if i < 0 {
				return
			}
			if c := &ts.tb.cells[i]; c.ok && c.val.At >= e.at {
				e.at = c.val.At
				kept = append(kept, e)
			}
		}
		slices.SortFunc(kept, func(a, b dueKey[TimerKey[K]]) int { // what is sorted is a heap
			switch {
			case q.less(&a, &b):
				return -1
			case q.less(&b, &a):
				return 1
			}
			return 0
		})
		kept = slices.Compact(kept)
		clear(q.list[len(kept):])
		q.list = kept
	}
}

// AddTimer connects a timer of the ports: step runs when it goes off, with the key's state.
// timer is the place of its name among those of the processor's timers. done and changed
// are as for ProcessPorts, n is the step's node.
func AddTimer[K comparable, S, P any](t *Task, n NodeID, ps *Ports[K, P], ts *Timers[K], timer int, user AnyTimer, tb *Table[K, S], step func(S, *P) S, done func(S) bool, changed Next[K, Change[S]]) {
	ps.timers = ts
	ps.ports = append(ps.ports, &timerPort[K]{ts, int32(timer), user.alarm()})
	if user.wall() {
		ts.kind[timer] = wallTimer
		if !ts.ticks {
			ts.ticks = true
			t.onTick(ts.clock, ts.tick)
		}
	}
	ts.steps[timer] = n
	ts.fire[timer] = func(tx *Tx, r Record[K, struct{}]) {
		if tb.expiry != nil && !tb.expiry.begin(tx, ts.clock.at) {
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		ps.begin(tx, n, &r)
		s := step(tb.cells[i].val, ps.User)
		finish(tx, n, tb, i, ps, s, done, r, changed)
	}
}

// tick lets the wall timers go off that are due, and stream timers that these have set to a
// time that has passed.
func (ts *Timers[K]) tick(tx *Tx) {
	if ts.load(tx) && !planted("wall timers never go off") {
		ts.run(tx, wallTimer, tx.t.times.wall)
		ts.run(tx, streamTimer, ts.clock.at)
	}
}
