package statestore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// PebbleConfig says where and how a store lies on disk. Zero values are the defaults.
type PebbleConfig struct {
	Dir      string // the store's own: nothing else may lie in it. It is made where it is missing
	App      string // application id; a store of another one is refused
	Topology string // its name; a store that another one wrote is refused. Empty: any

	// MemoryBytes bounds the rows that the tasks hold in memory, all together: half of it
	// for those that disk does not have yet, half for those that have been read or
	// written lately. What Pebble takes comes on top: CacheBytes, the batch that is being
	// written (half of MemoryBytes), two memtables (a quarter, 32 MiB at most). Default 128 MiB.
	MemoryBytes int64
	// CacheBytes is Pebble's block cache. Up to a quarter of it are filters of the keys of tables, where rows are often looked for
	// that are not there. Default 128 MiB.
	CacheBytes int64
	// MaxBytes bounds the rows on disk, as they lie there, compressed: where they are more, nothing
	// is written any more (ErrFull). While files are merged they take more for a while, twice as
	// much at most. 0: what the disk has room for.
	MaxBytes int64
	// FlushRecords bounds how many changelog records a task has to read again after a
	// crash, about. Default 1 000 000: a second or two of restore.
	FlushRecords int
	// FlushEvery bounds how far, by Checkpoint.Wall, a task's rows on disk are behind
	// when it has anything to write. Default 5 minutes.
	FlushEvery time.Duration

	FS     vfs.FS       // default: the operating system's
	Logger *slog.Logger // default: none

	memTableBytes int  // of Pebble; for tests
	filterAfter   int  // rows looked for in vain; for tests
	plant         bugs // for tests
}

// grown reports whether it is time to write what is behind the last flush. A clock that was set back since by more than
// FlushEvery would else put that off until it is there again.
func (c *PebbleConfig) grown(wall, flushed core.Time) bool {
	age := wall.Sub(flushed)
	return age >= c.FlushEvery || -age >= c.FlushEvery
}

// bugs are mistakes that tests plant, to see that they are found.
type bugs struct {
	splitBatch     bool // the checkpoint in a batch of its own, before the rows
	newCheckpoint  bool // the newest checkpoint with the frozen rows
	forgetFrozen   bool // frozen rows are gone before they are on disk
	noDiskFlush    bool // Flush leaves the rows in Pebble's memory
	resetKeepsRows bool // Reset drops the checkpoint only
	staleIterator  bool // an iterator is used beyond a flush
	filterForgets  bool // the keys of a job are not added to filters
	filterEarly    bool // a filter is asked before it is filled
	diskScan       bool // Scan leaves out what is in memory
}

const (
	defaultMemory       = 128 << 20
	defaultCache        = 128 << 20
	defaultFlushRecords = 1_000_000
	defaultFlushEvery   = 5 * time.Minute
	defaultMemTable     = 16 << 20

	minMemory = 64 << 10
	maxMemory = 16 << 30 // half of what a table's references reach

	// formatMajor is Pebble's version of its files. To raise it is a change of format:
	// older programs can then not open the store.
	formatMajor = pebble.FormatValueSeparation
	// maxSublevels is how many sorted runs may pile up in L0 before writing waits for
	// compaction: each of them is one more place to look for every read.
	maxSublevels = 24
)

var discard = slog.New(slog.DiscardHandler)

func (c *PebbleConfig) setDefaults() error {
	if c.Dir == "" || c.App == "" {
		return errors.New("statestore: no directory or no application id")
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemory
	}
	if c.MemoryBytes < minMemory || c.MemoryBytes > maxMemory {
		return fmt.Errorf("%w: memory of %d bytes: %d to %d", ErrLimit, c.MemoryBytes, minMemory, maxMemory)
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = defaultCache
	}
	if c.FlushRecords == 0 {
		c.FlushRecords = defaultFlushRecords
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = defaultFlushEvery
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = discard
	}
	if c.filterAfter == 0 {
		c.filterAfter = defaultFilterAfter
	}
	if c.memTableBytes == 0 {
		c.memTableBytes = int(min(defaultMemTable, max(256<<10, c.MemoryBytes/8)))
	}
	return nil
}

// pebbleDB is the DB on Pebble: one for all tasks of the process, since one each costs
// goroutines, files and idle CPU by the task.
type pebbleDB struct {
	cfg  PebbleConfig
	disk *disk
	pdb  *pebble.DB
	lock io.Closer
	seed maphash.Seed
	pool slabPool

	cache   *pebble.Cache
	filters filterMemory
	filling sync.WaitGroup // of filters

	compactions *compactions

	mu       sync.Mutex
	registry registry
	open     map[core.TaskID]*pebbleStore
	has      map[core.TaskID]bool // tasks with state
	globals  map[uint32]bool      // global tables that are open
	closed   bool

	tasks atomic.Int64 // open
	held  atomic.Int64 // bytes in active tables

	committed, durable atomic.Int64 // batches: in Pebble, on disk

	flusher flusher
}

// OpenPebble opens the store in cfg.Dir, or makes it.
func OpenPebble(cfg PebbleConfig) (DB, error) {
	db, err := openPebble(cfg)
	if err != nil {
		return nil, err
	}
	return db, nil
}

func openPebble(cfg PebbleConfig) (_ *pebbleDB, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	db := &pebbleDB{
		cfg:      cfg,
		disk:     newDisk(cfg.FS, cfg.Dir, cfg.Logger),
		seed:     maphash.MakeSeed(),
		registry: newRegistry(),
		open:     map[core.TaskID]*pebbleStore{},
		has:      map[core.TaskID]bool{},
		globals:  map[uint32]bool{},

		compactions: newCompactions(),
	}
	db.pool.keep = int(cfg.MemoryBytes / slabSize)
	db.filters.left = int(cfg.CacheBytes / 4)
	if err := db.disk.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, wrapDisk(cfg.Dir, err)
	}
	if err := checkDir(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(cfg.Dir, db.disk)
	if err != nil {
		return nil, lockError(cfg.Dir, err)
	}
	db.lock = lock
	// Pebble takes the batch that it flushes, and its memtables, off the block cache.
	db.cache = pebble.NewCache(cfg.CacheBytes + cfg.MemoryBytes/2 + 2*int64(cfg.memTableBytes))
	defer func() {
		if err != nil {
			defer db.cache.Unref()
			if db.pdb != nil {
				_ = db.pdb.Close() // the error that is returned came first
			}
			_ = lock.Close()
		}
	}()
	o := db.options()
	o.Lock = lock
	if db.pdb, err = db.openFiles(o); err != nil {
		return nil, err
	}
	if err := db.load(); err != nil {
		return nil, err
	}
	db.flusher.start(db)
	return db, nil
}

// openFiles opens Pebble. Where it cannot write its manifest, it stays behind: its
// goroutines wait for ever, and the lock is held until the process ends.
func (db *pebbleDB) openFiles(o *pebble.Options) (*pebble.DB, error) {
	type result struct {
		pdb *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		pdb, err := openFiles(db.cfg.Dir, o)
		done <- result{pdb, err}
	}()
	select {
	case r := <-done:
		db.disk.opened()
		return r.pdb, r.err
	case <-db.disk.abandoned:
		return nil, db.disk.err()
	}
}

// openFiles opens Pebble. What it finds in the files may be anything: a panic on the way
// is damage too.
func openFiles(dir string, o *pebble.Options) (pdb *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			pdb, err = nil, fmt.Errorf("%w: %s: %v: %s", ErrCorrupt, dir, p, startAnew)
		}
	}()
	if pdb, err = pebble.Open(dir, o); err == nil {
		return pdb, nil
	}
	switch {
	case errors.Is(err, pebble.ErrDBNotPristine):
		return nil, fmt.Errorf("%w: %s: another Pebble database, or one whose marker.format-version is lost: name another directory, or delete this one (rows of ours are read again from the changelogs): %w",
			ErrForeign, dir, oneLineError{err})
	case errors.Is(err, os.ErrNotExist): // a file that the manifest names
		return nil, fmt.Errorf("%w: %s: %w: %s", ErrCorrupt, dir, oneLineError{err}, startAnew)
	case strings.Contains(err.Error(), "format version"), strings.Contains(err.Error(), "format major version"):
		return nil, fmt.Errorf("%w: %s: %w: run the program that wrote it, or delete the directory (the rows are read again from the changelogs)",
			ErrVersion, dir, err)
	case !isSyscall(err): // not the system's: so it is the content
		return nil, fmt.Errorf("%w: %s: %w: %s", ErrCorrupt, dir, oneLineError{err}, startAnew)
	}
	return nil, wrapDisk(dir, err)
}

func isSyscall(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no)
}

func lockError(dir string, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held by current process") {
		return fmt.Errorf("%w: %s: stop the other process, or give this one a directory of its own (%w)", ErrLocked, dir, err)
	}
	return wrapDisk(dir, err)
}

// ours matches the names of the files that Pebble makes.
var ours = regexp.MustCompile(`^(LOCK|lost\+found|(MANIFEST|OPTIONS)-\d+|\d+\.(sst|blob|log|dbtmp)|temporary\.\d+\.dbtmp|marker\..*|REMOTE-OBJ-CATALOG-\d+|OPTIONS-\d+\.dbtmp)$`)

// checkDir refuses a directory that holds other files, before anything is written to it.
func checkDir(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return wrapDisk(dir, err)
	}
	slices.Sort(names)
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".sst") }) &&
		!slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "marker.manifest.") }) {
		// Pebble would take it for a new one, and delete the rows.
		return fmt.Errorf("%w: %s: rows without a manifest: %s", ErrCorrupt, dir, startAnew)
	}
	for _, n := range names {
		if !ours.MatchString(n) {
			return fmt.Errorf("%w: %s holds %q, which is none of its files: name an empty directory, or one that does not exist yet",
				ErrForeign, dir, n)
		}
	}
	return nil
}

// options are the measured ones: see docs/format.md for those that belong to the format.
func (db *pebbleDB) options() *pebble.Options {
	o := &pebble.Options{
		FS:                 db.disk,
		DisableWAL:         true, // the changelog is the log
		FormatMajorVersion: formatMajor,
		Cache:              db.cache,
		MemTableSize:       uint64(db.cfg.memTableBytes),
		// The flusher waits for Pebble before it goes on, where errors can end its
		// waiting. Pebble itself must not: nothing would.
		MemTableStopWritesThreshold: 1000,
		L0StopWritesThreshold:       10_000,
		// Eight sublevels, twice 16 by Pebble's count: by then many of a task's rows have been
		// written again, or have gone, and are merged away for nothing. A read looks at the filters
		// of all of them, which costs less than merging sooner does (docs/performance.md).
		L0CompactionThreshold: 16,
		LBaseMaxBytes:         64 << 20,
		MaxOpenFiles:          4096,
		Logger:                db.disk,
		EventListener:         db.disk.listener(),
	}
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	o.Experimental.CompactionScheduler = db.compactions
	// Rows come due at the beginning of their order, so that it is dense with tombstones, always,
	// until they are merged away. Nothing reads there: it goes on behind what has come due.
	o.Experimental.TombstoneDenseCompactionThreshold = -1
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 4 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	o.TargetFileSizes[0] = 8 << 20
	return o
}

// load reads what the store says of itself, or writes it where the store is new.
func (db *pebbleDB) load() error {
	it, err := db.pdb.NewIter(nil)
	if err != nil {
		return wrapDisk(db.cfg.Dir, err)
	}
	err = db.loadFrom(it)
	if err2 := it.Close(); err == nil {
		err = wrapDisk(db.cfg.Dir, err2)
	}
	return err
}

func (db *pebbleDB) loadFrom(it *pebble.Iterator) (err error) {
	m := meta{Format: formatVersion, App: db.cfg.App, Topology: db.cfg.Topology}
	old := meta{}
	switch ok := it.First(); {
	case it.Error() != nil:
		return wrapDisk(db.cfg.Dir, it.Error())
	case !ok:
	case string(it.Key()) != string(metaKey):
		return fmt.Errorf("%w: %s holds a Pebble database that is not ours: name another directory", ErrForeign, db.cfg.Dir)
	default:
		if old, err = parseMeta(db.cfg.Dir, it.Value()); err != nil {
			return err
		}
		if err := old.check(db.cfg.Dir, db.cfg.App, db.cfg.Topology); err != nil {
			return err
		}
		if m.Topology == "" {
			m.Topology = old.Topology
		}
	}
	for ok := it.SeekGE([]byte{kindTable}); ok && it.Key()[0] == kindTable; ok = it.Next() {
		if err := db.registry.load(string(it.Key()[1:]), it.Value()); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil { // the next seek would forget it, and so the tables behind it
		return wrapDisk(db.cfg.Dir, err)
	}
	for ok := it.SeekGE([]byte{kindTask}); ok && it.Key()[0] == kindTask; {
		id, err := parseTask(it.Key())
		if err != nil {
			return err
		}
		db.has[id] = true
		ok = it.SeekGE(after(taskPrefix(id)))
	}
	if err := it.Error(); err != nil {
		return wrapDisk(db.cfg.Dir, err)
	}
	if m == old {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	batch := db.pdb.NewBatch()
	if err := batch.Set(metaKey, b, nil); err != nil {
		return wrapDisk(db.cfg.Dir, err)
	}
	if err := db.commit(batch); err != nil {
		return err
	}
	return db.toDisk()
}

// Open opens the task's tables.
func (db *pebbleDB) Open(id core.TaskID, tables []TableSpec) (Store, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	if db.open[id] != nil {
		return nil, fmt.Errorf("%w: %v", ErrBusy, id)
	}
	if id.Sub < 0 || id.Partition < 0 {
		return nil, fmt.Errorf("statestore: %v is no task id", id)
	}
	ids, added, err := db.registry.resolve(tables, db.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("task %v: %w", id, err)
	}
	s := newPebbleStore(db, id, db.registry.dated(tables), ids)
	if err := s.loadCheckpoint(); err != nil {
		return nil, err
	}
	if len(added) > 0 {
		// They need not be durable now: Pebble writes in order, so they are on disk before
		// any row that needs them.
		b := db.pdb.NewBatch()
		for _, e := range added {
			v, err := json.Marshal(e)
			if err != nil {
				return nil, err
			}
			if err := b.Set(registryKey(e.name), v, nil); err != nil {
				return nil, wrapDisk(db.cfg.Dir, err)
			}
		}
		if err := db.commit(b); err != nil {
			return nil, err
		}
		for _, e := range added {
			db.registry.add(e)
		}
	}
	db.open[id] = s
	db.tasks.Add(1)
	return s, nil
}

// release forgets a task that was open.
func (db *pebbleDB) release(s *pebbleStore, state bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.open[s.id] == s {
		delete(db.open, s.id)
		db.tasks.Add(-1)
	}
	if state {
		db.has[s.id] = true
	} else {
		delete(db.has, s.id)
	}
}

func (db *pebbleDB) Tasks() []core.TaskID {
	db.mu.Lock()
	defer db.mu.Unlock()
	var ids []core.TaskID
	for id := range db.has {
		if db.open[id] == nil {
			ids = append(ids, id)
		}
	}
	for id, s := range db.open {
		if s.hasState.Load() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareTasks)
	return ids
}

func compareTasks(a, b core.TaskID) int {
	switch {
	case a.Less(b):
		return -1
	case b.Less(a):
		return 1
	}
	return 0
}

// stores returns the tasks that are open, in their order.
func (db *pebbleDB) stores() []*pebbleStore {
	db.mu.Lock()
	defer db.mu.Unlock()
	var list []*pebbleStore
	for _, s := range db.open {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *pebbleStore) int { return compareTasks(a.id, b.id) })
	return list
}

func (db *pebbleDB) Flush() (err error) {
	first := func(e error) {
		if err == nil { // the others say the same
			err = e
		}
	}
	list := db.stores()
	for _, s := range list {
		first(s.startFlush())
	}
	for _, s := range list {
		first(s.awaitFlush())
	}
	first(wrapDisk(db.cfg.Dir, db.toDisk())) // what could be handed over, if not all
	return err
}

func (db *pebbleDB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.closed = true
	db.mu.Unlock()
	err := db.Flush()
	for _, s := range db.stores() {
		s.drop()
	}
	db.flusher.stop(db)
	close(db.disk.stop)
	closed := make(chan error, 1)
	go func() {
		db.filling.Wait() // they read
		err := db.pdb.Close()
		db.cache.Unref()
		closed <- err
	}()
	var err2 error
	select {
	case err2 = <-closed:
	case <-db.disk.halted: // Pebble waits for a compaction that does not come back
	}
	err3 := errors.Join(db.pool.close(), db.lock.Close())
	if err != nil {
		return err // the others follow from it
	}
	return wrapDisk(db.cfg.Dir, errors.Join(err2, err3))
}

func (db *pebbleDB) Metrics() Metrics {
	m := Metrics{
		Open:        int(db.tasks.Load()),
		Memory:      db.pool.bytes.Load(),
		MemoryLimit: db.cfg.MemoryBytes,
		Flushes:     db.flusher.flushes.Load(),
		FlushedRows: db.flusher.rows.Load(),
		FlushBytes:  db.flusher.bytes.Load(),
		Waits:       db.flusher.waits.Load(),
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return m
	}
	p := db.pdb.Metrics()
	m.Disk = int64(p.DiskSpaceUsage())
	m.ReadAmp = p.ReadAmp()
	m.CacheHits, m.CacheMisses = p.BlockCache.Hits, p.BlockCache.Misses
	return m
}
