package demo

import (
	"fmt"
	"strings"
)

// JoinAudit checks what a topology made of a stream that is rekeyed and joined with a
// table: each input has exactly one output, in order, made of the row that the input's
// key had at that point of the merged input.
//
// Which point that is was a decision of the run: task p merges partition p of the
// rekeyed stream with partition p of the table, each in the order of its offsets, and
// how the two interleave depends on what had come when. But there must have been one
// interleaving. So in each partition, going through the outputs in their order (which
// is that of the rekeyed stream), the position in the table must never go back, and
// each output must be made of the row that its key had at that position.
//
// The choice was not free altogether: an update that was acknowledged before an input
// was sent, with a lower timestamp, comes first. That is bound, in Input.
//
// Add all rows, each partition in order; then all inputs; then all outputs, each
// partition in order.
type JoinAudit[In, Row any, Out comparable] struct {
	make     func(In, Row) Out
	rows     map[string]*history[Row]
	inputs   map[string]*audited[In]
	position map[int32]int64 // by partition: the table's next offset
	lanes    map[lane]*laneEnd
	report   *Report
	in, out  *Count
	faults   Faults
}

// history is all that a key of the table ever was.
type history[Row any] struct {
	partition int32
	versions  []version[Row]
}

type version[Row any] struct {
	offset int64
	row    *Row // nil: deleted
}

type audited[In any] struct {
	in        In
	key       string
	partition int32
	offset    int64
	bound     int64
	outputs   int
}

// lane is what keeps its order: the inputs of one key in one partition.
type lane struct {
	partition int32
	key       string
}

type laneEnd struct {
	partition int32 // of the outputs
	offset    int64 // greatest, of the inputs
}

// NewJoinAudit returns an audit of what made should have made. The names are for the
// report.
func NewJoinAudit[In, Row any, Out comparable](inputs, outputs string, made func(In, Row) Out) *JoinAudit[In, Row, Out] {
	r := new(Report)
	return &JoinAudit[In, Row, Out]{
		make: made, rows: map[string]*history[Row]{}, inputs: map[string]*audited[In]{},
		position: map[int32]int64{}, lanes: map[lane]*laneEnd{},
		report: r, in: r.Seen(inputs), out: r.Seen(outputs), faults: r.Faults(),
	}
}

// Row adds a record of the table's topic; nil deletes the row.
func (a *JoinAudit[In, Row, Out]) Row(partition int32, offset int64, key string, row *Row) {
	h, ok := a.rows[key]
	if !ok {
		h = &history[Row]{partition: partition}
		a.rows[key] = h
	}
	h.versions = append(h.versions, version[Row]{offset, row})
}

// Input adds a record of the stream. key is the one it is joined by. All records of the
// table's partition below bound come before it.
func (a *JoinAudit[In, Row, Out]) Input(partition int32, offset int64, id, key string, in In, bound int64) error {
	a.in.N++
	if _, ok := a.inputs[id]; ok {
		return fmt.Errorf("demo: %s %q was sent twice: the feeder is broken", a.in.name, id)
	}
	a.inputs[id] = &audited[In]{in: in, key: key, partition: partition, offset: offset, bound: bound}
	return nil
}

// Output adds a record of the output. id is the input that it says it is of.
func (a *JoinAudit[In, Row, Out]) Output(partition int32, offset int64, id, key string, out Out) {
	a.out.N++
	where := fmt.Sprintf("%s/%d@%d", a.out.name, partition, offset)
	in, ok := a.inputs[id]
	if !ok {
		a.faults.Wrong.Found("%s: is of %q, which is not among the %s", where, id, a.in.name)
		return
	}
	if in.outputs++; in.outputs > 1 {
		a.faults.Duplicated.Found("%s: %q again", where, id)
		return // order and content are judged by the first
	}
	l := lane{in.partition, in.key}
	if end, ok := a.lanes[l]; !ok {
		a.lanes[l] = &laneEnd{partition, in.offset}
	} else {
		if in.offset < end.offset || partition != end.partition {
			a.faults.OutOfOrder.Found("%s: %q, sent at %s/%d@%d, stands behind the one sent at @%d", where, id, a.in.name, in.partition, in.offset, end.offset)
		}
		end.offset = max(end.offset, in.offset)
	}
	if why := a.check(partition, key, in, out); why != "" {
		a.faults.Wrong.Found("%s: %q: %s", where, id, why)
	}
}

// Unmatched adds what an input has in place of an output: somebody says that it found no row.
// Whether that is so is the caller's to judge.
func (a *JoinAudit[In, Row, Out]) Unmatched(where, id string) {
	in, ok := a.inputs[id]
	if !ok {
		a.faults.Wrong.Found("%s: is of %q, which is not among the %s", where, id, a.in.name)
		return
	}
	if in.outputs++; in.outputs > 1 {
		a.faults.Duplicated.Found("%s: %q again", where, id)
	}
}

// check says what is wrong with an output, and moves the partition's position.
func (a *JoinAudit[In, Row, Out]) check(partition int32, key string, in *audited[In], out Out) string {
	h, ok := a.rows[in.key]
	switch {
	case key != in.key:
		return fmt.Sprintf("has the key %q, not %q", key, in.key)
	case !ok:
		return fmt.Sprintf("key %q has no row", in.key)
	case partition != h.partition:
		return fmt.Sprintf("is in another partition than the row of %q, %d", in.key, h.partition)
	}
	at := max(a.position[partition], in.bound)
	matches := []string(nil)
	for i, v := range h.versions {
		if v.row == nil || a.make(in.in, *v.row) != out {
			continue
		}
		// The row is this version while the table's next offset is in (v.offset, until].
		from, until := max(at, v.offset+1), int64(1)<<62
		if i+1 < len(h.versions) {
			until = h.versions[i+1].offset
		}
		if from <= until { // the lowest that fits: whatever comes later is only freer
			a.position[partition] = from
			return ""
		}
		matches = append(matches, fmt.Sprintf("@%d up to @%d", v.offset, until))
	}
	if matches == nil {
		return fmt.Sprintf("is made of no version of the row of %q: %v", in.key, out)
	}
	return fmt.Sprintf("is made of the row of %q that was valid from %s; the table was at @%d (%d at least)",
		in.key, strings.Join(matches, ", "), at, in.bound)
}

// Report counts what is missing and returns everything.
func (a *JoinAudit[In, Row, Out]) Report() *Report {
	for id, in := range a.inputs { // which are told as examples is chance, how many is not
		if in.outputs == 0 {
			a.faults.Missing.Found("%s/%d@%d: %q has none of the %s", a.in.name, in.partition, in.offset, id, a.out.name)
		}
	}
	return a.report
}
