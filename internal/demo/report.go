package demo

import (
	"fmt"
	"slices"
	"strings"
)

// Report is what an audit counted. It prints as one line, in the order in which its counts
// were made.
type Report struct {
	Examples []string // the first few of each kind of fault, in words

	counts []*Count
}

// Count is one number of a report.
type Count struct {
	N int64

	name string
	kind countKind
	r    *Report
}

type countKind int

const (
	told     countKind = iota // any number will do
	required                  // 0 means that nothing was audited
	fault                     // 0 is right
)

// Seen adds a count of what must be there: an audit of nothing proves nothing.
func (r *Report) Seen(name string) *Count { return r.add(name, required) }

// Told adds a count that is neither right nor wrong.
func (r *Report) Told(name string) *Count { return r.add(name, told) }

// Fault adds a count that must be 0.
func (r *Report) Fault(name string) *Count { return r.add(name, fault) }

func (r *Report) add(name string, kind countKind) *Count {
	c := &Count{name: name, kind: kind, r: r}
	r.counts = append(r.counts, c)
	return c
}

func (r *Report) String() string {
	var b strings.Builder
	for i, c := range r.counts {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%d", c.name, c.N)
	}
	return b.String()
}

// Clean reports that there was something to count, and nothing to complain about.
func (r *Report) Clean() bool {
	return !slices.ContainsFunc(r.counts, func(c *Count) bool { return c.kind == fault && c.N != 0 || c.kind == required && c.N == 0 })
}

// examplesMax is how many cases of each kind a report has in words.
const examplesMax = 3

// Found counts one, and tells it in words if it is among the first.
func (c *Count) Found(f string, a ...any) {
	if c.N++; c.N <= examplesMax {
		c.r.Examples = append(c.r.Examples, c.name+": "+fmt.Sprintf(f, a...))
	}
}

// Faults are the four ways in which outputs can differ from what they should be.
type Faults struct {
	Missing    *Count // should be there and is not
	Duplicated *Count // beyond the first
	OutOfOrder *Count // stands before one that should come earlier
	Wrong      *Count // is not what should be there
}

// Faults adds the four counts.
func (r *Report) Faults() Faults {
	return Faults{r.Fault("missing"), r.Fault("duplicated"), r.Fault("out_of_order"), r.Fault("wrong")}
}

// Compare judges what was found under a key, in order, by what should have been found.
// Where a value should come n times, its n+1st is a duplicate. Of a key whose values are
// all right, each that stands elsewhere than it should is out of order.
func Compare[T comparable](f Faults, key string, got, want []T) {
	left, known := map[T]int{}, map[T]bool{}
	for _, v := range want {
		left[v]++
		known[v] = true
	}
	right := true
	for _, v := range got {
		switch left[v]--; {
		case !known[v]:
			f.Wrong.Found("%s: %v", key, v)
		case left[v] < 0:
			f.Duplicated.Found("%s: %v", key, v)
		default:
			continue
		}
		right = false
	}
	for _, v := range want {
		if left[v] > 0 {
			left[v]--
			f.Missing.Found("%s: %v", key, v)
			right = false
		}
	}
	if !right {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			f.OutOfOrder.Found("%s: %v, in place of %v", key, got[i], want[i])
		}
	}
}
