package sim

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/plain"
)

// Options say what to run.
type Options struct {
	Seed     uint64
	Scenario string // the topology; "": the seed chooses
	Bug      string // a mistake that is planted in the simulated parts; see Bugs
	// Pebble keeps the state in the real store, which else only some seeds do.
	Pebble bool
	// Calm runs without faults.
	Calm bool
	// Trace is how many of the last events Result.Trace has, of a run that finds nothing too.
	// 0: some, where something is wrong.
	Trace int
}

// Result is what became of a run.
type Result struct {
	Seed     uint64
	Scenario string
	Err      error  // what is wrong, a *CheckError; nil: nothing
	Trace    string // the last events, where something is
	Hash     uint64 // of all events
	Steps    int
	Commits  int // transactions
	Crashes  int
	Faults   int // crashes too
	Records  int // input
	// Operators are those of a random topology, by their names in docs/operators.md.
	Operators []string
}

// world is one run.
type world struct {
	opt      Options
	rng      *rand.Rand
	now      core.Time
	steps    int
	trace    trace
	routines []*routine
	cur      *routine // that runs now; nil: the world itself

	set         setup
	kafka       *kafka
	slots       []*slot
	feeder      *feeder
	check       *checker
	faults      faults
	deletion    deletion
	retention   retention
	quiet       quiet
	release     release
	cutoff      cutoff
	err         *CheckError
	acts        []action
	crashes     int
	lives       int
	jumps       int       // of the clock, by a day
	running     *life     // whose worker steps
	deadLetters bool      // of the scenarios poison and held: what fails goes there
	waits       core.Time // of the prices scenario: how long a sale waits
	refuses     int       // of the saga: a service refuses one in so many commands
	drawn       []string  // operators of a random topology
	scenario    *scenario
	model       *plain.Topology // of a random topology, and of foreign; nil: none
	floor       map[string]int  // of the email scenario: what an order must see at least
}

// setup are the seed's choices for the whole run.
type setup struct {
	partitions  int32
	processes   int
	nodes       int // that lead partitions
	commitEvery time.Duration
	commitBytes int
	bufferBytes int
	cacheBytes  int
	records     int // input
	batch       int // most records of a partition in one fetch
	restore     int // records that a restore applies at once
	stepRecords int
	flush       int           // one in so many Applies is followed by a flush
	session     time.Duration // after which a member that is silent is dropped
	txnTimeout  time.Duration
	coarse      bool // one effect for all partitions of a produce
	mutation    bool
	abortedFeed int // one in so many of the feeder's transactions is aborted; 0: none
	faultEvery  int // steps, about
	purgeEvery  time.Duration
	pebble      bool // the state lies in the real store
}

// routine is a coroutine: something that blocks in production.
type routine struct {
	name  string
	life  *life // whose it is; nil: the cluster's
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	ready func() bool // nil: it can go on
	done  bool
	waits bool // for as long as its process runs
}

// killed unwinds a routine whose process has crashed.
type killed struct{}

// spawn begins a routine; it first runs when it is chosen.
func (w *world) spawn(l *life, name string, f func()) {
	r := &routine{name: name, life: l}
	r.next, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		r.yield = yield
		defer func() {
			switch p := recover(); p.(type) {
			case nil, killed:
			default:
				w.failf(checkPanic, "panic in %s: %v\n%s", name, p, debug.Stack())
			}
		}()
		f()
	})
	w.routines = append(w.routines, r)
}

// wait stands still until the world lets the routine go on, which it does not before
// ready says so; nil is at any time. In a process that has crashed it returns at once:
// its deferred functions run, and have no effect.
func (w *world) wait(ready func() bool) {
	r := w.cur
	if r == nil {
		panic("sim: a port was called that may block, outside of a routine")
	}
	if r.life != nil && r.life.dead {
		return
	}
	r.ready = ready
	if !r.yield(struct{}{}) {
		panic(killed{})
	}
	r.ready = nil
}

// resume lets a routine run up to its next wait.
func (w *world) resume(r *routine) {
	w.cur = r
	_, more := r.next()
	w.cur = nil
	if !more {
		r.done = true
		w.sweep()
	}
}

// kill ends the routines of a process where they stand.
func (w *world) kill(l *life) {
	was := w.cur
	for _, r := range w.routines {
		if r.life == l && !r.done {
			w.cur = r
			r.stop()
			r.done = true
		}
	}
	w.cur = was
	w.sweep()
}

func (w *world) sweep() {
	w.routines = slices.DeleteFunc(w.routines, func(r *routine) bool { return r.done })
}

// failf says what a check has found. The first find of a run counts, and ends it.
func (w *world) failf(c Check, format string, args ...any) {
	if w.err == nil {
		w.err = &CheckError{c, fmt.Errorf(format, args...)}
		w.note("FAILED", w.err.Error(), 0, 0)
	}
}

func (w *world) clock() time.Time { return time.UnixMilli(int64(w.now)) }

// chance is true once in n times.
func (w *world) chance(n int) bool { return n > 0 && w.rng.IntN(n) == 0 }

// action is one thing that could happen next.
type action struct {
	kind actionKind
	l    *life
	r    *routine
	f    *fetcher
	n    int
}

type actionKind uint8

const (
	doResume  actionKind = iota
	doFetch              // the broker answers a fetch
	doPoll               // what was fetched is on its way to the worker
	doDeliver            // the worker takes it
	doMember             // the worker takes an event of its group
	doMove               // the worker takes new versions of global tables
	doGoOn               // the worker steps what is in hand
	doBegin              // the worker begins a transaction
	doTick               // the worker tells its tasks the time
	doLeave              // a worker that has failed leaves the group
	doMarker             // a marker of a transaction that is decided
	doMessage            // a late request comes in
	doBeat               // a member hears of its group
	doGroup              // the group's coordinator
	doFeed               // somebody writes a record
	doStart              // a process is started
)

// gather lists what could happen.
func (w *world) gather() {
	w.acts = w.acts[:0]
	add := func(a action) { w.acts = append(w.acts, a) }
	for _, r := range w.routines {
		if r.ready != nil && !r.ready() {
			continue
		}
		if l := r.life; l != nil && l.paused(w.now) {
			w.faults.took(w, "pause", l.slot.instance)
			continue
		}
		add(action{kind: doResume, r: r})
	}
	for i, s := range w.slots {
		l := s.life
		if l == nil {
			if w.now >= s.startAt {
				add(action{kind: doStart, n: i})
			}
			continue
		}
		for _, f := range l.fetchers { // the broker's work, paused or not
			for n := range w.set.nodes {
				if f.hungry(n) {
					add(action{kind: doFetch, f: f, n: n})
				}
			}
		}
		if l.st == nil {
			continue
		}
		before := len(w.acts)
		if l.hand != nil && !l.st.Full() {
			add(action{kind: doDeliver, l: l})
		}
		if l.hand == nil && len(l.main.queue) > 0 {
			add(action{kind: doPoll, l: l})
		}
		if l.member != nil && len(l.member.events) > 0 && !l.st.Full() {
			add(action{kind: doMember, l: l})
		}
		if l.member != nil && l.member.behind() && w.steps >= l.still+l.deaf {
			if w.now >= l.member.mute {
				add(action{kind: doBeat, l: l})
			} else {
				w.faults.took(w, "mute", s.instance)
			}
		}
		if l.st.Moves() {
			add(action{kind: doMove, l: l})
		}
		if l.st.More() {
			add(action{kind: doGoOn, l: l})
		}
		if due, ok := l.st.Due(); ok && !w.clock().Before(due) {
			add(action{kind: doBegin, l: l})
		}
		if due, ok := l.st.TickDue(); ok && !w.clock().Before(due) {
			add(action{kind: doTick, l: l})
		}
		if l.st.Err() != nil && !l.leaving {
			add(action{kind: doLeave, l: l})
		}
		if l.paused(w.now) && len(w.acts) > before { // it would have something to do
			w.faults.took(w, "pause", s.instance)
			w.acts = w.acts[:before]
		}
	}
	for i, t := range w.kafka.deciding {
		if w.now >= t.marksAt || !w.faults.on || len(t.offsets) > 0 {
			add(action{kind: doMarker, n: i})
		}
	}
	for i := range w.kafka.late {
		if w.kafka.late[i].due(w.now) {
			add(action{kind: doMessage, n: i})
		}
	}
	if w.kafka.group.busy() {
		add(action{kind: doGroup})
	}
	if slow := w.feeder.sc.slow; w.feeder.more() && (slow == 0 || w.chance(slow)) {
		add(action{kind: doFeed})
	}
}

// step lets one thing happen.
func (w *world) step() {
	w.steps++
	if w.steps%4 == 0 {
		w.now += core.Time(w.rng.IntN(3))
	}
	w.kafka.expire()
	w.faults.strike(w)
	w.deletion.strike(w)
	w.retention.strike(w)
	w.release.strike(w)
	w.cutoff.strike(w)
	w.gather()
	if len(w.acts) == 0 {
		w.idle()
		return
	}
	a := w.acts[w.rng.IntN(len(w.acts))]
	if a.kind == doFeed && len(w.acts) > 1 && !w.chance(3) {
		a = w.acts[w.rng.IntN(len(w.acts))]
	}
	switch a.kind {
	case doResume:
		w.note("resume", a.r.name, int64(a.r.lifeID()), 0)
		w.resume(a.r)
	case doFetch:
		a.f.fetch(a.n)
	case doDeliver:
		got := a.l.hand
		a.l.hand = nil
		for _, g := range got {
			w.note("deliver", g.Topic, int64(g.ID), int64(g.Batch.Next))
		}
		w.running = a.l
		a.l.st.Fetched(got)
		w.running = nil
	case doPoll:
		a.l.hand = a.l.main.pop()
	case doMember:
		a.l.takeEvent()
	case doMove:
		w.note("move", "", int64(a.l.id), 0)
		a.l.st.Move()
	case doGoOn:
		w.note("goOn", "", int64(a.l.id), 0)
		w.running = a.l
		a.l.st.GoOn()
		w.running = nil
	case doBegin:
		w.note("begin", "", int64(a.l.id), int64(w.now))
		a.l.st.Begin(w.clock())
	case doTick:
		w.note("tick", "", int64(a.l.id), 0)
		a.l.st.Tick(w.clock())
	case doLeave:
		a.l.leave()
	case doMarker:
		w.kafka.marker(a.n)
	case doMessage:
		w.kafka.message(a.n)
	case doBeat:
		a.l.member.beat()
	case doGroup:
		w.kafka.group.act()
	case doFeed:
		w.feeder.feed()
	case doStart:
		w.slots[a.n].start()
	}
	if a.l != nil && a.l.st != nil {
		a.l.slot.bad.heeded(a.l)
	}
}

// idle moves the clock to where something may happen.
func (w *world) idle() {
	at := w.now + 50
	for _, s := range w.slots {
		if s.life == nil {
			at = min(at, s.startAt)
			continue
		}
		if s.life.st != nil && !s.life.paused(w.now) {
			if due, ok := s.life.st.Due(); ok {
				at = min(at, core.Time(due.UnixMilli()))
			}
			if due, ok := s.life.st.TickDue(); ok {
				at = min(at, core.Time(due.UnixMilli()))
			}
		}
	}
	w.now = max(at, w.now+1)
}

func (r *routine) lifeID() int {
	if r.life == nil {
		return -1
	}
	return r.life.id
}
