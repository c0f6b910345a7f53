package core

import "slices"

// Commit is everything that a task did in one generation, as data: from one Ready to
// the next. The shell makes it durable as a whole or not at all.
//
// All slices, and the bytes they point to, belong to the task and are valid until the
// Advance or Abort that settles the commit.
type Commit struct {
	Task    TaskID
	Next    []Offset // by source: the next offset to consume
	Outputs []Output // records for sinks and repartition topics, in the order they were made
	Writes  []Write  // the last value of each changed row: changelog and store batch in one
	// Times are the operator times: part of the committed state, so that late and close
	// decisions do not depend on restarts. 0 is the task's stream time, 1 its last tick;
	// then each operator with a time of its own has two: the ClockHash of its name, and
	// its time. So another version of the topology finds those that it knows.
	Times []Time
	// Decisions are what the shell decided for the task since the last commit. With them
	// and the input, the commit can be computed again, byte for byte.
	Decisions []Decision
	// Drops are the records that went no further, since the last commit.
	Drops []Drop
	// Skipped is how many of them had failed, and LastSkip is the last one's error.
	Skipped  int64
	LastSkip *RecordError

	moved bool // an offset or an operator time has changed
	arena arena
}

// Output is one record to append to a sink's topic; see Partition for where.
type Output struct {
	Sink       SinkID
	To         int32 // the partition that was chosen, plus one; 0: it follows from the key
	Key, Value []byte
	Headers    []byte
	Time       Time
}

// Write is the last value of one row in a commit. A nil Value deletes the row: a
// tombstone in the changelog.
type Write struct {
	Table      TableID
	Key, Value []byte
	Time       Time         // the row's timestamp
	Version    VersionWrite // of a row that has several: Log says what the changelog gets
}

// Drop counts the records that went no further at a node, for a reason.
type Drop struct {
	Node string
	Why  Reason
	N    int64
}

// Decision is an input of the task other than a record's bytes. Runs are counted:
// "three records of source 1" is one decision.
type Decision struct {
	Source SourceID // from which source the next records were taken; or Ticked, Moved, Passed, ArrivalOf
	N      int64    // how many records; for Ticked, Passed and ArrivalOf, the time; for Moved, the offset

	// For Moved: of which global table and partition.
	Global    GlobalID
	Partition int32
}

// These stand in Decision.Source for what is no record.
const (
	Ticked SourceID = -1 // a tick of the clock
	Moved  SourceID = -2 // a global table is seen at this offset from now on
	Passed SourceID = -3 // operators' time was moved on, by Task.Pass or a tick
)

// ArrivalOf stands in Decision.Source for the time at which the next records of a source
// arrived, where that is their time: N is the time.
func ArrivalOf(s SourceID) SourceID { return Passed - 1 - s }

// Empty reports whether the commit holds nothing: then nothing needs to be written. Ticks
// that led to nothing are nothing.
func (c *Commit) Empty() bool { return !c.moved && len(c.Outputs) == 0 && len(c.Writes) == 0 }

// Size is the memory that the commit's keys and values take so far, in bytes.
func (c *Commit) Size() int { return c.arena.size }

func (c *Commit) took(source SourceID, n int64) {
	if n == 0 {
		return
	}
	c.moved = true
	if d := c.Decisions; len(d) > 0 && d[len(d)-1].Source == source {
		d[len(d)-1].N += n
		return
	}
	c.Decisions = append(c.Decisions, Decision{Source: source, N: n})
}

func (c *Commit) decide(what SourceID, n int64) {
	c.Decisions = append(c.Decisions, Decision{Source: what, N: n})
}

// inherit takes over the decisions of an empty commit before this one: ticks that led to
// nothing, so that of each kind the last one counts.
func (c *Commit) inherit(empty *Commit) {
	for i, d := range empty.Decisions {
		later := slices.ContainsFunc(empty.Decisions[i+1:], func(later Decision) bool { return later.Source == d.Source })
		if d.Source != Moved && !later {
			c.Decisions = append(c.Decisions, d)
		}
	}
}

func (c *Commit) reset() {
	clear(c.Outputs)
	clear(c.Writes)
	clear(c.Drops)
	c.Outputs, c.Writes, c.Decisions, c.Drops, c.moved = c.Outputs[:0], c.Writes[:0], c.Decisions[:0], c.Drops[:0], false
	c.Skipped, c.LastSkip = 0, nil
	c.arena.reset()
}

// arena holds the encoded bytes of a commit in chunks that are used again. A slice
// that was handed out never moves.
type arena struct {
	chunks [][]byte // len is what is used
	cur    int
	size   int
	most   int // of the slices so far, the longest, up to arenaSkip
}

const (
	arenaChunk = 64 << 10
	// arenaKeep bounds what an arena holds on to after a burst.
	arenaKeep = 64
	// arenaSkip is how much of a chunk's end may be left free, so that a codec finds room
	// for what it appends and need not allocate at the end of each chunk.
	arenaSkip = arenaChunk / 16
)

// arenaMark is a place in an arena.
type arenaMark struct{ chunk, used, size int }

// mark is the place behind all that was handed out.
func (a *arena) mark() arenaMark {
	m := arenaMark{chunk: a.cur, size: a.size}
	if a.cur < len(a.chunks) {
		m.used = len(a.chunks[a.cur])
	}
	return m
}

// free takes back what was handed out since a mark. Nobody may use it any more.
func (a *arena) free(m arenaMark) {
	for i := m.chunk; i < len(a.chunks); i++ {
		a.chunks[i], m.used = a.chunks[i][:m.used], 0
	}
	a.cur, a.size = m.chunk, m.size
}

// tail is the free end of a chunk, with length 0, to append to.
func (a *arena) tail() []byte {
	if a.cur < len(a.chunks) {
		if c := a.chunks[a.cur]; cap(c)-len(c) >= a.most {
			return c[len(c):]
		}
		a.cur++
	}
	if a.cur == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, 0, arenaChunk))
	}
	c := a.chunks[a.cur]
	return c[len(c):]
}

// keep takes over b, which was appended to the last tail, and returns where it lies now.
// A nil b stays nil; an empty one does not become nil.
func (a *arena) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	a.size += len(b)
	a.most = max(a.most, min(len(b), arenaSkip))
	c := a.chunks[a.cur]
	if len(b) > cap(c)-len(c) { // append has moved it to memory of its own
		if len(b) > arenaChunk/4 {
			return b[:len(b):len(b)] // large: leave it there
		}
		a.cur++
		b = append(a.tail(), b...)
		c = a.chunks[a.cur]
	}
	a.chunks[a.cur] = c[:len(c)+len(b)]
	return b[:len(b):len(b)]
}

// copy is a copy of b; nil stays nil.
func (a *arena) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	return a.keep(append(a.tail(), b...))
}

func (a *arena) reset() {
	if len(a.chunks) > arenaKeep {
		clear(a.chunks[arenaKeep:])
		a.chunks = a.chunks[:arenaKeep]
	}
	a.free(arenaMark{})
}

// encode appends v to the arena. The caller says where it happened.
func encode[T any](a *arena, c Codec[T], v T) ([]byte, error) {
	tail := a.tail()
	b, err := c.Append(tail, v)
	if err != nil {
		return nil, err
	}
	if b != nil && len(b) <= cap(tail) && !sameArray(b, tail) {
		b = append(tail, b...) // the codec did not append: keep its bytes all the same
	}
	return a.keep(b), nil
}

// sameArray reports whether b begins where tail does.
func sameArray(b, tail []byte) bool {
	return cap(b) > 0 && cap(tail) > 0 && &b[:1][0] == &tail[:1][0]
}
