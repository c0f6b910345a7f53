package statestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed-81380e12/limpet/core"
)

// The order in which rows come due, for core.Dated. On disk it is a range of keys of its own,
// written and deleted with the rows, in the same batch. Rows in memory are not in it until they go
// to disk, and so those that live shortly never are: a look at the order goes over all rows in
// memory, of which there are not too many.
//
// Where the time is in the row, and not in its key, it moves when the row is written. A row in memory
// then says when the row comes due that disk has, so that the flush that brings the new one takes the
// old one's key out of the order.

// dueRow is a row in memory, and when it comes due; or, where it is gone, came due on disk.
type dueRow struct {
	at, then core.Time
	ref      uint32
	frozen   bool
	gone     bool
}

// noDue is what a row says where disk has none.
var noDue = bytes.Repeat([]byte{0xff}, dueLen)

// dueOfRow says when a row comes due. One that says nothing comes first: who decodes it finds
// what is wrong.
func dueOfRow(o *core.DueOrder, r row) (at, then core.Time) {
	value, stamp := r.read()
	at, then, ok := o.Of(r.key(), value, stamp)
	if !ok {
		return 0, 0
	}
	return at, then
}

// meet has the active tables know what disk has of the rows that are to be written, where they come
// due by what is in them.
func (s *pebbleStore) meet(writes []core.Write) error {
	if !s.moves {
		return nil
	}
	for i := range writes {
		w := &writes[i]
		t := s.tables[w.Table]
		if t.active.due == nil {
			continue
		}
		h := hashKey(s.db.seed, w.Key)
		if r, slot := t.active.find(h, w.Key); r == nil {
			if err := t.bring(h, slot, w.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// bring puts a copy of what is below into the active table, which does not have the row.
func (t *pebbleTable) bring(h, slot uint32, key []byte) error {
	r, _ := t.frozen.find(h, key)
	if r == nil && t.store.onDisk {
		b, err := t.read(key)
		if err != nil {
			return err
		}
		if b != nil {
			value, at, err := t.parse(b, key)
			if err == nil {
				t.active.fill(h, slot, key, value, at, false)
			}
			return err
		}
	}
	if r == nil || r.absent() {
		t.active.fill(h, slot, key, nil, 0, true)
		return nil
	}
	value, at := r.read()
	t.active.fill(h, slot, key, value, at, false)
	return nil
}

// writeDue writes what has changed in the order of a table's rows.
func (f *flusher) writeDue(b *pebble.Batch, t *pebbleTable, frozen *table) error {
	if t.dueOf == nil {
		return nil
	}
	f.due = f.due[:0]
	frozen.each(func(ref uint32, r row) {
		if !r.mustGo() {
			return
		}
		d := dueRow{ref: ref}
		d.at, d.then = dueOfRow(t.dueOf, r)
		if !t.dueOf.InRow {
			if d.gone = r.absent(); d.gone || r.tag()&flagBorn == 0 {
				f.due = append(f.due, d)
			}
			return
		}
		was := dueRow{ref: ref, gone: true}
		none := bytes.Equal(r.was(), noDue)
		if was.at, was.then = splitDue(r.was()); !none && !r.absent() && was.at == d.at && was.then == d.then {
			return
		}
		if !none {
			f.due = append(f.due, was)
		}
		if !r.absent() {
			f.due = append(f.due, d)
		}
	})
	slices.SortFunc(f.due, func(x, y dueRow) int {
		if x.at != y.at || x.then != y.then {
			return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.then, y.then))
		}
		return bytes.Compare(frozen.at(x.ref).key(), frozen.at(y.ref).key())
	})
	for _, d := range f.due {
		r := frozen.at(d.ref)
		var op *pebble.DeferredBatchOp
		if n := len(t.due) + dueLen + r.keyLen(); d.gone {
			op = b.DeleteDeferred(n)
		} else {
			op = b.SetDeferred(n, 0)
		}
		key := appendDue(append(op.Key[:0], t.due...), d.at, d.then)
		copy(op.Key[len(key):], r.key())
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return nil
}

// Due implements core.Dated.
func (t *pebbleTable) Due(at, then core.Time, key []byte, f func(key []byte, at, then core.Time) bool) (bool, error) {
	s := t.store
	if s.closed {
		return false, fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if t.dueOf == nil {
		return false, nil
	}
	it, err := s.scanner()
	if err != nil {
		return false, err
	}
	h := &dueHeap{t: t}
	from := append(appendDue(append(s.scanKey[:0], t.due...), at, then), key...)
	s.scanKey = from
	h.gather(from[len(t.due):])
	for i := len(h.rows)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	for ok := it.SeekGE(from); ; ok = it.Next() {
		var disk []byte // nil: the end
		if ok = ok && bytes.HasPrefix(it.Key(), t.due); ok {
			if disk = it.Key()[len(t.due):]; len(disk) < dueLen {
				return true, s.wrap(fmt.Errorf("%w: key %x is none of a row that comes due", ErrCorrupt, it.Key()))
			}
			if t.dirty(disk[dueLen:]) {
				continue
			}
		} else if err := t.readErr(it); err != nil { // what is in memory must not come in place of rows before it
			return true, err
		}
		for len(h.rows) > 0 && (disk == nil || h.compare(h.rows[0], disk) < 0) {
			d := h.pop()
			if !f(h.key(d), d.at, d.then) {
				return true, nil
			}
		}
		if !ok {
			return true, nil
		}
		dAt, dThen := splitDue(disk)
		if !f(disk[dueLen:len(disk):len(disk)], dAt, dThen) {
			return true, nil
		}
	}
}

// LastDue implements core.Dated.
func (t *pebbleTable) LastDue() (core.Time, bool, error) {
	s := t.store
	if s.closed {
		return 0, false, fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	if t.dueOf == nil {
		return 0, false, nil
	}
	it, err := s.scanner()
	if err != nil {
		return 0, false, err
	}
	last := core.NoTime
	h := &dueHeap{t: t}
	h.gather(nil)
	for _, d := range h.rows {
		last = max(last, d.at)
	}
	for ok := it.SeekLT(after(t.due)); ok && bytes.HasPrefix(it.Key(), t.due); ok = it.Prev() {
		if disk := it.Key()[len(t.due):]; len(disk) >= dueLen && !t.dirty(disk[dueLen:]) {
			at, _ := splitDue(disk)
			last = max(last, at)
			break
		}
	}
	return last, true, t.readErr(it)
}

func splitDue(b []byte) (at, then core.Time) {
	return core.Time(binary.BigEndian.Uint64(b)), core.Time(binary.BigEndian.Uint64(b[8:]))
}

func (t *pebbleTable) readErr(it *pebble.Iterator) error {
	err := it.Error()
	if err != nil {
		_ = t.store.endReads() // it would say the same
	}
	return t.store.wrap(err)
}

// dirty reports whether disk does not have the row, or its deletion, yet.
func (t *pebbleTable) dirty(key []byte) bool {
	h := hashKey(t.store.db.seed, key)
	for _, in := range [2]*table{t.active, t.frozen} {
		if r, _ := in.find(h, key); r != nil && r.tag()&flagDirty != 0 {
			return true
		}
	}
	return false
}

// dueHeap has the rows in memory that disk does not have yet, the first one on top. Those of a
// flush that is done are in it, too: they are the same on disk.
type dueHeap struct {
	t    *pebbleTable
	rows []dueRow
}

// gather takes the rows from a place in the order on.
func (h *dueHeap) gather(from []byte) {
	for i, in := range [2]*table{h.t.active, h.t.frozen} {
		in.each(func(ref uint32, r row) {
			if r.tag()&flagDirty == 0 || r.absent() {
				return
			}
			d := dueRow{ref: ref, frozen: i == 1}
			if d.at, d.then = dueOfRow(h.t.dueOf, r); from != nil && h.compare(d, from) < 0 {
				return
			}
			if d.frozen {
				if a, _ := h.t.active.find(hashKey(h.t.store.db.seed, r.key()), r.key()); a != nil && a.tag()&flagDirty != 0 {
					return // it was written since
				}
			}
			h.rows = append(h.rows, d)
		})
	}
}

func (h *dueHeap) key(d dueRow) []byte {
	if d.frozen {
		return h.t.frozen.at(d.ref).key()
	}
	return h.t.active.at(d.ref).key()
}

// compare compares a row with a place: two times and a key.
func (h *dueHeap) compare(d dueRow, place []byte) int {
	if at, then := splitDue(place); d.at != at || d.then != then {
		return cmp.Or(cmp.Compare(d.at, at), cmp.Compare(d.then, then))
	}
	return bytes.Compare(h.key(d), place[dueLen:])
}

func (h *dueHeap) less(i, j int) bool {
	x, y := &h.rows[i], &h.rows[j]
	if x.at != y.at || x.then != y.then {
		return x.at < y.at || x.at == y.at && x.then < y.then
	}
	return bytes.Compare(h.key(*x), h.key(*y)) < 0
}

// down lets the row at i sink to its place.
func (h *dueHeap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h.rows) {
			return
		}
		if c+1 < len(h.rows) && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			return
		}
		h.rows[i], h.rows[c] = h.rows[c], h.rows[i]
		i = c
	}
}

func (h *dueHeap) pop() dueRow {
	d, n := h.rows[0], len(h.rows)-1
	h.rows[0] = h.rows[n]
	h.rows = h.rows[:n]
	h.down(0)
	return d
}
