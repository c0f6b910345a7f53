package core

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Joins of a stream with a table in which records wait: for a time to pass, or for their
// row. Records that wait are rows of a table, in the order in which they leave; in memory
// is an index of them, by time and by key.

// ParkedCodec writes a key of records that wait: 8 bytes of time, the key, 4 bytes of the
// number. So rows are in the order in which they leave.
type ParkedCodec[K comparable] struct{ Key Codec[K] }

// Append implements Codec.
func (c ParkedCodec[K]) Append(dst []byte, k Timed[K]) ([]byte, error) {
	dst, err := c.Key.Append(binary.BigEndian.AppendUint64(dst, uint64(k.At)), k.Key)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(dst, k.Seq), nil
}

// Decode implements Codec.
func (c ParkedCodec[K]) Decode(src []byte) (k Timed[K], err error) {
	n := len(src) - 4
	if n < 8 {
		return k, fmt.Errorf("key of a waiting record: %d bytes", len(src))
	}
	k.At, k.Seq = Time(binary.BigEndian.Uint64(src)), binary.BigEndian.Uint32(src[n:])
	k.Key, err = c.Key.Decode(src[8:n:n])
	return k, err
}

// Parked is a record that waits. Its time is that of its row.
type Parked[V any] struct {
	Headers Headers
	Value   V
}

// parking holds the records that wait.
type parking[K comparable, V any] struct {
	tb     *Table[Timed[K], Parked[V]]
	lists  map[K][]timedSeq // of each key in the order in which they leave
	spare  [][]timedSeq
	due    due[Timed[K]] // and some that have left early
	count  int
	loaded bool
}

func (p *parking[K, V]) init(tb *Table[Timed[K], Parked[V]]) {
	p.tb, p.due.kc = tb, tb.kc
	tb.short, tb.aborted = true, func() { p.loaded = false }
}

// load makes the index of the committed rows, as Buffer does.
func (p *parking[K, V]) load(tx *Tx) bool {
	if p.loaded {
		return true
	}
	p.lists, p.count = map[K][]timedSeq{}, 0
	p.due.clear()
	p.loaded = scanKeys(tx, p.tb, func(k Timed[K], _ Time) { p.add(k) })
	return p.loaded
}

// add puts a record into the index.
func (p *parking[K, V]) add(k Timed[K]) {
	list, ok := p.lists[k.Key]
	if n := len(p.spare); !ok && n > 0 {
		list, p.spare = p.spare[n-1], p.spare[:n-1]
	}
	p.lists[k.Key] = slices.Insert(list, behind(list, k.At), timedSeq{k.At, k.Seq})
	p.due.push(dueKey[Timed[K]]{at: k.At, key: k})
	p.count++
}

// put parks a record, which leaves at a time behind those of its key that leave then too.
func (p *parking[K, V]) put(tx *Tx, r Record[K, V], at Time) {
	k := Timed[K]{Key: r.Key, At: at}
	list := p.lists[r.Key]
	if i := behind(list, at); i > 0 && list[i-1].at == at {
		k.Seq = list[i-1].seq + 1
	}
	i := p.tb.find(tx, k)
	if i < 0 {
		return
	}
	if raw := r.Headers.Raw(); len(raw) > 0 { // it may wait long: it must not hold on to a fetched batch
		r.Headers = HeadersOf(slices.Clone(raw))
	}
	p.tb.put(i, Parked[V]{r.Headers, r.Value}, r.Time)
	p.add(k)
}

// place is where a record is in the list of its key.
func (p *parking[K, V]) place(k Timed[K]) (list []timedSeq, i int, ok bool) {
	list = p.lists[k.Key]
	i = slices.Index(list, timedSeq{k.At, k.Seq})
	return list, i, i >= 0
}

// take takes a record out; ok is false where it has left already.
func (p *parking[K, V]) take(tx *Tx, k Timed[K]) (r Record[K, V], ok bool) {
	list, n, ok := p.place(k)
	if !ok {
		return r, false
	}
	i := p.tb.find(tx, k)
	if i < 0 {
		return r, false
	}
	c := &p.tb.cells[i]
	r = Record[K, V]{k.Key, c.val.Value, c.at, c.val.Headers}
	p.tb.delete(i, c.at)
	p.count--
	if list = slices.Delete(list, n, n+1); len(list) > 0 {
		p.lists[k.Key] = list
		return r, true
	}
	delete(p.lists, k.Key)
	if len(p.spare) < 64 {
		p.spare = append(p.spare, list)
	}
	return r, true
}

// tidy forgets those that have left before their time, when they are the most.
func (p *parking[K, V]) tidy() {
	if len(p.due.list) < 2*p.count+64 {
		return
	}
	all := p.due.list
	p.due.list = all[:0]
	for _, e := range all {
		if _, _, ok := p.place(e.key); ok {
			p.due.push(e) // into what was read already
		}
	}
	clear(all[len(p.due.list):])
}

// LookupAsOf finds the row of a key as of a time, in a table that keeps versions; in another
// one the row that there is.
type LookupAsOf[K, V any] func(tx *Tx, k K, at Time) (v V, ok bool)

// Waiting is the rule by which records wait for a table.
type Waiting struct {
	// Grace: until the join's time has passed theirs by so much. Else they wait for their
	// row, until it has passed theirs by more than Wait.
	Grace, Wait Time
	MaxRecords  int  // that wait at a time; 0: any number
	Early       bool // beyond it the first one leaves; else the task fails
}

// WaitingJoin is a join of a stream with a table in which records wait, as both of its inputs
// share it.
type WaitingJoin[K comparable, V, T, R any] struct {
	Waiting
	Node  NodeID
	Table LookupAsOf[K, T]
	Inner bool // a record with no row goes no further
	Clock *Clock
	Join  func(V, Opt[T]) R
	Next  Next[K, R]
	wait  parking[K, V]
}

// Init says where records wait, and whether it is for their row or for a time to pass.
func (j *WaitingJoin[K, V, T, R]) Init(tb *Table[Timed[K], Parked[V]], forRow bool) {
	j.wait.init(tb)
	j.Clock.onPass(j.wait.load, func(tx *Tx) {
		if forRow {
			j.begin(tx, j.Clock.at)
		} else {
			j.letGo(tx, j.Clock.at)
		}
	})
}

// emit joins a record with what row it has.
func (j *WaitingJoin[K, V, T, R]) emit(tx *Tx, r Record[K, V], row Opt[T]) {
	if j.Inner && !row.OK {
		tx.drop(j.Node, Unmatched)
		return
	}
	tx.node = j.Node
	res := j.Join(r.Value, row)
	tx.called(j.Node)
	j.Next(tx, Record[K, R]{r.Key, res, r.Time, r.Headers})
}

// row looks the row of a record up. It reports false where that failed.
func (j *WaitingJoin[K, V, T, R]) row(tx *Tx, k K, at Time) (row Opt[T], ok bool) {
	row.Value, row.OK = j.Table(tx, k, at)
	return row, tx.err == nil
}

// nullKey deals with a record with no key, which moves no time. It reports whether r is one.
func (j *WaitingJoin[K, V, T, R]) nullKey(tx *Tx, r Record[K, V]) bool {
	switch {
	case !tx.nullKey:
		return false
	case j.Inner:
		tx.drop(j.Node, NullKey)
	default:
		j.emit(tx, r, None[T]())
	}
	return true
}

// FromStreamWithGrace keeps records until the join's time, that of the records that it
// keeps, is grace past theirs; then they leave by time, key and arrival. One that is later
// than that is joined at once.
func (j *WaitingJoin[K, V, T, R]) FromStreamWithGrace(tx *Tx, r Record[K, V]) {
	if j.nullKey(tx, r) || !j.wait.load(tx) {
		return
	}
	if j.Clock.at != NoTime && r.Time < j.Clock.at-j.Grace {
		j.now(tx, r)
		return
	}
	j.wait.put(tx, r, r.Time)
	if j.letGo(tx, r.Time); tx.err == nil && j.full(tx) {
		j.first(tx)
	}
}

// letGo moves the join's time and joins the records that it is grace past.
func (j *WaitingJoin[K, V, T, R]) letGo(tx *Tx, at Time) {
	j.Clock.move(at)
	for j.wait.count > 0 && j.wait.due.next() <= j.Clock.at-j.Grace && tx.err == nil {
		j.first(tx)
	}
}

// first joins the first record that waits.
func (j *WaitingJoin[K, V, T, R]) first(tx *Tx) {
	if r, ok := j.wait.take(tx, j.wait.due.pop().key); ok {
		j.now(tx, r)
	}
}

// now joins a record with the row that there is.
func (j *WaitingJoin[K, V, T, R]) now(tx *Tx, r Record[K, V]) {
	if row, ok := j.row(tx, r.Key, r.Time); ok {
		j.emit(tx, r, row)
	}
}

// full reports whether a record must leave early, or stops the task.
func (j *WaitingJoin[K, V, T, R]) full(tx *Tx) bool {
	if j.MaxRecords == 0 || j.wait.count <= j.MaxRecords {
		return false
	}
	if !j.Early {
		tx.fail(j.Node, fmt.Errorf("%w: %d records wait, at most %d may", ErrFull, j.wait.count, j.MaxRecords))
	}
	return j.Early
}

// FromStream joins records with their row, or lets them wait for it: behind those of their
// key that wait already, so that the records of a key leave in order.
func (j *WaitingJoin[K, V, T, R]) FromStream(tx *Tx, r Record[K, V]) {
	if j.nullKey(tx, r) || !j.begin(tx, r.Time) {
		return
	}
	last := r.Time.plus(j.Wait)
	if list := j.wait.lists[r.Key]; len(list) > 0 {
		last = max(last, list[len(list)-1].at)
	} else {
		row, ok := j.row(tx, r.Key, r.Time)
		switch {
		case !ok:
			return
		case row.OK || last < j.Clock.at: // or it is too late to wait
			j.emit(tx, r, row)
			return
		}
	}
	j.wait.put(tx, r, last)
	for tx.err == nil && j.full(tx) { // some of the first ones may have left already
		j.giveUp(tx)
	}
}

// FromTable joins the records that wait for the row of a change.
func (j *WaitingJoin[K, V, T, R]) FromTable(tx *Tx, r Record[K, Change[T]]) {
	if j.begin(tx, r.Time) && r.Value.New.OK {
		j.joinFirst(tx, r.Key)
		j.wait.tidy()
	}
}

// joinFirst joins the records of a key that wait, up to the first one that has no row: in a
// table that keeps versions, what is there may be younger than it.
func (j *WaitingJoin[K, V, T, R]) joinFirst(tx *Tx, k K) {
	for tx.err == nil {
		list := j.wait.lists[k]
		if len(list) == 0 {
			return
		}
		first := Timed[K]{k, list[0].at, list[0].seq}
		i := j.wait.tb.find(tx, first)
		if i < 0 {
			return
		}
		row, ok := j.row(tx, k, j.wait.tb.cells[i].at)
		if !ok || !row.OK {
			return
		}
		if r, ok := j.wait.take(tx, first); ok {
			j.emit(tx, r, row)
		}
	}
}

// begin moves the join's time and lets those go that have waited long enough.
func (j *WaitingJoin[K, V, T, R]) begin(tx *Tx, at Time) bool {
	if !j.wait.load(tx) {
		return false
	}
	j.Clock.move(at)
	for tx.err == nil && j.wait.due.next() < j.Clock.at {
		j.giveUp(tx)
	}
	return tx.err == nil
}

// giveUp lets the first record go with no row, also where the row is the one in hand: it
// comes too late.
func (j *WaitingJoin[K, V, T, R]) giveUp(tx *Tx) {
	if r, ok := j.wait.take(tx, j.wait.due.pop().key); ok {
		j.emit(tx, r, None[T]())
	}
}
