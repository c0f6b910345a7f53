package core

import "math"

// Reorder passes records on in the order of their numbers, and waits for those that are
// missing.
type Reorder[K comparable, V any] struct {
	Node   NodeID
	Number func(V) int64
	Grace  Time
	Clock  *Clock
	Next   Next[K, V]

	expected *Table[K, int64]                   // the number that is next
	wait     *Table[KeyID[K, int64], Parked[V]] // the records that wait, with their times
	numbers  byKey[K, int64]                    // of those that wait, in order
	due      agenda[KeyID[K, int64], Parked[V]] // by their times; and some that have gone on
	loaded   bool
}

// Init says where the numbers are that are next, and the records that wait. These come due by
// their times; the bytes of one key's numbers are in the order of the numbers.
func (o *Reorder[K, V]) Init(expected *Table[K, int64], wait *Table[KeyID[K, int64], Parked[V]]) {
	type id = KeyID[K, int64]
	o.expected, o.wait, o.due = expected, wait, newAgenda(wait, byTime[id, Parked[V]], false)
	bind(&o.numbers, wait, func(k id) K { return k.Key }, func(k id) int64 { return k.ID }, func(k K, lo, hi []byte) (_, _ []byte, err error) {
		if lo, err = wait.kc.Append(lo, id{k, 0}); err == nil {
			hi, err = wait.kc.Append(hi, id{k, math.MaxInt64})
		}
		return lo, append(hi, 0), err
	})
	wait.short, wait.aborted = true, func() { o.loaded = false }
	o.Clock.onPass(o.load, o.release)
}

// load makes the index of the committed rows, as Buffer does.
func (o *Reorder[K, V]) load(tx *Tx) bool {
	if o.loaded {
		return true
	}
	o.numbers.clear(true)
	o.due.clear()
	few, ok := scanFew(tx, o.wait, o.wait.indexRows(), func(k KeyID[K, int64], _ []byte, at Time) error {
		list, _ := o.numbers.known(k.Key)
		o.index(k, list, at)
		return nil
	})
	if ok && !few {
		o.numbers.clear(false)
		o.due.onlyTable(0)
	}
	o.loaded = ok
	return ok
}

// index adds a record that waits to the index, where its key has that list.
func (o *Reorder[K, V]) index(k KeyID[K, int64], list []int64, at Time) {
	i := len(list)
	for i > 0 && list[i-1] > k.ID { // most come at the end
		i--
	}
	o.numbers.insert(k.Key, list, i, k.ID)
	o.due.push(dueKey[KeyID[K, int64]]{at: at, key: k})
}

// Step takes a record: it goes on if it is the next one of its key, and lets those go that
// have waited for it; or it waits.
func (o *Reorder[K, V]) Step(tx *Tx, r Record[K, V]) {
	if tx.nullKey {
		tx.drop(o.Node, NullKey)
		return
	}
	if !o.load(tx) {
		return
	}
	o.Clock.move(r.Time)
	tx.node = o.Node
	number := o.Number(r.Value)
	tx.called(o.Node)
	i := o.expected.find(tx, r.Key)
	if i < 0 {
		return
	}
	next := o.next(i)
	switch {
	case number < next:
		tx.drop(o.Node, Late)
	case number == next:
		o.expected.put(i, next+1, r.Time)
		o.Next(tx, r)
		o.follow(tx, r.Key)
	default:
		o.keep(tx, KeyID[K, int64]{r.Key, number}, r)
	}
	o.release(tx)
}

// next is the number that is next, in the row at i of expected. Numbers begin with 1.
func (o *Reorder[K, V]) next(i int32) int64 {
	if c := &o.expected.cells[i]; c.ok {
		return c.val
	}
	return 1
}

// keep lets a record wait.
func (o *Reorder[K, V]) keep(tx *Tx, k KeyID[K, int64], r Record[K, V]) {
	i := o.wait.find(tx, k)
	if i < 0 {
		return
	}
	if o.wait.cells[i].ok {
		tx.drop(o.Node, Duplicate)
		return
	}
	list, ok := o.numbers.of(tx, k.Key)
	if !ok {
		return
	}
	o.wait.put(i, Parked[V]{Headers: r.Headers.own(), Value: r.Value}, r.Time)
	o.index(k, list, r.Time)
}

// follow lets the records of a key go that wait and are next. Where it is not at hand which wait,
// it looks for the row of the next one only.
func (o *Reorder[K, V]) follow(tx *Tx, k K) {
	for tx.err == nil {
		i := o.expected.find(tx, k)
		if i < 0 {
			return
		}
		next := o.next(i)
		if list, known := o.numbers.known(k); known && (len(list) == 0 || list[0] != next) {
			return
		}
		w := o.wait.find(tx, KeyID[K, int64]{k, next})
		if w < 0 || !o.wait.cells[w].ok {
			return
		}
		o.letGo(tx, k, next, w)
	}
}

// letGo lets the first record of a key go that waits, whose row is at w, and counts what is
// missing before it.
func (o *Reorder[K, V]) letGo(tx *Tx, k K, number int64, w int32) {
	if list, _ := o.numbers.known(k); len(list) > 0 {
		o.numbers.remove(k, list, 0)
	}
	i := o.expected.find(tx, k)
	if i < 0 {
		return
	}
	p, at := o.wait.cells[w].val, o.wait.cells[w].at
	o.wait.delete(w, at)
	if missing := number - o.next(i); missing > 0 {
		tx.count(o.Node, Gap, missing)
	}
	o.expected.put(i, number+1, max(at, o.expected.cells[i].at))
	if outer, ok := tx.letGo(); ok {
		o.Next(tx, Record[K, V]{k, p.Value, at, p.Headers})
		tx.within = outer
	} else {
		leaveOut(tx, o.Node, o.wait, KeyID[K, int64]{k, number}, p, at, p.Headers)
	}
}

// release gives up what is missing before records that have waited for grace.
func (o *Reorder[K, V]) release(tx *Tx) {
	had := tx.nullKey
	for tx.nullKey = false; tx.err == nil && o.due.due(tx, o.Clock.at-o.Grace); {
		if k := o.due.pop().key; o.waits(tx, k) {
			o.giveUp(tx, k)
			o.follow(tx, k.Key)
		}
	}
	tx.nullKey = had
}

// waits reports whether a record has not gone on yet.
func (o *Reorder[K, V]) waits(tx *Tx, k KeyID[K, int64]) bool {
	if list, known := o.numbers.known(k.Key); known {
		return len(list) > 0 && list[0] <= k.ID
	}
	i := o.wait.find(tx, k)
	return i >= 0 && o.wait.cells[i].ok
}

// giveUp lets a record go, and before it all of its key that wait.
func (o *Reorder[K, V]) giveUp(tx *Tx, k KeyID[K, int64]) {
	for tx.err == nil {
		list, ok := o.numbers.of(tx, k.Key)
		if !ok || len(list) == 0 || list[0] > k.ID {
			return
		}
		number := list[0]
		if w := o.wait.find(tx, KeyID[K, int64]{k.Key, number}); w >= 0 {
			o.letGo(tx, k.Key, number, w)
		}
	}
}
