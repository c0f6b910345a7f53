package topology

import (
	"encoding/binary"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// EmitPerCommit passes on, when the task commits, the last change of each row since the last
// commit; without it every change goes on. The old row of a change is the one that the last
// commit left, and a row that came and went between two commits is not seen. What goes on
// comes in the order in which the rows were first changed, and is part of the same commit
// with all that it leads to.
//
// Which changes are seen depends on when the task commits: after a crash, or with another
// commit interval, there may be others. The last one of each row is always the same.
func EmitPerCommit[K comparable, V any](t Table[K, V]) Table[K, V] {
	if t.b == nil {
		zero("emitPerCommit")
	}
	n := t.b.add("emitPerCommit", "", t.n)
	n.table, n.end = true, true
	batch := func(c *compiler) *core.PerCommit[K, V] {
		if c.shared[n.id] == nil {
			c.shared[n.id] = &core.PerCommit[K, V]{Nth: c.place[n.id]}
		}
		return c.shared[n.id].(*core.PerCommit[K, V])
	}
	n.enter = func(c *compiler) any {
		if len(c.takers(n)) == 0 {
			return next[K, core.Change[V]](c, n)
		}
		return batch(c).Connect(c.t, next[K, core.Change[V]](c, n))
	}
	find := func(c *compiler) core.Lookup[K, V] { return batch(c).Lookup(t.find(c)) }
	return Table[K, V]{t.b, n, t.kc, t.vc, find}
}

// EmitEvery passes on at most one change of a row in each d: the first at once, then the
// last of those that came meanwhile, when d has passed. Time is the greatest one of the
// table's changes, so with no new ones nothing goes on. What was held back for the same
// time comes by the key's bytes. A row that came and went meanwhile is not seen.
//
// The rows of which a change went on within d are state, with a changelog of their own,
// <app>-<name>-changelog: a restart changes nothing.
func EmitEvery[K comparable, V any](t Table[K, V], name string, d time.Duration) Table[K, V] {
	if t.b == nil {
		zero("emitEvery")
	}
	n := t.b.addNamed("emitEvery", name, t.n)
	n.table, n.end, n.clock = true, true, true
	n.funcs = []string{d.String()}
	if d < time.Millisecond || d%time.Millisecond != 0 || d > maxWindow {
		t.b.wrong(n, "EmitEvery(%v): it is a millisecond or more, in whole milliseconds, and at most 100 years", d)
	}
	kc, vc := or(t.kc), pacedCodec[V]{changeCodec[V]{or(t.vc)}}
	n.state = &stateInfo{key: infoOf(kc), value: infoOf[core.Paced[V]](vc), due: dueSince()}
	n.state.make = func(c *compiler) any { return core.NewTable[K, core.Paced[V]](c.t, n.name, kc, vc) }
	n.enter = func(c *compiler) any {
		return core.EmitEvery(tableOf[K, core.Paced[V]](c, n), c.clock(n), core.Ms(d), next[K, core.Change[V]](c, n))
	}
	find := func(c *compiler) core.Lookup[K, V] {
		return core.EmitEveryLookup(tableOf[K, core.Paced[V]](c, n), t.find(c))
	}
	return Table[K, V]{t.b, n, t.kc, t.vc, find}
}

// pacedCodec writes when a change of the row went on, and, where one waits since, its headers
// and the change.
type pacedCodec[V any] struct{ c changeCodec[V] }

func (c pacedCodec[V]) Append(dst []byte, p core.Paced[V]) ([]byte, error) {
	dst = binary.AppendVarint(dst, int64(p.Since))
	if !p.Waits {
		return dst, nil
	}
	return c.c.Append(appendSized(dst, p.Headers.Raw()), p.Change)
}

func (c pacedCodec[V]) Decode(src []byte) (p core.Paced[V], err error) {
	in := cutter{src: src}
	p.Since = core.Time(in.varint())
	if !in.cut && len(in.rest()) == 0 {
		return p, nil
	}
	headers, _ := in.sized()
	if err := in.err("paced row"); err != nil {
		return p, err
	}
	p.Waits, p.Headers = true, core.HeadersOf(append([]byte(nil), headers...))
	p.Change, err = c.c.Decode(in.rest())
	return p, core.MalformedPart(in.at, "paced row", err)
}

func (c pacedCodec[V]) Schema() string { return "paced(" + codec.SchemaOf(c.c.vc) + ")" }
func (c pacedCodec[V]) Check() error   { return codec.Check(c.c.vc) }
