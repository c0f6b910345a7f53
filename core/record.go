package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is event time in milliseconds since the Unix epoch, as Kafka has it.
type Time int64

// Add returns t moved by d, cut to whole milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Millisecond) }

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// Before reports whether t lies before u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t lies after u.
func (t Time) After(u Time) bool { return t > u }

// TimeOf is t in whole milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// UTC is t as package time has it, for calendars and time zones.
func (t Time) UTC() time.Time { return time.UnixMilli(int64(t)).UTC() }

// NoTime is a time that was never set: less than every valid time, which are not negative.
const NoTime Time = -1

// Offset is a position in a topic partition. A field called Next holds the next
// offset to consume, never the last one consumed.
type Offset int64

const noOffset Offset = -1

// Record is one keyed, timed value. It is passed by value; its parts are immutable.
type Record[K, V any] struct {
	Key     K
	Value   V
	Time    Time // event time
	Headers Headers
}

// RawRecord is a record as the log holds it. A nil Key or Value is Kafka's null;
// a null Value in a table is a tombstone.
type RawRecord struct {
	Key, Value []byte
	Headers    []byte // see Headers for the encoding
	Time       Time
	Offset     Offset
}

// Size is the memory that the record's bytes take.
func (r *RawRecord) Size() int { return len(r.Key) + len(r.Value) + len(r.Headers) }

// Batch is a run of records of one source partition in offset order: the unit that
// moves between goroutines.
//
// A task keeps the batch until it has consumed it, and values that it decoded from
// it for longer where Task.Keeps says so, and headers in any case: then the bytes must never be
// overwritten, and are left to the garbage collector.
type Batch struct {
	Source  SourceID
	Records []RawRecord
	// Next is where the source goes on behind this batch. It lies behind the last
	// record, and further behind where control records and aborted ones follow.
	Next Offset
	// CaughtUp says that behind Next no committed record was known when the batch was
	// read. The task then no longer waits for this source (max.task.idle.ms = 0,
	// KIP-695). A batch with no records can carry the news alone.
	CaughtUp bool
	// Arrived is when the batch came, by the clock of whoever runs the task: the time of
	// its records, for a source that has none of their own (see Times).
	Arrived Time
}

// Size is the memory that the batch's records take, in bytes.
func (b *Batch) Size() int {
	n := 0
	for i := range b.Records {
		n += b.Records[i].Size()
	}
	return n
}

// SourceID, SinkID and TableID index the sources, sinks and tables of a sub-topology.
type (
	SourceID int32
	SinkID   int32
	TableID  int32
)

// TaskID names the task of one sub-topology on one partition; it prints as "0_3".
type TaskID struct{ Sub, Partition int32 }

func (id TaskID) String() string {
	return strconv.Itoa(int(id.Sub)) + "_" + strconv.Itoa(int(id.Partition))
}

// MarshalText writes the form of String.
func (id TaskID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the form of String.
func (id *TaskID) UnmarshalText(b []byte) error {
	sub, part, ok := strings.Cut(string(b), "_")
	s, err1 := strconv.ParseInt(sub, 10, 32)
	p, err2 := strconv.ParseInt(part, 10, 32)
	if !ok || err1 != nil || err2 != nil || s < 0 || p < 0 {
		return fmt.Errorf("core: %q is no task id", b)
	}
	*id = TaskID{int32(s), int32(p)}
	return nil
}

// Less orders task ids by sub-topology, then partition.
func (id TaskID) Less(other TaskID) bool {
	if id.Sub != other.Sub {
		return id.Sub < other.Sub
	}
	return id.Partition < other.Partition
}

// Opt is a value that may be missing. A missing one that a function is given is the zero Opt.
type Opt[T any] struct {
	Value T
	OK    bool
}

// Some is a value that is there.
func Some[T any](v T) Opt[T] { return Opt[T]{Value: v, OK: true} }

// None is a value that is missing.
func None[T any]() Opt[T] { return Opt[T]{} }

func (o *Opt[T]) missing() bool { return !o.OK }

// Missing makes, for one task, the test whether a value is an Opt that is missing: a null. It is
// nil where V is no Opt.
func Missing[V any]() func(V) bool {
	v := new(V)
	o, ok := any(v).(interface{ missing() bool })
	if !ok {
		return nil
	}
	return func(x V) bool { // by a place of its own: an interface of x would be allocated
		*v = x
		missing := o.missing()
		*v = *new(V)
		return missing
	}
}

// Or is the value, or other where it is missing.
func (o Opt[T]) Or(other T) T {
	if o.OK {
		return o.Value
	}
	return other
}

// Change is a row before and after: a deletion has no New, a first value no Old.
type Change[V any] struct{ Old, New Opt[V] }
