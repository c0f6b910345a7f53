package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// epoch is when a run begins, in milliseconds.
const epoch = core.Time(1_700_000_000_000)

// stepsMax bounds a run until all input was written, and how long may then take until
// all of it is consumed.
const (
	stepsMax  = 40_000
	stepsLive = 30_000
)

// Run runs one seed.
func Run(o Options) (res Result) {
	w := &world{opt: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c696d706574)), now: epoch, floor: map[string]int{}}
	w.trace.last = make([]event, cmp.Or(o.Trace, traceLast))
	defer func() {
		if p := recover(); p != nil {
			w.failf(checkPanic, "panic: %v\n%s", p, debug.Stack())
		}
		w.stopAll()
		res = Result{
			Seed: o.Seed, Scenario: res.Scenario, Hash: w.trace.hash, Steps: w.steps,
			Crashes: w.crashes, Faults: w.faults.n + w.crashes, Operators: w.drawn,
		}
		if w.check != nil {
			res.Commits = w.check.count
		}
		if w.feeder != nil {
			res.Records = w.feeder.written
		}
		if w.err != nil {
			res.Err = w.err
		}
		if w.err != nil || o.Trace > 0 {
			res.Trace = w.trace.String()
		}
	}()
	sc := w.choose()
	res.Scenario = sc.name
	w.faults.on = !o.Calm
	w.deletion = newDeletion(o.Seed, w.set.records, o.Calm)
	w.retention = newRetention(o.Seed, w.set.records, o.Calm)
	w.quiet = newQuiet(o.Seed, w.set.records, o.Calm)
	w.release = newRelease(w, sc)
	w.cutoff = newCutoff(w)
	for w.err == nil && w.feeder.more() && w.steps < stepsMax && !w.over() {
		w.step()
	}
	// Some more of the same, so that faults strike when all is written, too.
	for end := w.steps + w.rng.IntN(1000); w.err == nil && w.steps < end && !w.over(); {
		w.step()
	}
	w.faults.stop(w)
	for end := w.steps + stepsLive; w.err == nil && !w.over() && (w.deletion.done || w.cutoff.waits(w) || !w.settled()); {
		if w.step(); w.deletion.idle(w) {
			break
		}
		if w.deletion.done && w.steps > end {
			w.failf(checkTold, "%s was deleted, and no worker has stopped since", w.deletion.name)
		}
		if w.cutoff.swept && w.steps > end {
			w.failf(checkTold, "%v was cut off, and no worker has stopped since", w.cutoff.cut.Partition)
		}
		if w.steps > end {
			w.failf(checkLive, "not all is consumed within %d steps after the last fault:\n%s", stepsLive, w.standing())
		}
	}
	if w.deletion.done || w.retention.told || w.cutoff.told {
		return res // what is there is not what it should be, and somebody was told
	}
	w.checkEnd()
	return res
}

// checkEnd looks at what must hold when all is consumed.
func (w *world) checkEnd() {
	if w.err == nil {
		w.check.atEnd()
	}
	if sc := w.scenario; w.err == nil && sc.model != nil {
		if err := sc.model(w); err != nil {
			w.failf(sc.check(), "%w", err)
		}
	}
	if sc := w.scenario; w.err == nil && sc.naive != nil {
		if err := naiveRows(w); err != nil {
			w.failf(sc.check(), "%w", err)
		}
	}
}

// over reports whether a run has come to its end since topics have lost records, as they may not.
func (w *world) over() bool { return w.deletion.over(w) || w.retention.told || w.cutoff.told }

// settled reports whether all is consumed, applied and at rest.
func (w *world) settled() bool {
	if w.steps%32 != 0 || !w.check.done() || slices.ContainsFunc(w.routines, func(r *routine) bool { return !r.waits }) {
		return false
	}
	for _, s := range w.slots {
		l := s.life
		if l == nil || l.st == nil || l.leaving || l.st.More() || l.hand != nil || len(l.main.queue) > 0 || l.member.behind() || len(l.member.events) > 0 || l.lags() {
			return false
		}
		if _, due := l.st.Due(); due {
			if _, ticks := l.st.TickDue(); !ticks { // else there is always a tick to commit
				return false
			}
		}
	}
	return !w.kafka.group.busy()
}

// standing says what has not gone on.
func (w *world) standing() string {
	var b strings.Builder
	for _, r := range w.routines {
		fmt.Fprintf(&b, "  %s of %d stands\n", r.name, r.lifeID())
	}
	for _, s := range w.slots {
		l := s.life
		if l == nil || l.st == nil || l.member == nil {
			fmt.Fprintf(&b, "  %s does not run\n", s.instance)
			continue
		}
		at, due := l.st.Due()
		fmt.Fprintf(&b, "  %s (%d): leaving %v, err %v, full %v, more %v, due %v %v, holds %v, generation %d of %d, events %d, fetched %d\n", s.instance, l.id,
			l.leaving, l.st.Err(), l.st.Full(), l.st.More(), due, at.UnixMilli()-int64(epoch), l.member.held, l.member.gen, w.kafka.group.gen, len(l.member.events), len(l.main.queue))
	}
	for _, s := range w.slots {
		if s.life == nil {
			continue
		}
		for _, f := range s.life.fetchers {
			for _, x := range f.parts {
				fmt.Fprintf(&b, "  %s reads %v at %d, out %d of %d, caught up %v, failed %v\n", s.instance, x.Partition, x.next, x.out, f.cfg.BufferBytes, x.caught, x.failed)
			}
		}
	}
	for _, t := range w.kafka.group.tasks {
		s := w.check.task(t.id)
		for i, p := range s.in {
			if p != nil {
				fmt.Fprintf(&b, "  task %v, %v: at %d, stable %d, end %d, owned %v\n", t.id, p.Partition, s.pos[i], p.stable(), p.end(), t.owner != nil)
			}
		}
	}
	return b.String()
}

// choose draws what the whole run is like.
func (w *world) choose() *scenario {
	r := w.rng
	sc := &scenarios[r.IntN(len(scenarios)-1)] // the last one is random
	if n := r.IntN(24); n < 7 {                // what can happen in these alone is more than in the others
		sc = []*scenario{&email, &email, &email, &sagas, &sagas, &rates, &held}[n]
	}
	if w.opt.Seed%randomEvery == 0 {
		sc = &random
	}
	for i := range scenarios {
		if scenarios[i].name == w.opt.Scenario {
			sc = &scenarios[i]
		}
	}
	pick := func(vs ...int) int { return vs[r.IntN(len(vs))] }
	w.set = setup{
		partitions:  int32(1 + r.IntN(3)),
		processes:   1 + r.IntN(3),
		nodes:       pick(1, 1, 2),
		commitEvery: time.Duration(pick(10, 20, 100)) * time.Millisecond,
		commitBytes: pick(200, 2000, 1<<20),
		bufferBytes: pick(1, 1<<20),
		cacheBytes:  pick(1, 2000, 1<<20),
		records:     20 + r.IntN(180),
		batch:       pick(1, 3, 20),
		restore:     pick(1, 7, 20_000),
		stepRecords: pick(1, 5, 256),
		flush:       pick(1, 4, 30, 1000),
		session:     time.Duration(pick(20, 100, 300)) * time.Millisecond,
		txnTimeout:  time.Duration(pick(100, 300)) * time.Millisecond,
		coarse:      r.IntN(2) == 0,
		mutation:    r.IntN(20) == 0,
		abortedFeed: pick(0, 3, 10),
		faultEvery:  pick(25, 60, 200),
		pebble:      r.IntN(4) == 0 || w.opt.Pebble,
		purgeEvery:  time.Duration(pick(1, 100, 30_000)) * time.Millisecond,
	}
	w.kafka = &kafka{w: w, topics: map[string]*topic{}, ids: map[string]*txnID{}, offsets: map[shell.Partition]committedOffset{}}
	w.kafka.group = &group{k: w.kafka}
	w.scenario = sc
	b := sc.build(w)
	plan, err := b.Build()
	if err != nil {
		panic(fmt.Sprintf("scenario %s: %v", sc.name, err))
	}
	w.check = newChecker(w, plan)
	w.feeder = &feeder{w: w, sc: sc}
	sc.topics(w)
	for i := range w.set.processes {
		w.slots = append(w.slots, &slot{w: w, instance: fmt.Sprintf("p%d", i), disk: w.newDisk(), startAt: epoch + core.Time(r.IntN(50))})
	}
	w.note("run "+sc.name, "", int64(w.set.partitions), int64(w.set.processes))
	return sc
}

// stopAll ends what still runs.
func (w *world) stopAll() {
	for _, s := range w.slots {
		if s.life != nil {
			s.life.stop()
		}
		_ = s.disk.Close()
	}
	for len(w.routines) > 0 { // those of the cluster, and of processes that have ended with some left
		w.kill(w.routines[0].life)
	}
}
