package plain

import (
	"cmp"
	"slices"

	"github.com/seed-81380e12/limpet/topology"
)

// Time is event time in milliseconds.
type Time = topology.Time

// Opt is a value that may be missing.
type Opt = topology.Opt[string]

// Key is the key of a record or a row. Start and End are those of its window, where it is in one.
type Key struct {
	Key        string
	Null       bool
	Start, End Time
}

// Less is the order of the keys' bytes, where keys have one length: behind the key comes when its window starts.
func (k Key) Less(o Key) bool {
	return cmp.Or(cmp.Compare(k.Key, o.Key), cmp.Compare(k.Start, o.Start), cmp.Compare(k.End, o.End)) < 0
}

// Record is a record of a stream.
type Record struct {
	Key     Key
	Value   string
	Time    Time
	Headers topology.Headers
}

// Row is a row of a table.
type Row struct {
	Value string
	Time  Time
}

// Change is a row before and after.
type Change struct {
	Key      Key
	Old, New Opt
	Time     Time
	Headers  topology.Headers
}

// Stream and Table are handles: numbers of what is passed on and looked up.
type (
	Stream int
	Table  int
)

// Topology is all operators, in the order in which they were made.
type Topology struct {
	makes []func(*Task)
	// from is what each stream and table is made of, by way of no topic: itself among it.
	from    []map[int]bool
	stamped bool
}

// New begins a topology.
func New() *Topology { return &Topology{} }

func (p *Topology) add(f func(*Task)) { p.makes = append(p.makes, f) }

func (p *Topology) handle(of []int) int {
	n := len(p.from)
	all := map[int]bool{n: true}
	for _, o := range of {
		for h := range p.from[o] {
			all[h] = true
		}
	}
	p.from = append(p.from, all)
	return n
}

// stream makes the handle of a stream that is made of others.
func (p *Topology) stream(of ...Stream) Stream {
	var ids []int
	for _, o := range of {
		ids = append(ids, int(o))
	}
	return Stream(p.handle(ids))
}

// table makes the handle of a table that is made of others.
func (p *Topology) table(of ...Table) Table {
	var ids []int
	for _, o := range of {
		ids = append(ids, int(o))
	}
	return Table(p.handle(ids))
}

// meet reports whether two of the tables are made of one thing.
func (p *Topology) meet(ts ...Table) bool {
	seen := map[int]bool{}
	for _, t := range ts {
		for h := range p.from[t] {
			if seen[h] {
				return true
			}
		}
		for h := range p.from[t] {
			seen[h] = true
		}
	}
	return false
}

// Config is what a task must know of its surroundings.
type Config struct {
	App       string
	Partition int32
	// Partitions says how many partitions a topic has.
	Partitions func(topic string) int32
	// Through are the names, as operators have them, of those that send their records through a topic of the
	// topology's own.
	Through map[string]bool
}

// In is a record that a task takes. A Key or Value that is nil is null.
type In struct {
	Topic      string
	Offset     int64
	Key, Value []byte
	Time       Time
	Headers    topology.Headers
	Arrived    Time // for sources with WallTime
}

// Out is a record that a task has written.
type Out struct {
	Topic      string
	Partition  int32
	Key, Value []byte
	Time       Time
	Headers    topology.Headers
	Dead       *Dead // nil: it is no dead letter
}

// Task is a topology in one partition.
type Task struct {
	Config
	topology *Topology
	hearers  map[Stream][]func(Record)
	follows  map[Table][]func(Change)
	rows     map[Table]func(k Key, asOf Time) (Row, bool)
	sources  map[string]func(In)
	named    map[string]map[Key]Row
	kepts    map[Table]*kept
	globals  map[string]map[string]string
	wall     Time // of the last tick
	passes   []func(Time)
	ticks    []func(Time)
	commits  []func()
	out      []Out
	hand     hand

	events  []*event // all inputs so far
	now     *event
	letGone int // things, on the way of the input in hand
	within  int // the innermost of them under way; 0: none
}

// hand is the input in hand, by which what comes of it is named.
type hand struct {
	topic  string
	offset int64
	ids    int // that were made so far
}

// Task begins a task.
func (p *Topology) Task(c Config) *Task {
	t := &Task{Config: c, topology: p}
	t.begin()
	return t
}

// begin makes all operators anew.
func (t *Task) begin() {
	t.hearers, t.follows, t.rows = map[Stream][]func(Record){}, map[Table][]func(Change){}, map[Table]func(Key, Time) (Row, bool){}
	t.sources, t.named, t.kepts, t.globals = map[string]func(In){}, map[string]map[Key]Row{}, map[Table]*kept{}, map[string]map[string]string{}
	t.passes, t.ticks, t.commits, t.wall = nil, nil, nil, -1
	for _, f := range t.topology.makes {
		f(t)
	}
}

// Take takes the next record of a source.
func (t *Task) Take(in In) {
	t.happen(&event{in: &in, do: func() {
		t.hand = hand{topic: in.Topic, offset: in.Offset}
		if f := t.sources[in.Topic]; f != nil {
			f(in)
		}
	}})
}

// Tick tells the wall clock's time.
func (t *Task) Tick(at Time) {
	t.happen(&event{do: func() {
		t.hand, t.wall = hand{topic: "(tick)", offset: int64(at)}, at
		for _, f := range t.ticks {
			f(at)
		}
	}})
}

// Pass moves the times of all operators on, where nothing came.
func (t *Task) Pass(at Time) {
	t.happen(&event{do: func() {
		t.hand = hand{topic: "(pass)", offset: int64(at)}
		for _, f := range t.passes {
			f(at)
		}
	}})
}

// Moved says what a global table has from now on.
func (t *Task) Moved(topic string, rows map[string]string) {
	t.happen(&event{do: func() { t.globals[topic] = rows }})
}

// firstAtCommit is where ids begin that are made when a commit ends.
const firstAtCommit = 1<<30 - 1

// Commit ends a commit.
func (t *Task) Commit() {
	t.happen(&event{do: func() {
		t.hand.ids = firstAtCommit
		for _, f := range t.commits {
			f()
		}
	}})
}

// Out is what was written since it was asked last, in order.
func (t *Task) Out() []Out {
	out := t.out
	t.out = nil
	return out
}

// Rows are the rows of a table that has some of its own.
func (t *Task) Rows(name string) (rows map[Key]Row, ok bool) {
	rows, ok = t.named[name]
	return rows, ok
}

func (t *Task) hear(s Stream, f func(Record))   { t.hearers[s] = append(t.hearers[s], f) }
func (t *Task) follow(tb Table, f func(Change)) { t.follows[tb] = append(t.follows[tb], f) }

func (t *Task) pass(s Stream, r Record) {
	for _, f := range t.hearers[s] {
		f(r)
	}
}

func (t *Task) change(tb Table, c Change) {
	for _, f := range t.follows[tb] {
		f(c)
	}
}

// latest is the time as of which a row is looked up that is wanted as it is now.
const latest = Time(1<<63 - 1)

// look says how a row is found: as it was at a time, in tables that keep versions, else as it is.
func (t *Task) look(tb Table, f func(k Key, asOf Time) (Row, bool)) { t.rows[tb] = f }

func (t *Task) row(tb Table, k Key) (Row, bool)                { return t.rows[tb](k, latest) }
func (t *Task) rowAsOf(tb Table, k Key, asOf Time) (Row, bool) { return t.rows[tb](k, asOf) }
func (t *Task) through(name string) bool                       { return t.Through[name] }
func (t *Task) onPass(f func(Time))                            { t.passes = append(t.passes, f) }
func (t *Task) onTick(f func(Time))                            { t.ticks = append(t.ticks, f) }
func (t *Task) onCommit(f func())                              { t.commits = append(t.commits, f) }

// none are the headers of what belongs to no record.
var none topology.Headers

// sorted are the keys of a map, in order.
func sorted[V any](m map[Key]V) []Key {
	var keys []Key
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	return keys
}
