package topology

import (
	"reflect"

	"github.com/seed-81380e12/limpet/core"
)

// Process is the general step: a pure function from the key's state and a value to
// the new state and what it emits. A new key has the zero S.
func Process[K comparable, V, S, W any](s Stream[K, V], name string, step func(S, V, *Out[W]) S, opts ...StateOption) Stream[K, W] {
	set := apply(opts)
	n := s.addNamed("process", name, set, step)
	n.keyed = true
	newTable(s.b, n, s.kc, stateCodecOf[S](s.b, n, set, nil))
	n.table, n.end = false, false // what leaves it is what it emits
	done := doneOf[S](s.b, n, set)
	old := expiring(s.b, n, set, func(*compiler) core.Next[K, core.Change[S]] { return nil })
	n.enter = func(c *compiler) any {
		return within(c, old, core.Process(c.nodeID(n), tableOf[K, S](c, n), step, done, next[K, W](c, n), nil))
	}
	return Stream[K, W]{b: s.b, n: n, kc: s.kc}
}

// Row is a port: the row of the key in hand in another table. A step may not write to it.
type Row[V any] = core.Row[V]

// RowOf makes a Row for tests.
func RowOf[V any](v V) Row[V] { return core.RowOf(v) }

// Moment is a port: key, time and headers of what is in hand: of the record, or of the alarm
// that went off, whose time is what the timer was set to. It needs no connecting. Its key
// is of the processor's type.
type Moment[K comparable] = core.Moment[K]

// MomentOf makes a Moment for tests.
func MomentOf[K comparable](key K, at Time, h ...Headers) Moment[K] {
	return core.MomentOf(key, at, h...)
}

// Range is a port: rows of a table in the order of their keys.
type Range[K comparable, V any] = core.Range[K, V]

// Rejection is a port by which a step refuses the record in hand: see OnError. It is connected by
// itself.
type Rejection = core.Rejection

// Processor is a Process with ports: a struct of the user whose fields are Out, Row, Range,
// Rows, Moment, Rejection, Timer and WallTimer.
// A step gets it as *P; &Ports.Field names a port in the topology:
//
//	type Ports struct {
//		Emails   topology.Out[Email]
//		Customer topology.Row[Customer]
//		Overdue  topology.Timer
//		Now      topology.Moment[string]
//	}
//	p := topology.NewProcessor(orders, "orders", OnOrder) // func(State, Order, *Ports) State
//	topology.Read(p, &p.Ports.Customer, customers)
//	p.OnTimer(&p.Ports.Overdue, OnOverdue) // func(State, *Ports) State
//	topology.Output(p, &p.Ports.Emails).To(Emails)
//
// A port that is not connected is a Build error, but for a Moment. Outs are emptied in the order of the
// struct's fields.
type Processor[K comparable, S, P any] struct {
	// Ports is there for its fields' addresses; what it holds has no meaning.
	Ports *P

	b    *Builder
	hub  *node
	kc   core.Codec[K]
	sc   core.Codec[S]
	done func(S) bool
	old  func(*compiler) *core.Expiry[K, S] // nil: states stay
	plan *ports[K, P]
	// timers has the alarms; nil where the ports have no timer.
	timers *node
}

// ports is what is known of the user's struct.
type ports[K comparable, P any] struct {
	fields []*portField[K, P]
	task   func(*compiler) *core.Ports[K, P]
	timers func(*compiler) *core.Timers[K]
	names  []string // of timers, in order
}

type portField[K comparable, P any] struct {
	name string
	path []int // for reflect
	addr any   // in Processor.Ports: an *Out[W], *Row[V], *Range[K2, V], *Moment[K], *Timer or *WallTimer
	node *node // of an Out that is connected
	// connect connects the field of a task's struct; nil while nothing is.
	connect func(*compiler, *core.Ports[K, P], any)
}

// NewProcessor begins a processor with the stream that it steps on first.
func NewProcessor[K comparable, V, S, P any](s Stream[K, V], name string, step func(S, V, *P) S, opts ...ProcessorOption) Processor[K, S, P] {
	if s.b == nil {
		zero("processor")
	}
	set := apply(opts)
	hub := s.b.addNamed("processor", name)
	s.b.configure(hub, set)
	sc := stateCodecOf[S](s.b, hub, set, nil)
	p := Processor[K, S, P]{Ports: new(P), b: s.b, hub: hub, kc: s.kc, sc: sc, done: doneOf[S](s.b, hub, set), plan: &ports[K, P]{}}
	newTable(s.b, hub, s.kc, sc)
	hub.table, hub.keyed = false, true
	p.old = expiring(s.b, hub, set, func(c *compiler) core.Next[K, core.Change[S]] { return stateChanges[K, S](c, hub) })
	hub.loose = func() []string { return p.plan.loose() }
	p.plan.find(s.b, hub, reflect.ValueOf(p.Ports).Elem(), nil, "")
	p.addTimers(set)
	p.plan.task = func(c *compiler) *core.Ports[K, P] {
		if t, ok := c.ports[hub.id].(*core.Ports[K, P]); ok {
			return t
		}
		t := &core.Ports[K, P]{User: new(P)}
		c.ports[hub.id] = t
		for _, f := range p.plan.fields {
			f.connect(c, t, portAt(reflect.ValueOf(t.User).Elem().FieldByIndex(f.path)))
		}
		return t
	}
	On(p, s, step)
	return p
}

// On steps the processor on a further stream, with the same state.
func On[K comparable, V, S, P any](p Processor[K, S, P], s Stream[K, V], step func(S, V, *P) S, opts ...Option) {
	if p.b == nil {
		zero("On")
	}
	n := s.add("on", "", apply(opts), step)
	if n.keyed, n.input, n.thin = true, true, true; !n.named {
		n.name = p.hub.name
	}
	if s.b.foreign(n, p.b, "the processor") {
		n.end = true
		return
	}
	n.subs, p.hub.ins = append(n.subs, p.hub), append(p.hub.ins, n)
	n.enter = func(c *compiler) any {
		id := c.nodeID(n)
		return within(c, p.old, core.ProcessPorts(id, tableOf[K, S](c, p.hub), p.plan.task(c), step, p.done, stateChanges[K, S](c, p.hub)))
	}
}

// stateChanges is what takes the changes of a processor's states, or nil.
func stateChanges[K, S any](c *compiler, hub *node) core.Next[K, core.Change[S]] {
	if st := c.nodes[hub.id].stateNode; st != nil {
		return changes[K, S](c, st)
	}
	return nil
}

// Output is the stream of what the steps emit to a port.
func Output[K comparable, S, P, W any](p Processor[K, S, P], port *Out[W]) Stream[K, W] {
	if p.b == nil {
		zero("Output")
	}
	f := p.plan.field(port)
	if f == nil {
		n := p.b.add("port", "", p.hub)
		n.end = true
		p.b.wrong(n, "the port of type %s is no field of the Ports of processor %q: take the address of a field of its Ports", typeFor[*Out[W]](), p.hub.name)
		return Stream[K, W]{b: p.b, n: n, kc: p.kc}
	}
	if f.node == nil {
		n := p.b.add("port", "", p.hub)
		n.name, n.thin, n.label = p.hub.name+"."+f.name, true, f.name
		f.node = n
		f.connect = func(c *compiler, t *core.Ports[K, P], at any) { core.AddOut(t, at.(*Out[W]), next[K, W](c, n)) }
	}
	return Stream[K, W]{b: p.b, n: f.node, kc: p.kc}
}

// Read lets the steps see the row that a table of the same keys has for the key in hand.
func Read[K comparable, S, P, V any](p Processor[K, S, P], port *Row[V], t Table[K, V]) {
	if p.b == nil || t.b == nil {
		zero("Read")
	}
	f := p.plan.field(port)
	switch {
	case f == nil:
		p.b.wrong(p.hub, "the port of type %s given to Read is no field of its Ports: take the address of a field of its Ports", typeFor[*Row[V]]())
	case f.connect != nil:
		p.b.wrong(p.hub, "port %s is connected twice: a Row reads one table", f.name)
	default:
		f.connect = func(c *compiler, ps *core.Ports[K, P], at any) { core.AddRow(ps, at.(*Row[V]), t.find(c)) }
		if !p.b.foreign(p.hub, t.b, "the table that port "+f.name+" reads") {
			t.readBy(p.hub)
		}
	}
}

// ReadPartition lets the steps look rows of a table up by a range of keys, or by what keys
// begin with: see Range. They find those of their own partition, and no others: so the table's
// rows must be partitioned by what is looked up, as by the first part of their keys. Keys are
// in the order of the bytes that their codec writes: codec.PairOf, String and numbers that are
// not negative sort as their values do.
func ReadPartition[K, K2 comparable, S, P, V any](p Processor[K, S, P], port *Range[K2, V], t Table[K2, V]) {
	if p.b == nil || t.b == nil {
		zero("ReadPartition")
	}
	f := p.plan.field(port)
	switch {
	case f == nil:
		p.b.wrong(p.hub, "the port of type %s given to ReadPartition is no field of its Ports: take the address of a field of its Ports", typeFor[*Range[K2, V]]())
	case f.connect != nil:
		p.b.wrong(p.hub, "port %s is connected twice: a Range reads one table", f.name)
	default:
		f.connect = func(c *compiler, ps *core.Ports[K, P], at any) {
			core.AddRange(ps, at.(*Range[K2, V]), rowKeys[K2](t.n), t.n.scan(c).(core.Scanner[K2, V]))
		}
		switch {
		case p.b.foreign(p.hub, t.b, "the table that port "+f.name+" reads"):
		case t.n.scan == nil:
			p.b.wrong(p.hub, "port %s reads %v by ranges of keys, and that has no rows of its own: read what it is made of, or turn it into a table with ToStream and ToTable", f.name, t.n)
		default:
			p.hub.near = append(p.hub.near, t.n)
			t.n.read = true
		}
	}
}

// State is the table of the processor's states, named as the processor.
func (p Processor[K, S, P]) State() Table[K, S] {
	if p.b == nil {
		zero("State")
	}
	if p.hub.stateNode == nil {
		n := p.b.add("state", "", p.hub)
		n.name, n.table, n.end, n.scan = p.hub.name, true, true, p.hub.scan
		n.thin, n.label = true, "state"
		p.hub.stateNode = n
	}
	return Table[K, S]{p.b, p.hub.stateNode, p.kc, p.sc, func(c *compiler) core.Lookup[K, S] { return tableOf[K, S](c, p.hub).Get }}
}

// find looks for the ports in the user's struct.
func (ps *ports[K, P]) find(b *Builder, hub *node, v reflect.Value, path []int, prefix string) {
	if v.Kind() != reflect.Struct {
		b.wrong(hub, "its ports are %v: they must be a struct with fields of type Out, Row, Range, Rows, Moment, Rejection, Timer and WallTimer", v.Type())
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		at := append(path[:len(path):len(path)], i)
		port := portAt(v.Field(i))
		switch {
		case f.Name == "_":
		case port != nil:
			p := &portField[K, P]{name: prefix + f.Name, path: at, addr: port}
			if _, ok := port.(core.AnyMoment); ok {
				if _, ok := port.(*Moment[K]); !ok {
					b.wrong(hub, "port %s is a %v, but the processor's key is %s: make it a Moment[%s]", p.name, f.Type, typeFor[K](), typeFor[K]())
				}
				p.connect = func(_ *compiler, ps *core.Ports[K, P], at any) { core.AddMoment(ps, at.(*Moment[K])) }
			}
			if _, ok := port.(*Rejection); ok {
				p.connect = func(_ *compiler, ps *core.Ports[K, P], at any) { core.AddRejection(ps, at.(*Rejection)) }
			}
			ps.fields = append(ps.fields, p)
		case f.Type.Kind() == reflect.Struct:
			ps.find(b, hub, v.Field(i), at, prefix+f.Name+".")
		default:
			b.wrong(hub, "field %s%s of its ports is of type %v and no port: what a step keeps belongs in its state, where it is committed", prefix, f.Name, f.Type)
		}
	}
}

// portAt is the address of a field as the port that it is, or nil. An unexported field
// may be a port too.
func portAt(v reflect.Value) any {
	p, ok := reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Interface().(core.Port)
	if !ok {
		return nil
	}
	return p
}

func (ps *ports[K, P]) field(port any) *portField[K, P] {
	for _, f := range ps.fields {
		if f.addr == port {
			return f
		}
	}
	return nil
}

// loose are the ports that are not connected.
func (ps *ports[K, P]) loose() (names []string) {
	for _, f := range ps.fields {
		if f.connect == nil {
			names = append(names, f.name)
		}
	}
	return names
}
