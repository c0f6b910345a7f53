package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// Global tables: a process reads all partitions of their topics, once, into a store that its
// workers share. How an update reaches a task:
//
//	take     a fetch's rows go into the store; a version of it is published   (the reader)
//	offer    each worker is told of the version and of the keys that changed  (the reader)
//	moved    between two Steps the worker takes the newest version, and tells
//	         its tasks; they read that version until the next one             (the worker)
//
// So no lock is taken where rows are looked up, and what a record sees follows from the
// versions that its task was told of, which the commit's decisions hold. Versions are counted:
// one is dropped when no worker has it any more.
//
// No offset of these topics is committed to the group: each process has its own position,
// the checkpoint beside the rows.

// globals are the global tables of a process. Methods are called by the reader, join by
// anyone.
type globals struct {
	log    *slog.Logger
	now    func() time.Time
	tables []*globalTable
	of     map[string]*globalTable // by topic
	fetch  Fetcher

	mu      sync.Mutex
	readers map[*globalReader]bool
}

type globalTable struct {
	layout *globalLayout
	index  int
	store  statestore.Global
	at     []core.Offset // by partition: what is in the store
	marks  []statestore.TopicMark
	since  time.Time // until all is restored: from when on tombstones may be missed
	latest *globalVersion

	writes  []core.Write
	changed [][]byte
	nullKey bool // one was seen, and told of
}

// globalVersion is a version of a global table that several hold.
type globalVersion struct {
	statestore.GlobalVersion
	at   []core.Offset
	held atomic.Int32
}

func (v *globalVersion) hold() *globalVersion {
	v.held.Add(1)
	return v
}

func (v *globalVersion) drop() {
	if v != nil && v.held.Add(-1) == 0 {
		v.Release()
	}
}

// openGlobals opens the global tables of a layout and reads their topics up to where they end
// now: no task begins before. It returns nil where there are none.
func openGlobals(ctx context.Context, cfg *Config, l *layout, db statestore.DB) (_ *globals, err error) {
	if len(l.globals) == 0 {
		return nil, nil
	}
	g := &globals{log: cfg.Logger, now: cfg.Now, of: map[string]*globalTable{}, readers: map[*globalReader]bool{}}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	var all []Partition
	for i, gl := range l.globals {
		store, err := db.OpenGlobal(statestore.TableSpec{Name: gl.topic, Schema: gl.spec.Schema})
		if err != nil {
			return nil, err
		}
		t := &globalTable{layout: gl, index: i, store: store}
		g.tables, g.of[gl.topic] = append(g.tables, t), t
		for p := range gl.partitions {
			all = append(all, Partition{gl.topic, p})
		}
	}
	for try := 1; ; try++ {
		err = g.load(ctx, cfg.Broker, all)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrMismatch) || try == openTries {
			return nil, err
		}
		g.log.Warn("global tables are read again", "err", err)
	}
	for _, t := range g.tables {
		if err := g.publish(t); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// load reads the topics up to where they end now, once.
func (g *globals) load(ctx context.Context, b Broker, all []Partition) error {
	ids, err := b.TopicIDs(ctx, topicsOf(all)...)
	if err != nil {
		return err
	}
	looked := g.now()
	bounds, err := b.Bounds(ctx, all)
	if err != nil {
		return err
	}
	for _, t := range g.tables {
		if err := g.resume(t, bounds, ids, looked); err != nil {
			return err
		}
	}
	if g.fetch != nil {
		g.fetch.Close()
	}
	g.fetch = b.NewFetcher(FetchConfig{Name: "global tables", PartitionBytes: 1 << 20, BufferBytes: 4 << 20})
	for _, t := range g.tables {
		for p, at := range t.at {
			g.fetch.Add(Partition{t.layout.topic, int32(p)}, at, 0, 0)
		}
	}
	if invariant.Bug("a task begins before its global tables are read") {
		return nil
	}
	err = g.restore(ctx, bounds)
	var cut *OffsetError
	if errors.As(err, &cut) && !invariant.Bug("a global table that is cut off while it is read is given up") { // look again at what there is
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return err
}

// resume sets where each partition is read from: from what the store has, if that can be
// rolled forward, or else from the topic's beginning, all of it.
func (g *globals) resume(t *globalTable, bounds map[Partition]Bounds, ids map[string]TopicID, looked time.Time) error {
	clear(t.writes) // of a try before this one
	t.writes = t.writes[:0]
	cp, ok := t.store.Checkpoint()
	t.at = make([]core.Offset, t.layout.partitions)
	why := ""
	if len(cp.Input) > len(t.at) {
		why = fmt.Sprintf("the topic had %d partitions and has %d", len(cp.Input), len(t.at))
	}
	if err := remade(cp.Topics, ids); err != nil {
		why = "the topic was deleted and made again"
	}
	t.marks = marks([]string{t.layout.topic}, ids)
	t.since = looked
	age := looked.Sub(time.UnixMilli(int64(cp.Wall)))
	behind := false
	for p := range t.at {
		b := bounds[Partition{t.layout.topic, int32(p)}]
		if t.at[p] = b.Start; p >= len(cp.Input) {
			continue
		}
		behind = behind || cp.Input[p] < b.End
		switch at := cp.Input[p]; {
		case at > b.End:
			why = fmt.Sprintf("it is ahead of partition %d: at %d, which ends at %d", p, at, b.End)
		case at < b.Start:
			why = fmt.Sprintf("partition %d begins at %d and it is at %d", p, b.Start, at)
		case at < b.End && tooOld(age, t.layout.deleteRetention) && !invariant.Bug("a global table is kept however old it is"):
			why = fmt.Sprintf("it is %v old and the topic keeps tombstones for %v", age.Round(time.Second), t.layout.deleteRetention)
		}
	}
	if why == "" {
		copy(t.at, cp.Input)
		if ok && behind { // else it has all that there was at looked
			t.since = looked.Add(-age) // by both clocks
		}
		return nil
	}
	if !ok {
		return nil
	}
	invariant.Sometimes("shell: the rows of a global table are read again in full")
	g.log.Warn("the rows of a global table are dropped and read again in full", "topic", t.layout.topic, "why", why)
	return t.store.Reset()
}

// restore reads up to the ends. What lies behind an open transaction is waited for.
func (g *globals) restore(ctx context.Context, bounds map[Partition]Bounds) error {
	began, told := time.Now(), time.Now()
	var done, todo int64
	missing := func() (n int64) {
		for _, t := range g.tables {
			for p, at := range t.at {
				n += max(0, int64(bounds[Partition{t.layout.topic, int32(p)}].End-at))
			}
		}
		return n
	}
	behind := make([]bool, len(g.tables))
	for i, t := range g.tables {
		for p, at := range t.at {
			behind[i] = behind[i] || at < bounds[Partition{t.layout.topic, int32(p)}].End
		}
	}
	for todo = missing(); done < todo; done = todo - missing() {
		if err := g.take(ctx); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(told) >= time.Second {
			told = now
			g.log.Info("restoring global tables", "done", done, "of", todo)
		}
	}
	for i, t := range g.tables {
		if !behind[i] {
			continue
		}
		if err := g.intime(t); err != nil { // the last of it may have been nothing but tombstones that are gone
			return err
		}
	}
	for _, t := range g.tables {
		t.since = time.Time{}
	}
	g.log.Info("global tables restored", "offsets", todo, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// intime refuses what took longer to restore than the topic keeps its tombstones, as with tables of tasks
// (restore.go): rows that were read at first may have been deleted since, by tombstones that were cleaned away
// before they were read. It is asked before rows are applied, too: a checkpoint at the topic's end is trusted
// however old it is, so none may get there late, not even one that is dropped soon after: a crash takes Reset back.
func (g *globals) intime(t *globalTable) error {
	took, keeps := elapsed(g.now(), t.since), t.layout.deleteRetention
	if t.since.IsZero() || !tooOld(took, keeps) || invariant.Bug("a global table is kept however old it is") {
		return nil
	}
	if err := t.store.Reset(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s was read for %v, and keeps tombstones for %v", ErrMismatch, t.layout.topic, took.Round(time.Second), keeps)
}

// run follows the topics until ctx ends. An error means that the rows can no longer be kept.
func (g *globals) run(ctx context.Context) error {
	for {
		if err := g.take(ctx); err != nil {
			return stopped(ctx, err)
		}
		for _, t := range g.tables {
			if len(t.changed) == 0 {
				continue
			}
			if err := g.publish(t); err != nil {
				return err
			}
		}
	}
}

// take polls once, and puts what came into the stores.
func (g *globals) take(ctx context.Context) error {
	got, err := g.fetch.Poll(ctx)
	if err != nil {
		return err
	}
	for i := range got {
		f := &got[i]
		t := g.of[f.Topic]
		if f.Err != nil {
			var lost *OffsetError
			if errors.As(f.Err, &lost) {
				return fmt.Errorf("global table %s: %w: records were deleted before they were read, or the topic was made anew: start again, the table is then read in full", f.Topic, f.Err)
			}
			return fmt.Errorf("global table %s: %w", f.Topic, f.Err)
		}
		for int(f.ID) >= len(t.at) { // the topic has grown
			t.at = append(t.at, 0)
		}
		for k := range f.Batch.Records {
			if err := t.add(f.ID, &f.Batch.Records[k], g.log); err != nil {
				return err
			}
		}
		t.at[f.ID] = f.Batch.Next
	}
	for _, t := range g.tables {
		if len(t.writes) == 0 {
			continue
		}
		if err := g.intime(t); err != nil {
			return err
		}
		cp := statestore.Checkpoint{Input: t.at, Wall: core.Time(g.now().UnixMilli()), Topics: t.marks}
		if !t.since.IsZero() {
			cp.Wall = core.Time(t.since.UnixMilli())
		}
		if err := t.store.Apply(t.writes, cp); err != nil {
			return err
		}
		clear(t.writes)
		t.writes = t.writes[:0]
	}
	for i := range got {
		g.fetch.Release(got[i].Partition, got[i].Tag, got[i].Bytes)
	}
	return nil
}

// add notes what a record does to the table.
func (t *globalTable) add(partition int32, r *core.RawRecord, log *slog.Logger) error {
	if r.Key == nil {
		if !t.nullKey {
			t.nullKey = true
			log.Warn("a global table has no row for records with no key: they are dropped", "topic", t.layout.topic, "partition", partition, "offset", int64(r.Offset))
		}
		return nil
	}
	key := r.Key
	if t.layout.spec.Key != nil {
		var err error
		if key, err = t.layout.spec.Key(nil, r.Key); err != nil {
			return fmt.Errorf("global table %s: %w: partition %d, offset %d: key: %w", t.layout.topic, core.ErrDecode, partition, r.Offset, err)
		}
	}
	t.writes = append(t.writes, core.Write{Key: key, Value: r.Value, Time: r.Time})
	t.changed = append(t.changed, key)
	return nil
}

// publish makes what the store has now a version, and offers it to all workers.
func (g *globals) publish(t *globalTable) error {
	v, err := t.store.Version()
	if err != nil {
		return err
	}
	next := (&globalVersion{GlobalVersion: v, at: slices.Clone(t.at)}).hold()
	g.mu.Lock()
	defer g.mu.Unlock()
	t.latest.drop()
	t.latest = next
	if invariant.Bug("changed rows of a global table stay decoded") {
		t.changed = nil
	}
	for r := range g.readers {
		r.offer(t.index, next, t.changed)
	}
	t.changed = nil // the workers have it now
	return nil
}

// grow reads partitions that a topic has got.
func (g *globals) grow(topic string, from, to int32) {
	for p := from; p < to; p++ {
		g.fetch.Add(Partition{topic, p}, 0, 0, 0)
	}
}

// join makes a worker's part. A nil g has none.
func (g *globals) join() *globalReader {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.tables)
	r := &globalReader{g: g, wake: make(chan struct{}, 1), next: make([]offered, n), now: make([]*globalVersion, n)}
	for i, t := range g.tables {
		r.now[i] = t.latest.hold()
	}
	g.readers[r] = true
	return r
}

// close ends the reading. No worker may hold a version any more.
func (g *globals) close() {
	if g == nil {
		return
	}
	if g.fetch != nil {
		g.fetch.Close()
	}
	for _, t := range g.tables {
		t.latest.drop()
		_ = t.store.Close() // closed already, or it says what Apply said
	}
}

// globalReader is a worker's view of all global tables.
type globalReader struct {
	g *globals
	// wake has something when a version is offered. A worker with nothing to do takes it too:
	// an old version costs memory.
	wake  chan struct{}
	fresh atomic.Bool // the same, for a look that costs nothing

	mu   sync.Mutex
	next []offered

	now []*globalVersion // the worker's alone
}

// offered is what a worker has not taken yet.
type offered struct {
	version *globalVersion // nil: nothing
	changed [][]byte
	all     bool // too many have changed
}

// changedMost is how many keys are told one by one.
const changedMost = 10_000

// offer is called under the lock of globals.
func (r *globalReader) offer(table int, v *globalVersion, changed [][]byte) {
	r.mu.Lock()
	o := &r.next[table]
	o.version.drop()
	o.version = v.hold()
	if o.all = o.all || len(o.changed)+len(changed) > changedMost; o.all {
		o.changed = nil
	} else {
		o.changed = append(o.changed, changed...)
	}
	r.mu.Unlock()
	r.fresh.Store(true)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take makes the newest versions the worker's, and calls moved for each table that has one.
func (r *globalReader) take(moved func(table int, m core.GlobalMove)) {
	if r == nil || !r.fresh.Load() {
		return
	}
	r.mu.Lock()
	r.fresh.Store(false)
	next := r.next
	r.next = make([]offered, len(next))
	r.mu.Unlock()
	for i, o := range next {
		if o.version == nil {
			continue
		}
		r.now[i].drop()
		r.now[i] = o.version
		moved(i, core.GlobalMove{At: o.version.at, Changed: o.changed, All: o.all})
	}
}

// woken is r.wake; of none a channel that never has anything.
func (r *globalReader) woken() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.wake
}

// leave gives back what the worker holds.
func (r *globalReader) leave() {
	if r == nil {
		return
	}
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	delete(r.g.readers, r)
	for i := range r.now {
		r.now[i].drop()
		r.next[i].version.drop()
	}
}

// moveGlobals lets all tasks see the newest versions of the global tables.
func (w *worker) moveGlobals() {
	w.globals.take(func(table int, m core.GlobalMove) {
		for _, t := range w.live() {
			for id, g := range t.sub.plan.Globals {
				if g.Index == table {
					m.Global = core.GlobalID(id)
					t.core.Move(m)
				}
			}
		}
	})
}

// view is a table as the worker sees it now.
func (r *globalReader) view(table int) core.View { return globalView{r, table} }

type globalView struct {
	r     *globalReader
	table int
}

func (v globalView) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	return v.r.now[v.table].Get(key, buf)
}

func (v globalView) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	return v.r.now[v.table].Scan(lo, hi, f)
}
