package statestore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// The simulation: tasks do random things on a file system that can lose what was not
// synced, several lives long. At a random file operation of most lives the power goes:
// the next life begins with what was on disk at that moment. Each task must then be at
// one of its commits since the last flush that had returned.

var simTables = []TableSpec{{Name: "a", Schema: "x"}, {Name: "b", Schema: "y"}, {Name: "c", Schema: "z"}}

// step is one change of a task: an Apply or a Reset.
type step struct {
	n      int // of the commit; 0: Reset
	writes []core.Write
}

// simTask is what the simulation knows of one task.
type simTask struct {
	id    core.TaskID
	base  map[string]string // rows at the last flush that had returned: "table/key" to "value@time"
	baseN int               // the commit then; 0: none
	steps []step            // since then
	rows  map[string]string // base and all steps
	n     int               // the commit now; 0: none
}

func rowKey(t core.TableID, k []byte) string { return fmt.Sprintf("%d/%s", t, k) }

func (s step) apply(rows map[string]string) {
	if s.n == 0 {
		clear(rows)
	}
	for _, w := range s.writes {
		if w.Value == nil {
			delete(rows, rowKey(w.Table, w.Key))
		} else {
			rows[rowKey(w.Table, w.Key)] = fmt.Sprintf("%s@%d", w.Value, w.Time)
		}
	}
}

func (t *simTask) do(s step) {
	s.apply(t.rows)
	t.n = s.n
	t.steps = append(t.steps, s)
}

// flushed: the first k steps are durable.
func (t *simTask) flushed(k int) {
	for _, s := range t.steps[:k] {
		s.apply(t.base)
		t.baseN = s.n
	}
	t.steps = slices.Clone(t.steps[k:])
}

// recover finds the commit that the store is at, and makes it the present.
func (t *simTask) recover(s Store) error {
	n := 0
	if cp, ok := s.Checkpoint(); ok {
		n = int(cp.Input[0])
		if want := simCheckpoint(n); !cp.equal(&want) {
			return fmt.Errorf("task %v: checkpoint %v, want %v", t.id, cp, want)
		}
	}
	got := map[string]string{}
	for i := range simTables {
		last := ""
		err := s.Scan(core.TableID(i), nil, nil, func(k, v []byte, at core.Time) bool {
			if key := rowKey(core.TableID(i), k); key <= last {
				last = "wrong"
				return false
			} else { //nolint:revive // key is of the if
				last = key
				got[key] = fmt.Sprintf("%s@%d", v, at)
			}
			return true
		})
		if err != nil || last == "wrong" {
			return fmt.Errorf("task %v: scan %s %w", t.id, last, err)
		}
	}
	rows := maps.Clone(t.base)
	err := fmt.Errorf("task %v: at commit %d, which is not among the %d since the last flush", t.id, n, len(t.steps))
	for k := -1; k < len(t.steps); k++ {
		at := t.baseN
		if k >= 0 {
			t.steps[k].apply(rows)
			at = t.steps[k].n
		}
		if at != n {
			continue
		}
		if maps.Equal(got, rows) {
			t.base, t.baseN, t.steps = rows, n, nil
			t.rows, t.n = maps.Clone(rows), n
			return nil
		}
		err = fmt.Errorf("task %v: at commit %d it has %d rows, want %d", t.id, n, len(got), len(rows))
	}
	return err
}

func simCheckpoint(n int) Checkpoint {
	return Checkpoint{
		Changelog: []core.Offset{core.Offset(n), core.Offset(2 * n), -1},
		Input:     []core.Offset{core.Offset(n)},
		Times:     []core.Time{core.Time(3 * n)},
		Wall:      core.Time(1000 * n),
	}
}

// opHook is a file system that calls op before each change.
type opHook struct {
	vfs.FS
	op func()
}

type opFile struct {
	vfs.File
	op func()
}

func (h opHook) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return opFile{f, h.op}, nil
}

func (h opHook) Create(n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.op()
	return h.wrap(h.FS.Create(n, c))
}
func (h opHook) OpenDir(n string) (vfs.File, error) { return h.wrap(h.FS.OpenDir(n)) }
func (h opHook) Rename(a, b string) error           { h.op(); return h.FS.Rename(a, b) }
func (h opHook) Remove(n string) error              { h.op(); return h.FS.Remove(n) }
func (h opHook) Unwrap() vfs.FS                     { return h.FS }
func (f opFile) Write(b []byte) (int, error)        { f.op(); return f.File.Write(b) }
func (f opFile) Sync() error                        { f.op(); return f.File.Sync() }
func (f opFile) SyncData() error                    { f.op(); return f.File.SyncData() }

// sim is one run.
type sim struct {
	rng   *rand.Rand
	plant bugs
	tasks []*simTask
	disk  *vfs.MemFS
	n     int

	mu      sync.Mutex // for what is below, and the tasks' base, baseN and steps
	loss    *rand.Rand
	left    int // file operations until the power goes
	picture *vfs.MemFS
	frozen  []*simTask // the tasks as they were at the picture
	seen    map[string]int
}

func newSim(seed uint64, plant bugs) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 77)), plant: plant, disk: vfs.NewCrashableMem(), seen: map[string]int{},
		loss: rand.New(rand.NewPCG(seed, 78)),
	}
	for i := range 1 + s.rng.IntN(3) {
		s.tasks = append(s.tasks, &simTask{
			id:   core.TaskID{Sub: int32(i % 2), Partition: int32(i)},
			base: map[string]string{}, rows: map[string]string{},
		})
	}
	return s
}

func (s *sim) op() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left == 0 {
		s.shoot()
	}
}

// shoot takes the picture. The caller holds mu.
func (s *sim) shoot() {
	percent := []int{0, 0, 30, 50, 90, 100}[s.loss.IntN(6)]
	s.picture = s.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: s.loss})
	s.frozen = nil
	for _, t := range s.tasks {
		c := *t
		c.base, c.steps = maps.Clone(t.base), slices.Clone(t.steps)
		s.frozen = append(s.frozen, &c)
	}
}

func (s *sim) config() PebbleConfig {
	return PebbleConfig{
		Dir: "db", App: "sim", FS: opHook{s.disk, s.op}, plant: s.plant,
		MemoryBytes:   int64(64<<10 + s.rng.IntN(200<<10)),
		FlushRecords:  []int{20, 200, 2000, 100_000}[s.rng.IntN(4)],
		FlushEvery:    []core.Time{1, 20, 1000}[s.rng.IntN(3)].Sub(0) * 1000,
		memTableBytes: 64 << 10 << s.rng.IntN(3),
		filterAfter:   []int{0, 1, 20}[s.n%3],
	}
}

// run lives a few lives.
func (s *sim) run() error {
	for life := range 2 + s.rng.IntN(3) {
		if err := s.live(); err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
	}
	return nil
}

func (s *sim) live() (err error) {
	db, err := openPebble(s.config())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	stores := make([]Store, len(s.tasks))
	for i, t := range s.tasks {
		if stores[i], err = db.Open(t.id, simTables); err != nil {
			return err
		}
		if err = t.recover(stores[i]); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.picture, s.left = nil, 1+s.rng.IntN(300)
	clean := s.rng.IntN(4) == 0
	if clean {
		s.left = -1
	}
	s.mu.Unlock()
	stop := s.nemesis(db, s.rng.IntN(2) == 0)
	defer stop()
	for range 5 + s.rng.IntN(60) {
		i := s.rng.IntN(len(s.tasks))
		if stores[i], err = s.act(db, s.tasks[i], stores[i]); err != nil {
			return err
		}
		s.mu.Lock()
		gone := s.picture != nil
		s.mu.Unlock()
		if gone {
			break
		}
		if s.rng.IntN(8) == 0 {
			runtime.Gosched()
		}
	}
	stop()
	if clean {
		if err := db.Close(); err != nil {
			return err
		}
		for _, t := range s.tasks {
			t.flushed(len(t.steps))
		}
		s.seen["clean end"]++
	}
	s.mu.Lock()
	if s.picture == nil {
		s.seen["power gone between"]++
		s.shoot() // also after a clean end: it must have left nothing behind
	} else {
		s.seen["power gone within"]++
	}
	s.left = -1
	s.mu.Unlock()
	if !clean {
		_ = db.Close() // on a disk that nobody will see
	}
	s.disk, s.tasks = s.picture, s.frozen
	return nil
}

// nemesis lets Pebble flush at any time, as it may do for reasons of its own.
func (s *sim) nemesis(db *pebbleDB, on bool) (stop func()) {
	if !on {
		return func() {}
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	pauses := rand.New(rand.NewPCG(s.rng.Uint64(), 1))
	go func() {
		defer wg.Done()
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Duration(pauses.IntN(400)) * time.Microsecond):
				if _, err := db.pdb.AsyncFlush(); err != nil {
					panic(err)
				}
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		wg.Wait()
	})
}

// act does one thing to a task.
func (s *sim) act(db *pebbleDB, t *simTask, store Store) (Store, error) {
	change := func(st step) {
		s.mu.Lock()
		t.do(st)
		s.mu.Unlock()
	}
	flushed := func(t *simTask, k int) {
		s.mu.Lock()
		t.flushed(k)
		s.mu.Unlock()
	}
	switch p := s.rng.IntN(100); {
	case p < 55:
		st := s.commit()
		if s.rng.IntN(3) > 0 { // as the core does it: read, then write
			for _, w := range st.writes {
				if err := s.check(t, store, w.Table, w.Key); err != nil {
					return store, err
				}
			}
		}
		// It counts from before the call: a crash within it may leave it or not.
		change(st)
		return store, store.Apply(st.writes, simCheckpoint(st.n))
	case p < 75:
		for range 20 {
			if err := s.check(t, store, core.TableID(s.rng.IntN(len(simTables))), s.key()); err != nil {
				return store, err
			}
		}
	case p < 80:
		table := core.TableID(s.rng.IntN(len(simTables)))
		n := 0
		err := store.Scan(table, nil, nil, func(k, v []byte, at core.Time) bool {
			if t.rows[rowKey(table, k)] == fmt.Sprintf("%s@%d", v, at) {
				n++
			} else {
				n -= 1 << 30
			}
			return true
		})
		want := 0
		for k := range t.rows {
			if k[:2] == fmt.Sprintf("%d/", table) {
				want++
			}
		}
		if err == nil && n != want {
			err = fmt.Errorf("task %v: scan of table %d: %d rows, want %d", t.id, table, n, want)
		}
		return store, err
	case p < 83:
		change(step{})
		return store, store.Reset()
	case p < 88:
		k := len(t.steps)
		if err := store.Flush(); err != nil {
			return store, err
		}
		flushed(t, k)
		s.seen["flush"]++
	case p < 90:
		if err := db.Flush(); err != nil {
			return store, err
		}
		for _, t := range s.tasks {
			flushed(t, len(t.steps))
		}
	case p < 95:
		k := len(t.steps)
		if err := store.Close(); err != nil {
			return store, err
		}
		flushed(t, k)
		return db.Open(t.id, simTables)
	case p < 98:
		store.Bulk(s.rng.IntN(2) == 0)
	}
	return store, nil
}

func (s *sim) key() []byte {
	return fmt.Appendf(nil, "%0*d", []int{1, 4, 30}[s.rng.IntN(3)], s.rng.IntN(150))
}

func (s *sim) commit() step {
	s.n++
	st := step{n: s.n}
	for range []int{0, 3, 30, 300}[s.rng.IntN(4)] {
		w := core.Write{Table: core.TableID(s.rng.IntN(len(simTables))), Key: s.key(), Time: core.Time(s.n)}
		if s.rng.IntN(4) > 0 {
			w.Value = make([]byte, []int{0, 8, 100, 1500}[s.rng.IntN(4)])
			for i := range w.Value {
				w.Value[i] = byte('a' + (s.n+i)%26)
			}
		}
		st.writes = append(st.writes, w)
	}
	return st
}

func (s *sim) check(t *simTask, store Store, table core.TableID, key []byte) error {
	v, at, ok, err := store.View(table).Get(key, nil)
	if err != nil {
		return err
	}
	want, has := t.rows[rowKey(table, key)]
	if has != ok || ok && want != fmt.Sprintf("%s@%d", v, at) {
		return fmt.Errorf("task %v: table %d, key %s: %.30q %v, want %.30q %v", t.id, table, key, v, ok, want, has)
	}
	return nil
}

// seeds is how many runs a simulation has; LIMPET_SEEDS says it otherwise.
func seeds(t *testing.T, n int) uint64 {
	if v := os.Getenv("LIMPET_SEEDS"); v != "" {
		m, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		n = m
	}
	if testing.Short() {
		n /= 10
	}
	return uint64(n)
}

func TestCrashes(t *testing.T) {
	n := seeds(t, 120)
	seen := map[string]int{}
	var mu sync.Mutex
	parallel(n, func(seed uint64) {
		s := newSim(seed, bugs{})
		if err := s.run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for k, v := range s.seen {
			seen[k] += v
		}
	})
	t.Logf("%d runs: %v", n, seen)
	for _, k := range []string{"clean end", "power gone between", "power gone within", "flush"} {
		if seen[k] == 0 {
			t.Errorf("no run has seen %q", k)
		}
	}
}

func parallel(n uint64, f func(seed uint64)) {
	var wg sync.WaitGroup
	for w := range uint64(runtime.GOMAXPROCS(0)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for seed := w; seed < n; seed += uint64(runtime.GOMAXPROCS(0)) {
				f(seed)
			}
		}()
	}
	wg.Wait()
}

// Each planted bug must be found.
func TestCrashesFindBugs(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant bugs
	}{
		{"checkpoint in a batch of its own", bugs{splitBatch: true}},
		{"checkpoint of a later commit", bugs{newCheckpoint: true}},
		{"frozen rows forgotten", bugs{forgetFrozen: true}},
		{"flush stays in memory", bugs{noDiskFlush: true}},
		{"reset keeps the rows", bugs{resetKeepsRows: true}},
		{"iterator used beyond a flush", bugs{staleIterator: true}},
		{"scan leaves out what is in memory", bugs{diskScan: true}},
		{"a filter does not have the keys of jobs behind it", bugs{filterForgets: true}},
		{"a filter is asked before it is filled", bugs{filterEarly: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(2000) {
				if err := newSim(seed, c.plant).run(); err != nil {
					if errors.Is(err, ErrIO) {
						t.Fatalf("seed %d fails in another way: %v", seed, err)
					}
					t.Logf("found with seed %d: %v", seed, err)
					return
				}
			}
			t.Fatal("not found")
		})
	}
}
