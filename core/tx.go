package core

import (
	"fmt"
	"strconv"
)

// Next is the rest of the chain behind an operator. Chains are typed function values,
// composed once when the task is built: a record crosses an operator in one call,
// unboxed.
type Next[K, V any] func(*Tx, Record[K, V])

// Tx is the record in hand on its way through the chains, and the commit that its
// effects go to. There is one for each task.
type Tx struct {
	t       *Task
	c       *Commit
	err     error
	offset  Offset
	source  SourceID
	node    NodeID // whose user function runs now, for errors
	index   int32  // how many ids the record in hand has led to
	nullKey bool   // the record in hand has no key
	asOf    Time   // of lookups in tables that keep versions: the time and 2, so that 1 is before all; 0: the latest
}

// fail stops the task at the record in hand. The first failure counts.
func (tx *Tx) fail(n NodeID, err error) {
	if tx.err == nil {
		tx.node = n
		tx.err = tx.error(err, nil)
	}
}

// reject stops the task at a record that a user function refused.
func (tx *Tx) reject(n NodeID, reason error) { tx.fail(n, fmt.Errorf("%w: %w", ErrRejected, reason)) }

func (tx *Tx) error(err error, stack []byte) error {
	e := &RecordError{Task: tx.t.cfg.ID, Source: tx.source, Offset: tx.offset, Err: err, Stack: stack}
	if int(tx.source) < len(tx.t.sources) && tx.offset >= 0 {
		e.Topic = tx.t.sources[tx.source].topic
	}
	if int(tx.node) < len(tx.t.nodes) {
		e.Node, e.Func = tx.t.nodes[tx.node].name, tx.t.nodes[tx.node].fn
	}
	return e
}

// drop counts a record that goes no further.
func (tx *Tx) drop(n NodeID, why Reason) { tx.t.nodes[n].dropped[why]++ }

// called is called after each user function, so that a change of a row is seen where
// it was made.
func (tx *Tx) called(n NodeID) {
	if !tx.t.cfg.CheckMutation {
		return
	}
	for _, tb := range tx.t.tables {
		tb.verify(tx, n)
	}
}

// input names the input in hand by topic and offset. For a tick they are "(tick)", which is
// no topic's name, and its time; where time is passed on, "(pass)" and that time.
func (tx *Tx) input() (topic string, at Offset) {
	switch t := tx.t; tx.source {
	case Ticked:
		return "(tick)", Offset(t.times.wall)
	case Passed:
		return "(pass)", Offset(t.passed)
	default:
		return t.sources[tx.source].topic, tx.offset
	}
}

// id names the next thing that the record in hand leads to. It is derived from the
// input, so a replay makes the same: application, operator, record, and the how many
// eth it is, in "app/node/topic/partition@offset/index". See input
// for what stands for topic and offset where no record is in hand.
func (tx *Tx) id(n NodeID) string {
	t := tx.t
	b := make([]byte, 0, 96)
	b = append(append(b, t.cfg.App...), '/')
	b = append(append(b, t.nodes[n].name...), '/')
	topic, at := tx.input()
	b = append(b, topic...)
	b = append(strconv.AppendInt(append(b, '/'), int64(t.cfg.ID.Partition), 10), '@')
	b = append(strconv.AppendInt(b, int64(at), 10), '/')
	b = strconv.AppendInt(b, int64(tx.index), 10)
	tx.index++
	return string(b)
}

// Source attaches the next source of t: its records go to next.
func Source[K, V any](t *Task, topic string, kc Codec[K], vc Codec[V], next Next[K, V]) {
	n := t.Node(topic, "")
	_, takesNull := vc.(NullDecoder)
	t.addSource(topic, n, func(tx *Tx, raw *RawRecord) {
		var r Record[K, V]
		var err error
		tx.node = n
		if tx.nullKey = raw.Key == nil; !tx.nullKey {
			if r.Key, err = kc.Decode(raw.Key); err != nil {
				tx.fail(n, fmt.Errorf("%w: key: %w", ErrDecode, err))
				return
			}
		}
		if raw.Value == nil && !takesNull {
			tx.drop(n, NullValue)
			return
		}
		if r.Value, err = vc.Decode(raw.Value); err != nil {
			tx.fail(n, fmt.Errorf("%w: value: %w", ErrDecode, err))
			return
		}
		r.Time, r.Headers = raw.Time, HeadersOf(raw.Headers)
		next(tx, r)
	})
}

// TableSource attaches a source whose records are the rows of tb: the latest by offset
// counts, a null value deletes. Each change goes to next, which may be nil.
func TableSource[K comparable, V any](t *Task, topic string, tb *Table[K, V], next Next[K, Change[V]]) {
	n := t.Node(topic, "")
	t.addSource(topic, n, func(tx *Tx, raw *RawRecord) {
		tx.node = n
		if tx.nullKey = raw.Key == nil; tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		k, err := tb.kc.Decode(raw.Key)
		if err != nil {
			tx.fail(n, fmt.Errorf("%w: key: %w", ErrDecode, err))
			return
		}
		var row Opt[V]
		if row.OK = raw.Value != nil; row.OK {
			if row.Value, err = tb.vc.Decode(raw.Value); err != nil {
				tx.fail(n, fmt.Errorf("%w: value: %w", ErrDecode, err))
				return
			}
		}
		if tb.expiry != nil && !tb.expiry.begin(tx, raw.Time) {
			return
		}
		i := tb.find(tx, k)
		if i < 0 {
			return
		}
		set(tx, tb, i, row, Record[K, struct{}]{Key: k, Time: raw.Time, Headers: HeadersOf(raw.Headers)}, next)
		if row.OK {
			tb.keepRaw(i, raw.Value)
		}
		if tb.expiry != nil {
			tb.expiry.end(tx)
		}
	})
}

// set writes the row at i and passes the change on, with r's key, time and headers. The
// deletion of a row that is not there is passed on, as Kafka Streams does, and not written.
func set[K comparable, V any](tx *Tx, tb *Table[K, V], i int32, row Opt[V], r Record[K, struct{}], next Next[K, Change[V]]) {
	c := &tb.cells[i]
	old := Opt[V]{c.val, c.ok}
	switch {
	case row.OK:
		tb.put(i, row.Value, r.Time)
	case c.ok:
		tb.delete(i, r.Time)
	}
	if next != nil {
		next(tx, Record[K, Change[V]]{r.Key, Change[V]{old, row}, r.Time, r.Headers})
	}
}

// Sink ends a chain: it encodes the record into the commit.
func Sink[K, V any](t *Task, id SinkID, name string, kc Codec[K], vc Codec[V]) Next[K, V] {
	n := t.Node(name, "")
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		o := Output{Sink: id, Headers: r.Headers.Raw(), Time: r.Time}
		var err error
		if !tx.nullKey {
			if o.Key, err = encode(&tx.c.arena, kc, r.Key); err != nil {
				tx.fail(n, fmt.Errorf("%w: key: %w", ErrEncode, err))
				return
			}
		}
		if o.Value, err = encode(&tx.c.arena, vc, r.Value); err != nil {
			tx.fail(n, fmt.Errorf("%w: value: %w", ErrEncode, err))
			return
		}
		tx.c.Outputs = append(tx.c.Outputs, o)
	}
}

// TableSink ends the chain of a table's changes: a deletion becomes a tombstone.
func TableSink[K, V any](t *Task, id SinkID, name string, kc Codec[K], vc Codec[V]) Next[K, Change[V]] {
	n := t.Node(name, "")
	return func(tx *Tx, r Record[K, Change[V]]) {
		tx.node = n
		o := Output{Sink: id, Headers: r.Headers.Raw(), Time: r.Time}
		var err error
		if o.Key, err = encode(&tx.c.arena, kc, r.Key); err != nil {
			tx.fail(n, fmt.Errorf("%w: key: %w", ErrEncode, err))
			return
		}
		if r.Value.New.OK {
			if o.Value, err = encode(&tx.c.arena, vc, r.Value.New.Value); err != nil {
				tx.fail(n, fmt.Errorf("%w: value: %w", ErrEncode, err))
				return
			}
		}
		tx.c.Outputs = append(tx.c.Outputs, o)
	}
}
