package topology

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Windowed is a key in a window of time: the key of what Count, Reduce and Aggregate make
// of a stream with windows. Tumbling and hopping windows hold [Start, End), sliding windows
// and sessions [Start, End].
type Windowed[K comparable] = core.Windowed[K]

// Window is a rule that puts records into windows by their time.
type Window struct {
	kind                 core.WindowKind
	size, advance, grace time.Duration
	start                Time
	name                 string
}

// Tumbling windows follow each other: [0,size), [size,2*size) ...
func Tumbling(size time.Duration) Window {
	return Window{kind: core.TimeWindow, size: size, advance: size, name: "tumbling"}
}

// Hopping windows of a size begin every advance, so they overlap.
func Hopping(size, advance time.Duration) Window {
	return Window{kind: core.TimeWindow, size: size, advance: advance, name: "hopping"}
}

// Sliding windows hold records that are at most d apart: for each record there is one that
// ends with it, and one that begins right behind it, if it is not empty.
func Sliding(d time.Duration) Window {
	return Window{kind: core.SlidingWindow, size: d, name: "sliding"}
}

// Session windows hold records with no gap greater than gap between them.
func Session(gap time.Duration) Window {
	return Window{kind: core.SessionWindow, size: gap, name: "session"}
}

// Unlimited is one window from start to the end of time. It never closes.
func Unlimited(start Time) Window {
	return Window{kind: core.UnlimitedWindow, start: start, name: "unlimited"}
}

// Grace keeps windows open for late records: closed at end + d. The default is 0.
func (w Window) Grace(d time.Duration) Window {
	w.grace = d
	return w
}

// String is the rule in words, "hopping 1m0s by 20s, grace 10s".
func (w Window) String() string {
	s := w.name
	switch {
	case w.name == "unlimited":
		s = fmt.Sprintf("%s from %d", s, w.start)
	case w.advance != w.size && w.kind == core.TimeWindow:
		s = fmt.Sprintf("%s %v by %v", s, w.size, w.advance)
	default:
		s = fmt.Sprintf("%s %v", s, w.size)
	}
	if w.grace != 0 {
		s += fmt.Sprintf(", grace %v", w.grace)
	}
	return s
}

// wrong is what Build says of the rule, or "".
func (w Window) wrong() string {
	least := time.Millisecond
	if w.kind == core.SlidingWindow || w.kind == core.SessionWindow {
		least = 0
	}
	whole := func(ds ...time.Duration) bool {
		for _, d := range ds {
			if d%time.Millisecond != 0 || d > maxWindow {
				return false
			}
		}
		return true
	}
	switch {
	case w.name == "":
		return "is the zero Window: take Tumbling, Hopping, Sliding, Session or Unlimited"
	case w.start < 0:
		return fmt.Sprintf("begins at %d: times are not negative", w.start)
	case w.grace < 0:
		return fmt.Sprintf("has a grace of %v: it is 0 or more", w.grace)
	case w.kind == core.UnlimitedWindow && w.grace > 0:
		return "has a grace, but never closes"
	case w.kind != core.UnlimitedWindow && w.size < least:
		return fmt.Sprintf("has a size of %v: it is %v or more", w.size, least)
	case w.kind == core.TimeWindow && (w.advance < time.Millisecond || w.advance > w.size):
		return fmt.Sprintf("advances by %v: it is a millisecond or more, and at most the size, or there would be gaps", w.advance)
	case !whole(w.size, w.advance, w.grace):
		return "has a time that is not in whole milliseconds, or above 100 years"
	}
	return ""
}

// maxWindow keeps sums of a window's times within what a Time holds.
const maxWindow = 100 * 365 * 24 * time.Hour

// rule is the rule for the core.
func (w Window) rule(s settings) core.Window {
	r := core.Window{
		Kind: w.kind, Size: core.Ms(w.size), Advance: core.Ms(w.advance), Grace: core.Ms(w.grace),
		Start: w.start, Retain: core.Ms(s.retain), OnClose: s.onClose,
	}
	return r
}

// WindowedStream is a stream with windows: Count, Reduce and Aggregate of it work for each
// key and window.
type WindowedStream[K comparable, V any] struct {
	b    *Builder
	n    *node
	kc   core.Codec[K]
	vc   core.Codec[V]
	keys core.Codec[Windowed[K]]
	w    *windowing[Windowed[K]]
}

// windowing is what an aggregate must know of its windows. W is the Windowed.
type windowing[W comparable] struct {
	window Window
	node   *node
	key    core.WindowKey[W]
	rows   core.Codec[W]
}

// Window gives the stream windows; Count, Reduce and Aggregate then work per key and window.
func (s Stream[K, V]) Window(w Window) WindowedStream[K, V] {
	n := s.add("window", "", settings{})
	n.holds = forStep
	n.funcs = []string{w.String()}
	if why := w.wrong(); why != "" {
		s.b.wrong(n, "%s", why)
		w = Tumbling(time.Hour) // for the rest of Build
	}
	keys, rows := codec.Windowed(or(s.kc), w.size), codec.WindowRows(or(s.kc), w.size)
	switch w.kind {
	case core.SessionWindow:
		keys = codec.SessionWindowed(or(s.kc))
		rows = keys
	case core.UnlimitedWindow:
		keys, rows = codec.UnlimitedWindowed(or(s.kc)), codec.UnlimitedRows(or(s.kc))
	}
	info := &windowing[Windowed[K]]{window: w, node: n, key: core.WindowKeyOf[K](), rows: rows}
	n.enter = func(c *compiler) any {
		var nexts []core.Next[Windowed[K], V]
		for _, to := range c.takers(n) {
			if to.kind != "late" { // the aggregate feeds it
				nexts = append(nexts, c.chain(to).(core.Next[Windowed[K], V]))
			}
		}
		return core.Windowing(core.Fan(nexts...))
	}
	return WindowedStream[K, V]{s.b, n, s.kc, s.vc, keys, info}
}

func (s WindowedStream[K, V]) grouped() grouping[Windowed[K], V] {
	return grouping[Windowed[K], V]{s.b, s.n, s.keys, s.vc, s.w}
}

// Late is the stream of records that came when all their windows had closed. Where several
// aggregates share the windows, it is that of the first one.
func (s WindowedStream[K, V]) Late() Stream[K, V] {
	if s.w == nil {
		zero("Late")
	}
	for _, n := range s.n.subs {
		if n.kind == "late" {
			return Stream[K, V]{s.b, n, s.kc, s.vc}
		}
	}
	n := s.b.add("late", "", s.n)
	n.holds = forStep
	n.enter = func(c *compiler) any { return core.Unwindowed(next[K, V](c, n)) }
	return Stream[K, V]{s.b, n, s.kc, s.vc}
}

// lateOf is what takes the late records of n, an aggregate's input; nil where it is not the
// one that feeds them, or nobody wants them.
func lateOf[W comparable, V any](c *compiler, w *windowing[W], n *node) core.Next[W, V] {
	var late *node
	first := true
	for _, to := range c.nodes[w.node.id].subs {
		switch {
		case to.kind == "late":
			late = to
		case to.id == n.id && first:
			first = false
		case first:
			return nil
		}
	}
	if late == nil {
		return nil
	}
	return c.chain(late).(core.Next[W, V])
}
