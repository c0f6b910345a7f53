package core

import (
	"bytes"
	"fmt"
	"slices"
)

// fresh are the keys that were written in one generation, in the order of their bytes: what
// a scan of a table must find, and its view does not have yet.
type fresh struct {
	keys  []freshKey
	arena arena
}

type freshKey struct {
	key  []byte
	cell int32
}

func (f *fresh) clear() {
	f.keys = f.keys[:0]
	f.arena.reset()
}

// from is the place of the first key that is not less than lo.
func (f *fresh) from(lo []byte) int {
	i, _ := slices.BinarySearchFunc(f.keys, lo, func(k freshKey, lo []byte) int { return bytes.Compare(k.key, lo) })
	return i
}

// Ordered has the table keep what Scan needs. It is called when the task is made.
func (t *Table[K, V]) Ordered() {
	if t.fresh == nil {
		t.fresh, t.older = new(fresh), new(fresh)
		t.scan = &scan[K, V]{t: t}
		t.scan.take = t.scan.row
	}
}

// note adds a row that is written for the first time in this generation.
func (t *Table[K, V]) note(i int32) {
	tail := t.fresh.arena.tail()
	key, err := t.kc.Append(tail, t.cells[i].key)
	if err != nil {
		return // seal says so
	}
	if key = t.fresh.arena.keep(key); key == nil {
		return
	}
	t.fresh.keys = slices.Insert(t.fresh.keys, t.fresh.from(key), freshKey{key, i})
}

// Scan calls f with the rows of lo <= key < hi in the order of their keys' bytes, until f
// returns false; a nil bound is none. The table must be Ordered. f must not use a table. It
// reports false when the task has failed.
func (t *Table[K, V]) Scan(tx *Tx, lo, hi []byte, f func(k K, v V, at Time) bool) bool {
	s := t.scan
	s.hi, s.f, s.done, s.bad = hi, f, false, nil
	s.runs = [2][]freshKey{t.fresh.keys[t.fresh.from(lo):], t.older.keys[t.older.from(lo):]}
	if err := t.view.Scan(lo, hi, s.take); err != nil {
		s.bad = fmt.Errorf("%w: %w", ErrState, err)
	}
	for !s.done && s.bad == nil && s.fresh(nil) {
	}
	if s.bad != nil {
		tx.fail(t.node, s.bad)
	}
	return s.bad == nil
}

// scan merges the two generations with what is committed.
type scan[K comparable, V any] struct {
	t    *Table[K, V]
	hi   []byte
	f    func(K, V, Time) bool
	runs [2][]freshKey
	done bool
	bad  error
	take func(key, value []byte, at Time) bool // row
}

// fresh takes the first key that is not committed yet, if it is not beyond to. It reports
// whether there was one.
func (s *scan[K, V]) fresh(to []byte) bool {
	first := -1
	for i, r := range s.runs {
		if len(r) > 0 && (first < 0 || bytes.Compare(r[0].key, s.runs[first][0].key) < 0) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	e := s.runs[first][0]
	if to != nil && bytes.Compare(e.key, to) > 0 || s.hi != nil && bytes.Compare(e.key, s.hi) >= 0 {
		return false
	}
	for i, r := range s.runs {
		if len(r) > 0 && bytes.Equal(r[0].key, e.key) {
			s.runs[i] = r[1:]
		}
	}
	s.cell(e.cell)
	return true
}

// cell passes on a row of the overlay.
func (s *scan[K, V]) cell(i int32) {
	c := &s.t.cells[i]
	if !c.ok {
		return
	}
	if s.t.check != nil {
		s.t.check.touch(i)
	}
	s.done = !s.f(c.key, c.val, c.at)
}

// row takes a committed row, behind the fresh ones before it. A fresh one of the same key
// stands for it.
func (s *scan[K, V]) row(key, value []byte, at Time) bool {
	for !s.done {
		same := false
		for _, r := range s.runs {
			same = same || len(r) > 0 && bytes.Equal(r[0].key, key)
		}
		if !s.fresh(key) {
			break
		}
		if same {
			return !s.done
		}
	}
	if s.done {
		return false
	}
	k, err := s.t.kc.Decode(key)
	if err != nil {
		s.bad = fmt.Errorf("%w: stored key %q: %w", ErrDecode, key, err)
		return false
	}
	if i, ok := s.t.at(k); ok {
		s.cell(i)
		return !s.done
	}
	v, err := s.t.vc.Decode(value)
	if err != nil {
		s.bad = fmt.Errorf("%w: stored row %v: %w", ErrDecode, k, err)
		return false
	}
	s.done = !s.f(k, v, at)
	return !s.done
}

// Scanner finds the rows of a table, or of what filters and maps make of one, by a range of
// their keys' bytes: as Table.Scan does.
type Scanner[K, V any] func(tx *Tx, lo, hi []byte, f func(k K, v V, at Time) bool) bool

// FilterScanner finds the rows that keep accepts.
func FilterScanner[K, V any](n NodeID, keep func(V) bool, from Scanner[K, V]) Scanner[K, V] {
	return func(tx *Tx, lo, hi []byte, f func(K, V, Time) bool) bool {
		return from(tx, lo, hi, func(k K, v V, at Time) bool {
			tx.node = n
			ok := keep(v)
			tx.called(n)
			return tx.err == nil && (!ok || f(k, v, at))
		}) && tx.err == nil
	}
}

// MapScanner finds what to makes of the rows.
func MapScanner[K, V, W any](n NodeID, to func(V) W, from Scanner[K, V]) Scanner[K, W] {
	return func(tx *Tx, lo, hi []byte, f func(K, W, Time) bool) bool {
		return from(tx, lo, hi, func(k K, v V, at Time) bool {
			tx.node = n
			w := to(v)
			tx.called(n)
			return tx.err == nil && f(k, w, at)
		}) && tx.err == nil
	}
}

// scanFrom calls f with the committed rows of tb from lo on (nil: all), in the order of the
// keys' bytes, and their values as they are stored, until f returns false. It reports false
// when the task has failed: with an error of f, which says that the value is wrong, too.
func scanFrom[K comparable, V any](tx *Tx, tb *Table[K, V], lo []byte, f func(k K, value []byte, at Time) (more bool, err error)) bool {
	var bad error
	err := tb.view.Scan(lo, nil, func(key, value []byte, at Time) (more bool) {
		k, err := tb.kc.Decode(key)
		if err != nil {
			bad = fmt.Errorf("%w: stored key %q: %w", ErrDecode, key, err)
		} else if more, err = f(k, value, at); err != nil {
			bad = fmt.Errorf("%w: stored row %q: %w", ErrDecode, key, err)
		}
		return more && bad == nil
	})
	if err != nil && !planted("a scan that breaks off was whole") {
		bad = fmt.Errorf("%w: %w", ErrState, err)
	}
	if bad != nil {
		tx.fail(tb.node, bad)
	}
	return bad == nil
}

// scanStored is scanFrom for all rows: for what a task makes of them when it begins.
func scanStored[K comparable, V any](tx *Tx, tb *Table[K, V], f func(k K, value []byte, at Time) error) bool {
	return scanFrom(tx, tb, nil, func(k K, value []byte, at Time) (bool, error) { return true, f(k, value, at) })
}

// scanFew calls f with the committed rows, if they are no more than most: else with some of them,
// and few is false. ok = false: the task has failed.
func scanFew[K comparable, V any](tx *Tx, tb *Table[K, V], most int, f func(k K, value []byte, at Time) error) (few, ok bool) {
	n := 0
	ok = scanFrom(tx, tb, nil, func(k K, value []byte, at Time) (bool, error) {
		if n++; n > most {
			return false, nil
		}
		return true, f(k, value, at)
	})
	return n <= most, ok
}

// scanKeys is scanStored for those who need no values.
func scanKeys[K comparable, V any](tx *Tx, tb *Table[K, V], f func(k K, at Time)) bool {
	return scanStored(tx, tb, func(k K, _ []byte, at Time) error {
		f(k, at)
		return nil
	})
}
