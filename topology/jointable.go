package topology

import "github.com/seed-81380e12/limpet/core"

// JoinTables joins the rows of two tables with the same key.
func JoinTables[K comparable, A, B, R any](left Table[K, A], right Table[K, B], name string, f func(A, B) R, opts ...StateOption) Table[K, R] {
	return joinTables(left, right, "joinTables", name, true, true, func(a Opt[A], b Opt[B]) R { return f(a.Value, b.Value) }, f, opts)
}

// LeftJoinTables keeps the left rows with no right one. For a right join swap the tables.
func LeftJoinTables[K comparable, A, B, R any](left Table[K, A], right Table[K, B], name string, f func(A, Opt[B]) R, opts ...StateOption) Table[K, R] {
	return joinTables(left, right, "leftJoinTables", name, true, false, func(a Opt[A], b Opt[B]) R { return f(a.Value, b) }, f, opts)
}

// OuterJoinTables keeps the rows of both.
func OuterJoinTables[K comparable, A, B, R any](left Table[K, A], right Table[K, B], name string, f func(Opt[A], Opt[B]) R, opts ...StateOption) Table[K, R] {
	return joinTables(left, right, "outerJoinTables", name, false, false, f, f, opts)
}

// joinTables is all of them. user is the user's function, for its name.
func joinTables[K comparable, A, B, R any](left Table[K, A], right Table[K, B], kind, name string, needLeft, needRight bool, f func(Opt[A], Opt[B]) R, user any, opts []StateOption) Table[K, R] {
	if left.b == nil || right.b == nil {
		zero(kind)
	}
	b, set := left.b, apply(opts)
	n := b.addNamed(kind, name)
	b.configure(n, set, user)
	b.noTTL(n, set, "a join's rows follow from those of its tables: give them the TTL")
	vc := stateCodecOf[R](b, n, set, nil)
	l := b.side("left", n, left.n)
	if b.foreign(n, right.b, "the right table") {
		n.end = true
		return Table[K, R]{b: b, n: n, kc: left.kc, vc: vc}
	}
	r := b.side("right", n, right.n)
	done := doneOf[R](b, n, set)
	join := func(c *compiler) *core.TableJoin[K, A, B, R] {
		return &core.TableJoin[K, A, B, R]{
			Node: c.nodeID(n), Left: left.find(c), Right: right.find(c), Join: f, Done: done,
			NeedLeft: needLeft, NeedRight: needRight, Kept: kept[K, R](c, n),
		}
	}
	t, out := computed(b, n, set, left.kc, vc, func(c *compiler) core.Lookup[K, R] { return join(c).Find })
	l.enter = func(c *compiler) any { return join(c).FromLeft(out(c)) }
	r.enter = func(c *compiler) any { return join(c).FromRight(out(c)) }
	return t
}

// side adds a node for one input of n, which has several: of different types, so each
// needs a chain of its own.
func (b *Builder) side(kind string, n *node, in *node) *node {
	s := b.add(kind, "", in)
	s.name, s.input, s.keyed, s.table = n.name, true, true, in.table
	s.subs, n.ins = append(s.subs, n), append(n.ins, s)
	n.keyed = true
	return s
}

// computed makes n a table whose rows are found by find whenever they are asked for, and
// whose changes go to what out returns. If two of n's inputs are made of the same table,
// one record can come in by both, and then the other side's row is not the one that the
// result had before: so the rows are kept, as where Stored asks for it.
func computed[K comparable, V any](b *Builder, n *node, set settings, kc core.Codec[K], vc core.Codec[V], find func(*compiler) core.Lookup[K, V]) (t Table[K, V], out func(*compiler) core.Next[K, core.Change[V]]) {
	n.keyed = true
	if set.stored || meet(n) {
		t = newTable(b, n, kc, vc)
		return t, func(c *compiler) core.Next[K, core.Change[V]] {
			return core.Keep(tableOf[K, V](c, n), changes[K, V](c, n))
		}
	}
	n.table = true
	return Table[K, V]{b, n, kc, vc, find}, func(c *compiler) core.Next[K, core.Change[V]] { return next[K, core.Change[V]](c, n) }
}

// kept finds the rows of n where it keeps them; else it is nil.
func kept[K comparable, V any](c *compiler, n *node) core.Lookup[K, V] {
	if n.state == nil {
		return nil
	}
	return tableOf[K, V](c, n).Get
}

// meet reports whether two inputs of n are made of the same node.
func meet(n *node) bool {
	seen := map[*node]int{} // by which input it was found
	var visit func(m *node, i int) bool
	visit = func(m *node, i int) bool {
		if by, ok := seen[m]; ok {
			return by != i
		}
		seen[m] = i
		if m.rekeyed {
			return false // it goes through a topic: what comes of it comes later
		}
		for _, list := range [2][]*node{m.ins, m.reads} {
			for _, in := range list {
				if visit(in, i) {
					return true
				}
			}
		}
		return false
	}
	for i, in := range n.ins {
		if visit(in, i) {
			return true
		}
	}
	return false
}

// Combine joins any number of tables with the same key: on each change a row is made
// anew from the zero R by the parts, in order. Where no part has a row, there is none.
func Combine[K comparable, R any](name string, parts ...Part[K, R]) Table[K, R] {
	const kind = "combine"
	if len(parts) == 0 || parts[0].b == nil {
		zero(kind)
	}
	b := parts[0].b
	n := b.addNamed(kind, name)
	sides := make([]*node, len(parts))
	for i, p := range parts {
		if p.b == nil {
			zero(kind)
		}
		if b.foreign(n, p.b, "the table of a part") {
			n.end = true
			return Table[K, R]{b: b, n: n, kc: parts[0].kc}
		}
		b.configure(n, settings{}, p.user)
		sides[i] = b.side("part", n, p.n)
	}
	combine := func(c *compiler) *core.Combine[K, R] {
		j := &core.Combine[K, R]{Node: c.nodeID(n), Kept: kept[K, R](c, n)}
		for _, p := range parts {
			j.Parts = append(j.Parts, core.CombinePart[K, R]{Put: p.put(c, j.Node), Need: p.need})
		}
		return j
	}
	t, out := computed(b, n, settings{}, parts[0].kc, nil, func(c *compiler) core.Lookup[K, R] { return combine(c).Find })
	for i, p := range parts {
		sides[i].enter = func(c *compiler) any { return p.from(combine(c), i, out(c)) }
	}
	return t
}

// Part is one table of a Combine.
type Part[K comparable, R any] struct {
	b    *Builder
	n    *node
	kc   core.Codec[K]
	user any
	need bool
	put  func(*compiler, core.NodeID) func(*core.Tx, K, R) (R, core.Time, bool)
	from func(*core.Combine[K, R], int, core.Next[K, core.Change[R]]) any
}

// MayHave says how a table's row is put into the result; without a row, put is not called.
func MayHave[K comparable, V, R any](t Table[K, V], put func(R, V) R) Part[K, R] {
	return part(t, put, false)
}

// Needs is MayHave for a table without whose row there is no result.
func Needs[K comparable, V, R any](t Table[K, V], put func(R, V) R) Part[K, R] {
	return part(t, put, true)
}

func part[K comparable, V, R any](t Table[K, V], put func(R, V) R, need bool) Part[K, R] {
	return Part[K, R]{
		b: t.b, n: t.n, kc: t.kc, user: put, need: need,
		put: func(c *compiler, id core.NodeID) func(*core.Tx, K, R) (R, core.Time, bool) {
			return core.PutRow(id, t.find(c), put)
		},
		from: func(j *core.Combine[K, R], i int, next core.Next[K, core.Change[R]]) any {
			return core.From(j, i, put, next)
		},
	}
}
