package core

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrDecode marks bytes that a codec does not accept: of a record, or of a stored row.
	ErrDecode = errors.New("core: decode")
	// ErrEncode marks a value that a codec does not accept.
	ErrEncode = errors.New("core: encode")
	// ErrPanic marks a panic in a user function.
	ErrPanic = errors.New("core: panic in a user function")
	// ErrRejected marks a record that a user function rejected.
	ErrRejected = errors.New("core: rejected")
	// ErrTime marks a record whose timestamp is negative.
	ErrTime = errors.New("core: invalid timestamp")
	// ErrState marks a failed read of a table.
	ErrState = errors.New("core: state")
	// ErrMutated marks a user function that changed a value it was given.
	ErrMutated = errors.New("core: a function changed a value that it was given")
	// ErrFull marks an operator that holds back as much as it may.
	ErrFull = errors.New("core: full")
	// ErrTooLarge marks an output that is larger than its topic takes.
	ErrTooLarge = errors.New("core: too large")
	// ErrRoute marks an output whose topic or partition, as a function chose it, is none.
	ErrRoute = errors.New("core: no such topic or partition")
	// ErrInput marks a batch that does not follow the one before it.
	ErrInput = errors.New("core: invalid input")
)

// DecodeError says where in the bytes that a codec was given it met what it does not accept. Codecs of this project
// return it for all that they refuse, so that a damaged row or record can be looked at; those of users may.
type DecodeError struct {
	At  int // bytes in front of it
	Err error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("byte %d: %v", e.At, e.Err) }

func (e *DecodeError) Unwrap() error { return e.Err }

// Malformed makes a DecodeError.
func Malformed(at int, format string, args ...any) error {
	return &DecodeError{at, fmt.Errorf(format, args...)}
}

// MalformedPart makes a DecodeError of what a codec has said of a part of the bytes that begins at byte at. What is
// none itself is in the part as a whole. A nil err stays nil.
func MalformedPart(at int, part string, err error) error {
	if err == nil {
		return nil
	}
	var e *DecodeError
	if errors.As(err, &e) {
		if at += e.At; err.Error() == e.Error() { // it says so itself
			err = e.Err
		}
	}
	return &DecodeError{at, fmt.Errorf("%s: %w", part, err)}
}

// RecordError says on which record and in which node a task failed. It wraps one of
// the errors of this package, so errors.Is tells what happened. What becomes of such a
// record is up to the Policy of the node.
type RecordError struct {
	Task   TaskID
	Source SourceID
	Topic  string
	Offset Offset // -1: of no single record, since a row could not be sealed
	Node   string // the operator, source, sink or table
	Func   string // the user's function, where one is to blame
	Err    error
	Stack  []byte // of a panic
}

func (e *RecordError) Error() string {
	where := e.Node
	if e.Func != "" {
		where += " (" + e.Func + ")"
	}
	panicked := ""
	if place := e.place(); place != "" {
		panicked = ", at " + place
	}
	if e.Offset < 0 {
		return fmt.Sprintf("task %v, node %s: %v%s", e.Task, where, e.Err, panicked)
	}
	return fmt.Sprintf("task %v, topic %s, partition %d, offset %d, node %s: %v%s", e.Task, e.Topic, e.Task.Partition, e.Offset, where, e.Err, panicked)
}

// place is the file and line of a panic: the first of its stack, which has a function and
// behind it, on a line of its own, where it is.
func (e *RecordError) place() string {
	_, at, _ := strings.Cut(string(e.Stack), "\n\t")
	at, _, _ = strings.Cut(at, "\n")
	return at
}

func (e *RecordError) Unwrap() error { return e.Err }

// Reason is why a record went no further. Such records are counted, never dropped in silence.
// From InvalidTime on it has failed and was skipped, by the policy for errors: none of its
// effects is left. Before that it went no further in one operator.
type Reason uint8

// The reasons.
const (
	NullKey   Reason = iota // an operator needs a key and the record has none
	NullValue               // a value is null and its codec does not take null
	Unmatched               // an inner join found no row
	Late                    // it came when all its windows had closed
	NoWindow                // it lies before the unlimited window
	Duplicate               // its id, or its number, was there before
	Throttled               // its key has had as many as it may have
	Gap                     // it is missing in a sequence: a record that never came in time
	// InvalidTime: its time is negative, or EmitAt's is.
	InvalidTime
	Undecodable // a codec does not accept its bytes
	Unencodable // a codec does not accept what came of it
	Rejected    // a user function rejected it
	Panicked    // a user function panicked
	TooLarge    // what came of it is larger than the topic takes
	Misrouted   // a user function chose a topic or partition that is none
	numReasons
)

func (r Reason) String() string {
	return [numReasons]string{
		"null key", "null value", "unmatched", "late", "no window", "duplicate", "throttled", "gap",
		"invalid time", "undecodable", "unencodable", "rejected", "panic", "too large", "misrouted",
	}[r]
}
