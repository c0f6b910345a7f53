package statestore

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
)

// flusher writes frozen tables to Pebble, on a goroutine of its own: one for the DB.
//
// The way of a row, and who may read it meanwhile:
//
//	Apply        -> active tables of the task          (its worker reads and writes)
//	freeze       -> frozen tables, job with checkpoint (nobody writes; worker and flusher read)
//	write        -> one Pebble batch                   (worker still finds them in the frozen tables)
//	job.done     -> frozen tables are a read cache     (worker may drop them: Pebble has all)
//	toDisk       -> durable
//
// A task has one job at a time, so its batches are in the order of its commits. Pebble
// makes a prefix of all batches durable, WAL or not, and a batch has all rows of a task up
// to its checkpoint: so what a crash leaves of a task is one of its commits.
type flusher struct {
	jobs chan *job
	done sync.WaitGroup

	pending []*job // committed, to be made durable
	bytes0  int    // committed since Pebble's last flush began

	// The flush of Pebble that is under way. The next batch is sorted and built
	// meanwhile, and committed when it is over: Pebble holds one batch at a time.
	under    func() error // waits for it; nil: none
	underFor []*job       // those who wait for it

	flushes, rows, bytes, waits atomic.Int64

	keys   []sortKey // reused
	due    []dueRow
	hashes []uint64
}

// job is one flush of one task.
type job struct {
	store      *pebbleStore
	tables     []*table
	checkpoint []byte // encoded
	records    int    // applied up to it since the last checkpoint on disk
	wall       core.Time
	durable    bool // wait until it is on disk, too
	done       chan struct{}
	err        error // set before done is closed
}

func (f *flusher) start(db *pebbleDB) {
	f.jobs = make(chan *job, 1024)
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		f.run(db)
	}()
}

func (f *flusher) stop(db *pebbleDB) {
	close(f.jobs)
	f.done.Wait()
}

func (f *flusher) run(db *pebbleDB) {
	for j := range f.jobs {
		f.do(db, j)
		for range len(f.jobs) { // what waits already shares one flush of Pebble
			f.do(db, <-f.jobs)
		}
		if len(f.pending) > 0 || f.bytes0 >= db.cfg.memTableBytes {
			f.settle()
			f.under = db.beginToDisk()
			f.underFor, f.pending = f.pending, f.underFor[:0]
			f.bytes0 = 0
		}
		if len(f.jobs) == 0 {
			f.settle()
		}
	}
}

// settle waits for the flush of Pebble that is under way. When it fails, disk.err says so
// to whoever commits next; Pebble goes on trying.
func (f *flusher) settle() {
	if f.under == nil {
		return
	}
	err := f.under()
	f.under = nil
	for _, j := range f.underFor {
		j.err = err
		close(j.done)
	}
	f.underFor = f.underFor[:0]
}

func (f *flusher) do(db *pebbleDB, j *job) {
	db.compactions.look()
	err := f.throttle(db)
	if err == nil {
		err = f.write(db, j)
	}
	if err == nil && j.durable {
		f.pending = append(f.pending, j)
		return
	}
	j.err = err
	close(j.done)
}

// throttle waits while compaction is far behind, unless that is because it fails.
func (f *flusher) throttle(db *pebbleDB) error {
	for {
		changed := db.disk.change()
		if err := db.disk.err(); err != nil {
			return err
		}
		m := db.pdb.Metrics()
		if err := db.room(m); err != nil {
			return err
		}
		if m.Levels[0].Sublevels < maxSublevels {
			return nil
		}
		db.compactions.look()
		if err := db.disk.compactErr(); err != nil {
			if _, err2 := db.pdb.AsyncFlush(); err2 != nil { // makes Pebble look for compactions
				return wrapDisk(db.cfg.Dir, err2)
			}
			return err
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// room refuses to write where the rows on disk are as many as may be.
func (db *pebbleDB) room(m *pebble.Metrics) error {
	total := m.Total()
	if size := total.AggregateSize(); db.cfg.MaxBytes > 0 && size >= db.cfg.MaxBytes {
		return fmt.Errorf("%w: %s holds rows of %d bytes, the limit is %d: raise it, delete rows, or have more processes share the tasks",
			ErrFull, db.cfg.Dir, size, db.cfg.MaxBytes)
	}
	return nil
}

// write puts all that the frozen tables have of dirty rows, and the checkpoint they lead
// to, into one batch. Rows go in sorted: Pebble then needs not sort them.
func (f *flusher) write(db *pebbleDB, j *job) error {
	size := len(j.checkpoint) + 64
	for i, t := range j.tables {
		size += j.store.tables[i].batchSize(t)
	}
	b := db.pdb.NewBatchWithSize(size)
	key := checkpointKey(j.store.id)
	if err := b.Set(key, j.checkpoint, nil); err != nil {
		return wrapDisk(db.cfg.Dir, err)
	}
	if db.cfg.plant.splitBatch {
		if err := db.commit(b); err != nil {
			return err
		}
		b = db.pdb.NewBatch()
	}
	for _, i := range j.store.byNumber {
		t, prefix := j.tables[i], j.store.tables[i].prefix
		f.keys = t.sorted(f.keys, row.mustGo)
		f.addKeys(db, j.store.tables[i], t)
		for _, k := range f.keys {
			r := t.at(k.ref)
			if r.absent() {
				op := b.DeleteDeferred(len(prefix) + r.keyLen())
				copy(op.Key[copy(op.Key, prefix):], r.key())
				if err := op.Finish(); err != nil {
					return wrapDisk(db.cfg.Dir, err)
				}
				continue
			}
			v := r.stored()
			op := b.SetDeferred(len(prefix)+r.keyLen(), len(v))
			copy(op.Key[copy(op.Key, prefix):], r.key())
			copy(op.Value, v)
			if err := op.Finish(); err != nil {
				return wrapDisk(db.cfg.Dir, err)
			}
		}
		f.rows.Add(int64(len(f.keys)))
	}
	for _, i := range j.store.byNumber {
		if err := f.writeDue(b, j.store.tables[i], j.tables[i]); err != nil {
			return wrapDisk(db.cfg.Dir, err)
		}
	}
	n := b.Len()
	f.bytes0 += n
	f.settle()
	if err := db.commit(b); err != nil {
		return err
	}
	f.flushes.Add(1)
	f.bytes.Add(int64(n))
	for _, t := range j.store.tables {
		db.newFilter(t)
	}
	return nil
}

// addKeys adds the keys that go to disk to the table's filter, if it has one.
func (f *flusher) addKeys(db *pebbleDB, of *pebbleTable, t *table) {
	filter := of.filter.Load()
	if filter == nil || db.cfg.plant.filterForgets {
		return
	}
	for keys := f.keys; len(keys) > 0; {
		n := min(filterBatch, len(keys))
		f.hashes = f.hashes[:0]
		for _, k := range keys[:n] {
			f.hashes = append(f.hashes, maphash.Bytes(db.seed, t.at(k.ref).key()))
		}
		if !filter.add(f.hashes) {
			return
		}
		keys = keys[n:]
	}
}

// batchSize is what a batch takes for the frozen rows that must go to disk, or a few bytes a row
// more: a batch that grows is copied, and one that is too large is garbage all the same.
func (t *pebbleTable) batchSize(frozen *table) (size int) {
	const entry = 8 // kind and lengths
	frozen.each(func(_ uint32, r row) {
		if !r.mustGo() {
			return
		}
		if size += entry + len(t.prefix) + r.keyLen(); !r.absent() {
			size += len(r.stored())
		}
		if t.dueOf == nil {
			return
		}
		due := entry + len(t.due) + dueLen + r.keyLen()
		switch tag := r.tag(); {
		case t.dueOf.InRow:
			size += 2 * due // where it is now, and where it was
		case r.absent() || tag&flagBorn == 0:
			size += due
		}
	})
	return size
}

// mustGo reports whether disk must be told of the row: what was made and deleted in memory
// never gets there.
func (r row) mustGo() bool {
	const both = flagAbsent | flagUnborn
	tag := r.tag()
	return tag&flagDirty != 0 && tag&both != both
}

// commit hands b to Pebble, and b is then Pebble's.
func (db *pebbleDB) commit(b *pebble.Batch) error {
	if err := db.disk.err(); err != nil {
		_ = b.Close() // drops it
		return err
	}
	err := b.Commit(pebble.NoSync)
	if err == nil {
		err = db.disk.dead() // Pebble reports some errors to its logger only
	}
	db.committed.Add(1)
	if err2 := b.Close(); err == nil {
		err = err2
	}
	return wrapDisk(db.cfg.Dir, err)
}

// toDisk makes all that was committed durable. When that fails Pebble goes on trying; the
// rows stay in its memory, and a later toDisk waits for them again.
func (db *pebbleDB) toDisk() error { return db.beginToDisk()() }

// beginToDisk is toDisk, but the waiting is in the function that it returns.
func (db *pebbleDB) beginToDisk() (wait func() error) {
	failed := func(err error) func() error { return func() error { return err } }
	changed := db.disk.change()
	if err := db.disk.err(); err != nil {
		return failed(err)
	}
	upTo := db.committed.Load()
	if upTo <= db.durable.Load() || db.cfg.plant.noDiskFlush {
		return failed(nil)
	}
	done, err := db.pdb.AsyncFlush()
	if err != nil {
		return failed(wrapDisk(db.cfg.Dir, err))
	}
	return func() error {
		for {
			select {
			case <-done:
				for { // several may wait, and end in any order
					if d := db.durable.Load(); d >= upTo || db.durable.CompareAndSwap(d, upTo) {
						return nil
					}
				}
			case <-changed:
			}
			changed = db.disk.change()
			if err := db.disk.err(); err != nil {
				return err
			}
		}
	}
}
