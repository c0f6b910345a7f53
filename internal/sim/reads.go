package sim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// readKind is a way in which a process reads its disk.
type readKind uint8

const (
	readRow    readKind = iota
	readScan            // rows in the order of their keys
	readDue             // rows as they come due, or the last of them
	readWrite           // what a write needs to know: what it replaces, or what is merged behind it
	readOpen            // a task's checkpoint, or a global table's
	readGlobal          // a row of a global table
)

// badReads are those that may fail, and behind how many of the kind, at most. What is read seldom is here more often.
var badReads = []struct {
	kind   readKind
	behind int
}{
	{readRow, 20},
	{readScan, 3},
	{readDue, 3},
	{readDue, 2},
	{readDue, 1},
	{readDue, 1},
	{readDue, 1},
	{readWrite, 8},
	{readOpen, 2},
	{readGlobal, 3},
	{readGlobal, 1},
	{readGlobal, 1},
}

// badRead is what is to become of one of a disk's reads, by this process or by one after it. An error stops the process, so
// there is no second one that it could do something with.
type badRead struct {
	kind readKind
	left int   // reads of that kind before it
	rows int   // that a scan still passes on
	err  error // statestore.ErrIO, or ErrCorrupt: then somebody has to delete the directory; nil: none fails
	// It has failed:
	struck  bool
	task    string // what the error has to say; "": the read was for none
	stepped bool   // it was for a record, whose topic and offset the error has to say
	atOnce  bool   // it was within a call of the worker, which has to know by the end of it
}

// errRead marks the error of a read that fails: a worker may have stopped before it, since it could not write.
var errRead = errors.New("sim: a read fails")

// planRead lets one of the next reads fail.
func (f *faults) planRead(w *world, s *slot) {
	drawn := badReads[w.rng.IntN(len(badReads))]
	if w.reads(readGlobal) && w.chance(2) { // few topologies have such tables
		drawn = badReads[len(badReads)-1]
	}
	for !w.reads(drawn.kind) {
		drawn = badReads[w.rng.IntN(len(badReads))]
	}
	b := badRead{kind: drawn.kind, left: w.rng.IntN(drawn.behind), rows: w.rng.IntN(3), err: statestore.ErrIO}
	if w.chance(4) {
		b.err = statestore.ErrCorrupt
	}
	s.bad = b
	w.note("bad read", s.instance, int64(b.kind), int64(b.left))
	f.begin("read", s.instance)
}

// reads reports whether there may be reads of a kind at all.
func (w *world) reads(kind readKind) bool {
	switch kind {
	case readDue: // where an index has room for all rows, they are not looked for
		return w.set.cacheBytes <= 2000
	case readGlobal:
		return len(w.check.plan.Globals()) > 0
	}
	return true
}

// fails reports whether a read of that kind fails.
func (b *badRead) fails(kind readKind) bool {
	if b.err == nil || b.struck || b.kind != kind {
		return false
	}
	b.left--
	return b.left < 0
}

// read is called for each read of a process's disk, for a task or, nil, for none. It returns why that one fails, or nil.
func (l *life) read(kind readKind, of *core.TaskID) error {
	if l.dead || !l.slot.bad.fails(kind) {
		return nil
	}
	return l.strikeRead(of)
}

func (l *life) strikeRead(of *core.TaskID) error {
	w, b := l.w, &l.slot.bad
	b.struck = true
	w.note("read fails", l.slot.instance, int64(b.kind), 0)
	w.faults.took(w, "read", l.slot.instance)
	if of != nil {
		b.task = of.String()
	}
	if errors.Is(b.err, statestore.ErrCorrupt) {
		l.slot.damaged = true // the block is still there at the next start
	}
	switch b.kind {
	case readRow:
		invariant.Sometimes("sim: a row cannot be read")
	case readScan:
		invariant.Sometimes("sim: a scan breaks off")
	case readDue:
		invariant.Sometimes("sim: what comes due cannot be read")
	case readWrite:
		invariant.Sometimes("sim: a write cannot read what it needs")
	case readOpen:
		invariant.Sometimes("sim: a checkpoint cannot be read")
	case readGlobal:
		invariant.Sometimes("sim: a row of a global table cannot be read")
	}
	b.atOnce = w.cur == nil
	switch {
	case w.running == l:
		_, ticks := l.st.TickDue() // a task that wants ticks has one before its first record
		b.stepped = !ticks
		invariant.Sometimes("sim: a read fails while records are stepped")
	case w.cur != nil && strings.HasPrefix(w.cur.name, "open ") && b.kind == readWrite:
		invariant.Sometimes("sim: a read fails while a task is restored")
	}
	return fmt.Errorf("%w: %w", errRead, b.err)
}

// heeded checks that a worker that has come upon a read that failed does not go on.
func (b *badRead) heeded(l *life) {
	if b.atOnce && l.st.Err() == nil {
		l.w.failf(checkReads, "a read of %s fails, and its worker goes on", l.slot.instance)
	}
}

// excused reports whether err is what the read that failed had to lead to: it says which task it was and, where a
// record was stepped, which one.
func (b *badRead) excused(w *world, err error) bool {
	if !errors.Is(err, errRead) {
		return false
	}
	var e *core.RecordError
	if errors.As(err, &e) && e.Offset >= 0 {
		p := w.kafka.topics[e.Topic]
		if w.deletion.name == e.Topic {
			return true // it is not there any more
		}
		if p == nil || e.Offset >= p.parts[e.Task.Partition].end() || !p.parts[e.Task.Partition].log[e.Offset].committed() {
			w.failf(checkReads, "a read fails at %s, partition %d, offset %d: there is no such record: %w", e.Topic, e.Task.Partition, e.Offset, err)
		}
	} else if b.stepped {
		w.failf(checkReads, "a read fails at a record, and the error does not say at which: %w", err)
	}
	if !strings.Contains(err.Error(), b.task) {
		w.failf(checkReads, "a read of task %s fails, and the error does not say so: %w", b.task, err)
	}
	invariant.Sometimes("sim: a worker stops since a read fails")
	return true
}

// simView is a table on a disk that may fail.
type simView struct {
	core.View
	l  *life
	id core.TaskID
}

func (v simView) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	if err := v.l.read(readRow, &v.id); err != nil {
		return buf, 0, false, err
	}
	return v.View.Get(key, buf)
}

// Scan fails behind some rows, unless who reads has enough by then.
func (v simView) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	if v.l.dead || !v.l.slot.bad.fails(readScan) {
		return v.View.Scan(lo, hi, f)
	}
	n, enough := 0, false
	err := v.View.Scan(lo, hi, func(key, value []byte, at core.Time) bool {
		if n++; n > v.l.slot.bad.rows {
			return false
		}
		enough = !f(key, value, at)
		return !enough
	})
	if err != nil || enough {
		return err
	}
	return v.l.strikeRead(&v.id)
}

// Due implements core.Dated.
func (v simView) Due(at, then core.Time, key []byte, f func(key []byte, at, then core.Time) bool) (bool, error) {
	view := v.View.(core.Dated)
	if v.l.dead || !v.l.slot.bad.fails(readDue) {
		return view.Due(at, then, key, f)
	}
	n, enough := 0, false
	ok, err := view.Due(at, then, key, func(key []byte, at, then core.Time) bool {
		if n++; n > v.l.slot.bad.rows {
			return false
		}
		enough = !f(key, at, then)
		return !enough
	})
	if !ok || err != nil || enough {
		return ok, err
	}
	return true, v.l.strikeRead(&v.id)
}

// LastDue implements core.Dated.
func (v simView) LastDue() (core.Time, bool, error) {
	at, ok, err := v.View.(core.Dated).LastDue()
	if ok && err == nil {
		err = v.l.read(readDue, &v.id)
	}
	return at, ok, err
}

// simVersion is a global table on a disk that may fail.
type simVersion struct {
	statestore.GlobalVersion
	l *life
}

func (v simVersion) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	if err := v.l.read(readGlobal, nil); err != nil {
		return buf, 0, false, err
	}
	return v.GlobalVersion.Get(key, buf)
}
