package statestore

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// fillingFS has room for some more writes only.
type fillingFS struct {
	vfs.FS
	room atomic.Int64
}

type fillingFile struct {
	vfs.File
	fs *fillingFS
}

func (f *fillingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &fillingFile{file, f}, nil
}

func (f *fillingFile) Write(p []byte) (int, error) {
	if f.fs.room.Add(-1) < 0 {
		return 0, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return f.File.Write(p)
}

// A store is opened on a disk that is full, or gets full while it is opened: that is said,
// and what was there is there when there is room again. Pebble tried for ever to write its
// manifest while Open waited for that. What it leaves behind is why the test is a process
// of its own.
func TestOpenOnFullDisk(t *testing.T) {
	if out, child := ownProcess(t); !child {
		if !bytes.Contains(out, []byte("abandoned")) {
			t.Fatalf("%s", out)
		}
		return
	}
	abandoned := 0
	for _, fresh := range []bool{true, false} {
		opened := false
		for room := int64(0); !opened; room++ {
			mem := vfs.NewCrashableMem()
			if !fresh {
				db, err := openPebble(smallConfig(mem))
				fatal(t, err)
				s, err := db.Open(core.TaskID{}, oneTable)
				fatal(t, err)
				// So little that nothing is compacted: Pebble panics when it cannot be opened and
				// has begun to compact.
				fatal(t, s.Apply(batchOf(1), numbered(1)))
				fatal(t, s.Close())
				fatal(t, db.Close())
			}
			full := &fillingFS{FS: mem}
			full.room.Store(room)
			within(t, "opening, closing", func() {
				db, err := openPebble(smallConfig(full))
				if err == nil {
					err = db.Close()
				} else if strings.Contains(err.Error(), "started again") {
					abandoned++
				}
				if opened = err == nil; !opened && !errors.Is(err, ErrFull) {
					t.Errorf("fresh %v, room for %d writes: %v", fresh, room, err)
				}
			})
			// The process ends with its disk as it is: nothing that was on it is lost.
			db, err := openPebble(smallConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
			fatal(t, err)
			s, err := db.Open(core.TaskID{}, oneTable)
			fatal(t, err)
			if !fresh {
				verify(t, s, 1)
			}
			fatal(t, db.Close())
			if room > 1000 {
				t.Fatal("no room is enough")
			}
		}
	}
	if abandoned == 0 {
		t.Error("none was abandoned")
	}
	t.Logf("abandoned: %d", abandoned)
}
