package topology

import (
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// GlobalTable is a table that every process reads whole: all partitions of its topic. So
// what is joined with it need not have its keys, nor its partition count. Its changes make
// no results.
type GlobalTable[K comparable, V any] struct {
	b *Builder
	n *node
}

// globalInfo is what a node of a global table knows beside its topic.
type globalInfo struct {
	normal func(dst, raw []byte) ([]byte, error) // see GlobalSpec
	make   func(*compiler) any                   // a *core.Global[K, V]
}

// GlobalTable reads the topic as a global table, named after the topic. A null value
// deletes. It is for what is small, changes slowly and is needed everywhere: every process
// keeps all rows.
func (t Topic[K, V]) GlobalTable(b *Builder, opts ...SourceOption) GlobalTable[K, V] {
	d := t.declaration()
	if g, ok := reader[GlobalTable[K, V]](b, asGlobal, d); ok {
		return g
	}
	set := apply(opts)
	n := b.read(asGlobal, "globalTable", d, set)
	g := GlobalTable[K, V]{b, n}
	b.handled(n, g)
	b.noTTL(n, set, "each process reads a global table's topic by itself, and has no common time")
	n.global = &globalInfo{make: func(c *compiler) any { return core.NewGlobal(c.t, n.name, t.kc, t.vc) }}
	if t.kc != nil && !codec.IsCanonical(t.kc) {
		n.global.normal = func(dst, raw []byte) ([]byte, error) {
			k, err := t.kc.Decode(raw)
			if err != nil {
				return nil, err
			}
			return t.kc.Append(dst, k)
		}
	}
	return g
}

// readBy notes that n looks up rows of the table, unless it is another topology's.
func (g GlobalTable[K, V]) readBy(b *Builder, n *node, what string) bool {
	if g.b == nil {
		zero(n.kind)
	}
	if b.foreign(n, g.b, what) {
		return false
	}
	n.globals = append(n.globals, g.n)
	g.n.read = true
	return true
}

func (g GlobalTable[K, V]) find(c *compiler) core.Lookup[K, V] {
	return c.tables[g.n.id].(*core.Global[K, V]).Get
}

// JoinGlobal joins each record with the row of the key that key names; a record with no row
// is dropped and counted. For a record that refers to nothing return a key that the table
// does not have. The record keeps its own key, and may have none. The row is the one that
// the process has when the record is taken: there is no order between the stream and the
// table.
func JoinGlobal[K, G comparable, V, T, R any](s Stream[K, V], t GlobalTable[G, T], name string, key func(V) G, f func(V, T) R, opts ...Option) Stream[K, R] {
	n := s.addNamed("joinGlobal", name, apply(opts), key, f)
	if t.readBy(s.b, n, "the global table") {
		n.enter = func(c *compiler) any { return core.JoinGlobal(c.nodeID(n), t.find(c), key, f, next[K, R](c, n)) }
	}
	return Stream[K, R]{b: s.b, n: n, kc: s.kc}
}

// LeftJoinGlobal is JoinGlobal that also takes records with no row.
func LeftJoinGlobal[K, G comparable, V, T, R any](s Stream[K, V], t GlobalTable[G, T], name string, key func(V) G, f func(V, Opt[T]) R, opts ...Option) Stream[K, R] {
	n := s.addNamed("leftJoinGlobal", name, apply(opts), key, f)
	if t.readBy(s.b, n, "the global table") {
		n.enter = func(c *compiler) any {
			return core.LeftJoinGlobal(c.nodeID(n), t.find(c), key, f, next[K, R](c, n))
		}
	}
	return Stream[K, R]{b: s.b, n: n, kc: s.kc}
}

// Rows is a port: all rows of a global table. A step may look up any key, and not write.
type Rows[K comparable, V any] = core.Rows[K, V]

// RowsOf makes Rows for tests.
func RowsOf[K comparable, V any](rows map[K]V) Rows[K, V] { return core.RowsOf(rows) }

// ReadGlobal lets the steps look up any key of a global table.
func ReadGlobal[K, G comparable, S, P, V any](p Processor[K, S, P], port *Rows[G, V], t GlobalTable[G, V]) {
	if p.b == nil || t.b == nil {
		zero("ReadGlobal")
	}
	f := p.plan.field(port)
	switch {
	case f == nil:
		p.b.wrong(p.hub, "the port of type %s given to ReadGlobal is no field of its Ports: take the address of a field of its Ports", typeFor[*Rows[G, V]]())
	case f.connect != nil:
		p.b.wrong(p.hub, "port %s is connected twice: Rows are those of one global table", f.name)
	default:
		f.connect = func(c *compiler, ps *core.Ports[K, P], at any) { core.AddRows(ps, at.(*Rows[G, V]), t.find(c)) }
		t.readBy(p.b, p.hub, "the global table that port "+f.name+" reads")
	}
}

// GlobalSpec is a global table: a topic of which every process reads all partitions.
type GlobalSpec struct {
	Topic string
	// Schema says what key and value bytes are.
	Schema     string
	Partitions int32 // declared; 0: any
	Compacted  bool  // declared so
	Forever    bool  // declared so
	// Key appends to dst the bytes by which the row of a record's key is looked up. nil: they
	// are the key's own. An error says that the key does not decode. It is safe for
	// concurrent use.
	Key func(dst, raw []byte) ([]byte, error)

	keyCodec, valueCodec any
}

// Global is a global table that the tasks of a sub-topology read.
type Global struct {
	*GlobalSpec
	Index int // in Plan.Globals
}

// Globals returns the global tables of the topology, in the order in which they were made.
func (p *Plan) Globals() []*GlobalSpec { return p.globals }

// TableSpec is the table as TableCodecs wants it.
func (g *GlobalSpec) TableSpec() TableSpec {
	return TableSpec{Name: g.Topic, Source: -1, Origin: -1, Schema: g.Schema, keyCodec: g.keyCodec, valueCodec: g.valueCodec}
}

// addGlobals finds the global tables, and what reads them.
func (p *Plan) addGlobals(b *Builder) map[*node]int {
	index := map[*node]int{}
	for _, n := range p.nodes {
		if n.global == nil {
			continue
		}
		u := b.topics[n.topic]
		index[n] = len(p.globals)
		p.globals = append(p.globals, &GlobalSpec{
			Topic: n.topic, Schema: n.key.schema + " -> " + n.value.schema,
			Partitions: u.partitions, Compacted: u.compacted, Forever: u.forever,
			Key: n.global.normal, keyCodec: n.key.codec, valueCodec: n.value.codec,
		})
	}
	return index
}

// globalsOf are the global tables that the nodes of sub-topology id read.
func (p *Plan) globalsOf(s *Subtopology, part []int, index map[*node]int) {
	seen := map[*node]bool{}
	for _, n := range p.nodes {
		if part[2*n.id] != int(s.ID) {
			continue
		}
		for _, g := range n.globals {
			if !seen[g] {
				seen[g] = true
				s.Globals = append(s.Globals, Global{p.globals[index[g]], index[g]})
				s.globalNodes = append(s.globalNodes, g)
			}
		}
	}
}
