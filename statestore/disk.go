package statestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble ends the process when it cannot write its manifest (Logger.Fatalf), and tries a
// failed flush or compaction again for ever and at once. disk tames both:
//
//   - After a fatal error nothing more can reach the disk: every later write fails with
//     that error. So Fatalf may return, whatever Pebble then goes on to do, and the
//     directory stays as a crash at that moment would have left it.
//   - While the store is opened, Fatalf does not return, but ends its goroutine: Open waits
//     for a flush that Pebble would try for ever. Whoever opens waits for abandoned, too.
//   - After a fatal error a compaction ends its goroutine: it would panic over what the
//     version that was not installed has left in Pebble's memory (the sublevels of L0).
//     Pebble cannot be closed then, since it would wait for it. It ends where it next would
//     write, but not within its tables, whose buffers are given back on the way out only:
//     there its writes fail, and it ends when it next asks how full the disk is.
//   - After a failed write, new files wait a little, and longer each time. Flushes and
//     compactions begin with a new file.
//
// It is also where errors are remembered, and where those who wait for Pebble hear of
// them.
type disk struct {
	vfs.FS
	where string
	log   *slog.Logger
	stop  chan struct{} // closed: do not wait any more

	abandoned chan struct{} // closed: the store cannot be opened, because of fatal
	halted    chan struct{} // closed: a compaction has ended its goroutine, because of fatal
	halt      func()

	mu      sync.Mutex
	opening bool
	fatal   error // sticky
	flush   error // of the last flush to disk
	compact error // of the last compaction
	failing int   // writes that failed since one was synced
	changed chan struct{}
}

func newDisk(fs vfs.FS, where string, log *slog.Logger) *disk {
	halted := make(chan struct{})
	return &disk{
		FS: fs, where: where, log: log, opening: true,
		stop: make(chan struct{}), abandoned: make(chan struct{}), changed: make(chan struct{}),
		halted: halted, halt: sync.OnceFunc(func() { close(halted) }),
	}
}

// err returns why nothing can be written now, or nil.
func (d *disk) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fatal != nil:
		return fmt.Errorf("%w; the process must be started again", d.fatal)
	case d.flush != nil:
		return d.flush
	case errors.Is(d.compact, ErrCorrupt):
		return d.compact
	}
	return nil
}

// compactErr returns why compaction failed when it was last tried. That may be long ago:
// Pebble leaves alone for a while what it could not compact, and writing can go on.
func (d *disk) compactErr() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compact
}

// change returns a channel that is closed when err may have changed since.
func (d *disk) change() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// note sets one of the errors above.
func (d *disk) note(place *error, err error) {
	err = wrapDisk(d.where, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && *place == nil || place == &d.fatal && d.fatal != nil {
		return
	}
	if err != nil && *place == nil {
		d.log.Error("state store fails to write", "error", err)
	} else if err == nil {
		d.log.Info("state store writes again")
	}
	*place = err
	close(d.changed)
	d.changed = make(chan struct{})
}

// wrapDisk says in our words what an error of Pebble or of the file system means.
func wrapDisk(where string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrFull), errors.Is(err, ErrIO), errors.Is(err, ErrClosed):
		return err
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %s: %w: %s", ErrCorrupt, where, oneLineError{err}, startAnew)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %s: %w", ErrFull, where, oneLineError{err})
	default:
		return fmt.Errorf("%w: %s: %w", ErrIO, where, oneLineError{err})
	}
}

const startAnew = "delete the directory; the rows are read again from the changelogs"

// oneLineError is an error whose text has no line breaks; Pebble's have.
type oneLineError struct{ error }

func (e oneLineError) Error() string {
	lines := strings.FieldsFunc(e.error.Error(), func(r rune) bool { return r == '\n' })
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "<corruption detail carrier>" })
	return strings.Join(slices.Compact(lines), "; ")
}

func (e oneLineError) Unwrap() error { return e.error }

// listener hears of the errors of Pebble's own goroutines.
func (d *disk) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(error) {}, // those of flushes and compactions come with their events
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err != nil && i.Err.Error() == "pebble: empty table" {
				i.Err = nil // the flush of nothing: Pebble has no exported name for it
			}
			d.note(&d.flush, i.Err)
		},
		CompactionEnd: func(i pebble.CompactionInfo) {
			if !errors.Is(i.Err, pebble.ErrCancelledCompaction) {
				d.note(&d.compact, i.Err)
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			d.note(&d.fatal, fmt.Errorf("%w: %s: %s: %s", ErrCorrupt, d.where, i, startAnew))
		},
	}
}

// Infof, Errorf and Fatalf are Pebble's Logger.
func (d *disk) Infof(format string, args ...any) {
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		d.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (d *disk) Errorf(format string, args ...any) {
	d.log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

func (d *disk) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = fmt.Errorf("%s%w", strings.TrimSuffix(err.Error(), cause.Error()), cause)
		}
	}
	d.note(&d.fatal, err)
	d.mu.Lock()
	opening := d.opening
	if opening {
		d.opening = false // by now other goroutines may do as they like
		close(d.abandoned)
	}
	d.mu.Unlock()
	if opening {
		runtime.Goexit() // what it holds is given back by its defers
	}
	_ = d.dead()
}

// opened ends the time in which the store can be abandoned.
func (d *disk) opened() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening = false
}

// dead returns the fatal error, if there was one. A compaction does not come back from it
// then, unless it is within its tables.
func (d *disk) dead() error {
	d.mu.Lock()
	fatal := d.fatal
	d.mu.Unlock()
	if fatal != nil && compacting() {
		d.halt()
		runtime.Goexit()
	}
	return fatal
}

// compacting reports whether the caller is a compaction of Pebble, but not within its tables.
func compacting() bool {
	pcs := make([]uintptr, 64)
	for frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)]); ; {
		f, more := frames.Next()
		switch {
		case strings.HasSuffix(f.Function, "pebble/v2.(*DB).compactAndWrite"):
			return false
		case strings.Contains(f.Function, "pebble/v2.(*DB).compact."):
			return true
		}
		if !more {
			return false
		}
	}
}

// wrote counts a write that failed, or a sync that did not.
func (d *disk) wrote(err error, synced bool) error {
	if err != nil || synced {
		d.mu.Lock()
		if err != nil {
			d.failing++
		} else {
			d.failing = 0
		}
		d.mu.Unlock()
	}
	return err
}

// pause waits as long as the failures so far suggest.
func (d *disk) pause() {
	d.mu.Lock()
	n := d.failing
	d.mu.Unlock()
	if n == 0 {
		return
	}
	timer := time.NewTimer(min(5*time.Millisecond<<min(n, 10), time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.stop:
	}
}

// Create is vfs.FS's; so are the others.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.pause()
	if err := d.dead(); err != nil {
		return nil, d.wrote(err, false)
	}
	f, err := d.FS.Create(name, c)
	return d.file(f, err)
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.file(f, err)
}

func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	return d.file(f, err)
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.file(f, err)
}

func (d *disk) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, d.wrote(err, false)
	}
	return &diskFile{f, d}, nil
}

func (d *disk) Link(oldname, newname string) error {
	return d.unlessDead(func() error { return d.FS.Link(oldname, newname) })
}

func (d *disk) Remove(name string) error {
	return d.unlessDead(func() error { return d.FS.Remove(name) })
}

func (d *disk) RemoveAll(name string) error {
	return d.unlessDead(func() error { return d.FS.RemoveAll(name) })
}

func (d *disk) Rename(oldname, newname string) error {
	return d.unlessDead(func() error { return d.FS.Rename(oldname, newname) })
}

func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	return d.unlessDead(func() error { return d.FS.MkdirAll(dir, perm) })
}

func (d *disk) unlessDead(f func() error) error {
	if err := d.dead(); err != nil {
		return err
	}
	return f()
}

// GetDiskUsage is what a compaction asks for behind its tables, whether they succeeded or not.
func (d *disk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if err := d.dead(); err != nil {
		return vfs.DiskUsage{}, err
	}
	return d.FS.GetDiskUsage(path)
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file that was opened for writing, or a directory.
type diskFile struct {
	vfs.File
	d *disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	if err := f.d.dead(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(b)
	return n, f.d.wrote(err, false)
}

func (f *diskFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.d.dead(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(b, off)
	return n, f.d.wrote(err, false)
}

func (f *diskFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *diskFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *diskFile) sync(sync func() error) error {
	if err := f.d.dead(); err != nil {
		return err
	}
	return f.d.wrote(sync(), true)
}

func (f *diskFile) SyncTo(length int64) (bool, error) {
	if err := f.d.dead(); err != nil {
		return false, err
	}
	full, err := f.File.SyncTo(length)
	return full, f.d.wrote(err, false)
}
