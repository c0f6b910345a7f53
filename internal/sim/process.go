package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/statestore"
)

// slot is a place where a process runs, with its disk. After a crash another one runs
// there, under the same name.
type slot struct {
	w        *world
	instance string
	disk     disk
	damaged  bool // what is on disk cannot be read
	bad      badRead
	life     *life
	startAt  core.Time
	skew     core.Time // what its wall clock is ahead, or behind
}

// life is one process, from its start to its end.
type life struct {
	w        *world
	slot     *slot
	id       int
	dead     bool
	leaving  bool
	jumps    int       // of the clock, by a day, when it began
	until    core.Time // it stands still until then,
	still    int       // and up to this step, however the clock jumps
	deaf     int       // behind that step it hears nothing of its group for so many more
	asked    bool      // it has no fetch under way while it stands still
	st       *shell.Stepper
	member   *member
	main     *fetcher
	hand     []shell.Fetched // polled, and not yet taken by the worker
	fetchers []*fetcher
	sealed   []sealed // of the transaction in hand
	ctx      context.Context
	cancel   context.CancelFunc
	sick     diskState
	wasSick  bool
	lied     int // how often a fetch was told that its offset is gone, which was there
	panics   int // a user function panics, when it is called so often
	panicked bool
	// held is how far the topics of global tables went when it was started.
	held    map[string][]core.Offset
	follows bool // it reads them on
}

// sealed is what a worker hands over as one task's part of a transaction.
type sealed struct {
	task      core.TaskID
	next      []core.Offset
	times     []core.Time
	decisions []core.Decision
	held      map[string][]core.Offset // see life
}

func (l *life) paused(now core.Time) bool { return now < l.until || l.w.steps < l.still }

// start starts a process.
func (s *slot) start() {
	w := s.w
	w.lives++
	l := &life{w: w, slot: s, id: w.lives, jumps: w.jumps}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	s.life = l
	w.note("start", s.instance, int64(l.id), 0)
	if s.bad.struck {
		s.bad = badRead{}
	}
	if w.faults.on && w.chance(10) { // most is read when tasks are opened
		w.faults.planRead(w, s)
	}
	w.spawn(l, "start "+s.instance, func() {
		l.held = w.globalEnds()
		plan := w.release.runs(w)
		cfg := shell.Config{
			Broker: client{l}, Store: simDB{s.disk, l}, AppID: app,
			CommitEvery: w.set.commitEvery, CommitBytes: w.set.commitBytes, BufferBytes: w.set.bufferBytes, CacheBytes: w.set.cacheBytes,
			CheckMutation: w.set.mutation, Logger: slog.New(slog.DiscardHandler), Now: s.wall,
		}
		st, err := shell.NewStepper(l.ctx, plan, cfg, s.instance, shell.Background{
			Commit: l.commit, Open: l.open, Follow: l.follow, RestoreBatch: w.set.restore, StepRecords: w.set.stepRecords, PurgeEvery: w.set.purgeEvery, Clock: w.clock,
		})
		if l.dead {
			return
		}
		if err != nil {
			l.failed(err)
			return
		}
		l.st, l.main = st, st.Fetcher.(*fetcher)
	})
}

func (l *life) commit(cs []*core.Commit, run func()) {
	l.sealed = nil
	for _, c := range cs {
		l.sealed = append(l.sealed, sealed{c.Task, slices.Clone(c.Next), slices.Clone(c.Times), slices.Clone(c.Decisions), l.held})
	}
	l.w.spawn(l, "commit "+l.slot.instance, run)
}

func (l *life) open(id core.TaskID, run func()) {
	l.w.spawn(l, fmt.Sprintf("open %v %s", id, l.slot.instance), func() {
		least := l.w.check.reached(id)
		state := l.w.deletion.remembers(l.slot, id)
		run()
		if !l.dead && !l.w.deletion.begins(l.w, id, state) {
			l.w.check.opened(l, id, least)
		}
	})
}

// failed takes why a process could not be started: where that is a fault's doing it is started again.
func (l *life) failed(err error) {
	w, s := l.w, l.slot
	if !w.faults.excuse(l, err) && !w.deletion.excuse(err) && !w.retention.excuse(err) && !w.release.excuse(err) && !w.cutoff.excuse(err) {
		w.failf(checkStop, "start of %s: %w", s.instance, err)
		return
	}
	l.dead = true
	l.cancel()
	s.disk.Crash()
	if s.damaged {
		_ = s.disk.Close()
		s.disk, s.damaged = w.newDisk(), false
	}
	s.life = nil
	s.startAt = w.now + core.Time(w.rng.IntN(400))
	w.note("not started", s.instance, int64(l.id), 0)
}

// follow is the routine that reads global tables on. It waits for ever, until the process ends.
func (l *life) follow(run func()) {
	l.follows = true
	l.w.spawn(l, "globals "+l.slot.instance, func() {
		run()
		l.follows = false
	})
	l.w.routines[len(l.w.routines)-1].waits = true
}

// takeEvent gives the worker the next event of its group.
func (l *life) takeEvent() {
	e := l.member.events[0]
	l.member.events = l.member.events[1:]
	l.w.note("member", e.Task.String(), int64(e.Kind), int64(l.id))
	l.st.Member(e)
}

// crash ends a process where it stands. What its disk has not synced is lost.
func (l *life) crash() {
	l.w.note("crash", l.slot.instance, int64(l.id), 0)
	l.w.crashes++
	l.w.faults.took(l.w, "crash", l.slot.instance)
	l.end()
	l.slot.disk.Crash()
}

func (l *life) end() {
	l.stop()
	l.fetchers = nil
	l.slot.life = nil
	l.slot.startAt = l.w.now + core.Time(l.w.rng.IntN(400))
}

// stop ends what a process runs. What it has in hand of global tables is let go: the store counts it.
func (l *life) stop() {
	l.dead = true
	l.cancel()
	l.w.kill(l)
	if l.st != nil {
		l.st.Close()
	}
}

// leave ends a process in good order: because its worker has failed, or because somebody
// asked for it.
func (l *life) leave() {
	l.leaving = true
	w, err := l.w, l.st.Err()
	w.note("leave", l.slot.instance, int64(l.id), 0)
	if err != nil && !w.faults.excuse(l, err) && !w.deletion.excuse(err) && !w.retention.excuse(err) && !w.release.excuse(err) && !w.cutoff.excuse(err) {
		w.failf(checkStop, "worker of %s stops: %w", l.slot.instance, err)
		return
	}
	w.spawn(l, "leave "+l.slot.instance, func() {
		_ = l.st.Group.Close(l.ctx)
		w.wait(func() bool { return l.st.Idle() })
		if l.dead {
			return
		}
		l.cancel() // nothing else runs
		w.wait(func() bool { return !l.follows })
		if l.dead {
			return
		}
		l.st.Close()
		if l.sick != diskFine {
			l.slot.disk.Crash() // nothing could be flushed
		} else {
			if err := l.slot.disk.Close(); err != nil {
				w.failf(checkStore, "closing the store: %w", err)
			}
			l.slot.disk.Reopen()
		}
		if l.slot.damaged { // somebody deletes it, as the error says
			_ = l.slot.disk.Close()
			l.slot.disk, l.slot.damaged = w.newDisk(), false
		}
		l.dead = true
		l.cancel()
		l.slot.life = nil
		l.slot.startAt = w.now + core.Time(w.rng.IntN(400))
		w.note("left", l.slot.instance, int64(l.id), 0)
		for _, r := range w.routines { // none but this one
			if r.life == l && r != w.cur {
				w.failf(checkEnded, "process %s has ended, and %s still runs", l.slot.instance, r.name)
			}
		}
	})
}

// diskState is what is wrong with a disk.
type diskState uint8

const (
	diskFine diskState = iota
	diskFull
	diskFails
)

// simDB is the store of one process: it is of no use to a process that has ended.
type simDB struct {
	disk
	l *life
}

var errDamaged = fmt.Errorf("sim: %w", statestore.ErrCorrupt)

// Open opens a task's tables.
func (d simDB) Open(id core.TaskID, tables []statestore.TableSpec) (statestore.Store, error) {
	if d.l.dead {
		return nil, statestore.ErrClosed
	}
	if d.l.slot.damaged {
		d.l.w.faults.took(d.l.w, "disk damaged", d.l.slot.instance)
		return nil, errDamaged
	}
	if err := d.l.read(readOpen, &id); err != nil {
		return nil, fmt.Errorf("task %v: %w", id, err)
	}
	s, err := d.disk.Open(id, tables)
	if err != nil {
		d.l.w.failf(checkStore, "store of task %v at %s: %w", id, d.l.slot.instance, err) // with one worker no task is busy
		return nil, errDamaged
	}
	return simStore{s, d.l, id}, err
}

// OpenGlobal opens the rows of a global table.
func (d simDB) OpenGlobal(spec statestore.TableSpec) (statestore.Global, error) {
	if d.l.dead {
		return nil, statestore.ErrClosed
	}
	if d.l.slot.damaged {
		d.l.w.faults.took(d.l.w, "disk damaged", d.l.slot.instance)
		return nil, errDamaged
	}
	if err := d.l.read(readOpen, nil); err != nil {
		return nil, err
	}
	g, err := d.disk.OpenGlobal(spec)
	if err != nil {
		d.l.w.failf(checkStore, "global table %s at %s: %w", spec.Name, d.l.slot.instance, err)
		return nil, errDamaged
	}
	return simGlobal{g, d.l}, nil
}

type simGlobal struct {
	statestore.Global
	l *life
}

func (g simGlobal) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	if g.l.dead {
		return statestore.ErrClosed
	}
	if err := g.l.sickness(); err != nil {
		return err
	}
	if err := g.l.read(readWrite, nil); err != nil {
		return err
	}
	if err := g.Global.Apply(writes, cp); err != nil {
		return err
	}
	if g.l.w.chance(g.l.w.set.flush) {
		g.l.w.note("flush", g.l.slot.instance, 1, 0)
		return g.l.slot.disk.Flush()
	}
	return nil
}

func (g simGlobal) Version() (statestore.GlobalVersion, error) {
	v, err := g.Global.Version()
	return simVersion{v, g.l}, err
}

type simStore struct {
	statestore.Store
	l  *life
	id core.TaskID
}

func (s simStore) View(t core.TableID) core.View { return simView{s.Store.View(t), s.l, s.id} }

func (s simStore) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	if s.l.dead {
		return statestore.ErrClosed
	}
	if err := s.l.sickness(); err != nil {
		return err
	}
	if err := s.l.read(readWrite, &s.id); err != nil {
		return err
	}
	if err := s.Store.Apply(writes, cp); err != nil {
		return err
	}
	if s.l.w.chance(s.l.w.set.flush) {
		s.l.w.note("flush", s.l.slot.instance, 0, 0)
		return s.Store.Flush()
	}
	return nil
}

func (s simStore) Close() error {
	if s.l.dead {
		return statestore.ErrClosed
	}
	if err := s.Store.Close(); err != nil {
		return err
	}
	return s.l.sickness() // it is closed all the same
}

func (l *life) sickness() error {
	switch l.sick {
	case diskFull:
		l.w.faults.took(l.w, "disk", l.slot.instance)
		return fmt.Errorf("sim: %w", statestore.ErrFull)
	case diskFails:
		l.w.faults.took(l.w, "disk", l.slot.instance)
		return fmt.Errorf("sim: %w", statestore.ErrIO)
	}
	return nil
}
