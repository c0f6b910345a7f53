package core

import (
	"slices"
)

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
	numbers  map[K][]int64                      // of those that wait, in order
	spare    [][]int64
	due      due[KeyID[K, int64]] // by their times; and some that have gone on
	loaded   bool
}

// Init says where the numbers are that are next, and the records that wait.
func (o *Reorder[K, V]) Init(expected *Table[K, int64], wait *Table[KeyID[K, int64], Parked[V]]) {
	o.expected, o.wait, o.due.kc = expected, wait, wait.kc
	wait.short, wait.aborted = true, func() { o.loaded = false }
	o.Clock.onPass(o.load, o.release)
}

// load makes the index of the committed rows, as Buffer does.
func (o *Reorder[K, V]) load(tx *Tx) bool {
	if o.loaded {
		return true
	}
	o.numbers = map[K][]int64{}
	o.due.clear()
	o.loaded = scanKeys(tx, o.wait, o.index)
	return o.loaded
}

func (o *Reorder[K, V]) index(k KeyID[K, int64], at Time) {
	list, ok := o.numbers[k.Key]
	if n := len(o.spare); !ok && n > 0 {
		list, o.spare = o.spare[n-1], o.spare[:n-1]
	}
	i := len(list)
	for i > 0 && list[i-1] > k.ID { // most come at the end
		i--
	}
	o.numbers[k.Key] = slices.Insert(list, i, k.ID)
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
	if raw := r.Headers.Raw(); len(raw) > 0 { // it must not hold on to a fetched batch
		r.Headers = HeadersOf(slices.Clone(raw))
	}
	o.wait.put(i, Parked[V]{r.Headers, r.Value}, r.Time)
	o.index(k, r.Time)
}

// follow lets the records of a key go that wait and are next.
func (o *Reorder[K, V]) follow(tx *Tx, k K) {
	for tx.err == nil {
		i := o.expected.find(tx, k)
		if list := o.numbers[k]; i < 0 || len(list) == 0 || list[0] != o.next(i) {
			return
		}
		o.first(tx, k)
	}
}

// first lets the first record of a key go that waits, and counts what is missing before it.
func (o *Reorder[K, V]) first(tx *Tx, k K) {
	list := o.numbers[k]
	number := list[0]
	if list = slices.Delete(list, 0, 1); len(list) > 0 {
		o.numbers[k] = list
	} else {
		delete(o.numbers, k)
		if len(o.spare) < 64 {
			o.spare = append(o.spare, list)
		}
	}
	w := o.wait.find(tx, KeyID[K, int64]{k, number})
	if w < 0 {
		return
	}
	i := o.expected.find(tx, k)
	if i < 0 {
		return
	}
	p, at := o.wait.cells[w].val, o.wait.cells[w].at
	o.wait.delete(w, at)
	tx.t.nodes[o.Node].dropped[Gap] += number - o.next(i)
	o.expected.put(i, number+1, max(at, o.expected.cells[i].at))
	o.Next(tx, Record[K, V]{k, p.Value, at, p.Headers})
}

// release gives up what is missing before records that have waited for grace.
func (o *Reorder[K, V]) release(tx *Tx) {
	had := tx.nullKey
	for tx.nullKey = false; tx.err == nil && len(o.due.list) > 0 && o.due.next().plus(o.Grace) <= o.Clock.at; {
		k := o.due.pop().key
		for tx.err == nil {
			if list := o.numbers[k.Key]; len(list) == 0 || list[0] > k.ID {
				break // it has gone on
			}
			o.first(tx, k.Key)
		}
		o.follow(tx, k.Key)
	}
	tx.nullKey = had
}
