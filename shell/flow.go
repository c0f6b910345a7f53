package shell

import (
	"fmt"
	"time"

	"github.com/reugn/go-streams"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// Message is a record on its way through a Flow.
type Message struct {
	Topic      string
	Key, Value []byte // nil is null
	Headers    core.Headers
	Time       core.Time
}

// FlowConfig says how a Flow runs. The zero value keeps its state in memory.
type FlowConfig struct {
	App   string        // default: the topology's name
	Store statestore.DB // stays open when the flow ends
	// Now is the wall clock. The topology is told it with each message: wall timers go off
	// with the first one behind their time. Default: the machine's.
	Now func() time.Time
}

// Flow is a topology as a plain go-streams stage, so that any connector can feed it and
// take what it makes, with no Kafka:
//
//	flow, err := shell.NewFlow(plan, shell.FlowConfig{})
//	...
//	extension.NewChanSource(in).Via(flow).To(extension.NewChanSink(out))
//	if err := flow.Err(); err != nil { ... }
//
// Elements are Message, or []Message to save hops; what comes out is Message, in the
// order it was made. A message's Topic says which source takes it. There is one task
// for each sub-topology, and what goes to a repartition topic goes to its reader at
// once. Each element is a commit: the state is in the store before its results are
// sent on. Connectors have no transactions, so a crash may lose the element in hand or,
// where the connector sends it again, process it twice.
//
// go-streams has no errors: on one the flow closes its outlet, takes and drops what
// still comes in, and tells from Err.
type Flow struct {
	in, out chan any
	tasks   []*flowTask
	globals map[string]*flowGlobal // by topic
	routes  map[string]flowRoute
	err     error
}

type flowTask struct {
	sub   *topology.Subtopology
	app   string
	core  *core.Task
	store statestore.Store
	point statestore.Checkpoint
	now   func() time.Time
	// arrived is the wall clock's time of what arrived last: see arrives.
	arrived core.Time
}

// flowGlobal is a global table. A message of its topic changes it at once.
type flowGlobal struct {
	spec  *topology.GlobalSpec
	index int
	store statestore.Global
	point statestore.Checkpoint
	now   statestore.GlobalVersion
}

// Get implements core.View.
func (g *flowGlobal) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	return g.now.Get(key, buf)
}

// Scan implements core.View.
func (g *flowGlobal) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	return g.now.Scan(lo, hi, f)
}

type flowRoute struct {
	task   *flowTask
	source core.SourceID
}

// NewFlow starts a flow. It ends when its inlet is closed.
func NewFlow(plan *topology.Plan, cfg FlowConfig) (*Flow, error) {
	if cfg.App == "" {
		cfg.App = plan.Name()
	}
	if cfg.Store == nil {
		cfg.Store = statestore.NewMemory()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Flow{in: make(chan any), out: make(chan any), globals: map[string]*flowGlobal{}, routes: map[string]flowRoute{}}
	for i, spec := range plan.Globals() {
		g, err := openFlowGlobal(spec, i, cfg)
		if err != nil {
			return nil, err
		}
		f.globals[spec.Topic] = g
	}
	for _, sub := range plan.Subtopologies() {
		t, err := openFlowTask(sub, cfg, f.globals)
		if err != nil {
			return nil, err
		}
		f.tasks = append(f.tasks, t)
		for _, g := range f.globals {
			t.move(core.GlobalMove{At: g.point.Input, All: true}, g.index)
		}
		for i, s := range sub.Sources {
			f.routes[s.TopicName(cfg.App)] = flowRoute{t, core.SourceID(i)}
			// Nothing is waited for: what has not come is not there.
			if err := t.core.Step(&core.Batch{Source: core.SourceID(i), Next: t.point.Input[i], CaughtUp: true}); err != nil {
				return nil, err
			}
		}
	}
	startFlow(f)
	return f, nil
}

func openFlowGlobal(spec *topology.GlobalSpec, index int, cfg FlowConfig) (g *flowGlobal, err error) {
	g = &flowGlobal{spec: spec, index: index}
	if g.store, err = cfg.Store.OpenGlobal(statestore.TableSpec{Name: spec.Topic, Schema: spec.Schema}); err != nil {
		return nil, err
	}
	if g.point, _ = g.store.Checkpoint(); len(g.point.Input) != 1 {
		g.point.Input = make([]core.Offset, 1)
	}
	g.now, err = g.store.Version()
	return g, err
}

// take changes the table by one message.
func (g *flowGlobal) take(m *Message) (changed [][]byte, err error) {
	key := m.Key
	if key != nil && g.spec.Key != nil {
		if key, err = g.spec.Key(nil, m.Key); err != nil {
			return nil, fmt.Errorf("global table %s: %w: key: %w", g.spec.Topic, core.ErrDecode, err)
		}
	}
	var writes []core.Write
	if key != nil { // else there is no such row
		writes = []core.Write{{Key: key, Value: m.Value, Time: m.Time}}
	}
	g.point.Input[0]++
	if err := g.store.Apply(writes, g.point); err != nil {
		return nil, err
	}
	now, err := g.store.Version()
	if err != nil {
		return nil, err
	}
	g.now.Release()
	g.now = now
	return [][]byte{key}, nil
}

// move tells the task of the global table with that index in the plan.
func (t *flowTask) move(m core.GlobalMove, index int) {
	for id, g := range t.sub.Globals {
		if g.Index == index {
			m.Global = core.GlobalID(id)
			t.core.Move(m)
		}
	}
}

func openFlowTask(sub *topology.Subtopology, cfg FlowConfig, globals map[string]*flowGlobal) (*flowTask, error) {
	id := core.TaskID{Sub: sub.ID}
	specs := make([]statestore.TableSpec, len(sub.Tables))
	for i, t := range sub.Tables {
		specs[i] = statestore.TableSpec{Name: t.Name, Schema: t.Schema, DueOf: t.DueOf}
	}
	store, err := cfg.Store.Open(id, specs)
	if err != nil {
		return nil, err
	}
	t := &flowTask{sub: sub, app: cfg.App, store: store, now: cfg.Now}
	if t.point, _ = store.Checkpoint(); len(t.point.Input) != len(sub.Sources) {
		t.point.Input = make([]core.Offset, len(sub.Sources))
	}
	t.point.Changelog = make([]core.Offset, len(sub.Tables))
	t.core = sub.NewTask(core.TaskConfig{
		App: cfg.App, ID: id, Resume: t.point.Input, Times: t.point.Times, View: store.View, CacheBytes: 16 << 20,
		Global: func(id core.GlobalID) core.View { return globals[sub.Globals[id].Topic] },
	})
	return t, nil
}

// In is of the streams.Flow interface.
func (f *Flow) In() chan<- any { return f.in }

// Out is of the streams.Flow interface.
func (f *Flow) Out() <-chan any { return f.out }

// Via is of the streams.Flow interface.
func (f *Flow) Via(next streams.Flow) streams.Flow {
	startTransmit(f, next)
	return next
}

// To is of the streams.Flow interface: it returns when the sink has taken everything.
func (f *Flow) To(sink streams.Sink) {
	transmit(f, sink)
	sink.AwaitCompletion()
}

func transmit(from streams.Outlet, to streams.Inlet) {
	for e := range from.Out() {
		to.In() <- e
	}
	close(to.In())
}

// Err is why the flow ended, once its outlet is closed; nil after a clean end.
func (f *Flow) Err() error { return f.err }

// run takes elements until there are no more.
func (f *Flow) run() {
	defer close(f.out)
	for e := range f.in {
		if f.err != nil {
			continue // whoever feeds us must not hang
		}
		switch m := e.(type) {
		case Message:
			f.err = f.take([]Message{m})
		case []Message:
			f.err = f.take(m)
		default:
			f.err = fmt.Errorf("%w: a Flow takes shell.Message, not %T", ErrConfig, e)
		}
	}
	for _, t := range f.tasks {
		if err := t.store.Close(); f.err == nil {
			f.err = err
		}
	}
	for _, g := range f.globals {
		g.now.Release()
		if err := g.store.Close(); f.err == nil {
			f.err = err
		}
	}
}

// take steps messages, one after the other, and what they lead to in the sub-topologies
// behind.
func (f *Flow) take(ms []Message) error {
	for i := range ms {
		if g := f.globals[ms[i].Topic]; g != nil {
			changed, err := g.take(&ms[i])
			if err != nil {
				return err
			}
			for _, t := range f.tasks {
				t.move(core.GlobalMove{At: g.point.Input, Changed: changed}, g.index)
			}
			continue
		}
		r, ok := f.routes[ms[i].Topic]
		if !ok {
			return fmt.Errorf("%w: the topology does not read topic %q", ErrConfig, ms[i].Topic)
		}
		made, failed := r.task.step(r.source, &ms[i])
		for _, o := range made {
			if f.reads(o.Topic) {
				if err := f.take([]Message{o}); err != nil {
					return err
				}
				continue
			}
			f.out <- o
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// reads reports whether the topology reads a topic.
func (f *Flow) reads(topic string) bool {
	_, source := f.routes[topic]
	return source || f.globals[topic] != nil
}

// arrives is the wall clock's time for a message: it never goes back.
func (t *flowTask) arrives() core.Time {
	t.arrived = max(t.arrived, core.Time(t.now().UnixMilli()))
	return t.arrived
}

// step takes a message in, and gives its results. What a tick leads to is a commit of its own: a record that fails
// has nothing before it then that is not committed, and can be taken back by itself. Where it stops the flow, the
// tick's results come out all the same: the store has what led to them.
func (t *flowTask) step(s core.SourceID, m *Message) (made []Message, err error) {
	if t.core.Ticks() {
		if err := t.core.Tick(t.arrives()); err != nil {
			return nil, err
		}
		if made, err = t.commit(nil); err != nil {
			return nil, err
		}
	}
	at := t.point.Input[s]
	if err := t.core.Step(&core.Batch{
		Source: s, Next: at + 1, CaughtUp: true,
		Records: []core.RawRecord{{Key: m.Key, Value: m.Value, Headers: m.Headers.Raw(), Time: m.Time, Offset: at}},
		Arrived: t.arrives(),
	}); err != nil {
		return made, err
	}
	return t.commit(made)
}

// commit puts what was done into the store, and its results behind made.
func (t *flowTask) commit(made []Message) ([]Message, error) {
	before := made
	c, err := t.core.Ready()
	if err != nil {
		return before, err
	}
	for _, o := range c.Outputs { // the commit's memory ends with Advance
		made = append(made, Message{
			Topic: t.sub.Sinks[o.Sink].TopicName(t.app), Time: o.Time,
			Key: clone(o.Key), Value: clone(o.Value), Headers: core.HeadersOf(clone(o.Headers)),
		})
	}
	t.point.Input = append(t.point.Input[:0], c.Next...)
	t.point.Times = append(t.point.Times[:0], c.Times...)
	if !c.Empty() {
		if err := t.store.Apply(c.Writes, t.point); err != nil {
			return before, err
		}
	}
	t.core.Advance()
	return made, nil
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

var _ streams.Flow = (*Flow)(nil)
