package statestore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
)

// Global is the rows of a global table: those of all partitions of its topic, for all tasks
// of the process. One goroutine calls its methods; what Version returns is read by any.
type Global interface {
	// Checkpoint returns the checkpoint of the last Apply, or false: nothing is here yet. Its
	// Input is by partition of the topic; Changelog and Times are not kept.
	Checkpoint() (Checkpoint, bool)
	// Apply is that of Store, with the same crash contract; Write.Table is not looked at.
	Apply(writes []core.Write, cp Checkpoint) error
	// Reset drops rows and checkpoint.
	Reset() error
	// Version returns the rows as of the last Apply. They stay as they are, whatever is
	// applied later.
	Version() (GlobalVersion, error)
	// Close ends it; all versions must have been released. What was applied is durable when
	// the DB is closed.
	Close() error
}

// GlobalVersion is a global table as it was once. It may be read by many goroutines at a
// time, until Release, which must be called once.
type GlobalVersion interface {
	core.View
	Release()
}

// checkGlobal finds what must not go into a store before any of it does.
func checkGlobal(name string, writes []core.Write) error {
	for i := range writes {
		if w := &writes[i]; len(w.Key) > MaxKey || len(w.Value) > MaxValue {
			return fmt.Errorf("%w: global table %q: key of %d bytes (at most %d), value of %d (at most %d)",
				ErrLimit, name, len(w.Key), MaxKey, len(w.Value), MaxValue)
		}
	}
	return nil
}

// pebbleGlobal is a Global in a pebbleDB. It has no table in memory in front: it is read
// through the decoded rows of tasks, and written by batches of what was fetched.
type pebbleGlobal struct {
	db      *pebbleDB
	name    string
	id      uint32
	prefix  []byte
	cp      Checkpoint
	hasCp   bool
	bytes   int       // applied since the last flush of Pebble
	flushed core.Time // Wall of the last Apply before it
	live    atomic.Int64
	closed  atomic.Bool
}

// globalPrefix is where everything of a global table begins.
func globalPrefix(table uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kindGlobal}, table)
}

// Behind the prefix: the checkpoint, or a row.
const (
	globalCheckpoint = 0x00
	globalRow        = 0x01
)

// OpenGlobal opens the rows of a global table.
func (db *pebbleDB) OpenGlobal(spec TableSpec) (Global, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	ids, added, err := db.registry.resolve([]TableSpec{spec}, db.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("global table: %w", err)
	}
	if db.globals[ids[0]] {
		return nil, fmt.Errorf("%w: global table %q", ErrBusy, spec.Name)
	}
	g := &pebbleGlobal{db: db, name: spec.Name, id: ids[0], prefix: append(globalPrefix(ids[0]), globalRow)}
	v, closer, err := db.pdb.Get(append(globalPrefix(g.id), globalCheckpoint))
	switch {
	case err == nil:
		stored, err2 := parseCheckpoint(v)
		if err := closer.Close(); err2 == nil {
			err2 = err
		}
		if err2 != nil {
			return nil, g.wrap(err2)
		}
		g.cp, g.hasCp = stored.cp, true
	case !errors.Is(err, pebble.ErrNotFound):
		return nil, g.wrap(err)
	}
	for _, e := range added { // durable before any row that needs it: Pebble writes in order
		v, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		b := db.pdb.NewBatch()
		if err := b.Set(registryKey(e.name), v, nil); err != nil {
			return nil, g.wrap(err)
		}
		if err := db.commit(b); err != nil {
			return nil, err
		}
		db.registry.add(e)
	}
	db.globals[g.id] = true
	return g, nil
}

func (g *pebbleGlobal) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("global table %q: %w", g.name, wrapDisk(g.db.cfg.Dir, err))
}

func (g *pebbleGlobal) err() error {
	if g.closed.Load() {
		return fmt.Errorf("%w: global table %q", ErrClosed, g.name)
	}
	return nil
}

func (g *pebbleGlobal) Checkpoint() (Checkpoint, bool) {
	if !g.hasCp {
		return Checkpoint{}, false
	}
	return g.cp.Clone(), true
}

func (g *pebbleGlobal) Apply(writes []core.Write, cp Checkpoint) error {
	if err := g.err(); err != nil {
		return err
	}
	if err := checkGlobal(g.name, writes); err != nil {
		return err
	}
	size := 64
	for i := range writes {
		size += len(g.prefix) + len(writes[i].Key) + stampLen + len(writes[i].Value) + 16
	}
	if err := g.db.flusher.throttle(g.db); err != nil {
		return g.wrap(err)
	}
	b := g.db.pdb.NewBatchWithSize(size)
	stored := Checkpoint{Input: cp.Input, Wall: cp.Wall, Topics: cp.Topics}
	if err := b.Set(append(globalPrefix(g.id), globalCheckpoint), appendCheckpoint(nil, &stored, nil), nil); err != nil {
		return g.wrap(err)
	}
	for i := range writes {
		w := &writes[i]
		if w.Value == nil {
			op := b.DeleteDeferred(len(g.prefix) + len(w.Key))
			copy(op.Key[copy(op.Key, g.prefix):], w.Key)
			if err := op.Finish(); err != nil {
				return g.wrap(err)
			}
			continue
		}
		op := b.SetDeferred(len(g.prefix)+len(w.Key), stampLen+len(w.Value))
		copy(op.Key[copy(op.Key, g.prefix):], w.Key)
		binary.BigEndian.PutUint64(op.Value, uint64(w.Time))
		copy(op.Value[stampLen:], w.Value)
		if err := op.Finish(); err != nil {
			return g.wrap(err)
		}
	}
	if err := g.db.commit(b); err != nil {
		return g.wrap(err)
	}
	g.cp.set(&stored)
	g.hasCp = true
	g.bytes += size
	if g.flushed == 0 {
		g.flushed = cp.Wall
	}
	// What is not on disk is in Pebble's memory, which nothing else bounds; and a checkpoint
	// that grows old costs a restore in full.
	if g.bytes >= g.db.cfg.memTableBytes || g.db.cfg.grown(cp.Wall, g.flushed) {
		g.bytes, g.flushed = 0, cp.Wall
		return g.wrap(g.db.toDisk())
	}
	return nil
}

func (g *pebbleGlobal) Reset() error {
	if err := g.err(); err != nil {
		return err
	}
	b := g.db.pdb.NewBatch()
	if err := b.DeleteRange(globalPrefix(g.id), after(globalPrefix(g.id)), nil); err != nil {
		return g.wrap(err)
	}
	if err := g.db.commit(b); err != nil {
		return g.wrap(err)
	}
	g.cp, g.hasCp = Checkpoint{}, false
	return nil
}

func (g *pebbleGlobal) Version() (GlobalVersion, error) {
	if err := g.err(); err != nil {
		return nil, err
	}
	g.live.Add(1)
	return &pebbleVersion{g: g, snap: g.db.pdb.NewSnapshot()}, nil
}

func (g *pebbleGlobal) Close() error {
	if err := g.err(); err != nil {
		return err
	}
	if n := g.live.Load(); n > 0 {
		panic(fmt.Sprintf("statestore: global table %q is closed with %d versions in use", g.name, n))
	}
	g.closed.Store(true)
	g.db.mu.Lock()
	defer g.db.mu.Unlock()
	delete(g.db.globals, g.id)
	return nil
}

// pebbleVersion is a snapshot: it keeps Pebble from dropping rows that were overwritten since.
type pebbleVersion struct {
	g    *pebbleGlobal
	snap *pebble.Snapshot
}

func (v *pebbleVersion) Get(key, buf []byte) (value []byte, at core.Time, ok bool, err error) {
	b, closer, err := v.snap.Get(append(append(make([]byte, 0, 64), v.g.prefix...), key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return buf, 0, false, nil
	}
	if err != nil {
		return buf, 0, false, v.g.wrap(err)
	}
	row, at, err := parseRow(b)
	if err == nil {
		buf = append(buf, row...)
	}
	if err2 := closer.Close(); err == nil {
		err = err2
	}
	return buf, at, err == nil, v.g.wrap(err)
}

func (v *pebbleVersion) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) (err error) {
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	prefix := v.g.prefix
	o := &pebble.IterOptions{LowerBound: append(bytes.Clone(prefix), lo...), UpperBound: after(prefix)}
	if hi != nil {
		o.UpperBound = append(bytes.Clone(prefix), hi...)
	}
	it, err := v.snap.NewIter(o)
	if err != nil {
		return v.g.wrap(err)
	}
	defer func() {
		if err2 := it.Close(); err == nil {
			err = v.g.wrap(err2)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		b, err := it.ValueAndErr()
		if err != nil {
			return v.g.wrap(err)
		}
		value, at, err := parseRow(b)
		if err != nil {
			return v.g.wrap(err)
		}
		if !f(it.Key()[len(prefix):], value, at) {
			break
		}
	}
	return v.g.wrap(it.Error())
}

func (v *pebbleVersion) Release() {
	if err := v.snap.Close(); err != nil {
		v.g.db.cfg.Logger.Warn("closing a snapshot", "err", err)
	}
	v.g.live.Add(-1)
}
