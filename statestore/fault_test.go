package statestore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// badFS fails what writes to files whose names hold part, while err is set.
type badFS struct {
	vfs.FS
	part string
	kind vfs.DiskWriteCategory // "" is all
	err  atomic.Pointer[error]
	hits atomic.Int64
}

func (b *badFS) set(err error) {
	if err == nil {
		b.err.Store(nil)
	} else {
		b.err.Store(&err)
	}
}

func (b *badFS) check(name string) error {
	if e := b.err.Load(); e != nil && strings.Contains(name, b.part) {
		b.hits.Add(1)
		return *e
	}
	return nil
}

type badFile struct {
	vfs.File
	b    *badFS
	name string
}

func (b *badFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &badFile{f, b, name}, nil
}

func (b *badFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, c)
	if b.kind != "" && b.kind != c {
		return f, err
	}
	return b.wrap(name, f, err)
}

func (b *badFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.Open(name, o...)
	return b.wrap(name, f, err)
}

func (f *badFile) Write(p []byte) (int, error) {
	if err := f.b.check(f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *badFile) Sync() error {
	if err := f.b.check(f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *badFile) SyncData() error {
	if err := f.b.check(f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func smallConfig(fs vfs.FS) PebbleConfig {
	return PebbleConfig{Dir: "db", App: "test", FS: fs, MemoryBytes: 64 << 10, memTableBytes: 256 << 10}
}

var oneTable = []TableSpec{{Name: "a", Schema: "x"}}

func numbered(n int) Checkpoint {
	return Checkpoint{Changelog: []core.Offset{core.Offset(n)}, Input: []core.Offset{core.Offset(n)}}
}

// batchOf is the n-th commit: 50 rows of 500 bytes, of which some are those of other commits too.
func batchOf(n int) []core.Write {
	var w []core.Write
	for i := range 50 {
		k := fmt.Appendf(nil, "%06d", (n*37+i*i)%2000)
		w = append(w, core.Write{Key: k, Value: bytes.Repeat(fmt.Appendf(nil, "%08d", n), 62), Time: core.Time(n)})
	}
	return w
}

// verify checks that the store holds commits 1 to n, and no more.
func verify(t *testing.T, s Store, n int) {
	t.Helper()
	cp, _ := s.Checkpoint()
	if want := numbered(n); !cp.equal(&want) {
		t.Fatalf("checkpoint %v, want that of commit %d", cp, n)
	}
	want := map[string]core.Time{}
	for i := 1; i <= n; i++ {
		for _, w := range batchOf(i) {
			want[string(w.Key)] = w.Time
		}
	}
	err := s.Scan(0, nil, nil, func(k, v []byte, at core.Time) bool {
		if want[string(k)] != at || !bytes.HasPrefix(v, fmt.Appendf(nil, "%08d", at)) {
			t.Fatalf("key %s is of commit %d, want %d", k, at, want[string(k)])
		}
		delete(want, string(k))
		return true
	})
	if err != nil || len(want) > 0 {
		t.Fatalf("%v; %d rows are missing", err, len(want))
	}
}

// within fails the test when f hangs.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// The disk is full for a while: Apply and Flush say so, nothing is lost, and the same
// calls succeed when there is room again.
func TestDiskFull(t *testing.T) {
	if _, child := ownProcess(t); !child { // a compaction may leave Pebble behind
		return
	}
	for _, part := range []string{".sst", "/"} { // tables only; everything
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(part+" "+cause.Error(), func(t *testing.T) {
				want := ErrFull
				if errors.Is(cause, syscall.EIO) {
					want = ErrIO
				}
				mem := vfs.NewCrashableMem()
				bad := &badFS{FS: mem, part: part}
				db, err := openPebble(smallConfig(bad))
				fatal(t, err)
				s, err := db.Open(core.TaskID{}, oneTable)
				fatal(t, err)
				n := 0
				for n < 40 {
					n++
					fatal(t, s.Apply(batchOf(n), numbered(n)))
				}
				fatal(t, s.Flush())
				flushed := n
				bad.set(&os.PathError{Op: "write", Path: "x", Err: cause})
				var failed error
				within(t, "Apply", func() {
					for n < 10_000 {
						if failed = s.Apply(batchOf(n+1), numbered(n+1)); failed != nil {
							return
						}
						n++
					}
				})
				if !errors.Is(failed, want) || !errors.Is(failed, cause) {
					t.Fatalf("Apply on a full disk, after %d commits: %v", n, failed)
				}
				t.Log(failed)
				verify(t, s, n)
				within(t, "Flush", func() {
					if err := s.Flush(); !errors.Is(err, want) {
						t.Fatalf("Flush: %v", err)
					}
				})
				if part == "/" { // the manifest too: that is fatal
					within(t, "Close", func() {
						if err := db.Close(); !errors.Is(err, want) {
							t.Errorf("Close: %v", err)
						}
					})
				} else {
					bad.set(nil)
					end := time.Now().Add(10 * time.Second)
					within(t, "recovery", func() {
						for err := s.Apply(batchOf(n+1), numbered(n+1)); err != nil; err = s.Apply(batchOf(n+1), numbered(n+1)) {
							if time.Now().After(end) {
								t.Errorf("still %v; flush %v, compact %v", err, db.disk.flush, db.disk.compact)
								return
							}
							time.Sleep(time.Millisecond)
						}
					})
					n++
					fatal(t, s.Flush())
					verify(t, s, n)
					flushed = n
					bad.set(&os.PathError{Op: "write", Path: "x", Err: cause})
					fatal(t, s.Apply(batchOf(n+1), numbered(n+1)))
					within(t, "Close", func() {
						if err := s.Close(); !errors.Is(err, want) {
							t.Errorf("Close of the task: %v", err)
						}
						if err := db.Close(); !errors.Is(err, want) {
							t.Errorf("Close: %v", err)
						}
					})
				}
				bad.set(nil)
				// A store that was left behind keeps its lock: this is what another process sees.
				db, err = openPebble(smallConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
				fatal(t, err)
				s, err = db.Open(core.TaskID{}, oneTable)
				fatal(t, err)
				cp, _ := s.Checkpoint()
				if got := int(cp.Input[0]); got < flushed {
					t.Fatalf("commit %d, but %d was flushed", got, flushed)
				}
				verify(t, s, int(cp.Input[0]))
				fatal(t, db.Close())
			})
		}
	}
}

// A manifest that cannot be written ends a process that uses Pebble as it comes.
func TestManifestFails(t *testing.T) {
	if _, child := ownProcess(t); !child { // a compaction may leave Pebble behind
		return
	}
	mem := vfs.NewCrashableMem()
	bad := &badFS{FS: mem, part: "MANIFEST"}
	db, err := openPebble(smallConfig(bad))
	fatal(t, err)
	s, err := db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	fatal(t, s.Apply(batchOf(1), numbered(1)))
	fatal(t, s.Flush())
	bad.set(syscall.EIO)
	fatal(t, s.Apply(batchOf(2), numbered(2)))
	within(t, "Flush", func() { err = s.Flush() })
	if !errors.Is(err, ErrIO) {
		t.Fatalf("Flush: %v", err)
	}
	bad.set(nil) // too late: what the manifest holds is not known any more
	err = s.Apply(batchOf(3), numbered(3))
	if !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), "started again") {
		t.Fatalf("Apply: %v", err)
	}
	t.Log(err)
	verify(t, s, 2) // reads go on
	within(t, "Close", func() { err = db.Close() })
	if !errors.Is(err, ErrIO) {
		t.Fatalf("Close: %v", err)
	}
	db, err = openPebble(smallConfig(mem.CrashClone(vfs.CrashCloneCfg{}))) // as another process sees it
	fatal(t, err)
	s, err = db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	cp, _ := s.Checkpoint()
	verify(t, s, int(cp.Input[0]))
	fatal(t, db.Close())
}

// Compaction fails, and nothing else: writing goes on until reads would have to look into
// too many runs, then it says why.
func TestCompactionFails(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bad := &badFS{FS: mem, part: ".sst", kind: "pebble-compaction"}
	db, err := openPebble(smallConfig(bad))
	fatal(t, err)
	s, err := db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	bad.set(syscall.ENOSPC)
	n := 0
	within(t, "Apply", func() {
		for err = nil; err == nil && n < 10_000; n++ {
			err = s.Apply(batchOf(n+1), numbered(n+1))
		}
	})
	n--
	if !errors.Is(err, ErrFull) {
		t.Fatalf("Apply, after %d commits: %v", n, err)
	}
	if amp := db.Metrics().ReadAmp; amp < maxSublevels || amp > maxSublevels+8 {
		t.Fatalf("a read looks into %d runs after %d commits", amp, n)
	}
	verify(t, s, n)
	within(t, "Close", func() { err = db.Close() })
	if !errors.Is(err, ErrFull) {
		t.Fatalf("Close: %v", err)
	}
	db, err = openPebble(smallConfig(mem))
	fatal(t, err)
	s, err = db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	cp, _ := s.Checkpoint()
	verify(t, s, int(cp.Input[0]))
	within(t, "Apply", func() {
		for range 200 {
			n++
			fatal(t, s.Apply(batchOf(n), Checkpoint{Changelog: []core.Offset{0}}))
		}
	})
	fatal(t, db.Close())
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantOpen(t *testing.T, cfg PebbleConfig, want error, parts ...string) {
	t.Helper()
	db, err := OpenPebble(cfg)
	if err == nil {
		_ = db.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("OpenPebble: %v, want %v", err, want)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Fatalf("%q does not say %q", err, p)
		}
	}
	t.Log(err)
}

func TestRefused(t *testing.T) {
	good := func(t *testing.T) PebbleConfig {
		cfg := PebbleConfig{Dir: filepath.Join(t.TempDir(), "state"), App: "shop"}
		db, err := openPebble(cfg)
		fatal(t, err)
		s, err := db.Open(core.TaskID{Partition: 1}, oneTable)
		fatal(t, err)
		fatal(t, s.Apply(batchOf(1), numbered(1)))
		fatal(t, db.Close())
		return cfg
	}
	files := func(t *testing.T, cfg PebbleConfig, pattern string) []string {
		names, err := filepath.Glob(filepath.Join(cfg.Dir, pattern))
		fatal(t, err)
		if len(names) == 0 {
			t.Fatalf("no %s", pattern)
		}
		return names
	}
	t.Run("foreign files", func(t *testing.T) {
		dir := t.TempDir()
		fatal(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o644))
		wantOpen(t, PebbleConfig{Dir: dir, App: "shop"}, ErrForeign, "letter.txt", dir)
		if e, err := os.ReadDir(dir); err != nil || len(e) != 1 {
			t.Fatalf("it has left %v there", e)
		}
	})
	t.Run("another Pebble", func(t *testing.T) {
		dir := t.TempDir()
		db, err := pebble.Open(dir, &pebble.Options{Logger: newDisk(nil, "", discard)})
		fatal(t, err)
		fatal(t, db.Set([]byte("k"), []byte("v"), pebble.Sync))
		fatal(t, db.Close())
		wantOpen(t, PebbleConfig{Dir: dir, App: "shop"}, ErrForeign, dir)
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "f")
		fatal(t, os.WriteFile(file, nil, 0o644))
		wantOpen(t, PebbleConfig{Dir: file, App: "shop"}, ErrIO, file)
	})
	t.Run("another application", func(t *testing.T) {
		cfg := good(t)
		cfg.App = "mail"
		wantOpen(t, cfg, ErrApp, "shop", "mail", cfg.Dir)
	})
	t.Run("in use", func(t *testing.T) {
		cfg := good(t)
		db, err := OpenPebble(cfg)
		fatal(t, err)
		wantOpen(t, cfg, ErrLocked, cfg.Dir)
		fatal(t, db.Close())
		db, err = OpenPebble(cfg)
		fatal(t, err)
		fatal(t, db.Close())
	})
	t.Run("newer", func(t *testing.T) {
		cfg := good(t)
		db, err := openPebble(cfg)
		fatal(t, err)
		fatal(t, db.pdb.Set(metaKey, []byte(`{"format":4,"app":"shop"}`), pebble.NoSync))
		fatal(t, db.pdb.Flush())
		fatal(t, db.Close())
		wantOpen(t, cfg, ErrVersion, "version 4")
	})
	t.Run("newer Pebble", func(t *testing.T) {
		cfg := good(t)
		for _, f := range files(t, cfg, "marker.format-version.*") {
			fatal(t, os.Rename(f, filepath.Join(cfg.Dir, "marker.format-version.000099.099")))
		}
		wantOpen(t, cfg, ErrVersion)
	})
	for _, pattern := range []string{"*.sst", "MANIFEST-*", "marker.manifest.*"} {
		t.Run("lost "+pattern, func(t *testing.T) {
			cfg := good(t)
			for _, f := range files(t, cfg, pattern) {
				fatal(t, os.Remove(f))
			}
			wantOpen(t, cfg, ErrCorrupt, cfg.Dir)
		})
	}
	for _, pattern := range []string{"*.sst", "MANIFEST-*"} {
		t.Run("cut "+pattern, func(t *testing.T) {
			cfg := good(t)
			for _, f := range files(t, cfg, pattern) {
				fatal(t, os.Truncate(f, 10))
			}
			wantOpen(t, cfg, ErrCorrupt, cfg.Dir)
		})
		t.Run("flipped "+pattern, func(t *testing.T) {
			cfg := good(t)
			for _, f := range files(t, cfg, pattern) {
				b, err := os.ReadFile(f)
				fatal(t, err)
				for i := range b {
					b[i] ^= 0x55
				}
				fatal(t, os.WriteFile(f, b, 0o644))
			}
			wantOpen(t, cfg, ErrCorrupt, cfg.Dir)
		})
	}
	t.Run("rows without checkpoint", func(t *testing.T) {
		cfg := good(t)
		db, err := openPebble(cfg)
		fatal(t, err)
		fatal(t, db.pdb.Delete(checkpointKey(core.TaskID{Partition: 1}), pebble.NoSync))
		_, err = db.Open(core.TaskID{Partition: 1}, oneTable)
		if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		fatal(t, db.Close())
	})
}

// A second process gets a clear answer at once; a child that is killed leaves a commit.
func TestKill(t *testing.T) {
	if dir := os.Getenv("LIMPET_CHILD"); dir != "" {
		child(dir)
		return
	}
	cfg := PebbleConfig{Dir: filepath.Join(t.TempDir(), "state"), App: "kill", MemoryBytes: 1 << 20, FlushRecords: 2000}
	last := 0
	for i := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "LIMPET_CHILD="+cfg.Dir)
		out, err := cmd.StdoutPipe()
		fatal(t, err)
		cmd.Stderr = os.Stderr
		fatal(t, cmd.Start())
		buf := make([]byte, 6)
		if _, err := out.Read(buf); err != nil {
			t.Fatalf("child: %v", err)
		}
		if i == 0 {
			wantOpen(t, cfg, ErrLocked, cfg.Dir)
		}
		time.Sleep(time.Duration(50+97*i) * time.Millisecond)
		fatal(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		db, err := openPebble(cfg)
		fatal(t, err)
		for p := range int32(2) {
			s, err := db.Open(core.TaskID{Partition: p}, oneTable)
			fatal(t, err)
			cp, ok := s.Checkpoint()
			if !ok {
				continue
			}
			n := int(cp.Input[0])
			verify(t, s, n)
			if p == 0 {
				if n < last {
					t.Fatalf("it went back from commit %d to %d", last, n)
				}
				last = n
			}
		}
		fatal(t, db.Close())
	}
	if last == 0 {
		t.Fatal("nothing was ever flushed")
	}
	t.Logf("at commit %d in the end", last)
}

func child(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	db, err := openPebble(PebbleConfig{Dir: dir, App: "kill", MemoryBytes: 1 << 20, FlushRecords: 2000})
	check(err)
	fmt.Println("ready")
	for p := range int32(2) {
		s, err := db.Open(core.TaskID{Partition: p}, oneTable)
		check(err)
		n := 0
		if cp, ok := s.Checkpoint(); ok {
			n = int(cp.Input[0])
		}
		go func() {
			for {
				n++
				check(s.Apply(batchOf(n), numbered(n)))
			}
		}()
	}
	time.Sleep(time.Minute)
}
