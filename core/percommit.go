package core

import (
	"math"
	"slices"
)

// PerCommit holds the changes of a table back until the commit: of several changes of a row
// the last one goes on, with the row as the last commit left it as the old one. Nothing of
// it is state, since nothing is held back across a commit.
type PerCommit[K comparable, V any] struct {
	// Nth is its place among those of the task: the least goes on first. One that others' changes lead to
	// comes behind them, or what they lead to would be held back once more.
	Nth int

	next  Next[K, Change[V]]
	index map[K]int32
	list  []heldChange[K, V] // in the order in which the rows were first changed
	at    int                // how many of the list have gone on
}

// heldChange is a change and which record made it, or which tick, or which time that was passed on.
type heldChange[K, V any] struct {
	rec    Record[K, Change[V]]
	source SourceID
	offset Offset
	at     Time
}

// batcher is what a Task needs of a PerCommit, whatever its types.
type batcher interface {
	nth() int
	flush(*Tx)
	abort()
}

// atReady is where ids begin that are made when changes go on: not one that the same record
// made when it was stepped.
const atReady = math.MaxInt32 / 2

// Connect says where the changes go, and returns what takes them.
func (p *PerCommit[K, V]) Connect(t *Task, next Next[K, Change[V]]) Next[K, Change[V]] {
	p.next, p.index = next, make(map[K]int32)
	at := slices.IndexFunc(t.batchers, func(b batcher) bool { return b.nth() >= p.Nth })
	if at < 0 {
		at = len(t.batchers)
	}
	t.batchers = slices.Insert(t.batchers, at, batcher(p))
	return p.step
}

func (p *PerCommit[K, V]) nth() int { return p.Nth }

func (p *PerCommit[K, V]) step(tx *Tx, r Record[K, Change[V]]) {
	tx.t.writes++
	tx.t.hard = true
	i, ok := p.index[r.Key]
	if !ok {
		p.index[r.Key] = int32(len(p.list))
		p.list = append(p.list, heldChange[K, V]{r, tx.source, tx.offset, tx.at})
		return
	}
	h := &p.list[i]
	r.Value.Old = h.rec.Value.Old
	*h = heldChange[K, V]{r, tx.source, tx.offset, tx.at}
}

// flush passes on what is held back. A row that came and went is nothing.
func (p *PerCommit[K, V]) flush(tx *Tx) {
	for p.at < len(p.list) && tx.err == nil {
		h := &p.list[p.at]
		p.at++
		if h.rec.Value.Old.OK || h.rec.Value.New.OK {
			tx.source, tx.offset, tx.at, tx.nullKey = h.source, h.offset, h.at, false
			if planted("what waits for the commit is named by the last tick") {
				tx.at = tx.t.times.wall
			}
			p.next(tx, h.rec)
			tx.t.settled()
		}
	}
	p.abort()
}

func (p *PerCommit[K, V]) abort() {
	clear(p.index)
	clear(p.list) // it would hold on to fetched batches
	p.list, p.at = p.list[:0], 0
}

// Lookup finds the rows as they last went on, with the time of the change that is held back, as EmitEvery and Suppress do.
func (p *PerCommit[K, V]) Lookup(from Lookup[K, V]) Lookup[K, V] {
	return func(tx *Tx, k K) (V, Time, bool) {
		if len(p.list) > 0 {
			if i, ok := p.index[k]; ok && int(i) >= p.at {
				h := &p.list[i].rec
				return h.Value.Old.Value, h.Time, h.Value.Old.OK
			}
		}
		return from(tx, k)
	}
}
