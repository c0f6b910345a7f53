package core

import (
	"errors"
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
	at      Time // of the record in hand, of the tick, or that is passed on
	source  SourceID
	node    NodeID // whose user function runs now, for errors
	where   NodeID // where it failed: other branches go on meanwhile
	index   int32  // how many ids the record in hand has led to
	letGone int32  // how many things operators have let go on its way
	within  int32  // the innermost of them under way, see letGo; 0: none
	failed  int32  // and that where it failed
	nullKey bool   // the record in hand has no key
	learns  bool   // what the record in hand looks up is noted, see ask
	asOf    Time   // of lookups in tables that keep versions: the time and 2, so that 1 is before all; 0: the latest

	// Of the record in hand, to take its effects back: where its outputs begin, how many
	// changes of state there were before it, and where it was dropped.
	outputs   int
	writes    uint64
	drops     []dropped
	droppedAt Offset
	droppedOf SourceID
}

// fail stops the task at the record in hand. The first failure counts, or the first that no policy
// skips: other branches go on behind it.
func (tx *Tx) fail(n NodeID, err error) {
	if tx.err == nil || tx.graver(n, err) {
		tx.node, tx.where, tx.failed = n, n, tx.within
		if planted("a failed read does not say at which record") && errors.Is(err, ErrState) {
			tx.offset = noOffset
		}
		tx.err = tx.error(err, nil)
	}
}

// graver reports whether a failure at n is one that no policy skips, and the one before is skipped.
func (tx *Tx) graver(n NodeID, err error) bool {
	_, _, was := tx.t.fate(tx.where, tx.err)
	_, _, is := tx.t.fate(n, err)
	return was && !is
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
	switch tx.source {
	case Ticked:
		return "(tick)", Offset(tx.at)
	case Passed:
		return "(pass)", Offset(tx.at)
	default:
		return tx.t.sources[tx.source].topic, tx.offset
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
	if !row.OK {
		row = None[V]() // nobody sees the value for which it was deleted
	}
	if next != nil && (old.OK || row.OK || !planted("the deletion of a row that is not there is not told")) {
		next(tx, Record[K, Change[V]]{r.Key, Change[V]{old, row}, r.Time, r.Headers})
	}
}
