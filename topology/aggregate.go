package topology

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// Count counts the records of each key.
func Count[K comparable, V any](g Grouped[K, V], name string, opts ...AggregateOption) Table[K, int64] {
	return aggregate(g, folding[V, int64]{
		kind: "count", blind: true, add: func(n int64, _ V) int64 { return n + 1 },
		merge: func(a, b int64) int64 { return a + b },
	}, name, opts)
}

// Reduce folds the values of each key into one value of the same type; the first one is
// the beginning.
func Reduce[K comparable, V any](g Grouped[K, V], name string, f func(sum, v V) V, opts ...AggregateOption) Table[K, V] {
	vc := grouped(g, "reduce").vc
	return aggregate(g, folding[V, V]{
		kind: "reduce", vc: vc, first: func(v V) V { return v }, add: f, merge: f, user: f,
	}, name, opts)
}

// Aggregate folds the values of each key, beginning with the zero A. Of session windows it
// needs Merging.
func Aggregate[K comparable, V, A any](g Grouped[K, V], name string, f func(A, V) A, opts ...AggregateOption) Table[K, A] {
	return aggregate(g, folding[V, A]{kind: "aggregate", add: f, user: f}, name, opts)
}

// Also folds a further stream into the same Aggregate (cogroup). With windows, both have
// the same.
func Also[K comparable, V, A any](g Grouped[K, V], f func(A, V) A) AggregateOption {
	in := alsoInput[K, A](func(n *node, w *windowing[K], op *machine[K, A]) {
		also(grouped(g, "also"), f, n, w, op)
	})
	return aggregateOption(func(s *settings) { s.also = append(s.also, erase[A]("Also", in, f == nil)) })
}

// Merging says how two aggregates become one where session windows grow together: earlier
// is that of the earlier session. Count and Reduce know by themselves.
func Merging[A any](f func(earlier, later A) A) AggregateOption {
	return aggregateOption(func(s *settings) { s.merging = erase[A]("Merging", f, f == nil) })
}

// EmitOnClose shows a window's result once, when it has closed; the default shows every
// change.
func EmitOnClose() AggregateOption { return aggregateOption(func(s *settings) { s.onClose = true }) }

// Retain keeps the rows of windows for d of stream time, counted from the window's start
// (of sessions, from their end), so that they can be read when the window has closed. Rows
// stay in any case as long as they can change.
func Retain(d time.Duration) AggregateOption {
	return aggregateOption(func(s *settings) { s.retain = max(d, 1) })
}

// folding is what makes an aggregate of values.
type folding[V, A any] struct {
	kind  string
	vc    core.Codec[A] // nil: by type
	first func(V) A     // nil: the zero A is the beginning
	add   func(A, V) A
	merge func(A, A) A
	user  any  // the user's function, for its name, or nil
	blind bool // add does not look at the value
}

// machine is what the inputs of an aggregate share.
type machine[K comparable, A any] struct {
	b       *Builder
	done    func(A) bool
	windows func(*compiler) *core.Windows[K, A] // nil: no windows
	old     func(*compiler) *core.Expiry[K, A]  // nil: rows stay
}

// alsoInput attaches a further input to the aggregate n.
type alsoInput[K comparable, A any] func(n *node, w *windowing[K], op *machine[K, A])

func aggregate[K comparable, V, A any](g Grouped[K, V], f folding[V, A], name string, opts []AggregateOption) Table[K, A] {
	in, set := grouped(g, f.kind), apply(opts)
	b := in.b
	var funcs []any
	if f.user != nil {
		funcs = []any{f.user}
	}
	n := b.addNamed(f.kind, name, in.n)
	b.configure(n, set, funcs...)
	n.keyed = true
	if f.blind {
		n.holds = nothing
	}
	rows := in.kc
	if in.w != nil {
		rows = in.w.rows
	}
	t := newTable(b, n, rows, stateCodecOf(b, n, set, f.vc))
	t.kc = in.kc // what goes on has the key without the row's sequence number
	op := &machine[K, A]{b: b, done: doneOf[A](b, n, set)}
	if in.w == nil {
		op.old = expiring(b, n, set, func(c *compiler) core.Next[K, core.Change[A]] { return changes[K, A](c, n) })
	} else {
		b.noTTL(n, set, "rows of windows go when their window has closed; Retain keeps them longer")
	}
	merge := unerase[A](b, n, set.merging, "state", f.merge)
	if in.w != nil {
		n.clock, n.windows = true, closing(in.w)
		if in.w.window.kind != core.UnlimitedWindow {
			n.state.due = core.DueOf(rows)
		}
		rule := in.w.window.rule(set)
		op.windows = func(c *compiler) *core.Windows[K, A] {
			if c.shared[n.id] == nil {
				c.shared[n.id] = core.NewWindows(c.nodeID(n), tableOf[K, A](c, n), in.w.key, rule, merge, op.done, changes[K, A](c, n))
			}
			return c.shared[n.id].(*core.Windows[K, A])
		}
	}
	checkWindows(b, n, set, in.w, merge != nil)
	n.enter = func(c *compiler) any { return enter(c, n, n, in, f.first, f.add, op) }
	for _, e := range set.also {
		if attach := unerase[A](b, n, e, "state", alsoInput[K, A](nil)); attach != nil {
			attach(n, in.w, op)
		}
	}
	return t
}

// enter is the chain that takes an input of the aggregate n: in is its node.
func enter[K comparable, V, A any](c *compiler, n, in *node, g grouping[K, V], first func(V) A, add func(A, V) A, op *machine[K, A]) core.Next[K, V] {
	if op.windows == nil {
		return within(c, op.old, core.Aggregate(c.nodeID(n), tableOf[K, A](c, n), first, add, op.done, changes[K, A](c, n)))
	}
	return core.AggregateWindows(c.nodeID(n), op.windows(c), c.clock(in), first, add, lateOf[K, V](c, g.w, in))
}

// also is a node of its own for a further input, which leads to the aggregate.
func also[K comparable, V, A any](g grouping[K, V], f func(A, V) A, n *node, w *windowing[K], op *machine[K, A]) {
	in := g.b.add("also", "", g.n)
	g.b.configure(in, settings{}, f)
	in.keyed, in.input = true, true
	if w != nil { // its time is its own
		in.clock, in.name = true, fmt.Sprintf("%s-also-%d", n.name, len(n.ins))
	}
	if op.b != g.b {
		g.b.foreign(in, op.b, "its aggregate")
		return
	}
	n.ins, in.subs = append(n.ins, in), append(in.subs, n)
	if (w == nil) != (g.w == nil) || w != nil && g.w.window != w.window {
		g.b.wrong(n, "Also has other windows than the first input: what is aggregated together has the same")
		return
	}
	in.enter = func(c *compiler) any { return enter(c, n, in, g, nil, f, op) }
}

// checkWindows finds options that do not go with the windows.
func checkWindows[W comparable](b *Builder, n *node, set settings, w *windowing[W], merges bool) {
	switch {
	case w == nil && set.onClose:
		b.wrong(n, "EmitOnClose without windows: nothing ever closes")
	case w == nil && set.retain > 0:
		b.wrong(n, "Retain without windows: the rows stay anyway")
	case w == nil && set.merging != nil || w != nil && w.window.kind != core.SessionWindow && set.merging != nil:
		b.wrong(n, "Merging without session windows: no others grow together")
	case w == nil:
	case set.onClose && w.window.kind == core.UnlimitedWindow:
		b.wrong(n, "EmitOnClose of the unlimited window, which never closes")
	case w.window.kind == core.SessionWindow && !merges && set.merging == nil:
		b.wrong(n, "session windows grow together: say with Merging how two aggregates become one")
	case set.retain > maxWindow:
		b.wrong(n, "Retain(%v): at most 100 years", set.retain)
	}
}

func grouped[K comparable, V any](g Grouped[K, V], kind string) grouping[K, V] {
	if g == nil {
		zero(kind)
	}
	in := g.grouped()
	if in.b == nil {
		zero(kind)
	}
	return in
}

// CountTable counts the rows of each group. A group that has lost all of its rows counts 0.
func CountTable[K, G comparable, V any](t Table[K, V], name string, group func(V) G, opts ...GroupOption) Table[G, int64] {
	return aggregateTable(t, "countTable", name, group, nil, nil,
		func(n int64, _ V) int64 { return n + 1 }, func(n int64, _ V) int64 { return n - 1 }, nil, opts)
}

// ReduceTable folds the rows of each group into one value of the same type: add takes a
// row in, remove takes it out again. The first row is the beginning.
func ReduceTable[K, G comparable, V any](t Table[K, V], name string, group func(V) G, add, remove func(sum, v V) V, opts ...GroupOption) Table[G, V] {
	return aggregateTable(t, "reduceTable", name, group, t.vc, func(v V) V { return v }, add, remove, []any{add, remove}, opts)
}

// AggregateTable folds the rows of each group, beginning with the zero A: add takes a row
// in, remove takes it out again.
func AggregateTable[K, G comparable, V, A any](t Table[K, V], name string, group func(V) G, add, remove func(A, V) A, opts ...GroupOption) Table[G, A] {
	return aggregateTable(t, "aggregateTable", name, group, nil, nil, add, remove, []any{add, remove}, opts)
}

// aggregateTable is all of them: the changes go by group through a topic, with old and new
// row, and are folded behind it.
func aggregateTable[K, G comparable, V, A any](t Table[K, V], kind, name string, group func(V) G, vc core.Codec[A], first func(V) A, add, remove func(A, V) A, user []any, opts []GroupOption) Table[G, A] {
	set := apply(opts)
	re := t.add("regroup", settings{partitions: set.partitions}, group)
	re.name, re.rekeyed, re.always = name, true, true
	gc, cc := or(keyCodecOf[G](t.b, re, set, nil)), changeCodec[V]{or(valueCodecOf(t.b, re, set, t.vc))}
	re.key, re.value = infoOf(gc), infoOf[core.Change[V]](cc)
	re.enter = func(c *compiler) any {
		return core.Regroup[K](c.nodeID(re), group, through(c, re, t.b, gc, cc))
	}
	re.source = func(c *compiler) { core.Source(c.t, c.topic(re), gc, cc, next[G, core.Change[V]](c, re)) }

	n := t.b.addNamed(kind, name, re)
	t.b.configure(n, settings{}, user...)
	n.keyed = true
	out := newTable(t.b, n, gc, stateCodecOf(t.b, n, set, vc))
	done := doneOf[A](t.b, n, set)
	t.b.noTTL(n, set, "the rows of groups follow from those of a table: give that one the TTL")
	n.enter = func(c *compiler) any {
		return core.AggregateTable(c.nodeID(n), tableOf[G, A](c, n), first, add, remove, done, changes[G, A](c, n))
	}
	return out
}
