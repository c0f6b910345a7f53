package core

import (
	"fmt"
	"math"
)

// TaskConfig is what a task begins with.
type TaskConfig struct {
	App string // application id: part of derived ids
	ID  TaskID
	// Resume holds the next offset of each source, as of the last commit. nil is 0 for all.
	Resume []Offset
	// Times are the operator times of the last commit, as Commit.Times had them.
	Times []Time
	// Sink tells what the topics of sinks are on the cluster. nil: nothing is known.
	Sink func(SinkID) SinkInfo
	// View returns the committed state of a table.
	View func(TableID) View
	// Global returns a global table at the position that the last Move told.
	Global func(GlobalID) View
	// CacheBytes bounds the decoded rows that each table keeps after a commit.
	CacheBytes int
	// StepRecords bounds how many records one Step runs, so that a caller whose functions
	// are slow can look after other things in between. 0: no bound.
	StepRecords int
	// CheckMutation finds user functions that change rows. It is slow.
	CheckMutation bool
	// Sometimes is told the name of each state that some run of the simulator must reach (package
	// invariant); nil: nobody asks. They are met at commits, aborts, failures and
	// looks at a view, not at each record.
	Sometimes func(name string)
}

// Task is the state machine of one sub-topology on one partition: see the package's
// documentation for its contract. It is not safe for concurrent use.
type Task struct {
	cfg       TaskConfig
	sources   []source
	tables    []overlay // global tables too
	globals   []*globalState
	nodes     []node
	committed []Offset  // by source: next offset as of the last Advance
	times     times     // as of the last Step
	commitT   times     // as of the last Advance
	clocks    []*Clock  // of the operators that have one
	batchers  []batcher // as they flush
	tx        Tx
	left      int    // records that the Step in hand may still run
	from      int    // left, when the source in hand was chosen
	policy    Policy // of the next nodes
	// writes counts the changes of rows and operator times; sealedW is what it was at the last
	// Ready, and clean what it was when the last one of them was committed or dropped.
	writes, sealedW, clean uint64
	gen                    uint64 // counts Ready and Abort
	// careful: rows are noted before they change. hard: the record in hand has changed what
	// cannot be taken back by itself.
	careful, hard bool
	alone         loners  // the records that must be stepped in a clean state
	held          bool    // one of them waits for that
	sealed        *Commit // the generation being committed, or nil
	spare         *Commit
	failed        error
	without       without // of the record in hand: what failed when it was let go

	ticks     []onTick // what is done at a tick
	passed    Time     // of the last Pass since the last Abort
	idleAfter Time     // of AdvanceIdle; 0: never
	idleSince Time     // the first tick at which nothing was left to read
	stepped   bool     // a record was taken since the last tick
	overfull  bool     // see Overfull
}

// times are the operator times that every task has.
type times struct{ stream, wall Time }

// NodeID names an operator of a task, for errors and counters.
type NodeID int32

type node struct {
	name, fn string
	policy   Policy
	table    bool
	dropped  drops // so far; sealed: as of the last Ready; settled: of the last Advance
	sealed   drops
	settled  drops
}

// drops counts records that went no further, by reason.
type drops [numReasons]int64

// NewTask returns a task with no sources and no tables.
func NewTask(cfg TaskConfig) *Task {
	t := &Task{cfg: cfg, times: times{NoTime, NoTime}, spare: new(Commit), passed: NoTime, idleSince: NoTime}
	if len(cfg.Times) > 0 {
		t.times.stream = cfg.Times[0]
	}
	if len(cfg.Times) > 1 {
		t.times.wall = cfg.Times[1]
	}
	t.commitT = t.times
	t.tx = Tx{t: t, c: new(Commit), offset: noOffset}
	return t
}

// ID returns the task's id.
func (t *Task) ID() TaskID { return t.cfg.ID }

// sometimes reports a state that is worth a test.
func (t *Task) sometimes(name string) {
	if t.cfg.Sometimes != nil {
		t.cfg.Sometimes(name)
	}
}

// Overfull reports whether, when the last commit was settled, the rows that were not committed yet took
// more than CacheBytes by themselves, in some table.
func (t *Task) Overfull() bool { return t.overfull }

// Node registers an operator. fn is the name of its user function, or "".
func (t *Task) Node(name, fn string) NodeID {
	t.nodes = append(t.nodes, node{name: name, fn: fn, policy: t.policy})
	return NodeID(len(t.nodes) - 1)
}

// Bound is TaskConfig.StepRecords from the next Step on.
func (t *Task) Bound(stepRecords int) { t.cfg.StepRecords = stepRecords }

// Step takes batches and runs all records that may run: see merge.go for which. A batch
// belongs to the task until all its records have run.
//
// What was read together is stepped together: with a stream's batch alone, the task would
// take a table for caught up whose next rows are in the caller's hand.
//
// Where StepRecords has cut it short, More reports true, and a Step with no batches goes on.
// After an error the task takes no input until Abort. A record that fails is an error only
// where no Policy says otherwise, or in ErrTakeBack.
func (t *Task) Step(bs ...*Batch) (err error) {
	if t.failed != nil {
		return t.failed
	}
	for _, b := range bs {
		if err := t.enqueue(b); err != nil {
			return t.stop(err)
		}
	}
	t.sayGlobals()
	if t.left = t.cfg.StepRecords; t.left == 0 {
		t.left = math.MaxInt
	}
	t.held = false
	for !t.attempt() { // once, and once more for each panic that a policy has skipped
	}
	if t.tx.err != nil {
		return t.stop(t.tx.err)
	}
	t.tx.offset = noOffset
	return nil
}

// attempt runs records until none may run, one has failed, or one has panicked: then it
// reports false if the task goes on, behind it or with it again. One recover a batch, not a record: what a
// record has done is taken back from what was noted of it.
func (t *Task) attempt() (done bool) {
	defer func() {
		if p := recover(); p != nil {
			t.panicked(p)
			then := t.forgive()
			if done = then == thenStop; !done {
				s := &t.sources[t.tx.source]
				if then == thenSkip {
					t.behind(s, s.head())
				}
				t.tx.c.took(t.tx.source, int64(t.from-t.left))
				s.settle()
			}
		}
	}()
	t.run()
	return true
}

// More reports whether a record waits that could run now.
func (t *Task) More() bool {
	_, _, ok := t.choose()
	return ok && t.failed == nil && (!t.held || t.writes == t.clean)
}

// panicked notes a panic. Where the task had failed before it, it is as with fail.
func (t *Task) panicked(p any) {
	tx := &t.tx
	if err := fmt.Errorf("%w: %v", ErrPanic, p); tx.err == nil || tx.graver(tx.node, err) {
		tx.where, tx.failed = tx.node, tx.within
		tx.err = tx.error(err, stackOf())
	}
}

// recovered is deferred by what runs codecs for no single record.
func (t *Task) recovered(err *error) {
	if p := recover(); p != nil {
		t.panicked(p)
		*err = t.stop(t.tx.err)
	}
}

func (t *Task) stop(err error) error {
	t.failed = err
	return err
}

// Ready passes on what waits for the commit (see PerCommit), seals what the task did since
// the last Ready and returns it. Step may go on
// at once, into the next generation; Advance or Abort must come before another Ready.
// After an error the task takes no input until Abort.
func (t *Task) Ready() (c *Commit, err error) {
	if t.sealed != nil {
		panic("core: Ready before the last commit was settled by Advance or Abort")
	}
	if t.failed != nil {
		return nil, t.failed
	}
	defer func() {
		if err != nil {
			c = nil
		}
	}()
	defer t.recovered(&err)
	if t.flush(); t.tx.err != nil {
		return nil, t.stop(t.tx.err)
	}
	c = t.tx.c
	c.Task = t.cfg.ID
	c.Next = t.Next(c.Next[:0])
	c.Times = append(c.Times[:0], t.times.stream, t.times.wall)
	for _, clock := range t.clocks {
		c.Times = append(c.Times, Time(clock.hash), clock.at)
	}
	for i, next := range c.Next {
		c.moved = c.moved || next != t.committed[i]
	}
	t.tx.offset = noOffset // whichever records made the rows: a failure is of none of them
	for _, tb := range t.tables {
		if tb.seal(&t.tx, c); t.tx.err != nil {
			return nil, t.stop(t.tx.err)
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.dropped == n.sealed {
			continue
		}
		for why := range n.dropped {
			if d := n.dropped[why] - n.sealed[why]; d > 0 {
				c.Drops = append(c.Drops, Drop{n.name, Reason(why), d})
			}
		}
		n.sealed = n.dropped
	}
	t.sealedW = t.writes
	t.gen++
	t.sealed, t.tx.c, t.spare = c, t.spare, nil
	t.newCommit()
	if c.Empty() { // it is written nowhere, but what comes next may depend on its ticks
		if t.tx.c.inherit(c); len(t.tx.c.Decisions) > 0 {
			t.sometimes("core: a commit that is written nowhere hands its decisions on")
		}
	}
	return c, nil
}

// flush passes on the changes that wait for the commit.
func (t *Task) flush() {
	if len(t.batchers) > 0 {
		t.sayGlobals() // a global table may have moved since the last Step
	}
	t.tx.index = atReady
	for i := 0; i < len(t.batchers) && t.tx.err == nil; i++ {
		t.batchers[i].flush(&t.tx)
	}
}

// settled ends a record, or another input: all that it leads to is done.
func (t *Task) settled() {
	if t.cfg.CheckMutation {
		for _, tb := range t.tables {
			tb.forget()
		}
	}
}

// Advance says that the commit of the last Ready is durable and that the views have it.
func (t *Task) Advance() {
	c := t.sealed
	if c == nil {
		panic("core: Advance without Ready")
	}
	t.committed = append(t.committed[:0], c.Next...)
	if !c.Empty() {
		t.commitT = times{c.Times[0], c.Times[1]}
		for i, clock := range t.clocks {
			clock.committed = c.Times[firstClock+2*i+1]
		}
	}
	t.overfull = false
	for _, tb := range t.tables {
		tb.advance(t.cfg.CacheBytes)
	}
	for i := range t.nodes {
		t.nodes[i].settled = t.nodes[i].sealed
	}
	if t.writes == t.sealedW {
		t.clean = t.writes
		for _, clock := range t.clocks {
			clock.clean = clock.at
		}
	}
	t.alone.committed(t.committed)
	c.reset()
	t.spare, t.sealed = c, nil
}

// Abort forgets everything since the last Advance, buffered batches too: the caller
// feeds the task again from Next on. It is the one way on after an error.
func (t *Task) Abort() {
	if t.overfull = false; t.sealed != nil {
		if t.writes != t.sealedW {
			t.sometimes("core: an abort drops the rows of two generations")
		}
		t.sealed.reset()
		t.spare, t.sealed = t.sealed, nil
	}
	t.tx.c.reset()
	t.tx = Tx{t: t, c: t.tx.c, offset: noOffset}
	t.newCommit()
	t.failed, t.held = nil, false
	if !planted("an abort keeps the stream time") {
		t.times = t.commitT
	}
	t.passed, t.idleSince, t.stepped = NoTime, NoTime, false
	t.without.clear()
	for _, clock := range t.clocks {
		if !planted("an abort keeps the operators' times") {
			clock.at = clock.committed
		}
		clock.clean = clock.at
	}
	for i := range t.sources {
		t.sources[i].reset(t.committed[i])
	}
	for _, tb := range t.tables {
		tb.abort()
	}
	for _, b := range t.batchers {
		b.abort()
	}
	for i := range t.nodes {
		t.nodes[i].dropped, t.nodes[i].sealed = t.nodes[i].settled, t.nodes[i].settled
	}
	t.clean = t.writes
	t.gen++
}

// Keeps reports whether the task may refer to the bytes of a source's batches for longer than until
// their records have run: where it is a table's, or a codec of it borrows (see Borrower). Of any other
// source it refers to no bytes but those of headers.
func (t *Task) Keeps(id SourceID) bool {
	s := &t.sources[id]
	return s.keepsKeys || s.keepsValues || s.keepsRows
}

// PassesOn says of the source that was attached last that nothing behind it keeps a value for
// longer than the record's step: Keeps need not be true for a codec of values that borrows.
func (t *Task) PassesOn() { t.sources[len(t.sources)-1].keepsValues = false }

// Next appends the next offset to consume of each source to dst.
func (t *Task) Next(dst []Offset) []Offset {
	for i := range t.sources {
		dst = append(dst, t.sources[i].next)
	}
	return dst
}

// Buffered is the size in bytes of the source's records that wait to be stepped.
func (t *Task) Buffered(s SourceID) int { return t.sources[s].bytes }

// Pending is the size in bytes of what the next Ready will hold, rows apart. A caller
// that bounds a commit asks for it after each Step.
func (t *Task) Pending() int { return t.tx.c.Size() }

// StreamTime is the greatest timestamp that the task has stepped; NoTime before the first.
func (t *Task) StreamTime() Time { return t.times.stream }

// Dropped calls f for each operator and reason with the number of records that went no
// further there, since the task began: uncommitted ones too, but not those that Abort
// took back.
func (t *Task) Dropped(f func(node string, why Reason, n int64)) {
	for i := range t.nodes {
		for r, n := range t.nodes[i].dropped {
			if n > 0 {
				f(t.nodes[i].name, Reason(r), n)
			}
		}
	}
}

// maxTime is later than every time.
const maxTime = Time(math.MaxInt64)
