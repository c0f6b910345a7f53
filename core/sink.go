package core

import (
	"fmt"
	"math"
	"math/bits"
)

// SinkInfo is what a task must know of a sink's topic on the cluster.
type SinkInfo struct {
	Partitions int32 // 0 is taken for one
	// MaxBytes bounds a record as a batch of its own, before it is compressed, as
	// max.message.bytes does behind that. 0: no bound.
	MaxBytes int
}

// sink is what the functions below have in common.
type sink[K, V any] struct {
	n     NodeID
	id    SinkID
	kc    Codec[K]
	vc    Codec[V]
	limit int   // of keys, values and headers, that may be too large
	max   int   // of a record
	parts int32 // of the topic
	// part, if not nil, says by which bytes a key is partitioned; pb is for them.
	part PartitionCodec[K]
	pb   []byte
}

// By chooses a partition of n for a record; nil leaves it to the key. What is not in [0, n)
// is an ErrRoute.
type By[K, V any] func(r Record[K, V], n int) int

func newSink[K, V any](t *Task, id SinkID, name string, kc Codec[K], vc Codec[V]) *sink[K, V] {
	s := &sink[K, V]{n: t.Node(name, ""), id: id, kc: kc, vc: vc, limit: math.MaxInt, parts: 1}
	s.part, _ = kc.(PartitionCodec[K])
	if t.cfg.Sink != nil {
		info := t.cfg.Sink(id)
		s.parts = max(info.Partitions, 1)
		if s.max = info.MaxBytes; s.max > 0 {
			s.limit = s.max - overheadMax
		}
	}
	return s
}

// Sink ends a chain: it encodes the record into the commit. by, if not nil, chooses the
// partition.
func Sink[K, V any](t *Task, id SinkID, name string, kc Codec[K], vc Codec[V], by By[K, V]) Next[K, V] {
	s := newSink(t, id, name, kc, vc)
	if by == nil {
		return func(tx *Tx, r Record[K, V]) { s.put(tx, &r, 0) }
	}
	return func(tx *Tx, r Record[K, V]) {
		if to := s.choose(tx, r, by); to > 0 {
			s.put(tx, &r, to)
		}
	}
}

// TableSink ends the chain of a table's changes: a deletion becomes a tombstone. by, if not
// nil, chooses the partition of a row. A row whose partition changes is deleted where it was,
// first; the deletion of a row that was not there goes to the partition of the key.
func TableSink[K, V any](t *Task, id SinkID, name string, kc Codec[K], vc Codec[V], by By[K, V]) Next[K, Change[V]] {
	s := newSink(t, id, name, kc, vc)
	return func(tx *Tx, r Record[K, Change[V]]) {
		var from, to int32 // 0: by the key
		row := Record[K, V]{r.Key, r.Value.New.Value, r.Time, r.Headers}
		if by != nil && r.Value.New.OK {
			if to = s.choose(tx, row, by); to == 0 {
				return
			}
		}
		if by != nil && r.Value.Old.OK {
			if from = s.choose(tx, Record[K, V]{r.Key, r.Value.Old.Value, r.Time, r.Headers}, by); from == 0 {
				return
			}
		}
		if !r.Value.New.OK || r.Value.Old.OK && from != to {
			s.delete(tx, r.Key, r.Time, r.Headers, from)
		}
		if r.Value.New.OK {
			s.put(tx, &row, to)
		}
	}
}

// choose is a partition plus one, or 0 after a failure.
func (s *sink[K, V]) choose(tx *Tx, r Record[K, V], by By[K, V]) int32 {
	tx.node = s.n
	p := by(r, int(s.parts))
	if tx.called(s.n); p < 0 || p >= int(s.parts) {
		tx.fail(s.n, fmt.Errorf("%w: partition %d was chosen, of %d", ErrRoute, p, s.parts))
		return 0
	}
	return int32(p) + 1
}

// put appends a record to the commit; to is its partition plus one, or 0.
func (s *sink[K, V]) put(tx *Tx, r *Record[K, V], to int32) {
	tx.node = s.n
	o := Output{Sink: s.id, To: to, Headers: r.Headers.Raw(), Time: r.Time}
	var err error
	if !tx.nullKey {
		if o.Key, err = encode(&tx.c.arena, s.kc, r.Key); err != nil {
			tx.fail(s.n, fmt.Errorf("%w: key: %w", ErrEncode, err))
			return
		}
		if o.To = s.partition(tx, r.Key, to); o.To < 0 {
			return
		}
	}
	if o.Value, err = encode(&tx.c.arena, s.vc, r.Value); err != nil {
		tx.fail(s.n, fmt.Errorf("%w: value: %w", ErrEncode, err))
		return
	}
	s.append(tx, o)
}

// delete appends a tombstone.
func (s *sink[K, V]) delete(tx *Tx, k K, at Time, headers Headers, to int32) {
	tx.node = s.n
	o := Output{Sink: s.id, To: to, Headers: headers.Raw(), Time: at}
	var err error
	if o.Key, err = encode(&tx.c.arena, s.kc, k); err != nil {
		tx.fail(s.n, fmt.Errorf("%w: key: %w", ErrEncode, err))
		return
	}
	if o.To = s.partition(tx, k, to); o.To >= 0 {
		s.append(tx, o)
	}
}

// partition is where a key goes, plus one: to, if that is said, else where its codec says; 0
// leaves it to its bytes. It is below 0 after a failure.
func (s *sink[K, V]) partition(tx *Tx, k K, to int32) int32 {
	if to > 0 || s.part == nil {
		return to
	}
	var err error
	if s.pb, err = s.part.AppendPartition(s.pb[:0], k); err != nil {
		tx.fail(s.n, fmt.Errorf("%w: key: %w", ErrEncode, err))
		return -1
	}
	return HashPartition(s.pb, s.parts) + 1
}

func (s *sink[K, V]) append(tx *Tx, o Output) {
	if len(o.Key)+len(o.Value)+len(o.Headers) > s.limit {
		if n := o.wireSize(); n > s.max {
			tx.fail(s.n, fmt.Errorf("%w: a record of %d bytes, %d of them its value; the topic takes %d", ErrTooLarge, n, len(o.Value), s.max))
			return
		}
	}
	tx.c.Outputs = append(tx.c.Outputs, o)
}

// Of a record batch of one record: its own head, and the most that lengths, times and the
// like of the record take.
const (
	batchOverhead = 61
	overheadMax   = batchOverhead + 5 + 3 + 3*5
)

// wireSize is the size of the output as a record batch of its own.
func (o *Output) wireSize() int {
	h := HeadersOf(o.Headers)
	n := 3 + varintLen(len(o.Key)) + len(o.Key) + varintLen(len(o.Value)) + len(o.Value) + varintLen(h.Count()) + len(o.Headers)
	return batchOverhead + varintLen(n) + n
}

// varintLen is the length of a zigzag varint.
func varintLen(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }

// Route passes each record to the one of nexts that pick chooses by its index. What is none
// of them is an ErrRoute.
func Route[K, V any](n NodeID, pick func(Record[K, V]) int, nexts ...Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if i := routed(tx, n, pick, r, len(nexts)); i >= 0 {
			nexts[i](tx, r)
		}
	}
}

// RouteTable passes each row to the one of nexts that pick chooses by its index. A row that
// moves is deleted where it was, first; the deletion of a row that was not there goes to all.
func RouteTable[K, V any](n NodeID, pick func(Record[K, V]) int, nexts ...Next[K, Change[V]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		c := r.Value
		if !c.Old.OK && !c.New.OK {
			for _, next := range nexts {
				next(tx, r)
			}
			return
		}
		from, to := -1, -1
		if c.Old.OK {
			if from = routed(tx, n, pick, Record[K, V]{r.Key, c.Old.Value, r.Time, r.Headers}, len(nexts)); from < 0 {
				return
			}
		}
		if c.New.OK {
			if to = routed(tx, n, pick, Record[K, V]{r.Key, c.New.Value, r.Time, r.Headers}, len(nexts)); to < 0 {
				return
			}
		}
		if from == to {
			nexts[to](tx, r)
			return
		}
		if from >= 0 {
			nexts[from](tx, Record[K, Change[V]]{r.Key, Change[V]{Old: c.Old}, r.Time, r.Headers})
		}
		if to >= 0 {
			nexts[to](tx, Record[K, Change[V]]{r.Key, Change[V]{New: c.New}, r.Time, r.Headers})
		}
	}
}

// routed is the index that pick chooses, or -1 after a failure.
func routed[K, V any](tx *Tx, n NodeID, pick func(Record[K, V]) int, r Record[K, V], count int) int {
	tx.node = n
	i := pick(r)
	if tx.called(n); i < 0 || i >= count {
		tx.fail(n, fmt.Errorf("%w: the topic that was chosen is none of the %d that were declared", ErrRoute, count))
		return -1
	}
	return i
}

// Partition is where the output goes in a topic of n partitions: where it was sent, else
// where its key belongs. With no key it is any, but a replay must choose the same one.
func (o *Output) Partition(id TaskID, n int32) int32 {
	switch {
	case o.To > 0:
		return o.To - 1
	case o.Key == nil:
		return id.Partition % n
	}
	return HashPartition(o.Key, n)
}
