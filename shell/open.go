package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// ErrMismatch marks state that does not fit the committed offsets.
var ErrMismatch = errors.New("shell: state and committed offsets do not match")

// opening is a task on its way to run: its committed offsets are read, and its state
// is rolled forward to them.
type opening struct {
	task *task
	id   core.TaskID
	sub  *subLayout
	// was is what the task had committed of its sources when it ran here before, or when its opening was tried; nil: it did not.
	was []core.Offset
	// globals are its worker's: read when the task runs, and not before.
	globals *globalReader
	cancel  func() // nobody wants the task any more

	// What came of it.
	fill     []filling // tables whose rows must be written to their changelogs first: see fill.go
	core     *core.Task
	most     int // records in a piece
	store    statestore.Store
	point    statestore.Checkpoint
	begins   []core.Offset // by table: where its changelog began when it was seen first
	restored int64
	took     time.Duration
	err      error
}

func (o *opening) discard() {
	if o.store != nil {
		_ = o.store.Close() // what cannot be flushed is restored again
	}
	o.store, o.core = nil, nil
}

// opener opens tasks. It is shared by the workers of a process, and safe for concurrent
// use.
type opener struct {
	cfg    *Config
	layout *layout
	db     statestore.DB
	// refresh looks at the topics and takes over what has grown.
	refresh func(context.Context) error
	cache   int // bytes of decoded rows for each table
	batch   int // restoreBatch
	step    int // stepRecords
}

// openTries is how often committed offsets and bounds are read until they fit: the
// former owner may commit between the two, and delete what it has read.
const openTries = 5

// run opens the task. It returns when that is done, has failed, or nobody wants it.
func (op *opener) run(ctx context.Context, o *opening) {
	began := time.Now()
	for try := 1; ; try++ {
		o.err = op.open(ctx, o)
		if o.err == nil {
			break
		}
		o.discard()
		if errors.Is(o.err, ErrMismatch) {
			invariant.Sometimes("shell: a commit came between offsets and changelog")
		}
		if !errors.Is(o.err, ErrMismatch) && !errors.Is(o.err, ErrOffsetLost) || try == openTries && !invariant.Bug("an opening is tried for ever") || ctx.Err() != nil {
			break
		}
	}
	o.took = time.Since(began)
}

// open reads the committed offsets first and the changelogs' high watermarks second,
// so that nothing which those offsets stand for is missed; and it restores up to the
// high watermark, not the last stable offset: a commit whose markers are still being
// written counts (KAFKA-10167).
func (op *opener) open(ctx context.Context, o *opening) error {
	if o.id.Partition >= o.sub.count() { // the group has seen a topic grow before us
		if err := op.refresh(ctx); err != nil {
			return err
		}
		if n := o.sub.count(); o.id.Partition >= n {
			return fmt.Errorf("%w: task %v was assigned, and the source topics have %d partitions: do all members of the group run the same topology?", ErrTopic, o.id, n)
		}
	}
	sources := make([]Partition, len(o.sub.sources))
	var present []Partition
	for i, s := range o.sub.sources {
		if sources[i] = (Partition{s.topic, o.id.Partition}); o.sub.has(core.SourceID(i), o.id.Partition) {
			present = append(present, sources[i])
		}
	}
	logs := make([]Partition, len(o.sub.tables))
	all := slices.Clone(present)
	for i, t := range o.sub.tables {
		if logs[i] = (Partition{t.topic, o.id.Partition}); t.source < 0 { // else it is a source
			all = append(all, logs[i])
		}
	}
	o.restored, o.fill = 0, nil
	offsets, err := op.cfg.Broker.Committed(ctx, op.cfg.AppID, present)
	if err != nil {
		return err
	}
	ids, err := op.cfg.Broker.TopicIDs(ctx, topicsOf(all)...) // not behind the bounds: these are of that topic, or of a younger one
	if err != nil {
		return err
	}
	looked := op.cfg.Now() // a tombstone behind these bounds is younger
	bounds, err := op.cfg.Broker.Bounds(ctx, all)
	if err != nil {
		return err
	}
	at, err := startPoint(offsets, bounds, sources)
	if err != nil {
		return err
	}
	if err := remade(at.meta.topics, ids); err != nil {
		return err
	}
	for i, was := range o.was { // a topic that is deleted takes the group's offsets of it along
		if _, ok := offsets[sources[i]]; !ok && was > bounds[sources[i]].Start {
			return &OffsetError{sources[i], was, bounds[sources[i]]}
		}
	}
	o.was = at.next // the next try may find them gone, and no local state any more
	if was := at.meta.partitions; was > 0 && was != o.sub.count() && len(logs) > 0 {
		return fmt.Errorf("%w %s: what is committed was made with %d partitions, and there are %d: %s", ErrTopic, o.sub.sources[0].topic, was, o.sub.count(), regrown(was, o.sub.count()))
	}
	o.point = statestore.Checkpoint{Changelog: make([]core.Offset, len(logs)), Input: at.next, Times: at.meta.times, Topics: marks(topicsOf(all), ids)}
	if o.store, err = op.openStore(ctx, o); err != nil {
		return err
	}
	if cp, ok := o.store.Checkpoint(); ok { // what is committed may say nothing: it goes with its topic
		if err := remade(cp.Topics, ids); err != nil {
			return err
		}
	}
	spans := make([]span, len(logs))
	o.begins = make([]core.Offset, len(logs))
	for i := range logs {
		s := span{Partition: logs[i], table: core.TableID(i), from: bounds[logs[i]].Start, to: bounds[logs[i]].End, stands: -1, keeps: o.sub.tables[i].deleteRetention}
		s.versions = o.sub.plan.Tables[i].History > 0 && !invariant.Bug("versions are restored as rows")
		if src := o.sub.tables[i].source; src >= 0 {
			s.to = o.point.Input[src] // what lies beyond was not stepped yet
			if invariant.Bug("a table is restored from its topic beyond the offset") {
				s.to = bounds[logs[i]].End
			}
			s.from = min(s.from, s.to)
		} else if !op.cfg.AtLeastOnce {
			s.stands = at.meta.end(s.Topic)
		}
		s.began, o.begins[i] = -1, s.from
		if began := at.began(s.Topic); began >= 0 && o.sub.tables[i].source < 0 {
			s.began = began
			if o.begins[i] = began; invariant.Bug("a changelog began where it was seen last") {
				o.begins[i] = s.from
			}
		}
		if s.to < s.stands && !invariant.Bug("a changelog that is made anew is written on") {
			return fmt.Errorf("%w: %w", ErrMismatch, &AnewError{s.Partition, s.stands, s.to})
		}
		spans[i] = s
	}
	if err := op.unknown(o, spans, at, bounds); err != nil {
		return err
	}
	known := o.point.Topics
	o.point.Topics = without(known, spans)
	since, err := op.resume(o, spans, looked)
	if err != nil {
		return err
	}
	if _, ok := o.store.Checkpoint(); ok && invariant.Bug("local state is not rolled forward") {
		for i := range spans {
			spans[i].from = spans[i].to
		}
	}
	if err := op.restore(ctx, o, spans, since); err != nil && (!invariant.Bug("a task that cannot be restored runs with what it has") || errors.Is(err, ErrMismatch)) {
		return err
	}
	if err := op.origins(ctx, o, spans, at, bounds, looked); err != nil {
		return err
	}
	for i := range spans {
		o.point.Changelog[i] = spans[i].to
	}
	o.point.Wall, o.point.Topics = core.Time(looked.UnixMilli()), known
	if len(o.fill) == 0 { // else nothing is to begin from here before the changelogs are filled
		if err := o.store.Apply(nil, o.point); err != nil {
			return err
		}
	}
	store := o.store
	o.most = op.step
	o.core = o.sub.plan.NewTask(core.TaskConfig{
		App: op.cfg.AppID, ID: o.id, Resume: o.point.Input, Times: resumed(o.point.Times),
		Sink:       func(id core.SinkID) core.SinkInfo { return op.layout.sink(o.sub, id) },
		View:       store.View,
		Global:     func(id core.GlobalID) core.View { return o.globals.view(o.sub.plan.Globals[id].Index) },
		CacheBytes: op.cache, StepRecords: min(op.step, firstPiece), CheckMutation: op.cfg.CheckMutation,
		Sometimes: invariant.Observer(),
	})
	return nil
}

// resumed are the operator times that a task begins with.
func resumed(ts []core.Time) []core.Time {
	if invariant.Bug("operator times are forgotten at an opening") {
		return nil
	}
	return ts
}

// position is where a task is, as the group's offsets say.
type position struct {
	next []core.Offset // by source
	meta meta
	// all is the metadata of all sources: there may be several, where sub-topologies of another
	// version of the topology were others.
	all []meta
}

// began is the first offset of a changelog when the application saw it first; -1: the offsets do not say.
func (at *position) began(topic string) core.Offset {
	for _, m := range at.all {
		if b := m.begin(topic); b >= 0 {
			return b
		}
	}
	return -1
}

// startPoint is where the committed offsets say that the task is. A source that has
// none begins at its first record, and at 0 where its topic has no such partition. The
// first that is committed carries the metadata.
func startPoint(offsets map[Partition]GroupOffset, bounds map[Partition]Bounds, sources []Partition) (at position, err error) {
	first := true
	for _, p := range sources {
		b := bounds[p]
		o, ok := offsets[p]
		if !ok {
			at.next = append(at.next, b.Start)
			continue
		}
		if o.Next < b.Start && invariant.Bug("a reader goes on behind records that are gone") {
			at.next = append(at.next, b.Start)
			continue
		}
		if o.Next > b.End && invariant.Bug("a reader begins anew where a topic does") {
			at.next = append(at.next, b.Start)
			continue
		}
		if o.Next < b.Start || o.Next > b.End {
			return at, &OffsetError{p, o.Next, b}
		}
		at.next = append(at.next, o.Next)
		m, err := decodeMeta(o.Metadata) // none is set by a tool: there are no times to be had
		if err != nil {
			return at, fmt.Errorf("%w of %v: does another application use this group?", err, p)
		}
		if first {
			at.meta, first = m, false
		}
		at.all = append(at.all, m)
	}
	return at, nil
}

// openStore opens the task's tables. They may still be closing: the task was with
// another worker of this process.
func (op *opener) openStore(ctx context.Context, o *opening) (statestore.Store, error) {
	specs := make([]statestore.TableSpec, len(o.sub.plan.Tables))
	for i, t := range o.sub.plan.Tables {
		specs[i] = statestore.TableSpec{Name: t.Name, Schema: t.Schema, DueOf: t.DueOf}
	}
	for {
		st, err := op.db.Open(o.id, specs)
		if !errors.Is(err, statestore.ErrBusy) {
			return st, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// resume sets from where each table is restored: from what is on disk, if that can be
// rolled forward, or else from the beginning of all logs. since is the time from which on
// tombstones that the rows need may have been cleaned away. A log that has lost its beginning is an error where it
// would be read from there; local state is left as it is then.
func (op *opener) resume(o *opening, spans []span, now time.Time) (since time.Time, err error) {
	cp, ok := o.store.Checkpoint()
	if !ok {
		return now, whole(spans)
	}
	why := ""
	age := now.Sub(time.UnixMilli(int64(cp.Wall)))
	since = now.Add(-age) // by both clocks
	if age < 0 {
		invariant.Sometimes("shell: local state is of a time that is still to come")
	}
	for i := range spans {
		s := &spans[i]
		at := core.Offset(-1)
		if i < len(cp.Changelog) {
			at = cp.Changelog[i]
		}
		switch {
		case at < 0:
			if err := whole(spans[i : i+1]); err != nil {
				return now, err
			}
			at = s.from
		case at > 0 && !s.of(cp.Topics): // at 0 there are no rows
			why = fmt.Sprintf("table %q was restored from another topic than %v", o.sub.plan.Tables[i].Name, s.Partition)
		case at > s.to:
			why = fmt.Sprintf("it is ahead of %v: at %d, where %d is committed", s.Partition, at, s.to)
		case at < s.from:
			invariant.Sometimes("shell: local state lies before the changelog's first offset")
			why = fmt.Sprintf("%v begins at %d and it is at %d", s.Partition, s.from, at)
		case at < s.to && tooOld(age, o.sub.tables[i].deleteRetention) && !invariant.Bug("local state is kept however old it is"):
			invariant.Sometimes("shell: local state is older than tombstones are kept")
			// Rows that were deleted meanwhile would come back to life: their tombstones may
			// be gone from the topic.
			why = fmt.Sprintf("it is %v old and %v keeps tombstones for %v", age.Round(time.Second), s.Partition, o.sub.tables[i].deleteRetention)
		}
		s.at = at
	}
	if why == "" {
		invariant.Sometimes("shell: local state is rolled forward")
		for i := range spans {
			if invariant.Bug("a restore begins where its changelog does, whatever is there") {
				break
			}
			s := &spans[i]
			if s.began >= 0 && s.from > s.began {
				invariant.Sometimes("shell: a task goes on whose changelog has lost its beginning")
				op.cfg.Logger.Warn("a changelog has lost its beginning: the task goes on with the rows that are here, and can be restored nowhere else",
					"task", o.id.String(), "changelog", s.Partition.String(), "begins", s.from, "began", s.began)
			}
			s.from = max(s.from, min(s.at, s.to))
		}
		return since, nil
	}
	if err := whole(spans); err != nil {
		return now, fmt.Errorf("%w (local state is of no use: %s)", err, why)
	}
	op.cfg.Logger.Warn("local state is dropped and restored in full", "task", o.id.String(), "why", why)
	if invariant.Bug("local state that is dropped keeps its rows") {
		return now, nil
	}
	return now, o.store.Reset()
}
