package shell

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// Stepper is a worker without its goroutines. Run feeds a worker from channels; whoever
// has a Stepper decides itself what happens next, down to each answer of the broker: the
// simulator. All else is what runs in production: worker.go, commit.go, open.go and
// restore.go.
//
// What would run beside the worker, a transaction or the opening of a task, is given to
// Background, whose functions call the ports and hand their result to the worker at their
// end. They may be stopped and gone on with within any call of a port, but they, and the
// methods of the Stepper, must never run at the same time.
type Stepper struct {
	w       *worker
	op      *opener
	c       *committer
	prod    Producer
	clock   func() time.Time
	Group   Group
	Fetcher Fetcher
}

// Background runs what a Stepper wants to be run beside it.
type Background struct {
	// Commit runs a transaction that holds the commits; they are valid until run returns.
	Commit func(commits []*core.Commit, run func())
	// Open runs the opening of a task.
	Open func(id core.TaskID, run func())
	// Follow runs what reads global tables on, until hard ends. It may be nil where there are none.
	Follow func(run func())
	// RestoreBatch, StepRecords and PurgeEvery are fixed in production. 0: as there.
	RestoreBatch, StepRecords int
	PurgeEvery                time.Duration // from one DeleteRecords to the next
	// Clock is what Begin and Tick are told: it does not go back where Config.Now does, as Go's monotonic clock. nil: Config.Now.
	Clock func() time.Time
}

// NewStepper joins the group as one worker, the instance, of a process whose state is
// in cfg.Store. hard ends everything at once.
func NewStepper(hard context.Context, plan *topology.Plan, cfg Config, instance string, bg Background) (*Stepper, error) {
	cfg = cfg.withDefaults(plan.Name())
	if err := cfg.Validate(plan.Name()); err != nil {
		return nil, err
	}
	layout, err := newLayout(hard, cfg.Broker, plan, cfg.AppID)
	if err != nil {
		return nil, err
	}
	globals, err := openGlobals(hard, &cfg, layout, cfg.Store)
	if err != nil {
		return nil, err
	}
	joined := false
	defer func() {
		if !joined {
			globals.close()
		}
	}()
	p := &process{cfg: &cfg, layout: layout, opener: newOpener(&cfg, layout, cfg.Store), globals: globals}
	p.opener.refresh = p.refresh
	if bg.RestoreBatch > 0 {
		p.opener.batch = bg.RestoreBatch
	}
	if bg.StepRecords > 0 {
		p.opener.step = bg.StepRecords
	}
	m, err := p.join(hard, 0, instance)
	if err != nil {
		return nil, err
	}
	w := &worker{
		hard: hard, cfg: &cfg, layout: layout, log: cfg.Logger, fetch: m.fetcher, routes: map[Partition]route{},
		beat: func() {}, globals: globals.join(),
	}
	joined = true
	if globals != nil {
		bg.Follow(func() {
			if err := globals.run(hard); err != nil {
				w.failure(err)
			}
		})
	}
	s := &Stepper{w: w, op: p.opener, c: p.committer(m, cfg.Logger), prod: m.prod, Group: m.group, Fetcher: m.fetcher, clock: bg.Clock}
	if bg.PurgeEvery > 0 {
		s.c.every = bg.PurgeEvery
	}
	if s.clock == nil {
		s.clock = cfg.Now
	}
	w.commit = func(r *request) {
		var cs []*core.Commit
		for _, p := range r.parts {
			cs = append(cs, p.commit)
		}
		bg.Commit(cs, func() {
			res := s.c.commit(hard, r)
			w.settled(s.clock(), res)
		})
	}
	w.open = func(o *opening) {
		ctx, cancel := context.WithCancel(hard)
		o.cancel = cancel
		bg.Open(o.id, func() {
			defer cancel()
			s.op.run(ctx, o)
			w.opened(o)
		})
	}
	return s, nil
}

// Fetched takes what one Poll returned. It must not be called while Full.
func (s *Stepper) Fetched(fs []Fetched) { s.w.fetched(s.clock(), fs) }

// Member takes an event of the group.
func (s *Stepper) Member(ev GroupEvent) { s.w.member(ev) }

// Full says that no more input may be taken until a transaction has ended.
func (s *Stepper) Full() bool { return s.w.full() }

// More reports whether GoOn has something to do.
func (s *Stepper) More() bool { return s.w.more() }

// GoOn steps one more piece of what is in hand.
func (s *Stepper) GoOn() { s.w.goOn() }

// Due is when Begin should be called; ok = false: there is nothing to commit, or another
// transaction is under way.
func (s *Stepper) Due() (at time.Time, ok bool) { return s.w.due() }

// Begin begins a transaction with what was stepped.
func (s *Stepper) Begin(now time.Time) { s.w.begin(now) }

// TickDue is when Tick should be called; ok = false: no task asks for the time.
func (s *Stepper) TickDue() (at time.Time, ok bool) { return s.w.tickDue() }

// Tick tells the tasks the wall clock's time.
func (s *Stepper) Tick(now time.Time) { s.w.tick(now) }

// Err is why the worker has failed. The Group must then be closed.
func (s *Stepper) Err() error { return s.w.err }

// Idle reports whether the worker has nothing left to do: after Group.Close it has ended.
func (s *Stepper) Idle() bool { return s.w.idle() }

// Moves reports whether Move has something to do.
func (s *Stepper) Moves() bool { return s.w.globals != nil && s.w.globals.fresh.Load() }

// Move lets the tasks see the newest versions of global tables. So does each Fetched.
func (s *Stepper) Move() { s.w.moveGlobals() }

// Global is what the process has of a global table: its rows, and where in the topic that is, by
// partition. The view is valid until something else of the Stepper runs.
func (s *Stepper) Global(topic string) (at []core.Offset, rows core.View) {
	t := s.w.globals.g.of[topic]
	return t.at, t.latest
}

// Close closes what the worker has of the broker and of global tables. What follows those must have
// ended.
func (s *Stepper) Close() {
	if g := s.w.globals; g != nil {
		g.leave()
		g.g.close()
	}
	s.Fetcher.Close()
	_ = s.prod.Close()
}

// Tasks calls f for each task that runs, in order, with its store.
func (s *Stepper) Tasks(f func(id core.TaskID, st statestore.Store)) {
	for _, t := range s.w.live() {
		f(t.id, t.store)
	}
}

// membership is what a worker has of the broker.
type membership struct {
	prod    Producer
	group   Group
	fetcher Fetcher
}

// join opens a worker's producer and makes it a member of the group.
func (p *process) join(ctx context.Context, n int, instance string) (m membership, err error) {
	pc := ProducerConfig{TransactionalID: p.cfg.AppID + "-" + instance, Group: p.cfg.AppID}
	if p.cfg.AtLeastOnce {
		pc.TransactionalID = ""
	}
	m.prod = p.cfg.Broker.NewProducer(pc)
	defer func() {
		if err != nil {
			_ = m.prod.Close()
		}
	}()
	// Before anything is read: a transaction that this id left open would hold us up.
	if err := m.prod.Open(ctx); err != nil {
		return m, err
	}
	m.group, err = p.cfg.Broker.Join(ctx, GroupConfig{
		Group: p.cfg.AppID, Instance: instance, TransactionalID: pc.TransactionalID,
		Sources: p.layout.sourceTopics(), OnDisk: p.opener.db.Tasks,
	})
	if err != nil {
		return m, fmt.Errorf("joining group %s: %w", p.cfg.AppID, err)
	}
	m.fetcher = p.cfg.Broker.NewFetcher(p.fetchConfig(n))
	return m, nil
}
