package core

import (
	"fmt"
	"slices"
)

// byKey has for each key a list of what is in a table under it, in order. While these are
// few it has all of them. When they are more than a bound, it has those of the keys that were
// used lately, among them all whose rows the view does not have yet, and finds others in the view.
type byKey[K comparable, E any] struct {
	lists map[K][]E
	old   map[K][]E // those used before; nil while all are here
	all   bool
	n     int // entries of lists, or a bit more
	most  int
	spare [][]E

	// Of rows that come due by time, which is how they go: of keys that none is of, nothing is looked for.
	// due says when an entry's row does; nil: they do not. Until gone all rows have come due, and are
	// deleted, until last all that there are.
	recent     recent[K]
	due        func(E) Time
	gone, last Time

	load func(tx *Tx, k K) bool // finds the list of k, see bind
	lo   []byte
	hi   []byte
	want K
	list []E
	bad  error
}

// bind says where the lists come from. The rows of a key are those of tb with keys that begin
// lo <= key < hi, as bounds has it, if of says so; there may be others in between. entry is a
// row's entry, and entries are in the order of the rows' bytes.
func bind[K comparable, E any, R comparable, V any](b *byKey[K, E], tb *Table[R, V], of func(R) K, entry func(R) E, bounds func(k K, lo, hi []byte) (_, _ []byte, err error)) {
	b.most = tb.indexRows()
	take := func(key, _ []byte, _ Time) bool {
		r, err := tb.kc.Decode(key)
		if err != nil {
			b.bad = fmt.Errorf("%w: stored key %q: %w", ErrDecode, key, err)
			return false
		}
		// What was deleted is in the view until it is committed. What is new is not found:
		// lists with such rows are at hand.
		if i, ok := tb.at(r); of(r) == b.want && (!ok || tb.cells[i].ok) {
			b.list = append(b.list, entry(r))
		}
		return true
	}
	b.load = func(tx *Tx, k K) bool {
		b.want, b.list, b.bad = k, b.newList(), nil
		var err error
		if b.lo, b.hi, err = bounds(k, b.lo[:0], b.hi[:0]); err != nil {
			b.bad = fmt.Errorf("%w: key %v: %w", ErrEncode, k, err)
		} else if err = tb.view.Scan(b.lo, b.hi, take); err != nil && !planted("a scan that breaks off was whole") {
			b.bad = fmt.Errorf("%w: key %v: %w", ErrState, k, err)
		}
		if b.bad != nil {
			tx.fail(tb.node, b.bad)
		}
		return b.bad == nil
	}
	tb.advanced = func() {
		if b.n <= b.most {
			return
		}
		// What was written in the generation in hand stays for one more turn, which comes when
		// that one is committed, too.
		if b.old == nil {
			b.old = map[K][]E{}
		}
		clear(b.old)
		b.lists, b.old, b.n = b.old, b.lists, 0
		if b.all {
			tb.task.sometimes("core: an index by key has room for a part of the rows")
			b.all = false
			b.remember()
		}
	}
}

// remember begins to tell which keys rows may be of, when all of them are in old.
func (b *byKey[K, E]) remember() {
	if b.due == nil {
		return
	}
	b.recent.begin(NoTime, b.most*indexRow/recentShare)
	for k, list := range b.old { //lint:sorted filters say the same of a key that is there, whatever their order
		if len(list) > 0 {
			b.recent.add(k, b.due(list[len(list)-1]))
		}
	}
}

// made adds to what is told of a key that a row of it was made, which comes due at a time.
func (b *byKey[K, E]) made(k K, due Time) {
	b.last = max(b.last, due)
	b.recent.add(k, due)
}

// clear forgets all lists. all: those that come now are all that there are.
func (b *byKey[K, E]) clear(all bool) {
	b.lists, b.old, b.all, b.n = map[K][]E{}, nil, all, 0
	b.recent.end()
	b.gone, b.last = NoTime, NoTime
	if !all {
		b.old = map[K][]E{}
	}
}

// of returns the list of k. ok = false: the task has failed.
func (b *byKey[K, E]) of(tx *Tx, k K) (list []E, ok bool) {
	if list, ok = b.lists[k]; ok || b.all {
		return list, true
	}
	if list, ok = b.old[k]; ok {
		delete(b.old, k)
	} else if b.recent.none(k, b.gone) {
		list = b.newList()
	} else if !b.load(tx, k) {
		return nil, false
	} else {
		list = b.list
		if b.due != nil && !b.recent.on {
			b.recent.begin(b.last, b.most*indexRow/recentShare)
		}
	}
	b.lists[k] = list
	b.n += len(list) + 1
	return list, true
}

// known reports whether the list of k is at hand, and returns it.
func (b *byKey[K, E]) known(k K) (list []E, ok bool) {
	if list, ok = b.lists[k]; !ok && b.old != nil {
		list, ok = b.old[k]
	}
	return list, ok || b.all
}

// newList is an empty list.
func (b *byKey[K, E]) newList() (list []E) {
	if n := len(b.spare); n > 0 {
		list, b.spare = b.spare[n-1], b.spare[:n-1]
	}
	return list
}

// insert puts an entry at i into list, which is that of k, see known.
func (b *byKey[K, E]) insert(k K, list []E, i int, e E) {
	if cap(list) == 0 {
		list = b.newList()
	}
	b.set(k, slices.Insert(list, i, e), 1)
}

// remove takes the entry at i out of list, which is that of k, see known.
func (b *byKey[K, E]) remove(k K, list []E, i int) { b.set(k, slices.Delete(list, i, i+1), -1) }

// set sets the list of k, which has so many entries more than it had, or less.
func (b *byKey[K, E]) set(k K, list []E, more int) {
	if b.old != nil {
		if _, ok := b.lists[k]; !ok {
			delete(b.old, k)
			more = len(list)
		}
	}
	b.n += more
	if len(list) > 0 {
		b.lists[k] = list
		return
	}
	delete(b.lists, k)
	if cap(list) > 0 && len(b.spare) < 64 {
		b.spare = append(b.spare, list)
	}
}
