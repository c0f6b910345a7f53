package shell

import (
	"context"
	"time"

	"github.com/reugn/go-streams"
)

// A worker is three go-streams stages with batches as elements:
//
//	FetchSource.Via(TaskFlow).To(CommitSink)
//
// A hop from stage to stage costs a channel operation a batch: some nanoseconds a
// record. go-streams knows no errors, no contexts and no acknowledgements, so elements
// carry them: revocations are elements of the stream too, in their order. What became
// of a commit comes back from the sink to the flow beside the stream. Each stage takes
// one element at a time: a stage that ran several would change their order.

// element is what goes from FetchSource to TaskFlow: one of its fields is set.
type element struct {
	fetched []Fetched // what one Poll returned
	group   *GroupEvent
}

// FetchSource turns what is fetched and the group's events into one stream. It ends
// when the group's events end, that is when the member has left the group.
type FetchSource struct {
	fetcher Fetcher
	group   Group
	out     chan any
	start   func(*FetchSource)
}

// Out is of the streams.Source interface.
func (s *FetchSource) Out() <-chan any { return s.out }

// Via lets the source write to the flow's inlet, without a hop in between, and starts it.
func (s *FetchSource) Via(f streams.Flow) streams.Flow {
	if tf, ok := f.(*TaskFlow); ok {
		s.out = tf.in
	}
	s.start(s)
	return f
}

// poll moves batches on until ctx ends.
func (s *FetchSource) poll(ctx context.Context) {
	for {
		got, err := s.fetcher.Poll(ctx)
		if err != nil {
			return // only ctx ends a Poll; what a partition has to say is in Fetched.Err
		}
		select {
		case s.out <- element{fetched: got}:
		case <-ctx.Done():
			return
		}
	}
}

// members moves the group's events on until there are no more.
func (s *FetchSource) members(ctx context.Context) {
	for {
		select {
		case ev, ok := <-s.group.Events():
			if !ok {
				return
			}
			select {
			case s.out <- element{group: &ev}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// TaskFlow runs a worker: its tasks live in this stage and nowhere else.
type TaskFlow struct {
	in      chan any      // element
	out     chan any      // *request
	settled chan result   // from the CommitSink
	opened  chan *opening // from the openings in the background
	w       *worker
	// busy is told when the worker begins to work on something, and with the zero time
	// when it waits: for the watchdog.
	busy   func(time.Time)
	failed func(error) // told once, when the worker has failed
	start  func(*TaskFlow, streams.Sink)
}

func newTaskFlow(w *worker) *TaskFlow {
	// One request is under way at a time, so neither side ever waits for the other.
	f := &TaskFlow{in: make(chan any), out: make(chan any, 1), settled: make(chan result, 1), opened: make(chan *opening), w: w}
	w.commit = func(r *request) { f.out <- r }
	w.beat = func() { f.busy(time.Now()) }
	return f
}

// In is of the streams.Flow interface.
func (f *TaskFlow) In() chan<- any { return f.in }

// Out is of the streams.Flow interface.
func (f *TaskFlow) Out() <-chan any { return f.out }

// Via is of the streams.Flow interface. Nothing comes between the tasks and their commits.
func (f *TaskFlow) Via(streams.Flow) streams.Flow {
	panic("shell: a TaskFlow is followed by a CommitSink")
}

// To connects the sink and waits until it has committed everything.
func (f *TaskFlow) To(sink streams.Sink) {
	f.start(f, sink)
	sink.AwaitCompletion()
}

// always is a channel that can be received from at any time.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// loop is the life of the worker. It ends when the input has ended and all tasks are
// closed, or when ctx ends.
func (f *TaskFlow) loop(ctx context.Context) {
	defer close(f.out)
	timer := time.NewTimer(0)
	defer timer.Stop()
	ended, told := false, false
	for !ended || !f.w.idle() {
		if f.w.err != nil && !told {
			told = true // revocations come next
			f.failed(f.w.err)
		}
		in := f.in
		if ended || f.w.full() {
			in = nil
		}
		timer.Stop()
		due, ok := f.w.due()
		if tick, ticks := f.w.tickDue(); ticks && (!ok || tick.Before(due)) {
			due, ok = tick, true
		}
		if ok {
			timer.Reset(time.Until(due))
		}
		f.busy(time.Time{})
		var more <-chan struct{}
		if f.w.more() {
			more = always
		}
		select {
		case res := <-f.settled: // before more records: the next commit waits for it
			f.settle(res)
		default:
			select {
			case <-ctx.Done():
				return
			case e, ok := <-in:
				f.busy(time.Now())
				if ended = !ok; ok {
					f.take(e.(element))
				}
			case res := <-f.settled:
				f.settle(res)
			case o := <-f.opened:
				f.busy(time.Now())
				f.w.opened(o)
			case <-f.w.globals.woken():
				f.busy(time.Now())
				f.w.moveGlobals()
			case <-timer.C:
				f.busy(time.Now())
			case <-more:
				f.busy(time.Now())
				f.w.goOn()
			}
		}
		if due, ok := f.w.tickDue(); ok {
			if now := time.Now(); !now.Before(due) {
				f.w.tick(now)
			}
		}
		if due, ok := f.w.due(); ok {
			if now := time.Now(); !now.Before(due) {
				f.w.begin(now)
			}
		}
	}
}

func (f *TaskFlow) settle(res result) {
	now := time.Now()
	f.busy(now)
	f.w.settled(now, res)
}

func (f *TaskFlow) take(e element) {
	if e.fetched != nil {
		f.w.fetched(time.Now(), e.fetched)
		return
	}
	f.w.member(*e.group)
}

// CommitSink makes a worker's requests durable, one after the other.
type CommitSink struct {
	in   chan any
	done chan struct{}
	c    *committer
	to   chan<- result
}

// In is of the streams.Sink interface.
func (s *CommitSink) In() chan<- any { return s.in }

// AwaitCompletion is of the streams.Sink interface.
func (s *CommitSink) AwaitCompletion() { <-s.done }

func (s *CommitSink) loop(ctx context.Context) {
	defer close(s.done)
	for e := range s.in {
		s.to <- s.c.commit(ctx, e.(*request))
	}
}

var (
	_ streams.Source = (*FetchSource)(nil)
	_ streams.Flow   = (*TaskFlow)(nil)
	_ streams.Sink   = (*CommitSink)(nil)
)
