package core

import (
	"cmp"
	"fmt"
	"slices"
)

// What operators hold and let go later: the result of a window that closes, an alarm, a change
// that was held back, a record that has waited, a row that expires. It goes when a record moves
// time, which is any record. Where it fails, and a policy says so, it alone is left out: the
// record in hand is taken back, and runs again at once; and where the operator comes to what has
// failed, it does its own part, and passes nothing on.
//
// So the things that are let go on the way of one record are numbered, from 1. That the number
// means the same thing when the record runs again follows from where that happens: in the Step in
// which it failed, in the state in which it began, with no tick, position of a global table or other
// record in between. Where that state is not at hand (ErrTakeBack), no number is kept: the thing fails
// once more when the record is alone. Nothing of it is state, so it is the same after a crash.

// leftOut is a thing that has failed as it was let go on the way of the record in hand.
type leftOut struct {
	number int32
	node   NodeID // where it failed
	why    Reason
	to     Outcome
	err    *RecordError
}

// without is what is left out of the record in hand, in the order of the numbers.
type without struct {
	list []leftOut
	// free is where bytes of the commit begin that no output has any more: those of the second run, and
	// of each one behind it, were written over.
	free arenaMark
}

// letGo begins to let one thing go: what is called until the operator sets tx.within to outer
// belongs to it. ok = false: it is to be left out, see leaveOut.
func (tx *Tx) letGo() (outer int32, ok bool) {
	tx.t.writes++ // of an index, perhaps, and of no row
	tx.t.hard = true
	if tx.letGone++; len(tx.t.without.list) > 0 {
		if _, leftOut := tx.t.without.at(tx.letGone); leftOut {
			return 0, false
		}
	}
	outer, tx.within = tx.within, tx.letGone
	return outer, true
}

// add notes the thing that has failed, and forgets those that were let go since it began, which are
// a part of it.
func (w *without) add(l leftOut, a *arena) {
	if len(w.list) == 0 {
		w.free = a.mark()
	} else {
		a.free(w.free)
	}
	w.list = slices.DeleteFunc(w.list, func(in leftOut) bool { return in.number > l.number })
	w.list = append(w.list, l)
}

func (w *without) clear() {
	clear(w.list)
	w.list = w.list[:0]
}

func (w *without) at(number int32) (i int, found bool) {
	return slices.BinarySearchFunc(w.list, number, func(l leftOut, n int32) int { return cmp.Compare(l.number, n) })
}

// leaveOut leaves out what letGo has said. The operator is n, and what it has held is a row of tb.
// It may fail, for the record in hand or what it is a part of: where the row does not encode.
func leaveOut[K comparable, V any](tx *Tx, n NodeID, tb *Table[K, V], k K, v V, at Time, h Headers) {
	i, _ := tx.t.without.at(tx.letGone)
	l := &tx.t.without.list[i]
	if l.to.Action == DeadLetter && !planted("what is left out is no dead letter") {
		heldLetter(tx, l.to.Sink, l.node, l.why, l.err, n, tb, k, v, at, h)
	}
}

// dropHeld is drop for what the operator n has held as a row of tb, and lets go: it is that which goes no
// further there, not the record in hand.
func dropHeld[K comparable, V any](tx *Tx, n NodeID, why Reason, tb *Table[K, V], k K, v V, at Time, h Headers) {
	tx.count(n, why, 1)
	if tx.inHand() == nil {
		return
	}
	if o := tx.t.onDrop(n); o.Action == DeadLetter {
		heldLetter(tx, o.Sink, n, why, nil, n, tb, k, v, at, h)
	}
}

// heldLetter appends what the operator n has held to a sink of dead letters: it went no further at node at.
func heldLetter[K comparable, V any](tx *Tx, sink SinkID, node NodeID, why Reason, e *RecordError, n NodeID, tb *Table[K, V], k K, v V, at Time, h Headers) {
	raw := tx.inHand()
	held := RawRecord{Offset: raw.Offset, Time: at, Headers: h.Raw()}
	var err error
	tx.node = tb.node
	if held.Key, err = encode(&tx.c.arena, tb.kc, k); err == nil {
		held.Value, err = encode(&tx.c.arena, tb.vc, v)
	}
	if err != nil {
		tx.fail(tb.node, fmt.Errorf("%w: row %v: %w", ErrEncode, k, err))
		return
	}
	tx.deadLetter(sink, &held, node, why, e, tx.t.nodes[n].name)
}

// leftOut ends a record of which something was left out.
func (t *Task) leftOut() {
	for _, l := range t.without.list {
		t.skipped(l.node, l.why, l.err)
	}
	if !planted("what was left out of a record is left out of the next one") {
		t.without.clear()
	}
}
