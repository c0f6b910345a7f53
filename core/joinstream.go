package core

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Joins of streams over time. Each side keeps its records for as long as a partner may
// come, in rows as Kafka Streams' window stores have them: key, time, number. Records
// that found no partner have a row more, as in its outer join store: they are emitted
// alone when no partner can come any more. The rows' values are in tables, which overflow
// to the view; in memory is an index of the rows by key and time, or a part of it.

// Timed is the key of a record in a join's buffer: of records with one key and time, Seq
// counts them.
type Timed[K comparable] struct {
	Key K
	At  Time
	Seq uint32
}

// TimedCodec writes the key, 8 bytes of time and 4 of the number, as Kafka Streams does.
type TimedCodec[K comparable] struct{ Key Codec[K] }

// Append implements Codec.
func (c TimedCodec[K]) Append(dst []byte, k Timed[K]) ([]byte, error) {
	dst, err := c.Key.Append(dst, k.Key)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(k.At)), k.Seq), nil
}

// Decode implements Codec.
func (c TimedCodec[K]) Decode(src []byte) (k Timed[K], err error) {
	n := len(src) - 12
	if n < 0 {
		return k, Malformed(len(src), "key of a joined record: %d bytes where 12 or more were expected", len(src))
	}
	k.Key, err = c.Key.Decode(src[:n:n])
	k.At, k.Seq = Time(binary.BigEndian.Uint64(src[n:])), binary.BigEndian.Uint32(src[n+8:])
	return k, MalformedPart(0, "key of a joined record", err)
}

// DueOf implements DueCodec.
func (TimedCodec[K]) DueOf(key []byte) (at, then Time, ok bool) { return DueTail(key, 4) }

// Lonely is the key of the records of one side, key and time that found no partner.
type Lonely[K comparable] struct {
	At   Time
	Left bool
	Key  K
}

// LonelyCodec writes 8 bytes of time, a byte that is 1 for the left side, and the key.
type LonelyCodec[K comparable] struct{ Key Codec[K] }

// Append implements Codec.
func (c LonelyCodec[K]) Append(dst []byte, k Lonely[K]) ([]byte, error) {
	side := byte(0)
	if k.Left {
		side = 1
	}
	return c.Key.Append(append(binary.BigEndian.AppendUint64(dst, uint64(k.At)), side), k.Key)
}

// Decode implements Codec.
func (c LonelyCodec[K]) Decode(src []byte) (k Lonely[K], err error) {
	if len(src) < 9 || src[8] > 1 {
		return k, Malformed(min(8, len(src)), "key of an unmatched record: no side: %q", src)
	}
	k.At, k.Left = Time(binary.BigEndian.Uint64(src)), src[8] == 1
	k.Key, err = c.Key.Decode(src[9:])
	return k, MalformedPart(9, "key of an unmatched record", err)
}

// Loners are the values of a Lonely: of its one side, in the order in which they came.
type Loners[A, B any] struct {
	Left  A
	Right B
	More  []Loners[A, B] // rarely any
}

// lonersCodec writes a list as Kafka Streams' outer join store does: a byte 1, for values of
// any length, their count, and each with its length and a byte that is 1 for the left side.
type lonersCodec[A, B any] struct {
	Left  Codec[A]
	Right Codec[B]
}

// lonersOf says which side they are of.
type lonersOf[A, B any] struct {
	left bool
	Loners[A, B]
}

func (c lonersCodec[A, B]) appendOne(dst []byte, left bool, l *Loners[A, B]) (_ []byte, err error) {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	if left {
		dst[at+4] = 1
		dst, err = c.Left.Append(dst, l.Left)
	} else {
		dst, err = c.Right.Append(dst, l.Right)
	}
	if err != nil {
		return nil, err
	}
	if dst == nil {
		return nil, errNullInBuffer
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

// Append implements Codec.
func (c lonersCodec[A, B]) Append(dst []byte, l lonersOf[A, B]) (_ []byte, err error) {
	dst = binary.BigEndian.AppendUint32(append(dst, 1), uint32(1+len(l.More)))
	if dst, err = c.appendOne(dst, l.left, &l.Loners); err != nil {
		return nil, err
	}
	for i := range l.More {
		if dst, err = c.appendOne(dst, l.left, &l.More[i]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// Decode implements Codec.
func (c lonersCodec[A, B]) Decode(src []byte) (l lonersOf[A, B], err error) {
	if len(src) < 5 || src[0] != 1 {
		return l, Malformed(0, "unmatched records: no count: %q", src)
	}
	count, at := binary.BigEndian.Uint32(src[1:]), 5
	if count == 0 {
		return l, Malformed(1, "unmatched records: none")
	}
	for i := range count {
		rest := src[at:]
		if len(rest) < 5 || rest[4] > 1 {
			return l, Malformed(at, "unmatched records: the one at %d is cut short", i)
		}
		size := binary.BigEndian.Uint32(rest) // with the byte of the side
		if size < 1 || uint64(size) > uint64(len(rest)-4) {
			return l, Malformed(at, "unmatched records: the one at %d has %d bytes of %d", i, size, len(rest)-4)
		}
		end := 4 + int(size)
		var one Loners[A, B]
		left := rest[4] == 1
		if i > 0 && left != l.left {
			return l, Malformed(at+4, "unmatched records: the one at %d is of the other side", i)
		}
		if l.left = left; left {
			one.Left, err = c.Left.Decode(rest[5:end:end])
		} else {
			one.Right, err = c.Right.Decode(rest[5:end:end])
		}
		if err != nil {
			return l, MalformedPart(at+5, "unmatched record", err)
		}
		if at += end; i == 0 {
			l.Loners = one
		} else {
			l.More = append(l.More, one)
		}
	}
	if at < len(src) {
		return l, Malformed(at, "unmatched records: %d bytes behind the last of %d", len(src)-at, count)
	}
	return l, nil
}

var errNullInBuffer = fmt.Errorf("its codec writes null, which cannot be kept for a join")

// Buffer holds the records of one side of a join by key and time.
type Buffer[K comparable, V any] struct {
	tb     *Table[Timed[K], V]
	retain Time
	newest Time // of all records so far: what lies retain or more before it is gone
	times  byKey[K, timedSeq]
	gone   agenda[Timed[K], V]
	loaded bool
}

type timedSeq struct {
	at  Time
	seq uint32
}

// NewBuffer makes the buffer that keeps its records in tb.
func NewBuffer[K comparable, V any](tb *Table[Timed[K], V]) *Buffer[K, V] {
	b := &Buffer[K, V]{tb: tb}
	b.gone = newAgenda(tb, func(k Timed[K], _ V, _ Time) (Time, Time) { return k.At, Time(k.Seq) }, false)
	bind(&b.times, tb, func(k Timed[K]) K { return k.Key }, func(k Timed[K]) timedSeq { return timedSeq{k.At, k.Seq} }, b.bounds)
	b.times.due = func(e timedSeq) Time { return e.at }
	tb.short, tb.aborted = true, func() { b.loaded = false }
	return b
}

// bounds are those of the rows of a key.
func (b *Buffer[K, V]) bounds(k K, lo, hi []byte) (_, _ []byte, err error) {
	if lo, err = b.tb.kc.Append(lo, Timed[K]{k, 0, 0}); err == nil {
		hi, err = b.tb.kc.Append(hi, Timed[K]{k, timeBound(b.newest), 0})
	}
	return lo, hi, err
}

// load makes the index of the committed rows. There are no others: it was forgotten when
// the task began, or when all others were dropped. Where they are many, it begins with none
// of them.
func (b *Buffer[K, V]) load(tx *Tx) bool {
	if b.loaded {
		return true
	}
	b.times.clear(true)
	b.gone.clear()
	b.newest = NoTime
	few, ok := scanFew(tx, b.tb, b.tb.indexRows(), func(k Timed[K], _ []byte, _ Time) error {
		list, _ := b.times.known(k.Key)
		b.index(k, list)
		return nil
	})
	if ok && !few {
		b.times.clear(false)
		b.gone.onlyTable(0)
		b.newest, ok = b.gone.last(tx)
		b.times.last = b.newest
	}
	b.loaded = ok
	return ok
}

// index adds a row to the index, where its key has that list.
func (b *Buffer[K, V]) index(k Timed[K], list []timedSeq) {
	i := behind(list, k.At)
	for i > 0 && list[i-1].at == k.At && list[i-1].seq > k.Seq {
		i--
	}
	b.times.insert(k.Key, list, i, timedSeq{k.At, k.Seq})
	b.times.made(k.Key, k.At)
	b.gone.push(dueKey[Timed[K]]{at: k.At, then: Time(k.Seq), key: k})
	b.newest = max(b.newest, k.At)
}

// behind is the place behind all records that are not younger than at.
func behind(list []timedSeq, at Time) int {
	i := len(list)
	for i > 0 && list[i-1].at > at { // what is looked for is near the end
		i--
	}
	return i
}

// put keeps a record, unless it is so late that it would be gone, and drops those that are.
func (b *Buffer[K, V]) put(tx *Tx, r *Record[K, V]) {
	if r.Time <= b.newest-b.retain {
		return
	}
	k := Timed[K]{Key: r.Key, At: r.Time}
	list, ok := b.times.of(tx, r.Key)
	if !ok {
		return
	}
	if i := behind(list, r.Time); i > 0 && list[i-1].at == r.Time {
		k.Seq = list[i-1].seq + 1
	}
	i := b.tb.findSince(tx, k, true) // the key's list has all that the view has
	if i < 0 {
		return
	}
	b.tb.put(i, r.Value, r.Time)
	b.index(k, list)
	for b.gone.due(tx, b.newest-b.retain) {
		old := b.gone.pop().key
		b.remove(old)
		b.tb.expire(tx, old, b.newest)
	}
	if tx.err == nil {
		b.times.gone = b.newest - b.retain
	}
}

// remove takes a row out of the index of its key.
func (b *Buffer[K, V]) remove(k Timed[K]) {
	list, _ := b.times.known(k.Key)
	if i := slices.Index(list, timedSeq{k.At, k.Seq}); i >= 0 { // it is the first one
		b.times.remove(k.Key, list, i)
	}
}

// StreamJoin is the join of two streams, as both of its sides share it.
type StreamJoin[K comparable, A, B, R any] struct {
	Node NodeID
	// Before and After say how much earlier and later than the left record the right one
	// may be; one of them may be negative. Grace is how long unmatched records wait for
	// partners beyond that.
	Before, After, Grace Time
	Left                 *Buffer[K, A]
	Right                *Buffer[K, B]
	Lonely               *LonelyTable[K, A, B] // nil for an inner join
	Outer                bool                  // right records are emitted alone, too
	Clock                *Clock
	NoLeft               func(A) bool // the value is null, see Missing; may be nil
	NoRight              func(B) bool
	Join                 func(Opt[A], Opt[B]) R
	Next                 Next[K, R]
}

// LonelyTable holds the records that found no partner yet.
type LonelyTable[K comparable, A, B any] struct {
	tb     *Table[Lonely[K], lonersOf[A, B]]
	open   map[Lonely[K]]struct{}               // all of them, while they are few; else nil
	due    [2]agenda[Lonely[K], lonersOf[A, B]] // of the right and the left side
	loaded bool
}

// NewLonelyTable adds the next table to t.
func NewLonelyTable[K comparable, A, B any](t *Task, name string, kc Codec[K], a Codec[A], b Codec[B]) *LonelyTable[K, A, B] {
	l := &LonelyTable[K, A, B]{tb: NewTable[Lonely[K], lonersOf[A, B]](t, name, LonelyCodec[K]{kc}, lonersCodec[A, B]{a, b})}
	for side := range l.due {
		l.due[side] = newAgenda(l.tb, func(k Lonely[K], _ lonersOf[A, B], _ Time) (Time, Time) { return k.At, 0 }, false)
		l.due[side].mine = func(k Lonely[K]) bool { return k.Left == (side == 1) }
		l.due[side].inOrder = true
	}
	l.tb.short, l.tb.aborted = true, func() { l.loaded = false }
	return l
}

func (l *LonelyTable[K, A, B]) load(tx *Tx) bool {
	if l == nil || l.loaded {
		return true
	}
	l.open = map[Lonely[K]]struct{}{}
	l.due[0].clear()
	l.due[1].clear()
	few, ok := scanFew(tx, l.tb, l.tb.indexRows(), func(k Lonely[K], _ []byte, _ Time) error {
		l.index(k)
		return nil
	})
	if ok && !few {
		l.open = nil
		l.due[0].onlyTable(0)
		l.due[1].onlyTable(0)
	}
	l.loaded = ok
	return ok
}

func (l *LonelyTable[K, A, B]) index(k Lonely[K]) {
	if l.open != nil {
		if l.open[k] = struct{}{}; len(l.open) > l.tb.indexRows() {
			l.open = nil
		}
	}
	side := 0
	if k.Left {
		side = 1
	}
	l.due[side].push(dueKey[Lonely[K]]{at: k.At, key: k})
}

// find is the place of a row, which may be one that is not there, or -1: it is not there, or the
// task has failed.
func (l *LonelyTable[K, A, B]) find(tx *Tx, k Lonely[K]) int32 {
	if l.open != nil {
		if _, ok := l.open[k]; !ok {
			return -1
		}
	}
	return l.tb.find(tx, k)
}

// delete deletes the row at i, which find returned.
func (l *LonelyTable[K, A, B]) delete(i int32, k Lonely[K], at Time) {
	delete(l.open, k) // its time in due comes later, and finds nothing
	l.tb.delete(i, at)
}

// add keeps a record that found no partner.
func (l *LonelyTable[K, A, B]) add(tx *Tx, k Lonely[K], one Loners[A, B]) {
	i := l.tb.find(tx, k)
	if i < 0 {
		return
	}
	row := lonersOf[A, B]{k.Left, one}
	if l.tb.cells[i].ok {
		row.Loners = l.tb.cells[i].val.Loners
		row.More = append(row.More[:len(row.More):len(row.More)], one)
	} else {
		l.index(k)
	}
	l.tb.put(i, row, k.At)
}

// matched drops the records of a side, key and time: they have found a partner.
func (l *LonelyTable[K, A, B]) matched(tx *Tx, k Lonely[K]) {
	if l == nil {
		return
	}
	if i := l.find(tx, k); i >= 0 && l.tb.cells[i].ok {
		l.delete(i, k, k.At)
	}
}

// Init says how long the buffers keep records, as Kafka Streams does: before + after + grace.
func (j *StreamJoin[K, A, B, R]) Init() {
	retain := max(j.Before.plus(j.After).plus(j.Grace), 1) // the newest stays
	j.Left.retain, j.Right.retain = retain, retain
	j.Clock.onPass(j.load, j.close)
}

// begin gets ready for a record and moves the clock. Each record moves it.
func (j *StreamJoin[K, A, B, R]) begin(tx *Tx, at Time) bool {
	j.Clock.move(at)
	return j.load(tx)
}

func (j *StreamJoin[K, A, B, R]) load(tx *Tx) bool {
	return j.Left.load(tx) && j.Right.load(tx) && j.Lonely.load(tx)
}

// emit passes a result on.
func (j *StreamJoin[K, A, B, R]) emit(tx *Tx, k K, a Opt[A], b Opt[B], at Time, h Headers) {
	tx.node = j.Node
	res := j.Join(a, b)
	tx.called(j.Node)
	j.Next(tx, Record[K, R]{k, res, at, h})
}

// FromLeft takes the left stream's records: each with all right records of its key within
// the window, by their time, then as they came. One with no value only moves the join's time.
func (j *StreamJoin[K, A, B, R]) FromLeft(tx *Tx, r Record[K, A]) {
	if j.NoLeft != nil && j.NoLeft(r.Value) {
		j.Clock.move(r.Time)
		tx.drop(j.Node, NullValue)
		return
	}
	alone := j.Lonely != nil
	if tx.nullKey {
		if j.Clock.move(r.Time); alone {
			j.emit(tx, r.Key, Some(r.Value), None[B](), r.Time, r.Headers)
		} else {
			tx.drop(j.Node, NullKey)
		}
		return
	}
	if !j.begin(tx, r.Time) {
		return
	}
	if j.Left.put(tx, &r); r.Time == j.Clock.at {
		j.close(tx)
	}
	list, ok := j.Right.times.of(tx, r.Key)
	if !ok {
		return
	}
	last := r.Time.plus(j.After)
	for n := behind(list, r.Time-j.Before-1); n < len(list) && list[n].at <= last && tx.err == nil; n++ {
		e := list[n]
		i := j.Right.tb.find(tx, Timed[K]{r.Key, e.at, e.seq})
		if i < 0 {
			return
		}
		b := j.Right.tb.cells[i].val
		j.Lonely.matched(tx, Lonely[K]{e.at, false, r.Key})
		j.emit(tx, r.Key, Some(r.Value), Some(b), max(r.Time, e.at), r.Headers)
		alone = false
	}
	switch {
	case !alone || tx.err != nil:
	case last < j.Clock.at: // too late to wait
		j.emit(tx, r.Key, Some(r.Value), None[B](), r.Time, r.Headers)
	default:
		j.Lonely.add(tx, Lonely[K]{r.Time, true, r.Key}, Loners[A, B]{Left: r.Value})
	}
}

// FromRight takes the right stream's records.
func (j *StreamJoin[K, A, B, R]) FromRight(tx *Tx, r Record[K, B]) {
	if j.NoRight != nil && j.NoRight(r.Value) {
		j.Clock.move(r.Time)
		tx.drop(j.Node, NullValue)
		return
	}
	alone := j.Outer
	if tx.nullKey {
		if j.Clock.move(r.Time); alone {
			j.emit(tx, r.Key, None[A](), Some(r.Value), r.Time, r.Headers)
		} else {
			tx.drop(j.Node, NullKey)
		}
		return
	}
	if !j.begin(tx, r.Time) {
		return
	}
	if j.Right.put(tx, &r); r.Time == j.Clock.at {
		j.close(tx)
	}
	list, ok := j.Left.times.of(tx, r.Key)
	if !ok {
		return
	}
	last := r.Time.plus(j.Before)
	for n := behind(list, r.Time-j.After-1); n < len(list) && list[n].at <= last && tx.err == nil; n++ {
		e := list[n]
		i := j.Left.tb.find(tx, Timed[K]{r.Key, e.at, e.seq})
		if i < 0 {
			return
		}
		a := j.Left.tb.cells[i].val
		j.Lonely.matched(tx, Lonely[K]{e.at, true, r.Key})
		j.emit(tx, r.Key, Some(a), Some(r.Value), max(r.Time, e.at), r.Headers)
		alone = false
	}
	switch {
	case !alone || tx.err != nil:
	case last < j.Clock.at:
		j.emit(tx, r.Key, None[A](), Some(r.Value), r.Time, r.Headers)
	default:
		j.Lonely.add(tx, Lonely[K]{r.Time, false, r.Key}, Loners[A, B]{Right: r.Value})
	}
}

// close emits the records that no partner can come for any more: by time, of equal times
// the right ones first, then by key. They are results of no record: they have no headers.
func (j *StreamJoin[K, A, B, R]) close(tx *Tx) {
	l := j.Lonely
	if l == nil || planted("records that find no partner never come") {
		return
	}
	for tx.err == nil {
		rightOut := l.due[0].due(tx, j.Clock.at-j.Before-j.Grace-1)
		leftOut := l.due[1].due(tx, j.Clock.at-j.After-j.Grace-1)
		side := 1
		switch {
		case rightOut && (!leftOut || l.due[0].next() <= l.due[1].next()):
			side = 0
		case !leftOut:
			return
		}
		k := l.due[side].pop().key
		i := l.find(tx, k)
		if i < 0 || !l.tb.cells[i].ok {
			continue
		}
		row := l.tb.cells[i].val
		l.delete(i, k, j.Clock.at)
		j.alone(tx, k, &row.Loners)
		for n := 0; n < len(row.More) && tx.err == nil; n++ {
			j.alone(tx, k, &row.More[n])
		}
	}
}

// alone lets a record go that found no partner.
func (j *StreamJoin[K, A, B, R]) alone(tx *Tx, k Lonely[K], l *Loners[A, B]) {
	outer, ok := tx.letGo()
	switch {
	case !ok:
		leaveOut(tx, j.Node, j.Lonely.tb, k, lonersOf[A, B]{k.Left, Loners[A, B]{Left: l.Left, Right: l.Right}}, k.At, Headers{})
		return
	case k.Left:
		j.emit(tx, k.Key, Some(l.Left), None[B](), k.At, Headers{})
	default:
		j.emit(tx, k.Key, None[A](), Some(l.Right), k.At, Headers{})
	}
	tx.within = outer
}
