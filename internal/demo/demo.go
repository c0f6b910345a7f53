package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Spec is one topology at work, or several that share nothing but topics.
type Spec struct {
	Name, Short string
	Topologies  func() []*topology.Builder
	// Late ones start after lateAfter, and find what is there.
	Late func() []*topology.Builder
	// Topics are made before anything else: all that the topologies read and write,
	// beside their internal ones.
	Topics []Topic
	// Input and Output are the topics that are counted and timed. The feeder alone writes
	// to Input.
	Input, Output string
	NewFeeder     func(*Feed) Feeder
	// Show is an output record in a few words.
	Show func(*kgo.Record) string
	// Audit reads everything back and judges it.
	Audit func(context.Context, Log) (*Report, error)
}

// Topic is a topic with its settings.
type Topic struct {
	Name   string
	Config map[string]string
}

// Feeder makes up the input.
type Feeder interface {
	// Prepare writes what must be there first.
	Prepare(context.Context) error
	// Run writes until ctx ends.
	Run(context.Context) error
}

// Log is what the broker has.
type Log interface {
	// Read reads all committed records of a topic, each partition in order.
	Read(ctx context.Context, topic string, each func(*kgo.Record) error) error
}

// ErrAudit is what a demo ends with when its audit found something.
var ErrAudit = errors.New("demo: the audit found faults")

// New makes a demo of a spec.
func New(s Spec) cli.Demo {
	return cli.Demo{Name: s.Name, Short: s.Short, Run: s.run}
}

// show is one run of a demo.
type show struct {
	*Spec
	o      cli.DemoOptions
	broker *broker
	feed   *Feed
	plans  []*topology.Plan
	late   int // how many of the plans, the last ones, start late
	tail   tail
	worker worker
	view   *view
	log    *slog.Logger
	began  time.Time

	// What rates are made of: two points in time, a second apart.
	before, after meter
	seen          seen
}

type meter struct {
	at               time.Time
	in, out, commits int64
}

func (s Spec) run(ctx context.Context, o cli.DemoOptions) (err error) {
	began := time.Now()
	builders, late := s.Topologies(), 0
	if s.Late != nil {
		after := s.Late()
		builders, late = append(builders, after...), len(after)
	}
	var plans []*topology.Plan
	for _, b := range builders {
		plan, err := b.Build()
		if err != nil {
			return err
		}
		plans = append(plans, plan)
	}
	if o.StateDir == "" || o.DataDir == "" {
		dir, remove, err := tempDir(os.TempDir())
		if err != nil {
			return err
		}
		defer remove()
		for name, d := range map[string]*string{"state": &o.StateDir, "data": &o.DataDir} {
			if *d == "" {
				*d = filepath.Join(dir, name)
			}
		}
	}
	b, err := openBroker(o.DataDir)
	if err != nil {
		return err
	}
	defer b.close()
	for _, t := range s.Topics {
		if err := b.create(t, o.Partitions); err != nil {
			return err
		}
	}
	w := &show{Spec: &s, o: o, broker: b, plans: plans, late: late, began: began}
	w.tail.came = make(chan *kgo.Record, 1)
	w.view = &view{out: o.Out, logs: o.Err, live: o.Live, width: o.Width}
	w.log = o.Logger(w.view)
	return w.perform(ctx)
}

// perform feeds, watches, ends in good order, and audits.
func (s *show) perform(ctx context.Context) (err error) {
	background := context.WithoutCancel(ctx)
	if s.feed, err = newFeed(s.broker, s.o.Rate, s.Input); err != nil {
		return err
	}
	defer s.feed.client.Close()
	feeder := s.NewFeeder(s.feed)
	if err := feeder.Prepare(ctx); err != nil {
		return err
	}
	unfollow, err := s.tail.follow(background, s.broker, s.Output)
	if err != nil {
		return err
	}
	defer unfollow()
	s.introduce()
	if s.worker, err = s.start(); err != nil {
		return err
	}
	feeding, quit := context.WithCancel(ctx)
	defer quit()
	fed := make(chan error, 1)
	go func() { fed <- feeder.Run(feeding) }()
	var over <-chan time.Time
	if s.o.For > 0 {
		over = time.After(s.o.For)
	}
	ended, err := s.watch(fed, over, quit)
	if !ended {
		s.worker.stop()
		if e := <-s.worker.done(); e != nil {
			err = errors.Join(err, fmt.Errorf("the worker, on its way out: %w", e))
		}
	}
	s.view.leave()
	if err != nil {
		return err
	}
	return s.audit(background)
}

// drainWithin is how long the worker may make no progress while it works off what is
// left. Then the audit says what is missing.
const drainWithin = 30 * time.Second

// restFrames is for how many frames in a row nothing may be left to read: what one
// topology has committed, another one's lag shows a moment later.
const restFrames = 2

// watch shows frames until the feeder has ended and the worker has worked off all that
// was fed. It reports whether the worker has ended, which it should not.
func (s *show) watch(fed <-chan error, over <-chan time.Time, quit func()) (ended bool, err error) {
	frames := time.NewTicker(250 * time.Millisecond)
	defer frames.Stop()
	phase, lag, moved, n, rest := "", int64(-1), time.Now(), 0, 0
	for {
		select {
		case err := <-s.worker.done():
			quit()
			if err == nil {
				err = errors.New("the worker ended, and nobody had asked it to")
			}
			return true, err
		case r := <-s.tail.came:
			s.view.say("First one after %.1fs: %s", time.Since(s.began).Seconds(), s.Show(r))
		case <-over:
			quit()
		case err := <-fed:
			if err == nil {
				err = s.feed.finish(context.Background())
			}
			if err != nil {
				return false, err
			}
			phase, fed, moved = "finishing what is left", nil, time.Now()
			s.worker.calm()
		case now := <-frames.C:
			f := s.frame(now)
			f.phase = phase
			if n++; s.o.Live || n%4 == 0 {
				s.view.show(f)
			}
			if phase == "" {
				continue
			}
			if f.lag == 0 {
				if rest++; rest >= restFrames {
					return false, nil
				}
				continue
			}
			rest = 0
			if f.lag != lag {
				lag, moved = f.lag, now
			}
			if now.Sub(moved) > drainWithin {
				s.view.say("The worker has made no progress for %v, with %d records to go.", drainWithin, f.lag)
				return false, nil
			}
		}
	}
}

func (s *show) introduce() {
	o := &s.o
	s.view.say("%s on an embedded Kafka at %s, exactly once: %d partitions, %d %s a second. ^C ends it, and audits.",
		s.Name, s.broker.addr, len(s.broker.PartitionInfos(s.Input)), o.Rate, s.Input)
	if o.CrashEvery > 0 {
		s.view.say("The worker is a process of its own, killed every %v, in the middle of a commit.", o.CrashEvery)
	}
	if n := s.sum(s.Input); n > 0 {
		s.view.say("Going on behind %s %s of earlier runs.", number(n), s.Input)
	}
}

func (s *show) sum(topic string) (n int64) {
	for _, end := range s.broker.ends(topic) {
		n += end
	}
	return n
}

// audit closes the demo: one line, and what is behind it if it is not all zero.
func (s *show) audit(ctx context.Context) error {
	s.view.say("Reading everything back ...")
	var log Log = s.broker
	if ctx.Value(losing{}) != nil {
		log = &lossy{Log: log, topic: s.Output}
	}
	r, err := s.Audit(ctx, log)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.o.Out, r)
	if r.Clean() {
		return nil
	}
	return fmt.Errorf("%w\n%s", ErrAudit, strings.Join(r.Examples, "\n"))
}
