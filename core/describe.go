package core

import (
	"fmt"
	"strconv"
	"strings"
)

// String is the commit as text, for tests and to look at: one line for each effect, in
// their order. Bytes are quoted.
//
//	commit 0_1 next 3,7 stream 12
//	  out 0 "k" -> "v" @12 trace="abc"
//	  row 1 "k" -> "v" @12
//	  row 1 "j" deleted @11
//	  took 3 of 0
func (c *Commit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "commit %v next ", c.Task)
	for i, n := range c.Next {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, n)
	}
	if len(c.Times) >= firstClock {
		if c.Times[0] != NoTime {
			fmt.Fprintf(&b, " stream %d", c.Times[0])
		}
		if c.Times[1] != NoTime {
			fmt.Fprintf(&b, " wall %d", c.Times[1])
		}
		for i := firstClock; i+1 < len(c.Times); i += 2 {
			if c.Times[i+1] != NoTime {
				fmt.Fprintf(&b, " clock %08x %d", uint32(c.Times[i]), c.Times[i+1])
			}
		}
	}
	b.WriteByte('\n')
	for i := range c.Outputs {
		o := &c.Outputs[i]
		fmt.Fprintf(&b, "  out %d %s -> %s @%d", o.Sink, quote(o.Key), quote(o.Value), o.Time)
		if o.To > 0 {
			fmt.Fprintf(&b, " partition %d", o.To-1)
		}
		for k, v := range HeadersOf(o.Headers).All() {
			fmt.Fprintf(&b, " %s=%q", k, v)
		}
		b.WriteByte('\n')
	}
	for _, w := range c.Writes {
		if w.Value == nil {
			fmt.Fprintf(&b, "  row %d %s deleted @%d\n", w.Table, quote(w.Key), w.Time)
		} else {
			fmt.Fprintf(&b, "  row %d %s -> %s @%d\n", w.Table, quote(w.Key), quote(w.Value), w.Time)
		}
	}
	for _, d := range c.Decisions {
		switch {
		case d.Source == Ticked:
			fmt.Fprintf(&b, "  tick %d\n", d.N)
		case d.Source == Moved:
			fmt.Fprintf(&b, "  global %d/%d at %d\n", d.Global, d.Partition, d.N)
		case d.Source == Passed:
			fmt.Fprintf(&b, "  pass %d\n", d.N)
		case d.Source < Passed:
			fmt.Fprintf(&b, "  %d arrived @%d\n", ArrivalOf(d.Source), d.N)
		default:
			fmt.Fprintf(&b, "  took %d of %d\n", d.N, d.Source)
		}
	}
	return b.String()
}

func quote(b []byte) string {
	if b == nil {
		return "null"
	}
	return strconv.Quote(string(b))
}
