package core

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Action is what becomes of a record that fails, or that goes no further.
type Action uint8

// The actions.
const (
	Inherit    Action = iota // what the record's source says; of a source: Stop for errors, Skip for drops
	Stop                     // the task stops at the record
	Skip                     // the record is counted, and the task goes on behind it
	DeadLetter               // the same, and the record goes to a sink as it came
)

// Outcome is an Action, and the sink of dead letters.
type Outcome struct {
	Action Action
	Sink   SinkID
}

// Policy says what becomes of records at a node. Error is for those that fail there: none of
// their effects is left, wherever in the task they had them. Drop is for those that go no
// further there and have their effects elsewhere all the same.
type Policy struct{ Error, Drop Outcome }

// SetPolicy sets the policy of the nodes that are registered from now on, and returns the one
// before.
func (t *Task) SetPolicy(p Policy) (before Policy) {
	before, t.policy = t.policy, p
	return before
}

// ErrTakeBack says that the effects of a record that has failed can only be taken back
// together with those of the records before it. The caller aborts the task, when the commit
// under way is settled, and feeds it again. The task then goes by the record's policy; for that it
// may hold before the record until what came before it is committed (see Holds).
var ErrTakeBack = errors.New("core: the effects of a record are to be taken back")

// failures are the errors that a record can be blamed for, and how they are counted. All
// others stop the task, whatever the policy: they are of the state, or of the caller.
var failures = [...]struct {
	err error
	why Reason
}{
	{ErrDecode, Undecodable},
	{ErrEncode, Unencodable},
	{ErrRejected, Rejected},
	{ErrPanic, Panicked},
	{ErrTime, InvalidTime},
	{ErrTooLarge, TooLarge},
	{ErrRoute, Misrouted},
}

// blame tells whether the record in hand is to blame for err, at a node. What does not
// decode in a table was stored by others.
func (t *Task) blame(n NodeID, err error) (Reason, bool) {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.why, !t.nodes[n].table || f.why != Undecodable && f.why != Panicked
		}
	}
	return 0, false
}

// inHand is the record in hand, or nil: Ready and Tick have none, also where they go on with
// what a record before has led to.
func (tx *Tx) inHand() *RawRecord {
	if tx.offset == noOffset {
		return nil
	}
	if s := &tx.t.sources[tx.source]; len(s.queue) > 0 && s.head().Offset == tx.offset {
		return s.head()
	}
	return nil
}

// onError is what becomes of a record that fails at n.
func (t *Task) onError(n NodeID) Outcome {
	o := t.nodes[n].policy.Error
	if o.Action == Inherit {
		o = t.nodes[t.sources[t.tx.source].node].policy.Error
	}
	return o
}

// onDrop is what becomes of a record that goes no further at n.
func (t *Task) onDrop(n NodeID) Outcome {
	o := t.nodes[n].policy.Drop
	if o.Action == Inherit {
		o = t.nodes[t.sources[t.tx.source].node].policy.Drop
	}
	return o
}

// drop counts a record that goes no further at n, and sends it to the dead letters where the
// policy says so.
func (tx *Tx) drop(n NodeID, why Reason) {
	tx.count(n, why, 1)
	if raw := tx.inHand(); raw != nil {
		if o := tx.t.onDrop(n); o.Action == DeadLetter {
			tx.deadLetter(o.Sink, raw, n, why, nil, "")
		}
	}
}

// count counts drops at n, as long as the record in hand is not taken back.
func (tx *Tx) count(n NodeID, why Reason, times int64) {
	tx.t.nodes[n].dropped[why] += times
	if tx.droppedAt != tx.offset || tx.droppedOf != tx.source {
		tx.drops, tx.droppedAt, tx.droppedOf = tx.drops[:0], tx.offset, tx.source
	}
	tx.drops = append(tx.drops, dropped{n, why, times})
}

// dropped is a count, to be taken back with the record.
type dropped struct {
	node  NodeID
	why   Reason
	times int64
}

// then is what a task does behind a failure.
type then uint8

const (
	thenStop  then = iota // nothing, until Abort
	thenSkip              // it goes on behind the record
	thenAgain             // it takes the record once more, without what has failed
)

// fate is what becomes of the record in hand where it fails at n with err. skips = false: the task stops.
func (t *Task) fate(n NodeID, err error) (o Outcome, why Reason, skips bool) {
	why, ok := t.blame(n, err)
	if !ok || t.tx.inHand() == nil {
		return o, why, false
	}
	o = t.onError(n)
	if d := t.onDrop(n); why == InvalidTime && o.Action == Inherit && d.Action != Inherit {
		o = d
	}
	return o, why, o.Action == Skip || o.Action == DeadLetter
}

// forgive decides what becomes of the record in hand, which has failed. Nothing that it did is
// left. Where it was skipped, it is counted and, if the policy says so, a dead letter. Where what
// failed was let go by an operator, see letGo, the record is taken once more.
//
// What a record did is taken back at once, if that is possible: outputs always are; rows, if
// they were noted before they were changed, which begins with the first record that needs it;
// all else (times of operators, rows with an index beside them) if no record before it has
// changed any since the last commit. If it is not possible, the caller runs what is not
// committed again; and where rows were noted already, the task holds before the record until all
// that is committed: at most once a record.
func (t *Task) forgive() then {
	tx := &t.tx
	var e *RecordError
	if !errors.As(tx.err, &e) {
		return thenStop
	}
	o, why, skips := t.fate(tx.where, e.Err)
	if !skips {
		return thenStop
	}
	switch {
	case t.writes == tx.writes:
	case tx.writes == t.clean:
		t.dropRows()
	case t.careful && !t.hard:
		if planted("a record that failed leaves its rows") {
			break
		}
		for _, tb := range t.tables {
			tb.takeBack()
		}
	default:
		t.sometimes("core: a record fails, and what is not committed runs again up to it")
		if tx.failed > 0 {
			t.sometimes("core: what was let go fails behind changes, and runs again alone")
		}
		if t.careful || tx.failed > 0 { // else it may do to have its rows noted
			t.alone.add(lone{tx.source, tx.offset})
		}
		t.careful = true
		tx.err = fmt.Errorf("%w: %w", ErrTakeBack, e)
		return thenStop
	}
	if !planted("a record that failed leaves its outputs") {
		clear(tx.c.Outputs[tx.outputs:])
		tx.c.Outputs = tx.c.Outputs[:tx.outputs]
	}
	if tx.droppedAt == tx.offset && tx.droppedOf == tx.source {
		for _, d := range tx.drops {
			t.nodes[d.node].dropped[d.why] -= d.times
		}
		tx.drops = tx.drops[:0]
	}
	t.settled()
	tx.err, tx.asOf = nil, 0
	if tx.failed > 0 && !planted("what was let go and fails takes the record in hand with it") {
		t.sometimes("core: what was let go fails, and is left out")
		t.without.add(leftOut{tx.failed, tx.where, why, o, e}, &tx.c.arena)
		if len(t.without.list) > 1 {
			t.sometimes("core: two things that were let go are left out of one record")
		}
		return thenAgain
	}
	t.without.clear()
	t.skipped(tx.where, why, e)
	if o.Action == DeadLetter {
		tx.deadLetter(o.Sink, tx.inHand(), tx.where, why, e, "")
	}
	return thenSkip
}

// skipped counts a record that has failed at n, or what was let go.
func (t *Task) skipped(n NodeID, why Reason, e *RecordError) {
	t.nodes[n].dropped[why]++
	t.tx.c.Skipped, t.tx.c.LastSkip = t.tx.c.Skipped+1, e
}

// begin begins a record, in a careful task.
func (t *Task) begin() {
	t.hard = false
	for _, tb := range t.tables {
		tb.begin()
	}
}

// dropRows drops all rows that are not committed, and sets the times of operators back to what they
// were when there were none.
func (t *Task) dropRows() {
	for _, tb := range t.tables {
		tb.abort()
	}
	for _, b := range t.batchers {
		b.abort()
	}
	for _, clock := range t.clocks {
		clock.at = clock.clean
	}
	t.clean = t.writes
}

// lone is a record that is stepped when nothing before it is uncommitted but outputs.
type lone struct {
	source SourceID
	offset Offset
}

// loners are the lone records that are not committed, in the order of sources and offsets. There may be many,
// each found by another try: if one of them were forgotten for the next, two of them could take turns, each found where
// the other one, or a tick, has left changes, and none would ever be committed.
type loners []lone

func (l lone) compare(m lone) int {
	return cmp.Or(cmp.Compare(l.source, m.source), cmp.Compare(l.offset, m.offset))
}

func (ls *loners) add(l lone) {
	if i, found := slices.BinarySearchFunc(*ls, l, lone.compare); !found {
		*ls = slices.Insert(*ls, i, l)
	}
}

// of are those of a source from an offset on.
func (ls loners) of(id SourceID, from Offset) loners {
	i, _ := slices.BinarySearchFunc(ls, lone{id, from}, lone.compare)
	j, _ := slices.BinarySearchFunc(ls, lone{id + 1, 0}, lone.compare)
	return ls[i:max(i, j)]
}

// part cuts a batch so that each lone record in it is the first of a batch of its own: they are
// looked for at the beginning of batches only.
func (ls loners) part(b *Batch) []*Batch {
	var parts []*Batch
	rest := *b
	for _, l := range ls.of(b.Source, 0) {
		i, found := slices.BinarySearchFunc(rest.Records, l.offset, func(r RawRecord, at Offset) int { return cmp.Compare(r.Offset, at) })
		if !found || i == 0 {
			continue
		}
		p := rest
		p.Records, p.Next = rest.Records[:i], l.offset
		parts = append(parts, &p)
		rest.Records = rest.Records[i:]
	}
	return append(parts, &rest)
}

// committed forgets those that are before the next offsets.
func (ls *loners) committed(next []Offset) {
	*ls = slices.DeleteFunc(*ls, func(l lone) bool { return l.offset < next[l.source] })
}

// holds reports whether the next record of a source is a lone one, and has to wait.
func (t *Task) holds(id SourceID, r *RawRecord) bool {
	if len(t.alone) == 0 || t.writes == t.clean {
		return false
	}
	_, found := slices.BinarySearchFunc(t.alone, lone{id, r.Offset}, lone.compare)
	return found
}

// Holds reports whether the last Step has stopped before a record that waits until what the task did so
// far is committed: the caller makes a commit at once, and goes on with a Step behind Advance. Until then
// it leaves ticks out.
func (t *Task) Holds() bool { return t.held }
