package shell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reugn/go-streams"

	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// All go statements of the shell are in this file.

// ErrHung marks a user function that did not return in time.
var ErrHung = errors.New("shell: a user function does not return")

// leaveWithin bounds a clean stop: finish the batch, commit, flush, leave the group.
const leaveWithin = 25 * time.Second

// Run processes the topology until ctx ends, and then stops in good order: it fetches
// no more, commits what was stepped, flushes the state and leaves the group. It returns
// nil after such a stop, and otherwise why it had to stop: for a record that cannot be
// processed an error that wraps a *core.RecordError, which names task, topic,
// partition, offset and operator. The broker stays open, as the caller opened it.
func Run(ctx context.Context, plan *topology.Plan, cfg Config) (err error) {
	cfg = cfg.withDefaults(plan.Name())
	if err := cfg.Validate(plan.Name()); err != nil {
		return err
	}
	if cfg.Broker == nil {
		return fmt.Errorf("%w: Broker is missing", ErrConfig)
	}
	layout, err := newLayout(ctx, cfg.Broker, plan, cfg.AppID)
	if err != nil {
		return stopped(ctx, err)
	}
	if cfg.RecordBytes > 0 {
		layout.limits.all(cfg.RecordBytes)
	}
	db, dir, err := openDB(&cfg, plan.Name())
	if err != nil {
		return err
	}
	hung := false
	defer func() {
		if hung || cfg.Store != nil {
			return // a worker may still be writing; the state is as after a crash
		}
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	instance, err := instanceID(dir)
	if err != nil {
		return err
	}
	globals, err := openGlobals(ctx, &cfg, layout, db)
	if err != nil {
		return stopped(ctx, err)
	}
	p := &process{cfg: &cfg, layout: layout, opener: newOpener(&cfg, layout, db), globals: globals}
	p.opener.refresh = p.refresh
	errs := make(chan error, cfg.Workers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := p.besides(ctx, cancel)
	defer func() {
		cancel()
		err = errors.Join(err, <-watched)
		if !hung {
			globals.close()
		}
	}()
	for i := range cfg.Workers {
		go func() {
			err := p.worker(ctx, i, fmt.Sprintf("%s-%d", instance, i))
			cancel() // one ends, all end
			errs <- err
		}()
	}
	for range cfg.Workers {
		e := <-errs
		hung = hung || errors.Is(e, ErrHung)
		err = errors.Join(err, e)
	}
	return err
}

// stopped tells a stop that was asked for from a failure.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// openDB opens the state store and returns the folder where it lies; "" is memory.
func openDB(cfg *Config, topology string) (statestore.DB, string, error) {
	if cfg.StateDir == "" {
		if cfg.Store != nil {
			return cfg.Store, "", nil
		}
		return statestore.NewMemory(), "", nil
	}
	dir := filepath.Join(cfg.StateDir, cfg.AppID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if cfg.Store != nil {
		return cfg.Store, dir, nil
	}
	rows, blocks := cfg.storeMemory()
	db, err := statestore.OpenPebble(statestore.PebbleConfig{
		Dir: filepath.Join(dir, "db"), App: cfg.AppID, Topology: topology, MemoryBytes: rows, CacheBytes: blocks,
		MaxBytes: cfg.StateMaxBytes, Logger: cfg.Logger,
	})
	return db, dir, err
}

func newOpener(cfg *Config, l *layout, db statestore.DB) *opener {
	shares := 0
	for _, s := range l.subs {
		for _, t := range s.plan.Tables {
			if shares += int(s.partitions); t.DueOf != nil {
				shares += 2 * int(s.partitions) // its indexes, by time and by key, take as much as its rows
			}
		}
		shares += int(s.partitions) * len(s.plan.Globals)
	}
	return &opener{cfg: cfg, layout: l, db: db, cache: cfg.CacheBytes / max(1, shares), batch: restoreBatch, step: stepRecords}
}

// process is what the workers of one process share.
type process struct {
	cfg    *Config
	layout *layout
	opener *opener
	// globals are the global tables; nil: there are none.
	globals *globals

	refreshing sync.Mutex
	ids        map[string]TopicID // of the topics, when they were looked at last
}

// besides starts what a process does beside its workers. It ends with ctx; cancel is called,
// and an error comes, when it cannot go on.
func (p *process) besides(ctx context.Context, cancel func()) <-chan error {
	work := []func(context.Context) error{p.watchTopics}
	if p.globals != nil {
		work = append(work, p.globals.run)
	}
	errs, ended := make(chan error, len(work)), make(chan error, 1)
	for _, f := range work {
		go func() {
			err := f(ctx)
			cancel() // one ends, all end
			errs <- err
		}()
	}
	go func() {
		var err error
		for range work {
			err = errors.Join(err, <-errs)
		}
		ended <- err
	}()
	return ended
}

// worker joins the group and runs the member's tasks until ctx ends or it fails.
func (p *process) worker(ctx context.Context, n int, instance string) error {
	log := p.cfg.Logger.With("worker", n)
	// hard ends everything at once; it outlives ctx, whose end begins a clean stop.
	hard, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()

	m, err := p.join(ctx, n, instance)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { _ = m.prod.Close() }()
	defer m.fetcher.Close()

	w := &worker{id: n, hard: hard, cfg: p.cfg, layout: p.layout, log: log, fetch: m.fetcher, routes: map[Partition]route{}, globals: p.globals.join()}
	flow := newTaskFlow(w)
	w.open = p.openInBackground(hard, flow.opened)
	failed := make(chan error, 1)
	flow.failed = func(err error) { failed <- err }
	wd := &watchdog{began: time.Now()}
	flow.busy = wd.busy
	source := &FetchSource{fetcher: m.fetcher, group: m.group, out: make(chan any)}
	source.start = func(s *FetchSource) {
		polling, quit := context.WithCancel(hard)
		var wg sync.WaitGroup
		wg.Go(func() { s.poll(polling) })
		go func() {
			s.members(hard)
			quit()
			wg.Wait()
			close(s.out)
		}()
	}
	flow.start = func(f *TaskFlow, sink streams.Sink) {
		go func() {
			for r := range f.out {
				sink.In() <- r
			}
			close(sink.In())
		}()
		go f.loop(hard)
	}
	sink := &CommitSink{
		in: make(chan any), done: make(chan struct{}), to: flow.settled,
		c: p.committer(m, log),
	}
	go sink.loop(hard)
	ended := make(chan struct{})
	go func() {
		source.Via(flow).To(sink)
		w.globals.leave()
		close(ended)
	}()

	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-wd.watch(hard, p.cfg.HangAfter):
	case <-ended:
	}
	leaving, done := context.WithTimeout(hard, leaveWithin)
	defer done()
	if errors.Is(err, ErrHung) {
		done() // its worker answers no revocation
		_ = m.group.Close(leaving)
		return err
	}
	if e := m.group.Close(leaving); e != nil && err == nil {
		err = e
	}
	select {
	case <-ended:
	case <-leaving.Done():
		kill()
		select {
		case <-ended:
			err = errors.Join(err, fmt.Errorf("shell: not stopped within %v", leaveWithin))
		case <-time.After(leaveWithin / 5):
			return errors.Join(err, fmt.Errorf("%w: not stopped within %v: %s", ErrHung, leaveWithin, stepping()))
		}
	}
	if err == nil {
		select {
		case err = <-failed: // on the way out
		default:
		}
	}
	return err
}

func (p *process) committer(m membership, log *slog.Logger) *committer {
	return newCommitter(p.layout, p.cfg.Broker, m.prod, m.group, !p.cfg.AtLeastOnce, log.Warn)
}

func (p *process) fetchConfig(n int) FetchConfig {
	partitions, merged := 0, false
	for _, s := range p.layout.subs {
		partitions += int(s.partitions) * len(s.sources)
		merged = merged || len(s.sources) > 1
	}
	buffer := max(64<<10, p.cfg.BufferBytes/max(1, partitions))
	return FetchConfig{Name: fmt.Sprint("worker ", n), PartitionBytes: min(1<<20, buffer), BufferBytes: buffer, Rest: p.cfg.rest(), Merged: merged}
}

// openInBackground returns the worker's port for opening tasks: each in a goroutine of
// its own, as many at a time as the machine has processors.
func (p *process) openInBackground(ctx context.Context, opened chan<- *opening) func(*opening) {
	slots := make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	return func(o *opening) {
		opening, cancel := context.WithCancel(ctx)
		o.cancel = cancel
		go func() {
			defer cancel()
			select {
			case slots <- struct{}{}:
				p.opener.run(opening, o)
				<-slots
			case <-opening.Done():
				o.err = opening.Err()
			}
			select {
			case opened <- o:
			case <-ctx.Done():
				o.discard()
			}
		}()
	}
}

// watchdog notices a worker that does not come back from a user function. sarama has
// no max.poll.interval: heartbeats go on while a worker hangs.
type watchdog struct {
	began time.Time    // it counts from then, since the wall clock may be set
	since atomic.Int64 // when the event in hand was begun, in nanoseconds; 0: none
}

func (d *watchdog) busy(since time.Time) {
	if since.IsZero() {
		d.since.Store(0)
	} else {
		d.since.Store(max(1, int64(since.Sub(d.began))))
	}
}

// watch sends an error when the worker has been busy with one event for so long.
func (d *watchdog) watch(ctx context.Context, limit time.Duration) <-chan error {
	hung := make(chan error, 1)
	go func() {
		every := time.NewTicker(limit / 4)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-every.C:
				if s := d.since.Load(); s != 0 && now.Sub(d.began)-time.Duration(s) > limit {
					hung <- fmt.Errorf("%w: busy for more than %v in %s", ErrHung, limit, stepping())
					return
				}
			}
		}
	}()
	return hung
}

// stepping names the functions that a task is in, the innermost first, from the stacks
// of all goroutines: that costs nothing until it is needed.
func stepping() string {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if !strings.Contains(g, "limpet/core.(*Task).Step") {
			continue
		}
		var frames []string
		lines := strings.Split(g, "\n")
		for i := 1; i+1 < len(lines); i += 2 {
			// What the core calls is the user's. The operators' closures carry the name of
			// where they are instantiated.
			if strings.Contains(lines[i], "limpet/core.") || strings.Contains(lines[i], "limpet/topology.") {
				break
			}
			name, _, _ := strings.Cut(lines[i], "(0x")
			name, _, _ = strings.Cut(name, "({")
			at, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +")
			frames = append(frames, name+" at "+at)
		}
		if len(frames) > 0 {
			return strings.Join(frames, ", called by ")
		}
	}
	return "an unknown function"
}

func startFlow(f *Flow) { go f.run() }

func startTransmit(from streams.Outlet, to streams.Inlet) { go transmit(from, to) }
