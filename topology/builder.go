package topology

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// ErrInvalid marks a topology that Build refuses.
var ErrInvalid = errors.New("topology: invalid")

// Builder collects the nodes of one topology. It is not safe for concurrent use.
type Builder struct {
	name     string
	nodes    []*node
	topics   map[string]*topicUse
	mistakes []mistake
	stamp    func(Origin) Headers // nil: sinks write the headers of the record in hand
	idle     time.Duration        // of AdvanceIdle; 0: off
}

// New begins a topology. Its name is the default application id: the prefix of its
// internal topics, and its consumer group.
func New(name string, opts ...BuilderOption) *Builder {
	b := &Builder{name: name, topics: map[string]*topicUse{}}
	for _, o := range opts {
		o.build(b)
	}
	return b
}

// Name is the topology's name.
func (b *Builder) Name() string { return b.name }

// node is an operator, a source or a sink. Edges lead from ins to subs: where its records
// come from, and who takes them, in the order in which it was said.
type node struct {
	id    int
	kind  string // "filter", "join": the word for it
	name  string
	named bool // by the user, or a topic
	funcs []string
	ins   []*node
	subs  []*node
	reads []*node // tables whose rows it looks up
	near  []*node // tables that it looks into by other keys, in its own partition
	// globals are the global tables whose rows it looks up. They bring nothing together.
	globals []*node
	read    bool // as a table, by another node
	clock   bool // it has a time of its own
	root    bool // what leaves it comes of no record
	// policies are what the user said of errors and drops there.
	policies policies
	// through: each record that it takes leads to one, without end.
	through bool

	table bool // what leaves it are changes of rows
	end   bool // may lead nowhere: it is a sink or keeps a state
	keyed bool // its input must be partitioned by key
	// rekeyed: what leaves it may be in the wrong partition, and goes through a topic
	// where a keyed node follows; always: in any case.
	rekeyed, always bool

	holds holding // for how long it keeps the values that it takes

	// Of processors: each input is a node that leads to one that has the state and the
	// ports, and answers for all of them.
	input     bool
	loose     func() []string // ports that are not connected
	stateNode *node           // the handle of State, if any

	topic      string        // of a source or a sink
	partitions int32         // of the repartition topic
	ttl        time.Duration // of the rows; 0: they stay
	history    time.Duration // of the rows' versions; 0: there are none
	key, value codecInfo
	state      *stateInfo
	global     *globalInfo // of a global table: it is in no sub-topology
	windows    any         // of a windowed aggregate: *tableWindows[K]

	// Of pictures: a thin node is drawn as an arrow, with the label; setBy is the processor that
	// sets the alarms of the node.
	thin  bool
	label string
	setBy *node

	// What a task is made of, see compile.go. enter makes the chain that takes the
	// node's input, a core.Next of its types; source attaches what feeds it from a topic.
	enter  func(*compiler) any
	source func(*compiler)
	scan   func(*compiler) any // of tables with rows that have an order: a core.Scanner
}

// holding says for how long an operator may refer to the values that it takes, or to what
// a user's function made of them.
type holding uint8

const (
	forLong holding = iota // as far as is known
	forStep                // it passes them on
	nothing                // and they end there: they are encoded, or not looked at
)

// stateInfo is a table with rows of its own.
type stateInfo struct {
	key, value codecInfo
	canonical  bool // a key's bytes in a topic are those that the table writes
	other      bool // the topic that it reads has other rows: of other times, or that have expired
	make       func(*compiler) any
	due        *core.DueOrder // of rows that are looked for by when they come due
}

// codecInfo is a codec without its type.
type codecInfo struct {
	codec  any
	schema string
	err    error
}

func infoOf[T any](c core.Codec[T]) codecInfo {
	if c == nil {
		return codecInfo{err: errors.New("the codec is nil")}
	}
	return codecInfo{c, codec.SchemaOf(c), codec.Check(c)}
}

// same reports whether both write the same bytes, as far as it is known.
func (i codecInfo) same(other codecInfo) bool {
	a, b := reflect.TypeOf(i.codec), reflect.TypeOf(other.codec)
	if _, ok := i.codec.(interface{ Schema() string }); !ok && a == b && a != nil && a.Comparable() {
		return i.codec == other.codec // with no schema: the very same one
	}
	return i.schema == other.schema
}

// or is c, or the default of its type.
func or[T any](c core.Codec[T]) core.Codec[T] {
	if c == nil {
		return codec.Default[T]()
	}
	return c
}

// mistake is one error of Build.
type mistake struct {
	node int // -1: of the whole
	text string
}

// wrong notes a mistake at a node.
func (b *Builder) wrong(n *node, format string, args ...any) {
	b.mistakes = append(b.mistakes, mistake{n.id, n.String() + ": " + fmt.Sprintf(format, args...)})
}

// String is the node's kind and what tells it from others of that kind.
func (n *node) String() string {
	switch {
	case n.named || n.name != n.kind:
		return fmt.Sprintf("%s %q", n.kind, n.name)
	case len(n.funcs) > 0:
		return n.kind + " " + n.funcs[0]
	}
	return n.kind
}

// add appends a node behind ins. A node that was not given a name is called by its kind.
func (b *Builder) add(kind, name string, ins ...*node) *node {
	n := &node{id: len(b.nodes), kind: kind, name: name, named: name != ""}
	b.nodes = append(b.nodes, n)
	for _, in := range ins {
		n.ins = append(n.ins, in)
		in.subs = append(in.subs, n)
	}
	if !n.named {
		n.name = kind
	}
	return n
}

// lookups are the tables that n looks into.
func (n *node) lookups() []*node { return append(n.reads[:len(n.reads):len(n.reads)], n.near...) }

// addNamed appends a node whose name the user must give.
func (b *Builder) addNamed(kind, name string, ins ...*node) *node {
	n := b.add(kind, name, ins...)
	if n.named = true; name == "" {
		n.name = ""
		b.wrong(n, "has no name: give it one, it is part of what is stored")
	}
	return n
}

// configure applies options and user functions to a node.
func (b *Builder) configure(n *node, s settings, funcs ...any) {
	if s.name != "" && !n.named {
		n.name, n.named = s.name, true
	}
	n.policies = s.policies.or(n.policies)
	for _, f := range funcs {
		if reflect.ValueOf(f).IsNil() {
			b.wrong(n, "its function is nil")
			continue
		}
		n.funcs = append(n.funcs, funcName(f))
	}
	if s.partitions != nil {
		if n.partitions = *s.partitions; n.partitions < 1 {
			b.wrong(n, "Partitions(%d): a topic has one or more", n.partitions)
			n.partitions = 0
		}
	}
}

// foreign reports, and notes as a mistake of n, that other is of another topology.
func (b *Builder) foreign(n *node, other *Builder, what string) bool {
	if b == other {
		return false
	}
	b.wrong(n, "%s is of another topology (%q): handles cannot be shared, topics can", what, other.name)
	return true
}

// funcName is a function's name with its package, "emailservice.Compose".
func funcName(f any) string {
	fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer())
	if fn == nil {
		return ""
	}
	name := fn.Name()
	if i := strings.IndexByte(name, '['); i >= 0 { // of a generic function: "[...]"
		name = name[strings.LastIndexByte(name[:i], '/')+1:]
	} else {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	return strings.TrimSuffix(name, "-fm")
}

// snapshot copies the graph, so that a plan does not change when the builder goes on.
func (b *Builder) snapshot() []*node {
	nodes := make([]*node, len(b.nodes))
	for i, n := range b.nodes {
		c := *n
		nodes[i] = &c
	}
	for _, n := range nodes {
		for _, list := range []*[]*node{&n.ins, &n.subs, &n.reads, &n.near, &n.globals} {
			*list = slices.Clone(*list)
			for i, m := range *list {
				(*list)[i] = nodes[m.id]
			}
		}
		if n.setBy != nil {
			n.setBy = nodes[n.setBy.id]
		}
	}
	return nodes
}

// zero panics for a handle that no builder has made. There is no topology that could
// report it.
func zero(what string) {
	panic("topology: " + what + " of a zero handle: handles come from Topic.Stream, Topic.Table and operators")
}
