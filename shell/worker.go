package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// worker runs the tasks of one member of the group. It is a state machine without
// goroutines: run.go feeds it events, one at a time, and carries out what it asks for
// through its three ports below. So a simulator can run it too.
//
// The life of a task:
//
//	Assigned -> opening -> running -> closing -> closed
//	               ^          |          its last commit is under way
//	               +----------+
//	             a commit with an unknown outcome
type worker struct {
	id     int
	cfg    *Config
	layout *layout
	log    *slog.Logger
	fetch  Fetcher
	// commit hands a request to the CommitSink; settled comes back for each.
	commit func(*request)
	// open begins to open a task in the background; opened comes back for each.
	open func(*opening)
	// hard ends everything at once; nil: nothing does.
	hard context.Context
	// globals are the global tables as the worker sees them; nil: there are none.
	globals *globalReader
	// beat is called before each piece of work that user functions do: for the watchdog.
	beat func()

	tasks  []*task // in order of id: what order tasks are handled in must not be chance
	routes map[Partition]route
	tag    int64 // of the last fetch that was begun

	inflight *request
	// behind was under way when the membership was lost. It may still be committed, so
	// committed offsets are not read, and nothing is opened, before it is settled.
	behind *request
	began  time.Time // of the last commit
	ticked time.Time // when the tasks were told the time
	// arrived is the wall clock's time of what arrived last: see arrives.
	arrived core.Time
	every   time.Duration // from began to the next one
	rested  time.Time     // when a fetch came that brought little
	took    time.Duration // of a commit, of late
	size    int           // bytes of input and output since the last Ready
	dirty   bool          // something was stepped since the last Ready
	urgent  bool          // commit at once: a task is to close
	err     error         // why the worker stops
	skips   skips         // for the log
	fills   []*opening    // that wait for their changelogs to be filled
	turn    int           // whose piece goOn has stepped last
	next    []core.Offset // scratch
}

type taskState uint8

const (
	taskOpening taskState = iota
	taskRunning
	taskClosing // revoked: what it has done is committed, no more is stepped
	taskClosed
)

type task struct {
	id      core.TaskID
	sub     *subLayout
	state   taskState
	core    *core.Task
	store   statestore.Store
	point   statestore.Checkpoint
	begins  []core.Offset // by table: where its changelog began when it was seen first
	sources []taskSource
	piece   int           // how many records are stepped in one
	most    int           // and at most
	got     []*core.Batch // of the poll in hand
	more    bool          // records wait that could be stepped now
	redo    bool          // it is aborted and fed again as soon as no commit is under way
	anew    bool          // and opened again, too: what it was to read is gone
	misses  int           // how often that was so since its last commit
	opening *opening
	final   bool   // the commit under way is its last
	done    func() // answers the revocation
}

// taskSource is one source partition of a task and what was fetched of it.
type taskSource struct {
	partition Partition
	absent    bool // the topic has no such partition
	tag       int64
	held      []heldBatch // delivered and not yet stepped
}

type heldBatch struct {
	next  core.Offset
	bytes int
	reuse func() // nil: something may refer to its records for longer
}

type route struct {
	task   *task
	source core.SourceID
}

// failure stops the worker: the first one counts.
func (w *worker) failure(err error) {
	if w.err == nil {
		w.err = err
		w.log.Error("worker stops", "err", err)
	}
}

// fetched takes batches in: the records' way from the log to the tasks. All that a task
// got is stepped together: a stream's records must not run while rows of the table, read
// in the same response, wait behind them.
func (w *worker) fetched(now time.Time, fs []Fetched) {
	w.moveGlobals()
	arrived, bytes := w.arrives(), 0
	for i := range fs {
		bytes += fs[i].Bytes
		fs[i].Batch.Arrived = arrived
		w.hold(&fs[i])
	}
	if bytes < RestBytes {
		w.rested = now
	}
	for _, t := range w.tasks {
		if len(t.got) == 0 {
			continue
		}
		if w.err == nil {
			w.step(t)
		}
		clear(t.got)
		t.got = t.got[:0]
	}
	w.redo()
}

// A task's records are stepped in pieces. Between two of them commits begin and are settled,
// and revocations are answered, so that a function may be slow; and the watchdog counts
// anew, so that slow is not taken for hung. A piece is as many records as pieceTime allows,
// by what the one before took.
const (
	firstPiece  = 16
	stepRecords = 256 // of the largest piece
	pieceTime   = 10 * time.Millisecond
)

// resize chooses the size of the next piece behind one that took that long.
func (t *task) resize(took time.Duration) {
	piece := t.piece
	switch {
	case took > pieceTime:
		piece = max(1, int(int64(piece)*int64(pieceTime)/int64(took)))
	case took < pieceTime/4 && t.core.More(): // it was a whole one
		piece = min(2*piece, t.most)
	}
	if piece != t.piece {
		t.piece = piece
		t.core.Bound(piece)
	}
}

// more reports whether there are records in hand to step, and room for what they make.
func (w *worker) more() bool {
	if w.full() || w.err != nil {
		return false
	}
	for _, t := range w.tasks {
		if t.more && t.state == taskRunning {
			return true
		}
	}
	return false
}

// goOn steps one more piece: of the tasks that have one in hand, the next one's turn.
func (w *worker) goOn() {
	for range w.tasks {
		w.turn = (w.turn + 1) % len(w.tasks)
		if t := w.tasks[w.turn]; t.more && t.state == taskRunning {
			w.step(t)
			return
		}
	}
}

// hold finds whose a batch is.
func (w *worker) hold(f *Fetched) {
	r, ok := w.routes[f.Partition]
	if !ok || w.err != nil || r.task.state != taskRunning || r.task.redo || r.task.sources[r.source].tag != f.Tag && !invariant.Bug("what was fetched before an abort is taken") {
		return // fetched before an abort, a revocation: whoever owns the task reads it again
	}
	t, src := r.task, &r.task.sources[r.source]
	if f.Err != nil {
		w.unreadable(t, f.Err)
		return
	}
	f.Batch.Source = r.source
	if invariant.Bug("every source has caught up") {
		f.Batch.CaughtUp = true
	}
	h := heldBatch{f.Batch.Next, f.Bytes, f.Reuse}
	if t.core.Keeps(r.source) && !invariant.Bug("rows that a table refers to are written over") {
		h.reuse = nil
	}
	src.held = append(src.held, h)
	w.size += f.Bytes
	t.got = append(t.got, &f.Batch)
}

func (w *worker) step(t *task) {
	w.beat()
	before, began := t.core.Pending(), w.cfg.Now()
	if invariant.Bug("batches of one fetch are stepped one by one") {
		for len(t.got) > 1 {
			if err := t.core.Step(t.got[0]); err != nil {
				w.failure(err)
				return
			}
			t.got = t.got[1:]
		}
	}
	if err := t.core.Step(t.got...); errors.Is(err, core.ErrTakeBack) {
		w.log.Debug("records are processed again, up to one that failed", "task", t.id.String(), "err", err)
		t.redo, t.more = true, false
		w.redo()
		return
	} else if err != nil {
		w.failure(err)
		return
	}
	t.resize(w.cfg.Now().Sub(began))
	t.more = t.core.More()
	w.dirty = true
	w.urgent = w.urgent || t.core.Holds()
	w.size += t.core.Pending() - before
	w.next = t.core.Next(w.next[:0])
	for i, next := range w.next {
		w.release(&t.sources[i], next)
	}
}

// release gives the memory of stepped batches back to the fetcher.
func (w *worker) release(s *taskSource, next core.Offset) {
	n, bytes := 0, 0
	for n < len(s.held) && s.held[n].next <= next {
		if bytes += s.held[n].bytes; s.held[n].reuse != nil {
			s.held[n].reuse()
		}
		n++
	}
	if n > 0 {
		s.held = slices.Delete(s.held, 0, n)
		w.fetch.Release(s.partition, s.tag, bytes)
	}
}

// explain says whose an error is, and what to do about an offset that the broker no longer
// has. To jump would be to lose records in silence.
func (w *worker) explain(t *task, err error) error {
	var oe *OffsetError
	if !errors.As(err, &oe) {
		return fmt.Errorf("task %v: %w", t.id, err)
	}
	return fmt.Errorf("task %v: %w: records were deleted before they were read (retention?) or the topic was made anew; to go on from what is there, stop the application and reset the group's offsets of %s",
		t.id, err, oe.Topic)
}

// due is when begin should be called; ok = false: there is nothing to commit, or another
// commit is under way. A worker that has failed commits no more: it closes what is revoked.
func (w *worker) due() (at time.Time, ok bool) {
	switch {
	case w.inflight != nil:
		return at, false
	case w.err != nil:
		return w.began, w.closing()
	case w.urgent || w.dirty && w.size >= w.cfg.CommitBytes:
		return w.began, true // at once
	}
	at = w.began.Add(w.every)
	if !w.rested.Before(at.Add(-w.cfg.rest())) && w.rested.Before(at) {
		at = w.rested // the next fetch rests until then: there would be nothing more
	}
	return at, w.dirty
}

// fullLoad is how many bytes of input and output a second make commits as rare as they may
// be: a tenth of what a worker can do, or so.
const fullLoad = 16 << 20

// pace is the time from one commit to the next, from what there was to do since the one
// before. A transaction costs about as much as a thousand records, here and on the brokers:
// with little to do they may be frequent, under load they are few. And they must not take
// more than a third of the time: where brokers are slow it would be all they do.
func (w *worker) pace(elapsed time.Duration) time.Duration {
	load := float64(w.size) / max(elapsed.Seconds(), 1e-3) / fullLoad
	every := time.Duration(min(1, load) * float64(w.cfg.CommitEvery))
	return min(max(every, 3*w.took, w.cfg.CommitMin), w.cfg.CommitEvery)
}

// lasted counts how long a commit has taken: as a moving average, by an eighth, so that one
// that was slow by chance does not make those behind it wait.
func (w *worker) lasted(took time.Duration) {
	if w.took == 0 {
		w.took = took
	}
	w.took += (took - w.took) / 8
}

// full says that no more input may be taken until the commit under way is settled: the
// generation behind it is full.
func (w *worker) full() bool { return w.inflight != nil && w.size >= w.cfg.CommitBytes }

// begin seals what all tasks have done and hands it over as one transaction.
func (w *worker) begin(now time.Time) {
	if w.err != nil {
		w.closeFinished()
		return
	}
	w.every = w.pace(now.Sub(w.began))
	w.began, w.dirty, w.urgent, w.size = now, false, len(w.fills) > 1, 0
	r := &request{began: now, wall: core.Time(w.cfg.Now().UnixMilli())}
	var idle []*task
	for _, t := range w.tasks {
		if t.state != taskRunning && t.state != taskClosing {
			continue
		}
		c, err := t.core.Ready()
		if err != nil {
			w.failure(err)
			return // what was sealed is never sent
		}
		t.final = t.state == taskClosing
		w.skips.add(c)
		if invariant.Bug("commits without output are not made") && len(c.Outputs) == 0 || c.Empty() {
			idle = append(idle, t)
			continue
		}
		r.parts = append(r.parts, part{task: t, commit: c, ends: slices.Clone(t.point.Changelog), begins: t.begins, topics: t.point.Topics})
		for _, d := range c.Decisions {
			if d.Source >= 0 { // no tick
				r.records += d.N
			}
		}
	}
	for _, t := range idle {
		t.core.Advance()
		t.more = t.core.More()
		if t.final {
			w.close(t)
		}
	}
	w.nextFill(r)
	if len(r.parts) == 0 {
		return
	}
	if w.hard != nil {
		r.held, r.drop = context.WithCancel(w.hard)
	}
	w.inflight = r
	w.commit(r)
}

// settled takes what became of a request.
func (w *worker) settled(now time.Time, res result) {
	if res.request == w.inflight {
		w.inflight = nil
	}
	if res.drop != nil {
		res.drop()
	}
	stale := res.request == w.behind // what is here now was assigned after the loss
	if stale {
		w.behind = nil
		defer w.openWaiting()
	}
	switch res.outcome {
	case committed:
		w.lasted(now.Sub(res.request.began))
		w.apply(now, res.request)
	case aborted:
		if w.dirty {
			invariant.Sometimes("shell: an abort takes a second generation with it")
		}
		w.log.Warn("transaction aborted, records are processed again", "err", res.err)
		for _, t := range w.live() {
			if t.anew {
				continue // below
			}
			t.core.Abort()
			t.more, t.redo = false, false
			if !invariant.Bug("an abort does not fetch again") {
				w.seek(t)
			}
		}
		w.size, w.dirty = 0, false
	case reopen:
		w.log.Warn("outcome of the transaction unknown, tasks are opened again", "err", res.err)
		for _, t := range w.live() {
			w.reopen(t)
		}
		w.size, w.dirty = 0, false
	case lost:
		w.log.Warn("membership lost, tasks are dropped", "err", res.err)
		if !stale {
			w.dropAll()
		}
	case failed:
		w.failure(res.err)
	}
	w.filled(res)
	w.redo()
	w.skips.tell(w.log, now)
	w.closeFinished()
}

// live returns the tasks that process records.
func (w *worker) live() []*task {
	var ts []*task
	for _, t := range w.tasks {
		if t.state == taskRunning || t.state == taskClosing {
			ts = append(ts, t)
		}
	}
	return ts
}

// apply makes a committed request the committed state: first the store, then the task.
func (w *worker) apply(now time.Time, r *request) {
	info := CommitInfo{Worker: w.id, Took: now.Sub(r.began), Records: r.records}
	for _, p := range r.parts {
		t := p.task
		if t.state != taskRunning && t.state != taskClosing {
			continue // dropped meanwhile; the changelog has it
		}
		next := p.commit.Next
		if w.cfg.Events.Committed != nil {
			info.add(t, p.commit)
		}
		t.point = statestore.Checkpoint{
			Changelog: p.ends, Input: append(t.point.Input[:0], next...),
			Times: append(t.point.Times[:0], p.commit.Times...), Topics: p.topics,
			Wall: r.wall, // not now: the process may have stood still since
		}
		if invariant.Bug("rows of a commit do not reach the store") {
			p.commit.Writes = p.commit.Writes[:len(p.commit.Writes)/2]
		}
		if len(p.commit.Writes) == 0 && invariant.Bug("a commit without rows leaves the checkpoint where it was") {
			t.core.Advance()
			continue
		}
		if err := t.store.Apply(p.commit.Writes, t.point); err != nil {
			w.failure(fmt.Errorf("task %v: %w", t.id, err))
			return
		}
		t.core.Advance()
		if invariant.Bug("a commit is settled twice") {
			t.core.Advance()
		}
		t.more, t.misses = (t.more || t.core.More()) && !t.redo, 0
	}
	if w.cfg.Events.Committed != nil && len(r.parts) > 0 {
		w.cfg.Events.Committed(info)
	}
}

func (i *CommitInfo) add(t *task, c *core.Commit) {
	if i.Position == nil {
		i.Position, i.Stream = map[Partition]core.Offset{}, map[core.TaskID]core.Time{}
	}
	i.Outputs += len(c.Outputs)
	i.Rows += len(c.Writes)
	for _, d := range c.Drops {
		i.Drops = append(i.Drops, TaskDrop{t.id, d})
	}
	i.Stream[t.id] = c.Times[0]
	for s, next := range c.Next {
		if t.point.Input[s] != next {
			i.Position[t.sources[s].partition] = next
		}
	}
}

// seek fetches a task's sources anew from where the task is. Before its first record the
// task is told the time: what was due while nothing ran happens now.
func (w *worker) seek(t *task) {
	w.tell(t)
	for i, next := range t.core.Next(nil) {
		s := &t.sources[i]
		if s.absent { // nothing is to be waited for
			if err := t.core.Step(&core.Batch{Source: core.SourceID(i), Next: next, CaughtUp: true}); err != nil {
				w.failure(err)
			}
			continue
		}
		w.tag++
		s.tag, s.held = w.tag, s.held[:0]
		// Streams are read before tables in the same fetch: an update that was committed
		// before a record was written is then never overtaken by it.
		priority := int64(0)
		if (t.sub.sources[i].table >= 0) != invariant.Bug("tables are fetched before streams") {
			priority = 1
		}
		w.fetch.Add(s.partition, next, s.tag, priority)
	}
}
