package statestore

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// pebbleStore is one task's part of a pebbleDB. Its worker owns it; only a job's frozen
// tables are read by the flusher meanwhile.
type pebbleStore struct {
	db       *pebbleDB
	id       core.TaskID
	specs    []TableSpec
	ids      []uint32 // by table: its number on disk
	tables   []*pebbleTable
	byNumber []int // tables in the order of ids: that of the keys on disk

	cp       Checkpoint
	hasCp    bool
	hasState atomic.Bool // hasCp, or rows on disk; for Tasks

	moves   bool      // a table's rows come due by what is in them
	onDisk  bool      // rows may be there
	touched byte      // keeps what write reads ahead from being optimized away
	changed bool      // since the last freeze
	records int       // applied since the checkpoint that is known to be on disk
	flushed core.Time // its Wall
	held    int       // what the task has put into db.held
	bulk    bool
	closed  bool

	job *job // being written; or done, and not yet looked at

	it     *pebble.Iterator // for reads; lives from the first read behind an Apply to the next Apply
	keyBuf []byte

	// Of Scan.
	scanIt  *pebble.Iterator // lives as long as it
	scan    merged
	scanKey []byte
	runs    [2][]sortKey
}

// pebbleTable is one table of a task, and its view.
type pebbleTable struct {
	store  *pebbleStore
	prefix []byte
	dueOf  *core.DueOrder // nil: rows are not kept by when they come due
	due    []byte         // the prefix of that order
	active *table         // written by Apply, filled by Get
	frozen *table         // the generation before: being flushed, or flushed and a read cache

	filter      atomic.Pointer[keyFilter] // of the keys that disk has; nil: it is not known
	wanted      atomic.Int64              // one is wanted, of so many keys at most; 0: none is
	misses      int                       // rows that were looked for on disk in vain, without one
	filterAfter int                       // how many of them it takes
}

func newPebbleStore(db *pebbleDB, id core.TaskID, specs []TableSpec, ids []uint32) *pebbleStore {
	s := &pebbleStore{db: db, id: id, specs: specs, ids: ids}
	for i, n := range ids {
		s.tables = append(s.tables, &pebbleTable{
			store: s, prefix: tablePrefix(id, n),
			active: newTable(&db.pool), frozen: newTable(&db.pool),
			filterAfter: db.cfg.filterAfter,
		})
		if t := s.tables[i]; specs[i].DueOf != nil {
			if t.dueOf, t.due = specs[i].DueOf, duePrefix(id, n); t.dueOf.InRow {
				s.moves, t.active.due, t.frozen.due = true, t.dueOf, t.dueOf
			}
		}
		s.byNumber = append(s.byNumber, i)
	}
	slices.SortFunc(s.byNumber, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	return s
}

// loadCheckpoint reads the task's checkpoint. Rows without one are no commit: a crash
// cannot leave them, so something else did.
func (s *pebbleStore) loadCheckpoint() error {
	it, err := s.db.pdb.NewIter(&pebble.IterOptions{LowerBound: taskPrefix(s.id), UpperBound: after(taskPrefix(s.id))})
	if err != nil {
		return s.wrap(err)
	}
	ok := it.First()
	var found *storedCheckpoint
	switch {
	case !ok:
	case !bytes.Equal(it.Key(), checkpointKey(s.id)):
		err = fmt.Errorf("%w: rows without a checkpoint (first key %x)", ErrCorrupt, it.Key())
	default:
		found, err = parseCheckpoint(it.Value())
	}
	if err2 := it.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return s.wrap(err)
	}
	if found == nil {
		return nil
	}
	cp, err := found.forTables(s.id, s.ids, &s.db.registry, s.db.cfg.Dir)
	if err != nil {
		return err
	}
	invariant.Sometimes("statestore: a task finds rows on disk")
	s.cp, s.hasCp, s.onDisk, s.flushed = cp, true, true, cp.Wall
	s.hasState.Store(true)
	return nil
}

func (s *pebbleStore) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("task %v: %w", s.id, wrapDisk(s.db.cfg.Dir, err))
}

// View returns the view of one table.
func (s *pebbleStore) View(t core.TableID) core.View { return s.tables[t] }

// Checkpoint returns the checkpoint of the last Apply.
func (s *pebbleStore) Checkpoint() (Checkpoint, bool) {
	if !s.hasCp {
		return Checkpoint{}, false
	}
	return s.cp.Clone(), true
}

// Get appends the row's value to buf. Active rows hide frozen ones, and both hide those
// on disk.
func (t *pebbleTable) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	h := hashKey(t.store.db.seed, key)
	r, slot := t.active.find(h, key)
	if r == nil {
		var err error
		if r, err = t.below(h, slot, key); r == nil {
			return buf, 0, false, err
		}
	}
	if r.absent() {
		return buf, 0, false, nil
	}
	value, at := r.read()
	return append(buf, value...), at, true, nil
}

// Scan is the store's, of this table.
func (t *pebbleTable) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	return t.store.Scan(core.TableID(t.number()), lo, hi, f)
}

// below finds a row that the active table does not have, and keeps a clean copy of it
// there, where there is room. A nil row is none.
func (t *pebbleTable) below(h, slot uint32, key []byte) (row, error) {
	s := t.store
	if s.closed {
		return nil, fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	r, _ := t.frozen.find(h, key)
	if r == nil {
		return t.load(h, slot, key)
	}
	if r.size() < largeRow && s.room() {
		value, at := r.read()
		t.active.fill(h, slot, key, value, at, r.absent())
	}
	return r, nil
}

// read returns what Pebble has of a row, or nil, until the next call. It is not asked for what the table's filter knows not to be there.
func (t *pebbleTable) read(key []byte) ([]byte, error) {
	s := t.store
	if f := t.filter.Load(); f != nil && f.lacks(maphash.Bytes(s.db.seed, key)) {
		return nil, nil
	}
	if s.it == nil {
		it, err := s.db.pdb.NewIter(&pebble.IterOptions{
			LowerBound: taskPrefix(s.id), UpperBound: after(taskPrefix(s.id)), UseL6Filters: true,
		})
		if err != nil {
			return nil, s.wrap(err)
		}
		s.it = it
	}
	s.keyBuf = append(append(s.keyBuf[:0], t.prefix...), key...)
	if !s.it.SeekPrefixGE(s.keyBuf) || !bytes.Equal(s.it.Key(), s.keyBuf) {
		if err := s.it.Error(); err != nil {
			_ = s.endReads() // it would say the same
			return nil, s.wrap(err)
		}
		t.missed()
		return nil, nil
	}
	b, err := s.it.ValueAndErr()
	if err != nil {
		_ = s.endReads()
		return nil, s.wrap(err)
	}
	return b, nil
}

func (t *pebbleTable) parse(b, key []byte) (value []byte, at core.Time, err error) {
	if value, at, err = parseRow(b); err != nil {
		err = t.store.wrap(fmt.Errorf("%w (table %q, key %x)", err, t.store.specs[t.number()].Name, key))
	}
	return value, at, err
}

// load reads a row from Pebble.
func (t *pebbleTable) load(h, slot uint32, key []byte) (row, error) {
	s := t.store
	b, err := t.read(key)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if s.room() {
			t.active.fill(h, slot, key, nil, 0, true)
		}
		return nil, nil
	}
	value, at, err := t.parse(b, key)
	if err != nil {
		return nil, err
	}
	if s.room() && rowSize(len(key), len(value)) < largeRow {
		return t.active.fill(h, slot, key, value, at, false), nil
	}
	// No room to keep it: a row that lives until the next call.
	size := rowSize(len(key), len(value))
	r := row(make([]byte, size))
	r.init(key, size, 0)
	r.put(value, at)
	return r, nil
}

func (t *pebbleTable) number() int { return slices.Index(t.store.tables, t) }

// room reports whether the active tables take more clean rows.
func (s *pebbleStore) room() bool {
	n := 0
	for _, t := range s.tables {
		n += t.active.memory()
	}
	return n < s.limit()
}

// limit is how much the task's active tables may hold: all of the process's half while it
// is free, else a fair share of it.
func (s *pebbleStore) limit() int {
	half := s.db.cfg.MemoryBytes / 2
	if s.bulk {
		half *= bulkFactor
	}
	if s.db.held.Load() < half {
		return int(half)
	}
	return int(half / max(s.db.tasks.Load(), 1))
}

// bulkFactor is how much more a restore may hold than a running task.
const bulkFactor = 2

// maxApply keeps one Apply well within what a table's references reach.
const maxApply = 4 << 30

// endReads drops the iterators. One that lives on keeps the files that it reads, and does
// not see what was flushed since.
func (s *pebbleStore) endReads() error {
	if s.db.cfg.plant.staleIterator {
		return nil
	}
	return s.wrap(s.closeReads())
}

func (s *pebbleStore) closeReads() (err error) {
	for _, it := range [2]**pebble.Iterator{&s.it, &s.scanIt} {
		if *it == nil {
			continue
		}
		if err2 := (*it).Close(); err == nil {
			err = err2
		}
		*it = nil
	}
	return err
}

// Apply takes over the rows of a commit.
func (s *pebbleStore) Apply(writes []core.Write, cp Checkpoint) error {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	size, err := checkApply(s.id, s.specs, writes, &cp)
	if err != nil {
		return err
	}
	if s.db.cfg.plant.newCheckpoint && s.hasCp {
		s.cp.set(&cp)
	}
	if err := s.prepare(size + len(writes)*(rowHead+stampLen+16)); err != nil {
		return err
	}
	if err := s.meet(writes); err != nil {
		return err
	}
	for w := writes; len(w) > 0; {
		n := min(ahead, len(w))
		s.write(w[:n])
		w = w[n:]
	}
	if s.records += len(writes); !s.hasCp || !s.cp.equal(&cp) {
		s.records = max(s.records, 1)
	}
	s.cp.set(&cp)
	s.changed = true
	if !s.hasCp {
		s.hasCp = true
		s.hasState.Store(true)
		s.flushed = cp.Wall
	}
	return nil
}

// ahead is how many rows write looks for together.
const ahead = 16

// write writes a few rows. Where a row lies is anybody's guess, so each is two waits for
// memory: for its slot, and for the row. They are asked for together and come together.
func (s *pebbleStore) write(writes []core.Write) {
	var hashes [ahead]uint32
	var slots [ahead]uint64
	for i := range writes {
		w := &writes[i]
		t := s.tables[w.Table].active
		hashes[i] = hashKey(s.db.seed, w.Key)
		slots[i] = t.slots[hashes[i]&t.mask]
	}
	touched := byte(0)
	for i := range writes {
		if slot := slots[i]; slot != 0 && uint32(slot>>32) == hashes[i] {
			touched ^= s.tables[writes[i].Table].active.at(uint32(slot) - 1)[0]
		}
	}
	s.touched = touched
	for i := range writes {
		w := &writes[i]
		t := s.tables[w.Table].active
		r, slot := t.find(hashes[i], w.Key)
		t.write(hashes[i], r, slot, w.Key, w.Value, w.Time)
	}
}

// prepare makes sure that the next writes find room, and freezes what is due. It and meet are all
// that can fail of an Apply.
func (s *pebbleStore) prepare(size int) error {
	if err := s.db.disk.err(); err != nil {
		return s.wrap(err)
	}
	if err := s.endReads(); err != nil {
		return err
	}
	if err := s.reap(false); err != nil {
		return err
	}
	if size > maxApply {
		return fmt.Errorf("%w: task %v: a commit of %d bytes (at most %d)", ErrLimit, s.id, size, maxApply)
	}
	used, dirty := 0, 0
	for _, t := range s.tables {
		used += t.active.memory()
		dirty += t.active.dirty
	}
	s.hold(used)
	limit := s.limit()
	late := !s.bulk && s.changed && (s.job == nil || !s.job.durable) &&
		(s.records >= s.db.cfg.FlushRecords || s.db.cfg.grown(s.cp.Wall, s.flushed))
	switch {
	case used > 0 && used+size > limit && dirty < limit/4 && !late:
		return s.sweep()
	case used+size > limit && s.changed || late:
		return s.freeze(late)
	}
	return nil
}

// hold keeps the sum over all tasks.
func (s *pebbleStore) hold(used int) {
	s.db.held.Add(int64(used - s.held))
	s.held = used
}

// reap looks at a job that is done, or waits for it. After an error the job is given to
// the flusher again: its rows are still in the frozen tables.
func (s *pebbleStore) reap(wait bool) error {
	j := s.job
	if j == nil {
		return nil
	}
	select {
	case <-j.done:
	default:
		if !wait {
			return nil
		}
		s.db.flusher.waits.Add(1)
		<-j.done
	}
	if j.err != nil {
		err := s.wrap(j.err)
		if s.db.disk.err() == nil { // it was, and may have passed
			again := *j
			again.done, again.err = make(chan struct{}), nil
			s.submit(&again)
		}
		return err
	}
	s.job = nil
	if j.durable {
		s.records -= j.records
		s.flushed = j.wall
	}
	return nil
}

func (s *pebbleStore) submit(j *job) {
	s.job = j
	s.db.flusher.jobs <- j
}

// freeze makes the active tables frozen ones and gives them to the flusher. The frozen
// ones before must be on their way to disk: it waits until Pebble has them.
func (s *pebbleStore) freeze(durable bool) error {
	if err := s.reap(true); err != nil {
		return err
	}
	s.rotate()
	invariant.Sometimes("statestore: rows are sealed for the disk")
	j := &job{
		store: s, records: s.records, wall: s.cp.Wall,
		durable: durable || s.records >= s.db.cfg.FlushRecords/2,
		done:    make(chan struct{}),
	}
	for _, t := range s.tables {
		j.tables = append(j.tables, t.frozen)
	}
	j.checkpoint = appendCheckpoint(nil, &s.cp, s.ids)
	s.changed, s.onDisk = false, true
	s.submit(j)
	if s.db.cfg.plant.forgetFrozen {
		for _, t := range s.tables {
			t.frozen = newTable(&s.db.pool)
			t.frozen.due = t.active.due
		}
	}
	return nil
}

// rotate puts the active tables in the place of the frozen ones, whose rows Pebble has.
func (s *pebbleStore) rotate() {
	for _, t := range s.tables {
		t.active, t.frozen = t.frozen, t.active
		t.active.reset()
	}
	s.hold(0)
}

// sweep makes room where most of the active rows are clean or dead: only the dirty ones
// stay active, and nothing is written.
func (s *pebbleStore) sweep() error {
	if err := s.reap(true); err != nil {
		return err
	}
	s.rotate()
	used := 0
	for _, t := range s.tables {
		t.frozen.copyDirty(s.db.seed, t.active)
		used += t.active.memory()
	}
	s.hold(used)
	return nil
}

// Bulk says that a restore begins or ends.
func (s *pebbleStore) Bulk(on bool) { s.bulk = on }

// startFlush hands over what is dirty, and asks for it to become durable.
func (s *pebbleStore) startFlush() error {
	if err := s.endReads(); err != nil {
		return err
	}
	if err := s.db.disk.err(); err != nil {
		return s.wrap(err)
	}
	if !s.changed {
		return nil
	}
	return s.freeze(false)
}

func (s *pebbleStore) awaitFlush() error { return s.reap(true) }

// Flush makes everything applied so far durable.
func (s *pebbleStore) Flush() error {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if err := s.startFlush(); err != nil {
		return err
	}
	if err := s.awaitFlush(); err != nil {
		return err
	}
	if err := s.db.toDisk(); err != nil {
		return s.wrap(err)
	}
	s.records, s.flushed = 0, s.cp.Wall
	return nil
}

// Reset drops rows and checkpoint.
func (s *pebbleStore) Reset() error {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if err := s.endReads(); err != nil {
		return err
	}
	if err := s.reap(true); err != nil { // it must not come after
		return err
	}
	invariant.Sometimes("statestore: the rows of a task on disk are dropped")
	b := s.db.pdb.NewBatch()
	lo := taskPrefix(s.id)
	hi := after(lo)
	if s.db.cfg.plant.resetKeepsRows || invariant.Bug("a reset keeps the rows on disk") {
		hi = tablePrefix(s.id, 1)
	}
	if err := b.DeleteRange(lo, hi, nil); err != nil {
		return s.wrap(err)
	}
	if err := s.db.commit(b); err != nil {
		return s.wrap(err)
	}
	for _, t := range s.tables {
		t.active.reset()
		t.frozen.reset()
	}
	s.hold(0)
	s.cp, s.hasCp, s.changed, s.onDisk, s.records = Checkpoint{}, false, false, false, 0
	s.hasState.Store(false)
	return nil
}

// Close flushes.
func (s *pebbleStore) Close() error {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	err := s.Flush()
	s.drop()
	return err
}

// drop lets go of all that the task holds.
func (s *pebbleStore) drop() {
	if s.closed {
		return
	}
	s.closed = true
	_ = s.closeReads() // their errors were those of the reads
	if s.job != nil {
		<-s.job.done // the flusher reads the frozen tables until then
	}
	for _, t := range s.tables {
		t.active.reset()
		t.frozen.reset()
		if f := t.filter.Load(); f != nil {
			f.free()
		}
	}
	s.hold(0)
	s.db.release(s, s.hasCp)
}
