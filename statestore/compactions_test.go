package statestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// compactionFS damages the nth block that a compaction reads.
type compactionFS struct {
	vfs.FS
	nth   int64
	reads atomic.Int64
}

func (c *compactionFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(name, o...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &compactionFile{f, c}, nil
}

type compactionFile struct {
	vfs.File
	c *compactionFS
}

func (f *compactionFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if ofCompaction() && f.c.reads.Add(1) == f.c.nth {
		p[n/2] ^= 1
	}
	return n, err
}

// ofCompaction reports whether the caller is a compaction or flush of Pebble at its tables.
func ofCompaction() bool {
	pcs := make([]uintptr, 64)
	for frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)]); ; {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "compactAndWrite") {
			return true
		}
		if !more {
			return false
		}
	}
}

// newRows is the n-th commit of the next test: 50 rows of 500 bytes that do not become smaller, of keys that no other has.
func newRows(n int) []core.Write {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	ws := make([]core.Write, 50)
	for i := range ws {
		ws[i] = core.Write{Key: fmt.Appendf(nil, "%07d", (n*50+i)*7919%1_000_003), Value: make([]byte, 500), Time: core.Time(n)}
		for j := range ws[i].Value {
			ws[i].Value[j] = byte(rng.Uint32())
		}
	}
	return ws
}

// verifyNewRows checks that the store holds commits 1 to n, and no more.
func verifyNewRows(t *testing.T, s Store, n int) {
	t.Helper()
	rows := map[core.Time]int{}
	fatal(t, s.Scan(0, nil, nil, func(_, _ []byte, at core.Time) bool {
		rows[at]++
		return true
	}))
	for at := range core.Time(n) {
		if rows[at+1] != 50 {
			t.Fatalf("commit %d of %d has %d rows", at+1, n, rows[at+1])
		}
	}
	if len(rows) != n {
		t.Fatalf("%d commits, want %d", len(rows), n)
	}
}

// A compaction finds a block that is damaged, which is fatal, when it has others in hand and a
// table half written: Pebble is left behind, and the process goes on.
func TestCompactionFindsDamage(t *testing.T) {
	if _, child := ownProcess(t); !child { // the compaction leaves Pebble behind
		return
	}
	for nth := range int64(12) {
		mem := vfs.NewCrashableMem()
		fs := &compactionFS{FS: mem, nth: nth + 1}
		db, err := openPebble(smallConfig(fs))
		fatal(t, err)
		s, err := db.Open(core.TaskID{}, oneTable)
		fatal(t, err)
		n := 0
		within(t, "Apply", func() {
			for err = nil; err == nil && n < 10_000; n++ {
				err = s.Apply(newRows(n+1), numbered(n+1))
			}
		})
		n--
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("at read %d of compactions, Apply after %d commits: %v", nth+1, n, err)
		}
		verifyNewRows(t, s, n) // reads go on
		within(t, "Close", func() { err = db.Close() })
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("Close: %v", err)
		}
		db, err = openPebble(smallConfig(mem.CrashClone(vfs.CrashCloneCfg{}))) // as another process sees it, with a disk that is whole
		fatal(t, err)
		s, err = db.Open(core.TaskID{}, oneTable)
		fatal(t, err)
		cp, _ := s.Checkpoint()
		verifyNewRows(t, s, int(cp.Input[0]))
		fatal(t, db.Close())
	}
}
