package core

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Joins of a stream with a table in which records wait: for a time to pass, or for their
// row. Records that wait are rows of a table; in memory is an index of them, by time and by
// key, or a part of it.

// ParkedCodec writes a key of records that wait for a time to pass, as Kafka Streams does: a byte 0,
// 8 bytes of time, the key, 4 bytes of the number. So rows are in the order in which they leave.
type ParkedCodec[K comparable] struct{ Key Codec[K] }

// parkedLead is in front of the time.
const parkedLead = "\x00"

// Append implements Codec.
func (c ParkedCodec[K]) Append(dst []byte, k Timed[K]) ([]byte, error) {
	dst, err := c.Key.Append(binary.BigEndian.AppendUint64(append(dst, parkedLead...), uint64(k.At)), k.Key)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(dst, k.Seq), nil
}

// Decode implements Codec.
func (c ParkedCodec[K]) Decode(src []byte) (k Timed[K], err error) {
	const head = len(parkedLead) + 8
	n := len(src) - 4
	if n < head || string(src[:len(parkedLead)]) != parkedLead {
		return k, Malformed(0, "key of a waiting record: % x", src[:min(len(src), head)])
	}
	k.At, k.Seq = Time(binary.BigEndian.Uint64(src[len(parkedLead):])), binary.BigEndian.Uint32(src[n:])
	k.Key, err = c.Key.Decode(src[head:n:n])
	return k, MalformedPart(head, "key of a waiting record", err)
}

// WaitingCodec writes a key of records that wait for their row, as TimedCodec does: so those of
// a key lie together. They come due by time, then by key.
type WaitingCodec[K comparable] struct{ TimedCodec[K] }

// DueOf implements DueCodec.
func (WaitingCodec[K]) DueOf(key []byte) (at, then Time, ok bool) {
	n := len(key) - 12
	if n < 0 {
		return 0, 0, false
	}
	return Time(binary.BigEndian.Uint64(key[n:])), 0, true
}

// Parked is a record that waits. Its time is that of its row; of one that waits for a time to pass
// it is that of its key, since Kafka Streams' rows have the wall clock's.
type Parked[V any] struct {
	Headers Headers
	Value   V
	At      Time // of one that waits for a time to pass, for its codec
}

// parking holds the records that wait.
type parking[K comparable, V any] struct {
	tb *Table[Timed[K], Parked[V]]
	// by has those of each key in the order in which they leave, if forRow; else those of each key
	// and time, which is all that is asked for.
	by     byKey[Timed[K], timedSeq]
	forRow bool
	due    agenda[Timed[K], Parked[V]] // and some that have left early
	most   int                         // 0: they need not be counted
	count  int
	loaded bool
}

func (p *parking[K, V]) init(tb *Table[Timed[K], Parked[V]], forRow bool, most int) {
	p.tb, p.forRow, p.most = tb, forRow, most
	p.due = newAgenda(tb, func(k Timed[K], _ Parked[V], _ Time) (Time, Time) { return k.At, 0 }, false)
	p.due.inOrder, p.due.lead = !forRow, parkedLead
	bind(&p.by, tb, p.group, func(k Timed[K]) timedSeq { return timedSeq{k.At, k.Seq} }, p.bounds)
	tb.short, tb.aborted = true, func() { p.loaded = false }
}

// group is what the records are looked for by that are in one list with k.
func (p *parking[K, V]) group(k Timed[K]) Timed[K] {
	if p.forRow {
		k.At = 0
	}
	k.Seq = 0
	return k
}

// bounds are those of the rows of a group.
func (p *parking[K, V]) bounds(k Timed[K], lo, hi []byte) (_, _ []byte, err error) {
	if lo, err = p.tb.kc.Append(lo, k); err != nil {
		return nil, nil, err
	}
	if k.Seq = math.MaxUint32; p.forRow {
		k.At = maxTime
	}
	hi, err = p.tb.kc.Append(hi, k)
	return lo, append(hi, 0), err
}

// load makes the index of the committed rows, as Buffer does; where there is a bound, all of them
// are counted.
func (p *parking[K, V]) load(tx *Tx) bool {
	if p.loaded {
		return true
	}
	p.by.clear(true)
	p.due.clear()
	p.count = 0
	most := p.tb.indexRows()
	few, ok := scanFew(tx, p.tb, most, func(k Timed[K], _ []byte, _ Time) error {
		group := p.group(k)
		list, _ := p.by.known(group)
		p.add(k, group, list)
		return nil
	})
	if ok && !few {
		if p.count = 0; p.most > 0 {
			ok = scanKeys(tx, p.tb, func(Timed[K], Time) { p.count++ })
		}
		p.by.clear(false)
		p.due.onlyTable(0)
	}
	p.loaded = ok
	return ok
}

// add puts a record into the index, where its group has that list.
func (p *parking[K, V]) add(k, group Timed[K], list []timedSeq) {
	p.by.insert(group, list, behind(list, k.At), timedSeq{k.At, k.Seq})
	p.due.push(dueKey[Timed[K]]{at: k.At, key: k})
	p.count++
}

// put parks a record, which leaves at a time behind those of its key that leave then too.
func (p *parking[K, V]) put(tx *Tx, r Record[K, V], at Time) {
	k := Timed[K]{Key: r.Key, At: at}
	group := p.group(k)
	list, ok := p.by.of(tx, group)
	if !ok {
		return
	}
	if i := behind(list, at); i > 0 && list[i-1].at == at {
		k.Seq = list[i-1].seq + 1
	}
	i := p.tb.find(tx, k)
	if i < 0 {
		return
	}
	p.tb.put(i, Parked[V]{r.Headers.own(), r.Value, r.Time}, r.Time)
	p.add(k, group, list)
}

// of returns those of a key that wait for its row, in the order in which they leave. ok = false:
// the task has failed.
func (p *parking[K, V]) of(tx *Tx, k K) (list []timedSeq, ok bool) {
	return p.by.of(tx, Timed[K]{Key: k})
}

// take takes a record out; ok is false where it has left already.
func (p *parking[K, V]) take(tx *Tx, k Timed[K]) (r Record[K, V], ok bool) {
	g := p.group(k)
	list, known := p.by.known(g)
	n := slices.Index(list, timedSeq{k.At, k.Seq})
	if known && n < 0 {
		return r, false
	}
	i := p.tb.find(tx, k)
	if i < 0 || !p.tb.cells[i].ok {
		return r, false
	}
	c := &p.tb.cells[i]
	r = Record[K, V]{k.Key, c.val.Value, c.at, c.val.Headers}
	if !p.forRow {
		r.Time = k.At
	}
	p.tb.delete(i, c.at)
	p.count--
	if known {
		p.by.remove(g, list, n)
	}
	return r, true
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
	j.wait.init(tb, forRow, j.MaxRecords)
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
	if j.letGo(tx, r.Time); tx.err == nil && j.full(tx) && j.wait.due.due(tx, maxTime) {
		j.first(tx)
	}
}

// letGo moves the join's time and joins the records that it is grace past.
func (j *WaitingJoin[K, V, T, R]) letGo(tx *Tx, at Time) {
	if planted("what waits in a join leaves a millisecond late") {
		at--
	}
	j.Clock.move(at)
	for tx.err == nil && j.wait.due.due(tx, j.Clock.at-j.Grace) {
		j.first(tx)
	}
}

// first joins the first record that waits.
func (j *WaitingJoin[K, V, T, R]) first(tx *Tx) {
	k := j.wait.due.pop().key
	r, ok := j.wait.take(tx, k)
	if !ok {
		return
	}
	if row, ok := j.row(tx, r.Key, r.Time); ok {
		j.goOn(tx, k, r, row)
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
	if list, ok := j.wait.of(tx, r.Key); !ok {
		return
	} else if len(list) > 0 && !planted("a record goes past one of its key that waits") {
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
	for tx.err == nil && j.full(tx) && j.wait.due.due(tx, maxTime) { // some of the first ones may have left already
		j.giveUp(tx)
	}
}

// FromTable joins the records that wait for the row of a change.
func (j *WaitingJoin[K, V, T, R]) FromTable(tx *Tx, r Record[K, Change[T]]) {
	if j.begin(tx, r.Time) && r.Value.New.OK {
		j.joinFirst(tx, r.Key)
	}
}

// joinFirst joins the records of a key that wait, up to the first one that has no row: in a
// table that keeps versions, what is there may be younger than it.
func (j *WaitingJoin[K, V, T, R]) joinFirst(tx *Tx, k K) {
	for tx.err == nil {
		list, ok := j.wait.of(tx, k)
		if !ok || len(list) == 0 {
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
		j.leave(tx, first, row)
	}
}

// begin moves the join's time and lets those go that have waited long enough.
func (j *WaitingJoin[K, V, T, R]) begin(tx *Tx, at Time) bool {
	if !j.wait.load(tx) {
		return false
	}
	j.Clock.move(at)
	for tx.err == nil && j.wait.due.due(tx, j.Clock.at-1) {
		j.giveUp(tx)
	}
	return tx.err == nil
}

// giveUp lets the first record go with no row, also where the row is the one in hand: it
// comes too late.
func (j *WaitingJoin[K, V, T, R]) giveUp(tx *Tx) {
	j.leave(tx, j.wait.due.pop().key, None[T]())
}

// leave lets a record go that waits, with a row or none. It may have left already.
func (j *WaitingJoin[K, V, T, R]) leave(tx *Tx, k Timed[K], row Opt[T]) {
	if r, ok := j.wait.take(tx, k); ok {
		j.goOn(tx, k, r, row)
	}
}

// goOn lets a record go that has waited, and was taken out.
func (j *WaitingJoin[K, V, T, R]) goOn(tx *Tx, k Timed[K], r Record[K, V], row Opt[T]) {
	waited := Parked[V]{r.Headers, r.Value, r.Time}
	outer, ok := tx.letGo()
	if !ok {
		leaveOut(tx, j.Node, j.wait.tb, k, waited, r.Time, r.Headers)
		return
	}
	if j.Inner && !row.OK {
		dropHeld(tx, j.Node, Unmatched, j.wait.tb, k, waited, r.Time, r.Headers)
	} else {
		j.emit(tx, r, row)
	}
	tx.within = outer
}
