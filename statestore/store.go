package statestore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// TableSpec is what a store must know of a table: its name, and what its bytes mean.
type TableSpec struct {
	Name   string
	Schema string // as the topology describes it: "string -> json:Customer"; another schema is refused
	// DueOf, if not nil, says when a row comes due. The table's view is then a core.Dated. It
	// must say the same for as long as the schema does.
	DueOf *core.DueOrder
}

// Checkpoint says which commit the rows are of. Its slices are indexed as the task that
// opened the store counts its tables and sources.
type Checkpoint struct {
	Changelog []core.Offset // by table: the next changelog offset to restore; -1: none yet
	Input     []core.Offset // by source: the next offset to consume
	Times     []core.Time   // as core.Commit.Times has them
	// Wall is the wall clock when the commit was made, as the caller read it. Rows older
	// than the changelog's delete.retention.ms may miss tombstones that are gone.
	Wall core.Time
	// Topics are the topics that the offsets are of, as far as they are known.
	Topics []TopicMark
}

// TopicMark tells a topic from another one that is made in its place: hashes of its name and of
// Kafka's id of it.
type TopicMark struct{ Name, ID uint32 }

// Clone returns a copy that shares nothing with c.
func (c *Checkpoint) Clone() Checkpoint {
	var d Checkpoint
	d.set(c)
	return d
}

// set copies from into c's own memory.
func (c *Checkpoint) set(from *Checkpoint) {
	c.Changelog = append(c.Changelog[:0], from.Changelog...)
	c.Input = append(c.Input[:0], from.Input...)
	c.Times = append(c.Times[:0], from.Times...)
	c.Wall = from.Wall
	c.Topics = append(c.Topics[:0], from.Topics...)
}

func (c *Checkpoint) equal(d *Checkpoint) bool {
	return slices.Equal(c.Changelog, d.Changelog) && slices.Equal(c.Input, d.Input) &&
		slices.Equal(c.Times, d.Times) && c.Wall == d.Wall && slices.Equal(c.Topics, d.Topics)
}

// DB is the store of one process: the committed state of all its tasks.
//
// Open, Tasks and Metrics may be called from any goroutine. Flush and Close concern all
// tasks and must not run while a Store of the DB is in use elsewhere.
type DB interface {
	// Open opens the task's tables. A task is open once at a time: ErrBusy.
	Open(id core.TaskID, tables []TableSpec) (Store, error)
	// OpenGlobal opens the rows of a global table, which all tasks share; once at a time:
	// ErrBusy.
	OpenGlobal(table TableSpec) (Global, error)
	// Tasks returns the tasks that have state here, open or not, in their order.
	Tasks() []core.TaskID
	// Flush makes everything applied so far durable.
	Flush() error
	// Close flushes, then closes what is open. After an error the DB is closed all the
	// same, and holds on disk what the last successful flush left there.
	Close() error
	Metrics() Metrics
}

// Store is the state of one task. It is for one goroutine at a time; different tasks are
// independent of each other.
type Store interface {
	// View reads one table as of the last Apply. It is valid until Close.
	View(core.TableID) core.View
	// Checkpoint returns the checkpoint of the last Apply, or false: nothing is here yet.
	Checkpoint() (Checkpoint, bool)
	// Apply takes over the rows of a commit, or of a run of changelog records, and the
	// checkpoint that they lead to: all or nothing. It is not durable at once. Later
	// writes of a row win over earlier ones; a nil Value deletes the row. The memory of
	// writes and cp is the caller's again on return. After an error nothing of it has
	// been applied, and the same Apply may be tried again.
	Apply(writes []core.Write, cp Checkpoint) error
	// Scan calls f with the rows of lo <= key < hi in key order, until f returns false; a
	// nil bound is none. Key and value are valid during the call only, and f must not use
	// the store.
	Scan(t core.TableID, lo, hi []byte, f func(key, value []byte, at core.Time) bool) error
	// Reset drops rows and checkpoint. Like Apply it is not durable at once.
	Reset() error
	// Bulk says that a restore begins or ends: meanwhile Apply expects large batches,
	// keeps more rows in memory to drop all but the last of each, and does not mind how
	// many records a crash would have to replay.
	Bulk(on bool)
	// Flush makes everything applied so far durable.
	Flush() error
	// Close flushes; the task may then be opened again. After an error it is closed all
	// the same.
	Close() error
}

// Metrics is what a DB holds and has done so far. Sizes are bytes.
type Metrics struct {
	Open        int   // tasks that are open
	Memory      int64 // rows in memory: write-back and read cache
	MemoryLimit int64
	Disk        int64 // rows on disk
	Flushes     int64 // batches of committed rows handed to disk
	FlushedRows int64
	FlushBytes  int64
	Waits       int64 // times that Apply had to wait for a flush
	ReadAmp     int   // sorted runs that a read may have to look into
	CacheHits   int64 // blocks
	CacheMisses int64
}

// Callers act on them in one way: stop, show the text, and let a human decide. Only
// ErrFull and ErrIO may go away: the same call may then be tried again.
var (
	// ErrForeign: the directory holds something else than a store.
	ErrForeign = errors.New("statestore: not a store")
	// ErrCorrupt: what is on disk is damaged.
	ErrCorrupt = errors.New("statestore: corrupt")
	// ErrApp: the store is that of another application.
	ErrApp = errors.New("statestore: another application's")
	// ErrSchema: the tables on disk are not those of the topology.
	ErrSchema = errors.New("statestore: the stored tables are not the topology's")
	// ErrVersion: a newer version of this package has written the store.
	ErrVersion = errors.New("statestore: unknown format version")
	// ErrLocked: another process has the directory open.
	ErrLocked = errors.New("statestore: in use by another process")
	// ErrBusy: the task is open already.
	ErrBusy = errors.New("statestore: task is open already")
	// ErrFull: the disk is full.
	ErrFull = errors.New("statestore: disk is full")
	// ErrIO: the disk, or what is under it, fails.
	ErrIO = errors.New("statestore: disk error")
	// ErrLimit: a key, a row or a configured size is beyond what the store takes.
	ErrLimit = errors.New("statestore: too large")
	// ErrClosed: the DB, or the task's store, is closed.
	ErrClosed = errors.New("statestore: closed")
)

const (
	// MaxKey is the most bytes that a row's key may have.
	MaxKey = 1 << 20
	// MaxValue is the most bytes that a row's value may have.
	MaxValue = 256 << 20
)

// checkApply finds what must not go into a store before any of it does, and returns how
// many bytes the writes hold.
func checkApply(id core.TaskID, specs []TableSpec, writes []core.Write, cp *Checkpoint) (int, error) {
	if len(cp.Changelog) != len(specs) {
		return 0, fmt.Errorf("statestore: task %v: checkpoint of %d changelogs for %d tables", id, len(cp.Changelog), len(specs))
	}
	size := 0
	for i := range writes {
		w := &writes[i]
		if w.Table < 0 || int(w.Table) >= len(specs) {
			return 0, fmt.Errorf("statestore: task %v: write to table %d of %d", id, w.Table, len(specs))
		}
		if len(w.Key) > MaxKey || len(w.Value) > MaxValue {
			return 0, fmt.Errorf("%w: task %v, table %q: key of %d bytes (at most %d), value of %d (at most %d)",
				ErrLimit, id, specs[w.Table].Name, len(w.Key), MaxKey, len(w.Value), MaxValue)
		}
		size += len(w.Key) + len(w.Value)
	}
	return size, nil
}
