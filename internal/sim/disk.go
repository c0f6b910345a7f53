package sim

import (
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// disk is a machine's: it outlives the processes on it.
type disk interface {
	statestore.DB
	Crash()  // loses what is not flushed
	Reopen() // after Close, or a Crash
}

// newDisk is an empty one: the store in memory, which knows what was flushed, or in some runs
// the real one.
func (w *world) newDisk() disk {
	if !w.set.pebble {
		return w.watch(memory{statestore.NewMemory()})
	}
	d := &pebbleDisk{w: w, fs: vfs.NewCrashableMem()}
	d.Reopen()
	return w.watch(d)
}

type memory struct{ *statestore.Memory }

// pebbleDisk is the real store, on a file system in memory that loses what is not synced,
// all of it or a part.
//
// Pebble has goroutines of its own, but what they do does not show: rows get to disk when the
// seed says so and at no other time (FlushEvery and FlushRecords are out of reach, and so is
// the memory), whoever flushes waits, and what a crash leaves is then the last flush, however
// far compactions had come.
type pebbleDisk struct {
	statestore.DB
	w  *world
	fs *vfs.MemFS
}

// Reopen opens the store on what the file system has.
func (d *pebbleDisk) Reopen() {
	db, err := statestore.OpenPebble(statestore.PebbleConfig{
		Dir: "db", App: app, FS: d.fs, MemoryBytes: 16 << 20, CacheBytes: 1 << 20,
		FlushRecords: 1 << 40, FlushEvery: 200 * 365 * 24 * time.Hour,
	})
	if err != nil {
		d.w.failf(checkStore, "opening the store: %w", err)
		db = statestore.NewMemory()
	}
	d.DB = db
}

// Crash cuts the power.
func (d *pebbleDisk) Crash() {
	rng := rand.New(rand.NewPCG(d.w.rng.Uint64(), 1)) // of its own: how much is drawn is Pebble's affair
	left := d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	_ = d.DB.Close() // which nobody sees any more
	d.fs = left
	d.Reopen()
	invariant.Sometimes("sim: a store on Pebble is opened after a crash")
}
