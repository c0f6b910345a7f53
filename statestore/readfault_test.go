package statestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// readFS fails reads of sorted tables, but those of compactions: one of the next ones, or that and all behind it.
type readFS struct {
	vfs.FS
	left  atomic.Int64 // reads until it fails; 0 and less: by then it has
	on    atomic.Bool
	lasts atomic.Bool
	hits  atomic.Int64
}

// fail has the nth read fail from now on; 0: none.
func (r *readFS) fail(n int, lasts bool) {
	r.lasts.Store(lasts)
	r.left.Store(int64(n))
	r.on.Store(n > 0)
	r.hits.Store(0)
}

func (r *readFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := r.FS.Open(name, o...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &readFile{f, r}, nil
}

type readFile struct {
	vfs.File
	fs *readFS
}

func (f *readFile) ReadAt(p []byte, at int64) (int, error) {
	if f.fs.on.Load() && !ofCompaction() {
		if n := f.fs.left.Add(-1); n == 0 || n < 0 && f.fs.lasts.Load() {
			f.fs.hits.Add(1)
			return 0, syscall.EIO
		}
	}
	return f.File.ReadAt(p, at)
}

// A read that fails is an error, or the rows are right: none is missing because disk could not say it. Behind that the
// store reads on.
func TestReadsFail(t *testing.T) {
	fs := &readFS{FS: vfs.NewMem()}
	table := []TableSpec{{Name: "a", Schema: "x", DueOf: core.DueByTime()}}
	rates := TableSpec{Name: "rates", Schema: "x"}
	cfg := PebbleConfig{Dir: "db", App: "reads", FS: fs, MemoryBytes: 4 << 20, memTableBytes: 256 << 10}
	cfg.CacheBytes = 1 - cfg.MemoryBytes/2 - 2*int64(cfg.memTableBytes) // so that the cache is empty, see options
	pebble, err := openPebble(cfg)
	fatal(t, err)
	dbs := []DB{pebble, NewMemory()}
	var stores []Store
	var globals []GlobalVersion
	rng := rand.New(rand.NewPCG(3, 3))
	rows := func(from, n int, suffix string) (ws []core.Write) {
		for i := range n {
			ws = append(ws, core.Write{Key: fmt.Appendf(nil, "%04d%s", from+i, suffix), Value: fmt.Appendf(nil, "%d %0400d", i, rng.Uint64()), Time: core.Time(1 + rng.IntN(1000))})
		}
		return ws
	}
	const most = 1000
	first, second, global := rows(0, most, ""), rows(most/4, most/2, "x"), rows(0, most, "")
	for _, db := range dbs {
		s, err := db.Open(core.TaskID{}, table)
		fatal(t, err)
		fatal(t, s.Apply(first, numbered(1)))
		fatal(t, s.Close()) // on disk, and not in memory
		g, err := db.OpenGlobal(rates)
		fatal(t, err)
		fatal(t, g.Apply(global, numbered(1)))
		fatal(t, db.Flush())
		s, err = db.Open(core.TaskID{}, table)
		fatal(t, err)
		fatal(t, s.Apply(second, numbered(2))) // in memory, between and behind the others
		stores = append(stores, s)
		v, err := g.Version()
		fatal(t, err)
		globals = append(globals, v)
		defer func() {
			v.Release()
			fatal(t, db.Close())
		}()
	}
	key := func() []byte { return fmt.Appendf(nil, "%04d", rng.IntN(most)) }
	texts := func(text *strings.Builder, enough int) func(key, value []byte, at core.Time) bool {
		return func(key, value []byte, at core.Time) bool {
			fmt.Fprintf(text, "%s %s %d,", key, value, at)
			enough--
			return enough > 0
		}
	}
	reads := []struct {
		name string
		draw func() func(s Store, g GlobalVersion) (string, error)
	}{
		{"Get", func() func(Store, GlobalVersion) (string, error) {
			k := key()
			return func(s Store, _ GlobalVersion) (string, error) {
				v, at, ok, err := s.View(0).Get(k, nil)
				return fmt.Sprint(string(v), at, ok), err
			}
		}},
		{"Scan", func() func(Store, GlobalVersion) (string, error) {
			lo, n := key(), 1+rng.IntN(300)
			return func(s Store, _ GlobalVersion) (string, error) {
				var text strings.Builder
				err := s.View(0).Scan(lo, nil, texts(&text, n))
				return text.String(), err
			}
		}},
		{"Due", func() func(Store, GlobalVersion) (string, error) {
			at, n := core.Time(rng.IntN(1000)), 1+rng.IntN(300)
			return func(s Store, _ GlobalVersion) (string, error) {
				var text strings.Builder
				line := texts(&text, n)
				_, err := s.View(0).(core.Dated).Due(at, 0, nil, func(key []byte, at, _ core.Time) bool { return line(key, nil, at) })
				return text.String(), err
			}
		}},
		{"LastDue", func() func(Store, GlobalVersion) (string, error) {
			fatal(t, stores[0].Scan(0, nil, nil, func([]byte, []byte, core.Time) bool { return false })) // it would be at the end
			return func(s Store, _ GlobalVersion) (string, error) {
				at, ok, err := s.View(0).(core.Dated).LastDue()
				return fmt.Sprint(at, ok), err
			}
		}},
		{"Get of a global table", func() func(Store, GlobalVersion) (string, error) {
			k := key()
			return func(_ Store, g GlobalVersion) (string, error) {
				v, at, ok, err := g.Get(k, nil)
				return fmt.Sprint(string(v), at, ok), err
			}
		}},
		{"Scan of a global table", func() func(Store, GlobalVersion) (string, error) {
			lo, n := key(), 1+rng.IntN(300)
			return func(_ Store, g GlobalVersion) (string, error) {
				var text strings.Builder
				err := g.Scan(lo, nil, texts(&text, n))
				return text.String(), err
			}
		}},
	}
	for _, r := range reads {
		t.Run(r.name, func(t *testing.T) {
			failed := 0
			for range 300 {
				read := r.draw()
				want, err := read(stores[1], globals[1])
				fatal(t, err)
				fs.fail(1+rng.IntN(4), rng.IntN(2) == 0)
				got, err := read(stores[0], globals[0])
				hits := fs.hits.Load()
				fs.fail(0, false)
				switch {
				case err != nil && (!errors.Is(err, ErrIO) || !errors.Is(err, syscall.EIO) || hits == 0):
					t.Fatalf("%v, after %d reads that failed", err, hits)
				case err != nil:
					failed++
				case got != want:
					t.Fatalf("%d reads failed, there is no error, and it has\n%.2000s, want\n%.2000s", hits, got, want)
				}
				if got, err := read(stores[0], globals[0]); err != nil || got != want {
					t.Fatalf("behind a read that failed: %.200s, %v, want %.200s", got, err, want)
				}
			}
			if failed == 0 {
				t.Error("none has failed")
			}
			t.Logf("%d of 300 have failed", failed)
		})
	}
}

// A store whose disk fails to read while it is opened is not opened, or has all that it had: no table is taken for a new
// one, because disk could not say that it is there.
func TestOpenReadsFail(t *testing.T) {
	mem := vfs.NewMem()
	cfg := PebbleConfig{Dir: "db", App: "reads", FS: mem, MemoryBytes: 4 << 20, memTableBytes: 256 << 10}
	cfg.CacheBytes = 1 - cfg.MemoryBytes/2 - 2*int64(cfg.memTableBytes)
	var tables []TableSpec
	var writes []core.Write
	cp := Checkpoint{Input: []core.Offset{7}}
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range 100 { // so many that the list of them is several blocks
		tables = append(tables, TableSpec{Name: fmt.Sprintf("table %d", i), Schema: fmt.Sprintf("%d%0300d", rng.Uint64(), rng.Uint64())})
		writes = append(writes, core.Write{Table: core.TableID(i), Key: []byte("k"), Value: fmt.Append(nil, i), Time: 1})
		cp.Changelog = append(cp.Changelog, core.Offset(i))
	}
	db, err := openPebble(cfg)
	fatal(t, err)
	for p := range int32(100) {
		s, err := db.Open(core.TaskID{Partition: p}, tables)
		fatal(t, err)
		fatal(t, s.Apply(writes, cp))
	}
	fatal(t, db.Close())
	whole := func(db DB) error {
		if n := len(db.Tasks()); n != 100 {
			t.Fatalf("it has %d tasks, want 100", n)
		}
		s, err := db.Open(core.TaskID{Partition: 50}, tables)
		if err != nil {
			return err
		}
		if got, ok := s.Checkpoint(); !ok || !got.equal(&cp) {
			t.Fatalf("checkpoint %v %v", got, ok)
		}
		for i := range tables {
			if v, _, ok, err := s.View(core.TableID(i)).Get([]byte("k"), nil); err != nil {
				return err
			} else if !ok || string(v) != fmt.Sprint(i) {
				t.Fatalf("table %d has %q %v", i, v, ok)
			}
		}
		return nil
	}
	failed := 0
	for n := 1; ; n++ {
		fs := &readFS{FS: mem}
		fs.fail(n, false)
		cfg.FS = fs
		db, err := openPebble(cfg)
		if err == nil {
			err = whole(db)
			hit := fs.hits.Load() > 0
			fs.fail(0, false)
			if err == nil && !hit {
				fatal(t, db.Close())
				break
			}
			_ = db.Close() // it may say the same
		}
		if err != nil {
			failed++
			if !errors.Is(err, ErrIO) {
				t.Fatalf("read %d fails: %v", n, err)
			}
		}
	}
	if failed < 20 {
		t.Errorf("%d openings have failed", failed)
	}
	t.Logf("%d openings have failed", failed)
}
