package core

import (
	"slices"
	"unsafe"
)

// A row may lie anywhere in memory, and to find it is three waits, each behind the one before:
// for the entry of the index, the cell, and the bytes of its key. What a task looks up is mostly
// the row of a record's own key. So before a few records are stepped, all their rows are asked
// for: a processor does not wait for what nothing depends on, and the waits overlap. It is no
// more than a guess. Which tables to ask is learned from what records have looked up; the rows
// are found as if nobody had asked.

const (
	ahead    = 16  // how many rows are asked for together
	aheadMin = 256 // cells: fewer are in the first cache anyway, unless there are hundreds of such tables
	nearMax  = 4   // tables of a source that are asked
	probes   = 4   // entries of the index that are looked at: they are in one line, mostly
	oddMax   = 3   // times in a row that a guess may be wrong
)

// near is a table that is asked, whatever its types.
type near interface{ ask([]RawRecord) }

// guess is what a table knows of the keys that are looked up next.
type guess[K comparable] struct {
	like    K    // the last one that was learned, with no text: windows of the next records are the same
	odd     int  // how often in a row it was another one
	touched byte // keeps what is asked for from being optimized away
}

// ask asks the tables that were learned for the rows of the next records of s.
func (s *source) ask() {
	records := s.queue[0].Records[s.pos:]
	records = records[:min(ahead, len(records))]
	s.asked = s.pos + len(records)
	for _, t := range s.near {
		t.ask(records)
	}
}

// learn notes that the record in hand looks up k, if the text of k is the record's own key.
func (t *Table[K, V]) learn(tx *Tx, k K) {
	raw, s := tx.inHand(), &tx.t.sources[tx.source]
	if raw == nil || !t.index.oneText() || *t.index.textOf(&k) != string(raw.Key) {
		return
	}
	*t.index.textOf(&k) = ""
	if g := &t.guess; g.like == k {
		g.odd = 0
	} else {
		g.like, g.odd = k, min(g.odd+1, oddMax)
	}
	if len(s.near) < nearMax && !slices.Contains(s.near, near(t)) {
		s.near = append(s.near, t)
	}
}

// oneText reports whether a key is a text and what stands beside it has no pointers.
func (x *index[K]) oneText() bool {
	n := 0
	for i := range x.parts {
		if x.parts[i].text {
			n++
		}
	}
	return n == 1 && x.parts[0].text
}

// textOf is the text of a key that has one.
func (x *index[K]) textOf(k *K) *string {
	return (*string)(unsafe.Add(unsafe.Pointer(k), x.parts[0].offset))
}

// ask asks for the rows of the records' keys.
func (t *Table[K, V]) ask(records []RawRecord) {
	if len(t.cells) < aheadMin || t.guess.odd == oddMax || !t.index.oneText() {
		return
	}
	var cells [ahead]int32
	n := t.expect(records, &cells)
	t.guess.touched ^= t.touch(cells[:n])
}

// expect finds the cells where the rows of the records' keys are, mostly.
func (t *Table[K, V]) expect(records []RawRecord, cells *[ahead]int32) (n int) {
	x := &t.index
	var hashes [ahead]uint32
	mask := uint32(len(x.slots) - 1)
	k, touched := t.guess.like, uint32(0)
	for i := range records {
		*x.textOf(&k) = unsafe.String(unsafe.SliceData(records[i].Key), len(records[i].Key))
		hashes[i] = x.hash(&k)
		touched ^= x.slots[hashes[i]&mask].hash
	}
	t.guess.touched ^= byte(touched)
	for _, h := range hashes[:len(records)] {
		for at := h; at != h+probes; at++ {
			s := x.slots[at&mask]
			if s.cell == 0 {
				break
			}
			if s.hash == h {
				cells[n] = int32(s.cell - 1)
				n++
				break
			}
		}
	}
	return n
}

// touch asks for cells, and for the text of their keys where these are or begin with one. A
// negative number is none.
func (t *Table[K, V]) touch(cells []int32) (touched byte) {
	for _, i := range cells {
		if i >= 0 {
			c := &t.cells[i]
			touched ^= byte(c.state) ^ byte(c.at)
		}
	}
	if x := &t.index; len(x.parts) > 0 && x.parts[0].text {
		for _, i := range cells {
			if i < 0 {
				continue
			}
			if s := *x.textOf(&t.cells[i].key); s != "" {
				touched ^= s[0]
			}
		}
	}
	return touched
}
