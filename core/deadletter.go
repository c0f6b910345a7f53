package core

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// The headers of a dead letter, behind those that the record came with. The first ones are
// Kafka Streams' (KIP-1034), so what reads its dead letters can read ours.
const (
	HeaderException  = "__streams.errors.exception"  // what kind of error, as text
	HeaderMessage    = "__streams.errors.message"    // the error in full
	HeaderStacktrace = "__streams.errors.stacktrace" // of a panic; else ""
	HeaderTopic      = "__streams.errors.topic"      // where the record came from
	HeaderPartition  = "__streams.errors.partition"
	HeaderOffset     = "__streams.errors.offset"
	HeaderReason     = "limpet.errors.reason" // a Reason as text
	HeaderNode       = "limpet.errors.node"   // where in the topology
	HeaderTask       = "limpet.errors.task"
	HeaderTime       = "limpet.errors.time"    // the record's time, in milliseconds since the epoch
	HeaderHeldBy     = "limpet.errors.held.by" // of what an operator has held and let go: which operator
)

// errorTextMax bounds the texts in a dead letter's headers, in bytes: an error may quote the
// whole record, and the record has to fit in beside it.
const errorTextMax = 2 << 10

// deadLetter appends the record in hand to a sink of dead letters: key, value and headers as
// they came, and headers that say why. e is nil for a record that was dropped, not in error.
// What the operator heldBy has let go is a record as well, with the offset of the one in hand; else
// heldBy is "". It has no effect on what a record's other effects are, and cannot fail.
func (tx *Tx) deadLetter(sink SinkID, raw *RawRecord, n NodeID, why Reason, e *RecordError, heldBy string) {
	t := tx.t
	kind, text, stack := why.String(), "dropped: "+why.String(), ""
	if e != nil {
		text, stack = e.Error(), string(e.Stack)
		for _, f := range failures {
			if errors.Is(e.Err, f.err) {
				kind = f.err.Error()
				break
			}
		}
	}
	h := append(make([]byte, 0, len(raw.Headers)+len(text)+len(stack)+512), raw.Headers...)
	h = AppendHeader(h, HeaderException, kind)
	h = AppendHeader(h, HeaderMessage, cut(text))
	h = AppendHeader(h, HeaderStacktrace, cut(stack))
	h = AppendHeader(h, HeaderTopic, t.sources[tx.source].topic)
	h = AppendHeader(h, HeaderPartition, strconv.Itoa(int(t.cfg.ID.Partition)))
	h = AppendHeader(h, HeaderOffset, strconv.FormatInt(int64(raw.Offset), 10))
	h = AppendHeader(h, HeaderReason, why.String())
	h = AppendHeader(h, HeaderNode, t.nodes[n].name)
	h = AppendHeader(h, HeaderTask, t.cfg.ID.String())
	h = AppendHeader(h, HeaderTime, strconv.FormatInt(int64(raw.Time), 10))
	if heldBy != "" {
		h = AppendHeader(h, HeaderHeldBy, heldBy)
	}
	// A dead letter must not be one for its own reader because of a time that no record has.
	a := &tx.c.arena
	tx.c.Outputs = append(tx.c.Outputs, Output{Sink: sink, Key: a.copy(raw.Key), Value: a.copy(raw.Value), Headers: h, Time: max(raw.Time, 0)})
	a.size += len(h)
}

func cut(s string) string {
	if len(s) <= errorTextMax {
		return s
	}
	return strings.ToValidUTF8(s[:errorTextMax], "") + "..."
}

// stackOf is the stack of the panic that is being recovered, from where it happened to where
// the record was taken: functions and lines only, so that it is the same whenever the same
// record panics.
func stackOf() []byte {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	var b []byte
	panicked := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			b, panicked = b[:0], true
		case strings.HasSuffix(f.Function, "core.(*Task).runSource"):
			return b
		case panicked && !strings.HasPrefix(f.Function, "runtime."):
			b = fmt.Appendf(b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b
		}
	}
}
