package core

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// agenda is the calendar of a table's rows: of those that come due next. When they are more
// than a bound, the later half of them is forgotten; where that begins is the place far. Rows
// from there on are in the table only. When time comes to that place, the next ones are looked
// for: in the view, and among the rows that it does not have yet. While the rows are few there
// is no such place, and no look at the table.
type agenda[K comparable, V any] struct {
	calendar[K]
	tb *Table[K, V]
	// when says when a row comes due. values: it goes by the row, not only by the key.
	when   func(k K, v V, at Time) (due, then Time)
	values bool
	// mine says which rows are in this agenda; nil: all. inOrder: rows come due in the order of their
	// keys' bytes, which are lead, the time and the rest.
	mine    func(K) bool
	inOrder bool
	lead    string
	until   func() Time // rows that come due later are not brought from the table; nil: all are
	found   []dueKey[K] // scratch
}

// Dated is a View that finds rows also by when they come due, without a look at later ones.
// A table that has no such order is read as a whole instead.
type Dated interface {
	View
	// Due calls f with the keys of the rows from a place on, by the time when they come due,
	// a second time and the key's bytes, until f returns false. Keys are valid during the call
	// only, and f must not use the view. ok = false: the table has no such order.
	Due(at, then Time, key []byte, f func(key []byte, at, then Time) bool) (ok bool, err error)
	// LastDue is the greatest time of them; NoTime: there are no rows.
	LastDue() (at Time, ok bool, err error)
}

// DueOrder says when the rows of a table come due. A store that is told of it keeps rows in that
// order, too: see Dated.
type DueOrder struct {
	// InRow: it goes by the row, not by the key alone, so that a row's time may move.
	InRow bool
	// Of says when a row comes due, by its bytes and its time, and a second time for those of
	// one time. Neither is negative. ok = false: they are no such bytes.
	Of func(key, value []byte, at Time) (due, then Time, ok bool)
}

// DueCodec is a codec of keys that say when their rows come due.
type DueCodec interface {
	DueOf(key []byte) (at, then Time, ok bool)
}

// DueOf is the order of a table with a codec of keys; nil: it is no DueCodec.
func DueOf[K any](c Codec[K]) *DueOrder {
	if d, ok := c.(DueCodec); ok {
		return &DueOrder{Of: func(key, _ []byte, _ Time) (Time, Time, bool) { return d.DueOf(key) }}
	}
	return nil
}

// DueByTime is the order of tables whose rows come due by their times: those that expire, and what
// waits in Reorder.
func DueByTime() *DueOrder {
	return &DueOrder{InRow: true, Of: func(_, _ []byte, at Time) (Time, Time, bool) { return max(at, 0), 0, true }}
}

// DueTail reads the times from the end of a key: 8 bytes, and behind them some, at most 8, of the
// second time.
func DueTail(key []byte, then int) (Time, Time, bool) {
	n := len(key) - 8 - then
	if n < 0 {
		return 0, 0, false
	}
	second := Time(0)
	for _, b := range key[n+8:] {
		second = second<<8 | Time(b)
	}
	return Time(binary.BigEndian.Uint64(key[n:])), second, true
}

const (
	// indexRow is about what a row costs in an index.
	indexRow = 64
	// agendaMost bounds how long it takes to forget a half, or to look for the next one.
	agendaMost = 1 << 18
)

// indexRows is how many rows each index of a table may have in memory: so that it takes about as
// much as the table's cache. Few are allowed in any case.
func (t *Table[K, V]) indexRows() int { return max(t.task.cfg.CacheBytes/indexRow, 4) }

// byTime is the order of DueByTime.
func byTime[K comparable, V any](_ K, _ V, at Time) (due, then Time) { return max(at, 0), 0 }

func newAgenda[K comparable, V any](tb *Table[K, V], when func(k K, v V, at Time) (due, then Time), values bool) agenda[K, V] {
	a := agenda[K, V]{tb: tb, when: when, values: values}
	a.kc, a.most = tb.kc, min(tb.indexRows(), agendaMost)
	return a
}

// load makes the index of the committed rows. There are no others: it was forgotten when the task
// began, or when all others were dropped. Where they are many, it begins with none of them. It
// reports false when the task has failed.
func (a *agenda[K, V]) load(tx *Tx) bool {
	a.clear()
	few, ok := scanFew(tx, a.tb, a.tb.indexRows(), func(k K, value []byte, at Time) error {
		e, err := a.entry(k, value, at)
		if err == nil {
			a.push(e)
		}
		return err
	})
	if ok && !few {
		a.onlyTable(0)
	}
	return ok
}

// entry is what the index has of a stored row.
func (a *agenda[K, V]) entry(k K, value []byte, at Time) (e dueKey[K], err error) {
	var v V
	if a.values {
		v, err = a.tb.vc.Decode(value)
	}
	e.key = k
	e.at, e.then = a.when(k, v, at)
	return e, err
}

// place is one in the order of a calendar.
type place struct {
	some     bool
	at, then Time
	key      []byte // empty: before all keys of that time
}

// near reports whether a key is before what lies far ahead.
func (c *calendar[K]) near(e *dueKey[K]) bool {
	f := &c.far
	if e.at != f.at || e.then != f.then {
		return e.at < f.at || e.at == f.at && e.then < f.then
	}
	c.arena = c.bytes(c.arena[:0], e.key)
	return bytes.Compare(c.arena, f.key) < 0
}

// bytes appends those of a key. One that is here was encoded before, or came decoded: that it
// cannot be, is found where its row is sealed.
func (c *calendar[K]) bytes(dst []byte, k K) []byte {
	if b, err := c.kc.Append(dst, k); err == nil && b != nil {
		return b
	}
	return dst
}

// onlyTable says that nothing is in memory of what comes due at a time or later.
func (c *calendar[K]) onlyTable(from Time) {
	c.clear()
	c.far = place{some: true, at: from, key: c.far.key[:0]}
}

// farFrom says that what lies far ahead begins with e.
func (c *calendar[K]) farFrom(e *dueKey[K]) {
	c.far = place{some: true, at: e.at, then: e.then, key: c.bytes(c.far.key[:0], e.key)}
}

// halve forgets the later half of the keys.
func (c *calendar[K]) halve() {
	near := make([]dueKey[K], 0, c.most/2)
	for len(near) < cap(near) {
		near = append(near, c.pop())
	}
	far := c.pop()
	for len(near) > 0 && near[len(near)-1] == far { // it was deleted and begun again
		near = near[:len(near)-1]
	}
	c.clear()
	for _, e := range near {
		c.push(e)
	}
	c.farFrom(&far)
	if c.forgot != nil {
		c.forgot()
	}
}

// due reports whether the first row comes due at limit or before; false, too, when the task has
// failed.
func (a *agenda[K, V]) due(tx *Tx, limit Time) bool {
	for {
		switch {
		case a.n > 0 && a.next() <= limit:
			return tx.err == nil
		case !a.far.some || a.far.at > limit || !a.bring(tx):
			return false
		}
	}
}

// bring brings the next rows from the table.
func (a *agenda[K, V]) bring(tx *Tx) bool {
	a.tb.task.sometimes("core: what comes due next is looked for in the table")
	most := a.most / 2
	a.found = a.found[:0]
	if dated, ok := a.tb.view.(Dated); a.inOrder || !ok || !a.first(tx, dated, most+1) {
		a.search(tx, most+1)
	}
	if tx.err != nil {
		return false
	}
	for _, list := range [2][]int32{a.tb.dirty, a.tb.sealed} {
		for _, i := range list {
			if i < 0 || a.tb.cells[i].state&cellFree != 0 || !a.tb.cells[i].ok {
				continue
			}
			c := &a.tb.cells[i]
			a.find(c.key, c.val, c.at)
		}
	}
	a.sort()
	a.far.some = false
	n := min(most, len(a.found))
	for n > 0 && a.beyond(a.found[n-1].at) {
		n--
	}
	for _, e := range a.found[:n] {
		a.push(e)
	}
	if n < len(a.found) {
		a.farFrom(&a.found[n])
	}
	clear(a.found)
	return true
}

// beyond reports whether a row that comes due at a time is not brought yet.
func (a *agenda[K, V]) beyond(at Time) bool { return a.until != nil && at > a.until() }

// first finds the first n rows of the view.
func (a *agenda[K, V]) first(tx *Tx, view Dated, n int) bool {
	var bad error
	ok, err := view.Due(a.far.at, a.far.then, a.far.key, func(key []byte, at, then Time) bool {
		k, err := a.tb.kc.Decode(key)
		if err != nil {
			bad = fmt.Errorf("%w: stored key %q: %w", ErrDecode, key, err)
			return false
		}
		if !a.tb.written(k) && (a.mine == nil || a.mine(k)) {
			a.found = append(a.found, dueKey[K]{at, then, k})
		}
		return len(a.found) < n && !a.beyond(at)
	})
	if err != nil {
		bad = fmt.Errorf("%w: %w", ErrState, err)
	}
	if bad != nil {
		tx.fail(a.tb.node, bad)
	}
	return ok
}

// search finds the first n rows of a view without their order, and some others.
func (a *agenda[K, V]) search(tx *Tx, n int) {
	var lo []byte
	if a.inOrder {
		if lo = a.far.key; len(lo) == 0 {
			lo = binary.BigEndian.AppendUint64([]byte(a.lead), uint64(a.far.at))
		}
	}
	scanFrom(tx, a.tb, lo, func(k K, value []byte, at Time) (more bool, err error) {
		var v V
		if a.values {
			if v, err = a.tb.vc.Decode(value); err != nil {
				return false, err
			}
		}
		if !a.tb.written(k) {
			a.find(k, v, at)
		}
		if a.inOrder {
			return len(a.found) < n, nil
		}
		if len(a.found) >= 8*n {
			a.sort()
			clear(a.found[n:])
			a.found = a.found[:n]
		}
		return true, nil
	})
}

// find notes a row that lies far ahead.
func (a *agenda[K, V]) find(k K, v V, at Time) {
	if a.mine != nil && !a.mine(k) {
		return
	}
	e := dueKey[K]{key: k}
	e.at, e.then = a.when(k, v, at)
	if !a.near(&e) {
		a.found = append(a.found, e)
	}
}

// sort sorts what was found, and drops what is there twice: rows written in two generations.
func (a *agenda[K, V]) sort() {
	var x, y []byte
	slices.SortFunc(a.found, func(d, e dueKey[K]) int {
		if d.at != e.at || d.then != e.then {
			return cmp.Or(cmp.Compare(d.at, e.at), cmp.Compare(d.then, e.then))
		}
		x, y = a.bytes(x[:0], d.key), a.bytes(y[:0], e.key)
		return bytes.Compare(x, y)
	})
	n := len(a.found)
	a.found = slices.CompactFunc(a.found, func(d, e dueKey[K]) bool { return d == e })
	clear(a.found[len(a.found):n])
}

// written reports whether the row of k was written, and the view does not have it yet.
func (t *Table[K, V]) written(k K) bool {
	i, ok := t.at(k)
	return ok && t.cells[i].state&(cellDirty|cellSealed) != 0
}

// last is the greatest time when a committed row comes due, or NoTime. ok = false: the task has
// failed.
func (a *agenda[K, V]) last(tx *Tx) (last Time, ok bool) {
	if dated, ok := a.tb.view.(Dated); ok {
		at, ok, err := dated.LastDue()
		if err != nil {
			tx.fail(a.tb.node, fmt.Errorf("%w: %w", ErrState, err))
			return NoTime, false
		}
		if ok {
			return at, true
		}
	}
	last = NoTime
	ok = scanStored(tx, a.tb, func(k K, value []byte, at Time) (err error) {
		var v V
		if a.values {
			v, err = a.tb.vc.Decode(value)
		}
		due, _ := a.when(k, v, at)
		last = max(last, due)
		return err
	})
	return last, ok
}
