package topologytest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// app is a topology that runs: all its tasks commit together, as a worker's do.
type app struct {
	d       *Driver
	plan    *topology.Plan
	tasks   []*task
	globals []*global // by Plan.Globals
	paused  bool
	stopped error
	asked   bool     // by the test, whether it has stopped
	named   []string // the nodes, once somebody asks
	careful bool     // something failed: record by record from now on
	ran     int      // records since the last commit
	sealed  []*core.Commit
	dropped map[dropped]int64    // by tasks that crashed
	first   map[seat]core.Offset // by source partition: what was never run before
}

type dropped struct {
	node string
	why  core.Reason
}

// seat is a source partition.
type seat struct {
	task   core.TaskID
	source int
}

// task is a core.Task with what it needs around it.
type task struct {
	app     *app
	sub     *topology.Subtopology
	id      core.TaskID
	core    *core.Task
	sources []*source
	sinks   []*topic
	stores  []*store
	opened  Store // in place of stores, if not nil
	// The committed state.
	next  []core.Offset
	times []core.Time
}

// source is one source partition of a task.
type source struct {
	topic *topic
	part  int
	fed   core.Offset   // the next record to feed
	told  bool          // the task knows that nothing waits behind fed
	lent  []*core.Batch // fed, and not all run
}

func (s *source) records() []core.RawRecord {
	if s.part >= len(s.topic.parts) {
		return nil // a topic with fewer partitions
	}
	return s.topic.parts[s.part]
}

func (s *source) waiting() int { return len(s.records()) - int(s.fed) }

// store is a table's committed rows: a core.View.
type store struct {
	rows      map[string]row
	changelog *topic
	source    core.SourceID // the source that is the table's changelog; -1: it has its own
	versions  bool          // rows are versions
}

type row struct {
	value []byte
	at    core.Time
}

// Get implements core.View.
func (s *store) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	r, ok := s.rows[string(key)]
	return append(buf, r.value...), r.at, ok, nil
}

// Scan implements core.View.
func (s *store) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		if r := s.rows[k]; k >= string(lo) && (hi == nil || k < string(hi)) && !f([]byte(k), r.value, r.at) {
			break
		}
	}
	return nil
}

func (s *store) put(key, value []byte, at core.Time) {
	if value == nil {
		delete(s.rows, string(key))
		return
	}
	s.rows[string(key)] = row{bytes.Clone(value), at}
}

// restore fills the store from the changelog, or from the source up to the committed
// offset: what lies beyond was not run yet.
func (s *store) restore(t *task) {
	s.rows = map[string]row{}
	var log []core.RawRecord
	switch {
	case s.source >= 0:
		log = t.sources[s.source].records()[:t.next[s.source]]
	default:
		log = s.changelog.parts[t.id.Partition]
	}
	for _, r := range log {
		if r.Key != nil {
			w := core.Restored(0, s.versions, &r)
			s.put(w.Key, w.Value, w.Time)
		}
	}
}

// latest is the rows by their keys: of versions, the latest ones.
func (s *store) latest() map[string]row {
	if !s.versions {
		return s.rows
	}
	rows := map[string]row{}
	for k, r := range s.rows {
		key, at, err := core.CutVersion([]byte(k))
		if was, ok := rows[string(key)]; err == nil && (!ok || was.at < at) {
			rows[string(key)] = row{r.value, at}
		}
	}
	for k, r := range rows {
		if rows[k] = (row{r.value[1:], r.at}); r.value[0] == 0 {
			delete(rows, k)
		}
	}
	return rows
}

// seen is the rows of a restored store without the versions that were not in it before: a
// changelog is not told of those that nobody can see any more. A newer one must stand for each.
func (s *store) seen(before map[string]row) map[string]row {
	if !s.versions {
		return s.rows
	}
	rows, latest := maps.Clone(s.rows), map[string]core.Time{}
	for k := range s.rows {
		if key, at, err := core.CutVersion([]byte(k)); err == nil {
			latest[string(key)] = max(at, latest[string(key)])
		}
	}
	for k, r := range s.rows {
		key, at, err := core.CutVersion([]byte(k))
		if _, ok := before[k]; !ok && err == nil && (at < latest[string(key)] || r.value[0] == 0) {
			delete(rows, k)
		}
	}
	return rows
}

func (a *app) name() string { return a.plan.Name() }
func (a *app) runs() bool   { return !a.paused && a.stopped == nil }

// open makes all tasks, from what is committed.
func (a *app) open() {
	a.sealed, a.ran = nil, 0
	for _, t := range a.tasks {
		if t.next == nil {
			t.next = make([]core.Offset, len(t.sources))
		}
		for _, s := range t.stores {
			s.restore(t)
		}
		t.open()
		t.core = t.sub.NewTask(core.TaskConfig{
			App: a.name(), ID: t.id, Resume: slices.Clone(t.next), Times: slices.Clone(t.times),
			Sink: func(id core.SinkID) core.SinkInfo {
				return core.SinkInfo{Partitions: int32(len(t.sinks[id].parts)), MaxBytes: a.d.cfg.RecordBytes}
			},
			View:          t.view,
			Global:        func(id core.GlobalID) core.View { return &a.globals[t.sub.Globals[id].Index].store },
			CacheBytes:    a.cacheBytes(),
			CheckMutation: true,
		})
		t.rewind()
	}
	a.openGlobals()
}

// open opens the store that the task reads, where it is not the driver's own, and restores it.
func (t *task) open() {
	d := t.app.d
	if d.cfg.Open == nil {
		return
	}
	var rows []core.Write
	for i, s := range t.stores {
		for _, k := range slices.Sorted(maps.Keys(s.rows)) {
			rows = append(rows, core.Write{Table: core.TableID(i), Key: []byte(k), Value: s.rows[k].value, Time: s.rows[k].at})
		}
	}
	t.opened = d.cfg.Open(t.app.name(), t.id, t.sub.Tables)
	t.apply(rows)
}

func (t *task) apply(rows []core.Write) {
	if t.opened == nil {
		return
	}
	if err := t.opened.Apply(rows); err != nil {
		t.app.d.t.Fatalf("topologytest: task %v: %v", t.id, err)
	}
}

func (t *task) view(id core.TableID) core.View {
	if t.opened != nil {
		return t.opened.View(id)
	}
	return t.stores[id]
}

// cacheBytes lets rows be evicted at once, or soon, or never.
func (a *app) cacheBytes() int {
	if a.d.rng == nil {
		return 1 << 20
	}
	return []int{0, 300, 1 << 20}[a.d.rng.IntN(3)]
}

// rewind feeds the task again from what is committed.
func (t *task) rewind() {
	for i, s := range t.sources {
		s.fed, s.told, s.lent = t.next[i], false, nil
	}
	if !t.core.Ticks() || t.app.stopped != nil {
		return
	}
	if err := t.core.Tick(t.app.d.wall); err != nil {
		t.app.stopped = err
	}
}

// crash drops everything but topics and committed offsets.
func (a *app) crash() {
	before := make([]map[string]row, 0)
	for _, t := range a.tasks {
		t.core.Abort() // what is not committed is not counted either
		t.core.Dropped(func(node string, why core.Reason, n int64) { a.dropped[dropped{node, why}] += n })
		for _, s := range t.stores {
			before = append(before, s.rows)
		}
	}
	a.open()
	for _, t := range a.tasks {
		for i, s := range t.stores {
			was := before[0]
			if !maps.EqualFunc(was, s.seen(was), func(a, b row) bool { return a.at == b.at && bytes.Equal(a.value, b.value) }) {
				a.d.t.Fatalf("topologytest: bug: table %s of task %v had %d rows, and after a crash other ones: %v, %v", t.sub.Tables[i].Name, t.id, len(was), was, s.rows)
			}
			before = before[1:]
		}
	}
}

// wipe drops offsets and counters too. The topics are empty already.
func (a *app) wipe() {
	clear(a.dropped)
	clear(a.first)
	a.stopped, a.careful = nil, false
	for _, t := range a.tasks {
		t.next, t.times = nil, nil
	}
	a.open()
}

// run runs a unit's tasks until they rest, and reports whether there was anything to do.
func (u *unit) run() (did bool) {
	if u.app.runs() {
		u.app.moveGlobals(false)
	}
	for u.app.runs() {
		t := u.busy()
		if t == nil {
			if did {
				if u.app.stumbles() {
					continue
				}
				u.app.commit()
				if u.busy() != nil && u.app.runs() {
					continue // the commit has failed, and what it held runs again
				}
			}
			return did
		}
		did = true
		t.feed()
	}
	return did
}

// busy is a task that has something to do.
func (u *unit) busy() *task {
	for _, t := range u.tasks {
		for _, s := range t.sources {
			if s.waiting() > 0 {
				return t
			}
		}
	}
	return nil
}

// feed gives the task its next batch.
func (t *task) feed() {
	a := t.app
	if a.careful || a.d.cfg.Batch == 1 && a.d.rng == nil {
		t.feedOne()
		return
	}
	// The merge takes the oldest record of all: so what waits is told before any is run.
	var waiting []*source
	for i, s := range t.sources {
		if s.waiting() > 0 {
			if s.told && !t.step(i, 0, false) {
				return
			}
			waiting = append(waiting, s)
		} else if !s.told && !t.step(i, 0, true) {
			return
		}
	}
	if len(waiting) == 0 {
		return
	}
	s, n := waiting[0], a.d.cfg.Batch
	if rng := a.d.rng; rng != nil {
		s, n = waiting[rng.IntN(len(waiting))], 1+rng.IntN(5)
	}
	n = min(n, s.waiting())
	t.step(slices.Index(t.sources, s), n, n == s.waiting())
}

// feedOne gives the task one record, the one that its merge would take, so that it runs at
// once.
func (t *task) feedOne() {
	best := -1
	for i, s := range t.sources {
		if !s.told && !t.step(i, 0, true) {
			return
		}
		if s.waiting() > 0 && (best < 0 || s.records()[s.fed].Time < t.sources[best].records()[t.sources[best].fed].Time) {
			best = i
		}
	}
	if best >= 0 {
		t.step(best, 1, true)
	}
}

// step feeds n records of a source, and lets the topology do what it does between two
// steps. It reports false where the task was thrown back.
func (t *task) step(i, n int, caughtUp bool) bool {
	a, s := t.app, t.sources[i]
	before := t.core.Next(nil)
	b := &core.Batch{Source: core.SourceID(i), Next: s.fed + core.Offset(n), CaughtUp: caughtUp, Arrived: a.d.now}
	s.lend(b, s.records()[s.fed:b.Next])
	s.fed, s.told = b.Next, caughtUp
	err := t.core.Step(b)
	for err == nil && t.core.Holds() {
		if !a.commit() {
			return false
		}
		err = t.core.Step()
	}
	if err != nil {
		a.failed(err)
		return false
	}
	for j, next := range t.core.Next(nil) {
		t.sources[j].spoil(next, t.core.Keeps(core.SourceID(j)))
		a.ran += int(next - before[j])
		if at := (seat{t.id, j}); next > a.first[at] {
			a.d.crashes += int(next - a.first[at])
			a.first[at] = next
		}
	}
	return a.between()
}

// between is what happens between two steps: a commit, or a part of one, or a crash.
func (a *app) between() bool {
	ok := true
	switch rng := a.d.rng; {
	case a.careful:
		ok = a.commit()
	case rng == nil:
		if a.ran >= a.d.cfg.CommitEvery {
			ok = a.commit()
		}
	case a.sealed == nil:
		if rng.IntN(3) == 0 {
			ok = a.seal()
		}
	case rng.IntN(3) == 0:
		a.settle()
	case rng.IntN(6) == 0:
		a.abort()
		return false
	}
	if c := a.d.cfg.CrashAfter; ok && c > 0 && a.d.crashes >= c {
		a.d.crashes = 0
		for _, a := range a.d.apps {
			a.crash()
		}
		return false
	}
	return ok
}

// stumbles seals a commit and aborts it, now and then: all that is not committed runs
// again.
func (a *app) stumbles() bool {
	if a.careful || a.d.rng == nil || a.d.rng.IntN(3) != 0 {
		return false
	}
	if a.sealed == nil && a.ran > 0 && !a.seal() {
		return true
	}
	a.abort()
	return true
}

// failed stops the topology at a record: the second time that it fails, when all that
// came before is committed.
func (a *app) failed(err error) {
	if !errors.Is(err, core.ErrTakeBack) { // else it is enough to run it again
		if a.careful {
			a.stopped = err
		}
		a.careful = true
	}
	a.abort()
}

// stop stops the topology for what was due at a time.
func (a *app) stop(err error) {
	a.stopped = err
	a.abort()
}

// told tells the task where it has read all there is, as a fetch does that finds nothing.
func (t *task) told() bool {
	for i, s := range t.sources {
		if !s.told && s.waiting() == 0 && !t.step(i, 0, true) {
			return false
		}
	}
	return true
}

// abort throws all tasks back to what is committed.
func (a *app) abort() {
	a.sealed, a.ran = nil, 0
	for _, t := range a.tasks {
		t.core.Abort()
		t.rewind()
	}
}

// commit commits everything. It reports false where that failed.
func (a *app) commit() bool {
	if a.sealed != nil {
		a.settle()
	}
	if !a.seal() {
		return false
	}
	a.settle()
	return true
}

// seal takes the commits of all tasks.
func (a *app) seal() bool {
	commits := make([]*core.Commit, 0, len(a.tasks))
	for _, t := range a.tasks {
		c, err := t.core.Ready()
		if err != nil {
			a.failed(err)
			return false
		}
		commits = append(commits, c)
	}
	a.sealed, a.ran = commits, 0
	return true
}

// settle makes the sealed commits durable: the topics first, then the stores.
func (a *app) settle() {
	for i, c := range a.sealed {
		t := a.tasks[i]
		if c.Task != t.id {
			panic(fmt.Sprintf("topologytest: commit of %v for task %v", c.Task, t.id))
		}
		for _, o := range c.Outputs {
			to := t.sinks[o.Sink]
			r := core.RawRecord{Key: bytes.Clone(o.Key), Value: bytes.Clone(o.Value), Headers: bytes.Clone(o.Headers), Time: o.Time}
			to.append(r, o.Partition(t.id, int32(len(to.parts))), false)
		}
		for _, w := range c.Writes {
			s := t.stores[w.Table]
			if r, ok := w.Log(); ok && s.changelog != nil {
				r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
				s.changelog.append(r, t.id.Partition, false)
			}
			s.put(w.Key, w.Value, w.Time)
		}
		t.apply(c.Writes)
		t.next, t.times = slices.Clone(c.Next), slices.Clone(c.Times)
		t.core.Advance()
	}
	a.sealed = nil
}
