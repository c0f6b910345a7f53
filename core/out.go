package core

import (
	"errors"
	"fmt"
)

// Out takes what a user function emits. What it emits has the key and the headers of
// the record in hand, and its time. The zero Out is ready to use, in tests too.
type Out[W any] struct {
	_        noCopy
	values   []W
	times    []Time // of the values with a time of their own; NoTime for the others
	rejected error
	tx       *Tx // nil in tests
	node     NodeID
}

// Emit emits a value at the time of the record in hand.
func (o *Out[W]) Emit(v W) { o.EmitAt(NoTime, v) }

// EmitAt emits a value with another time.
func (o *Out[W]) EmitAt(t Time, v W) {
	o.values, o.times = append(o.values, v), append(o.times, t)
}

// Reject refuses the record in hand: nothing that the function did counts.
func (o *Out[W]) Reject(reason error) {
	if o.rejected = reason; reason == nil {
		o.rejected = errNoReason
	}
}

// ID makes an id that is derived from the record in hand: a replay makes the same. A
// second call for the same record makes another one. In a test with no record in hand
// it is "test".
func (o *Out[W]) ID() string {
	if o.tx == nil {
		return "test"
	}
	return o.tx.id(o.node)
}

// Values is what was emitted, for tests.
func (o *Out[W]) Values() []W { return o.values }

// Rejected is the reason of a Reject, or nil, for tests.
func (o *Out[W]) Rejected() error { return o.rejected }

func (o *Out[W]) begin(tx *Tx, n NodeID) {
	clear(o.values)
	o.values, o.times, o.rejected = o.values[:0], o.times[:0], nil
	o.tx, o.node = tx, n
}

// emit passes on what out took, unless the record was rejected.
func emit[K, W any](tx *Tx, n NodeID, out *Out[W], k K, at Time, h Headers, next Next[K, W]) {
	if out.rejected != nil {
		tx.reject(n, out.rejected)
		return
	}
	for i := range out.values {
		r := Record[K, W]{k, out.values[i], at, h}
		if t := out.times[i]; t != NoTime {
			if r.Time = t; t < 0 {
				tx.fail(n, fmt.Errorf("%w: %d, of EmitAt", ErrTime, t))
				return
			}
		}
		next(tx, r)
	}
}

var errNoReason = errors.New("no reason given")

// noCopy lets go vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}
