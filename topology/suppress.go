package topology

import (
	"encoding/binary"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Until says how long Suppress holds a change back.
type Until struct {
	kind untilKind
	wait time.Duration
}

type untilKind uint8

const (
	untilClosed untilKind = iota + 1
	untilLimit
)

// UntilClosed is until the row's window has closed: one result for each window. It is for
// tables of windowed aggregates, and for filters and maps of those.
func UntilClosed() Until { return Until{kind: untilClosed} }

// UntilTimeLimit is until d after the row's first change held back.
func UntilTimeLimit(d time.Duration) Until { return Until{untilLimit, d} }

// MaxRecords bounds how many rows Suppress holds back, or how many records wait in a join
// with Grace or Wait, in each task.
func MaxRecords(n int) BoundOption {
	return boundOption(func(s *settings) { s.maxRecords = &n })
}

// MaxBytes bounds how much Suppress holds back, in bytes of keys and rows as they are stored.
func MaxBytes(n int) SuppressOption { return suppressOption(func(s *settings) { s.maxBytes = &n }) }

// EmitEarly lets a full Suppress emit its oldest change, and a full join the first record
// that waits, with the row that there is, if any; the default is to stop.
func EmitEarly() BoundOption { return boundOption(func(s *settings) { s.early = true }) }

// Suppress holds changes back until a window closes or a time limit has passed. Of several
// changes of a row the last one goes on. Time is the greatest one of the changes that came:
// with no new ones, nothing goes on.
func Suppress[K comparable, V any](t Table[K, V], name string, until Until, opts ...SuppressOption) Table[K, V] {
	if t.b == nil {
		zero("suppress")
	}
	set := apply(opts)
	n := t.b.addNamed("suppress", name, t.n)
	t.b.configure(n, set)
	n.table, n.end, n.clock = true, true, true
	kc, hc := or(t.kc), heldCodec[V]{changeCodec[V]{or(t.vc)}}
	n.state = &stateInfo{key: infoOf(kc), value: infoOf[core.Held[V]](hc), due: dueSince()}
	n.state.make = func(c *compiler) any { return core.NewTable[K, core.Held[V]](c.t, n.name, kc, hc) }
	rule := core.Suppress[K]{Wait: core.Ms(until.wait), Early: set.early}
	t.b.bound(n, "MaxRecords", set.maxRecords, &rule.MaxRecords)
	t.b.bound(n, "MaxBytes", set.maxBytes, &rule.MaxBytes)
	switch w := windowsOf[K](t.n); {
	case set.early && set.maxRecords == nil && set.maxBytes == nil:
		t.b.wrong(n, "EmitEarly without a bound: say with MaxRecords or MaxBytes when it is full")
	case until.kind == untilLimit && (until.wait < 0 || until.wait%time.Millisecond != 0 || until.wait > maxWindow):
		t.b.wrong(n, "UntilTimeLimit(%v): it is 0 or more, in whole milliseconds, and at most 100 years", until.wait)
	case until.kind == untilLimit:
	case until.kind != untilClosed:
		t.b.wrong(n, "is for the zero Until: take UntilClosed or UntilTimeLimit")
	case w == nil:
		t.b.wrong(n, "UntilClosed of a table without windows: take UntilTimeLimit, or aggregate a stream with a Window")
	case set.early:
		t.b.wrong(n, "UntilClosed with EmitEarly: a result would not be final")
	case w.never:
		t.b.wrong(n, "UntilClosed of the unlimited window, which never closes")
	default:
		rule.End, rule.Wait = w.end, w.wait
	}
	held := func(c *compiler) *core.Table[K, core.Held[V]] {
		return c.tables[n.id].(*core.Table[K, core.Held[V]])
	}
	n.enter = func(c *compiler) any {
		return core.SuppressChanges(c.nodeID(n), held(c), c.clock(n), rule, changes[K, V](c, n))
	}
	find := func(c *compiler) core.Lookup[K, V] { return core.SuppressLookup(held(c), t.find(c)) }
	return Table[K, V]{t.b, n, t.kc, t.vc, find}
}

// bound takes the bound that an option gives.
func (b *Builder) bound(n *node, option string, given, to *int) {
	if given == nil {
		return
	}
	if *to = *given; *given < 1 {
		b.wrong(n, "%s(%d): it is 1 or more", option, *given)
	}
}

// tableWindows is what is known of a table whose keys are windowed.
type tableWindows[K comparable] struct {
	end   func(K) Time
	wait  Time // what is held back goes on when its window ended that long ago
	never bool
}

func closing[K comparable](w *windowing[K]) *tableWindows[K] {
	span := w.key.Span
	t := &tableWindows[K]{end: func(k K) Time { _, end := span(k); return end }, wait: core.Ms(w.window.grace)}
	switch w.window.kind {
	case core.UnlimitedWindow:
		t.never = true
	case core.SessionWindow:
		t.wait += core.Ms(w.window.size)
	}
	return t
}

// windowsOf looks for the windowed aggregate that a table is made of, row by row.
func windowsOf[K comparable](n *node) *tableWindows[K] {
	for {
		if w, ok := n.windows.(*tableWindows[K]); ok {
			return w
		}
		switch n.kind {
		case "filterTable", "mapTable", "suppress", "emitPerCommit", "emitEvery":
			n = n.ins[0]
		default:
			return nil
		}
	}
}

// dueSince is the order of rows that begin with since when they are there.
func dueSince() *core.DueOrder {
	return &core.DueOrder{InRow: true, Of: func(_, value []byte, _ core.Time) (at, then core.Time, ok bool) {
		since, n := binary.Varint(value)
		return core.Time(max(since, 0)), 0, n > 0
	}}
}

// heldCodec writes what Suppress holds back: since when, the headers, and the change.
type heldCodec[V any] struct{ c changeCodec[V] }

func (c heldCodec[V]) Append(dst []byte, h core.Held[V]) ([]byte, error) {
	dst = binary.AppendVarint(dst, int64(h.Since))
	return c.c.Append(appendSized(dst, h.Headers.Raw()), h.Change)
}

func (c heldCodec[V]) Decode(src []byte) (h core.Held[V], err error) {
	in := cutter{src: src}
	since := in.varint()
	headers, _ := in.sized()
	if err := in.err("held change"); err != nil {
		return h, err
	}
	h.Since, h.Headers = core.Time(since), core.HeadersOf(append([]byte(nil), headers...))
	h.Change, err = c.c.Decode(in.rest())
	return h, core.MalformedPart(in.at, "held change", err)
}

func (c heldCodec[V]) Schema() string { return "held(" + codec.SchemaOf(c.c.vc) + ")" }
func (c heldCodec[V]) Check() error   { return codec.Check(c.c.vc) }
