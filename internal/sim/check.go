package sim

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// app is the application's id.
const app = "sim"

// checker computes everything a second time. It has a fresh task for each task of the
// topology, which takes what each committed transaction says that it took: of each source
// the next committed records, in the order of the commit's decisions. So it never crashes,
// aborts or restores.
type checker struct {
	w     *world
	plan  *topology.Plan
	tasks map[core.TaskID]*shadow
	plain *plainRun // where the scenario has a plain form
	naive *naiveRun // nil: of scenarios that have none
	count int       // transactions
	ratchet
}

// shadow is a task's second run.
type shadow struct {
	sub    *topology.Subtopology
	id     core.TaskID
	core   *core.Task
	pos    []core.Offset // by source, as committed
	times  []core.Time   // operator times, as committed; nil: nothing was
	in     []*partition  // nil: the topic has no such partition
	tables []*shadowTable
	sinks  []*topic
	logs   []*topic // by table; nil: its source is its changelog
	global []*shadowGlobal
	came   []core.Time // by source: when what is taken next arrived, where that is its time
	wall   core.Time   // of the last tick
	order  []consumed
	made   []made // of the commit in hand
}

// consumed is a record in the order in which the task took it.
type consumed struct {
	source core.SourceID
	rec    core.RawRecord
	wall   core.Time       // of the last tick before it
	global [][]core.Offset // by global table: where the task saw it
}

func newChecker(w *world, plan *topology.Plan) *checker {
	c := &checker{w: w, plan: plan, tasks: map[core.TaskID]*shadow{}}
	if w.model != nil {
		c.plain = newPlainRun(w.model, plan)
	}
	if w.scenario.naive != nil {
		c.naive = &naiveRun{w.scenario.naive, map[core.TaskID]*naiveTask{}}
	}
	return c
}

// task makes a task's second run, when it is first needed: its topics are there then.
func (c *checker) task(id core.TaskID) *shadow {
	if s := c.tasks[id]; s != nil {
		return s
	}
	k := c.w.kafka
	s := &shadow{sub: c.plan.Subtopologies()[id.Sub], id: id}
	for _, src := range s.sub.Sources {
		s.in = append(s.in, k.part(shell.Partition{Topic: src.TopicName(app), ID: id.Partition}))
		s.pos = append(s.pos, 0)
	}
	for _, sink := range s.sub.Sinks {
		s.sinks = append(s.sinks, k.topics[sink.TopicName(app)])
	}
	for _, t := range s.sub.Tables {
		s.tables = append(s.tables, newShadowTable(core.Time(t.History.Milliseconds())))
		var log *topic
		if t.Source < 0 || !k.topics[s.sub.Sources[t.Source].TopicName(app)].compacted() {
			log = k.topics[t.ChangelogTopic(app)]
		}
		s.logs = append(s.logs, log)
	}
	for _, g := range s.sub.Globals {
		s.global = append(s.global, newShadowGlobal(k.topics[g.Topic]))
	}
	s.came = make([]core.Time, len(s.in))
	sink := func(n core.SinkID) core.SinkInfo { // as the brokers take it
		return core.SinkInfo{Partitions: s.sinks[n].Partitions, MaxBytes: s.sinks[n].most}
	}
	s.core = s.sub.NewTask(core.TaskConfig{
		App: app, ID: id, Sink: sink, CacheBytes: 1 << 20,
		View:   func(t core.TableID) core.View { return s.tables[t] },
		Global: func(g core.GlobalID) core.View { return s.global[g] },
	})
	c.tasks[id] = s
	return s
}

// committed checks a transaction that has just been decided.
func (c *checker) committed(t *txn) {
	if c.w.err != nil {
		return
	}
	c.count++
	if err := c.ratchet.committed(t); err != nil {
		c.w.failf(seenBy(err, checkOffsetsBack), "transaction %d of %s: %w", t.n, t.id.name, err)
		return
	}
	want := map[*partition][]core.RawRecord{}
	next := map[shell.Partition]core.Offset{}
	for _, o := range t.offsets {
		next[o.Partition] = o.Next
	}
	for i := range t.commits {
		if err := c.again(t, &t.commits[i], next, want); err != nil {
			c.w.failf(seenBy(err, checkAgain), "transaction %d of %s: task %v: %w", t.n, t.id.name, t.commits[i].task, err)
			return
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(next), comparePartitions) {
		if len(t.commits) == 0 && c.w.kafka.offsets[p].Next == next[p] {
			continue // late copies alone have made the transaction, while a new epoch is under way: they say once more what is so
		}
		c.w.failf(checkOffsets, "transaction %d of %s: offset %d of %v, of which no task knows", t.n, t.id.name, next[p], p)
	}
	got := map[*partition][]core.RawRecord{}
	for _, log := range t.wrote {
		p := c.w.kafka.part(log.Partition) // its topic may have been made anew since, or meanwhile
		got[p] = append(got[p], t.records(log)...)
	}
	for _, log := range t.wrote {
		p := c.w.kafka.part(log.Partition)
		if log != p && slices.Contains(t.wrote, p) {
			continue
		}
		if err := sameRecords(p.Topic, got[p], want[p]); err != nil {
			c.w.failf(c.writes(p), "transaction %d of %s: %v: %w", t.n, t.id.name, p.Partition, err)
		}
		delete(want, p)
	}
	for p := range want {
		c.w.failf(c.writes(p), "transaction %d of %s: nothing was written to %v, where a fresh run writes %d records", t.n, t.id.name, p.Partition, len(want[p]))
	}
	if c.naive != nil && c.w.err == nil {
		if err := c.naively(t); err != nil {
			c.w.failf(c.w.scenario.check(), "%w", err)
		}
	}
	if c.plain != nil && c.w.err == nil {
		if err := c.plainly(t); err != nil {
			c.w.failf(c.w.scenario.check(), "%w", err)
		}
	}
}

// records are what a transaction has written to a partition.
func (t *txn) records(p *partition) (all []core.RawRecord) {
	for i := range p.log {
		if e := &p.log[i]; e.txn == t && !e.control {
			all = append(all, e.rec)
		}
	}
	return all
}

// writes is the check that looks at what is written to a partition.
func (c *checker) writes(p *partition) Check {
	for _, s := range c.tasks {
		for _, log := range s.logs {
			if log != nil && log.Name == p.Topic {
				return checkLogged
			}
		}
	}
	return checkOutputs
}

// again runs a task's part of a transaction a second time.
func (c *checker) again(t *txn, sc *sealed, next map[shell.Partition]core.Offset, want map[*partition][]core.RawRecord) error {
	s := c.task(sc.task)
	taken := len(s.order)
	s.made = s.made[:0]
	s.filled(c.w.kafka, t)
	err := s.follow(sc, next)
	if errors.Is(err, core.ErrTakeBack) {
		// Once in its life, as the first record fails behind changes of rows, a task has to be fed
		// again, and to commit what came before that record. That task was another one.
		invariant.Sometimes("sim: a fresh run takes a record back")
		s.core.Abort()
		s.order = s.order[:taken]
		err = s.follow(sc, next)
	}
	if err != nil {
		return err
	}
	if err := s.make(); err != nil {
		return err
	}
	logged := map[*partition]map[string]int{}
	for _, m := range s.made {
		p := want[m.to]
		if at, ok := logged[m.to][m.row]; ok && m.row != "" { // its commit was cut in two
			p[at] = m.rec
			continue
		}
		if m.row != "" {
			if logged[m.to] == nil {
				logged[m.to] = map[string]int{}
			}
			logged[m.to][m.row] = len(p)
		}
		want[m.to] = append(p, m.rec)
	}
	if !slices.Equal(s.times, sc.times) {
		return see(checkTimes, "operator times %v, and %v in a fresh run", sc.times, s.times)
	}
	return nil
}

// made is what a task writes to a partition: a row, or an output.
type made struct {
	to  *partition
	rec core.RawRecord
	row string // the row's key, and for a version its time; "": an output
}

// make commits what the second run has done.
func (s *shadow) make() error {
	commit, err := s.core.Ready()
	if err != nil {
		return fmt.Errorf("a fresh run fails: %w", err)
	}
	for i := range commit.Outputs {
		o := &commit.Outputs[i]
		to := s.sinks[o.Sink]
		rec := cloneRecords([]core.RawRecord{{Key: o.Key, Value: o.Value, Headers: o.Headers, Time: o.Time}})[0]
		s.made = append(s.made, made{to.parts[o.Partition(s.id, to.Partitions)], rec, ""})
	}
	for i := range commit.Writes {
		w := &commit.Writes[i]
		if rec, ok := w.Log(); ok && s.logs[w.Table] != nil {
			rec = cloneRecords([]core.RawRecord{rec})[0]
			s.made = append(s.made, made{s.logs[w.Table].parts[s.id.Partition], rec, "row " + string(w.Key)})
		}
		s.tables[w.Table].write(w)
	}
	s.times = slices.Clone(commit.Times)
	s.core.Advance()
	return nil
}

// step steps a batch, and commits what is to be committed before a record goes on.
func (s *shadow) step(b *core.Batch) error {
	err := s.core.Step(b)
	for err == nil && s.core.Holds() {
		if err = s.make(); err == nil {
			err = s.core.Step()
		}
	}
	return err
}

// follow lets the second run take what the first one took.
func (s *shadow) follow(sc *sealed, next map[shell.Partition]core.Offset) error {
	at := slices.Clone(s.pos)
	s.core.AdvanceIdle(0) // what idle ticks do is among the decisions
	for i := range s.in {
		if err := s.step(&core.Batch{Source: core.SourceID(i), Next: at[i], CaughtUp: true}); err != nil {
			return err
		}
	}
	for _, d := range sc.decisions {
		switch d.Source {
		case core.Ticked:
			s.wall = core.Time(d.N)
			if err := s.core.Tick(core.Time(d.N)); err != nil {
				return err
			}
			continue
		case core.Passed:
			if err := s.core.Pass(core.Time(d.N)); err != nil {
				return err
			}
			continue
		}
		if d.Source == core.Moved {
			if err := s.move(d, sc.held); err != nil {
				return err
			}
			continue
		}
		if d.Source < core.Passed {
			s.came[core.ArrivalOf(d.Source)] = core.Time(d.N) // which is its own inverse
			continue
		}
		b := &core.Batch{Source: d.Source, CaughtUp: true, Next: at[d.Source], Arrived: s.came[d.Source]}
		p := s.in[d.Source]
		for ; int64(len(b.Records)) < d.N; b.Next++ {
			if p == nil || b.Next >= p.end() {
				return see(checkTaken, "it took more records of source %d than there are committed ones behind %d", d.Source, s.pos[d.Source])
			}
			if e := &p.log[b.Next]; e.committed() {
				b.Records = append(b.Records, e.rec)
				s.order = append(s.order, consumed{d.Source, e.rec, s.wall, s.globalsAt()})
			}
		}
		at[d.Source] = b.Next
		if err := s.step(b); err != nil {
			return fmt.Errorf("a fresh run fails: %w", err)
		}
	}
	for i, p := range s.in {
		if p == nil {
			continue
		}
		to, ok := next[p.Partition]
		delete(next, p.Partition)
		switch {
		case !ok:
			return see(checkOffsets, "no offset of %v", p.Partition)
		case to != sc.next[i]:
			return see(checkOffsets, "offset of %v is %d, the task says %d", p.Partition, to, sc.next[i])
		case to < at[i]:
			return see(checkTaken, "offset of %v is %d, but %d was taken", p.Partition, to, at[i])
		case to > p.end():
			return see(checkTaken, "offset of %v is %d, behind its end at %d", p.Partition, to, p.end())
		}
		for o := at[i]; o < to; o++ {
			if p.log[o].committed() {
				return see(checkPassed, "record %d of %v is passed over", o, p.Partition)
			}
		}
		if err := s.step(&core.Batch{Source: core.SourceID(i), Next: to, CaughtUp: true}); err != nil {
			return err
		}
		s.pos[i] = to
	}
	return nil
}

func sameRecords(topic string, got, want []core.RawRecord) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("%d records were written, a fresh run has %d: %s is missing", len(got), len(want), show(&want[i]))
		case i >= len(want):
			return fmt.Errorf("%d records were written, a fresh run has %d: %s is too much", len(got), len(want), show(&got[i]))
		}
		g, w := &got[i], &want[i]
		if !same(g.Key, w.Key) || !same(g.Value, w.Value) || !sameHeaders(topic, g.Headers, w.Headers) || g.Time != w.Time {
			return fmt.Errorf("record %d is %s, and %s in a fresh run", i, show(g), show(w))
		}
	}
	return nil
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func show(r *core.RawRecord) string { return fmt.Sprintf("%q: %q @%d", r.Key, r.Value, r.Time) }

// reached is how far a task is now, for opened.
func (c *checker) reached(id core.TaskID) reached {
	var sources []shell.Partition
	for _, src := range c.plan.Subtopologies()[id.Sub].Sources {
		sources = append(sources, shell.Partition{Topic: src.TopicName(app), ID: id.Partition})
	}
	return c.ratchet.reached(id, sources)
}

// opened checks where a task is that a process has just opened, least being how far it was when that began; and
// its rows, where it is as far as what is committed.
func (c *checker) opened(l *life, id core.TaskID, least reached) {
	l.st.Tasks(func(t core.TaskID, st statestore.Store) {
		if t != id || c.w.err != nil {
			return
		}
		cp, _ := st.Checkpoint()
		if behind(cp.Input, least.offsets) >= 0 || behind(cp.Times, least.times) >= 0 {
			c.w.failf(checkOpenedBack, "%s: task %v is opened at %v, times %v; committed was %v, times %v", l.slot.instance, id, cp.Input, cp.Times, least.offsets, least.times)
			return
		}
		if at := c.rows(checkOpenedRows, l, id, st); at == sameRows {
			invariant.Sometimes("sim: a task that was opened has the rows of a fresh run")
		}
	})
}

type rowsState uint8

const (
	otherCommit rowsState = iota
	sameRows
)

// rows compares a task's store with the second run's, if both are of the same commit.
func (c *checker) rows(check Check, l *life, id core.TaskID, st statestore.Store) rowsState {
	s := c.task(id)
	cp, ok := st.Checkpoint()
	if !ok || !slices.Equal(cp.Input, s.pos) || s.times != nil && !slices.Equal(cp.Times, s.times) { // ticks take no input
		return otherCommit
	}
	for i, t := range s.tables {
		rows := map[string]shadowRow{}
		err := st.Scan(core.TableID(i), nil, nil, func(key, value []byte, at core.Time) bool {
			rows[string(key)] = shadowRow{bytes.Clone(value), at}
			return true
		})
		if err != nil {
			c.w.failf(check, "%s: task %v: %w", l.slot.instance, id, err)
		}
		if err := t.same(rows, true); err != nil {
			c.w.failf(check, "%s: task %v, table %s: %w", l.slot.instance, id, s.sub.Tables[i].Name, err)
		}
	}
	return sameRows
}

// done reports whether all input is consumed and everything that was begun has ended.
func (c *checker) done() bool {
	k := c.w.kafka
	if c.w.feeder.more() || len(k.deciding) > 0 || len(k.late) > 0 {
		return false
	}
	for _, id := range k.ids {
		if id.cur != nil {
			return false
		}
	}
	if len(k.group.tasks) == 0 {
		return false
	}
	for _, t := range k.group.tasks {
		s := c.task(t.id)
		for i, p := range s.in {
			if p == nil {
				continue
			}
			for o := s.pos[i]; o < p.end(); o++ {
				if p.log[o].committed() {
					return false
				}
			}
		}
	}
	return true
}

// atEnd checks what must hold when all input is consumed and nothing goes on.
func (c *checker) atEnd() {
	running := map[core.TaskID]bool{}
	c.running(func(_ *life, id core.TaskID, _ statestore.Store) {
		if running[id] {
			c.w.failf(checkTwice, "task %v runs twice", id)
		}
		running[id] = true
	})
	for _, s := range c.w.slots {
		if s.life != nil && s.life.st != nil {
			c.globals(s.life)
		}
	}
	c.running(func(l *life, id core.TaskID, st statestore.Store) {
		if c.rows(checkRowsEnd, l, id, st) == otherCommit {
			cp, _ := st.Checkpoint()
			c.w.failf(checkStoreEnd, "%s: task %v is at %v, committed is %v", l.slot.instance, id, cp.Input, c.task(id).pos)
		}
	})
	for _, t := range c.w.kafka.group.tasks {
		s := c.task(t.id)
		for i, p := range s.in {
			if p != nil {
				if o := c.w.kafka.offsets[p.Partition]; (o.ok || s.pos[i] > 0) && o.Next != s.pos[i] {
					c.w.failf(checkGroupEnd, "the group's offset of %v is %d, committed was %d", p.Partition, o.Next, s.pos[i])
				}
			}
		}
		c.logs(s)
	}
}

// running calls f with each task that a process runs.
func (c *checker) running(f func(*life, core.TaskID, statestore.Store)) {
	for _, s := range c.w.slots {
		if s.life != nil && s.life.st != nil {
			s.life.st.Tasks(func(id core.TaskID, st statestore.Store) { f(s.life, id, st) })
		}
	}
}

// logs compares the changelogs, folded, with the second run's rows.
func (c *checker) logs(s *shadow) {
	for i, log := range s.logs {
		if log == nil {
			continue
		}
		rows := map[string]shadowRow{}
		p := log.parts[s.id.Partition]
		if p == c.w.cutoff.cut {
			continue // it has lost rows
		}
		for o := p.start; o < p.end(); o++ {
			e := &p.log[o]
			if !e.committed() || e.gone {
				continue
			}
			if w := core.Restored(0, s.tables[i].history > 0, &e.rec); w.Value == nil {
				delete(rows, string(w.Key))
			} else {
				rows[string(w.Key)] = shadowRow{w.Value, w.Time}
			}
		}
		if err := s.tables[i].same(rows, false); err != nil {
			c.w.failf(checkFolded, "changelog %v, folded: %w", p.Partition, err)
		}
	}
}

// ids are the tasks, in order.
func (c *checker) ids() []core.TaskID {
	return slices.SortedFunc(maps.Keys(c.tasks), func(a, b core.TaskID) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
}
