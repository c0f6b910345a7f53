package shell_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
)

// fakeClock is a wall clock that moves when it is told to.
type fakeClock struct{ ms atomic.Int64 }

func (c *fakeClock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

type reminderPorts struct {
	Out    topology.Out[string]
	Remind topology.WallTimer
}

// reminders tell of each word at once, and again an hour later.
func reminders(t *testing.T) *topology.Plan {
	b := topology.New("reminders")
	p := topology.NewProcessor(words.Stream(b), "reminders", func(s, w string, p *reminderPorts) string {
		p.Out.Emit("now " + w)
		p.Remind.In(time.Hour)
		return w
	})
	p.OnTimer(&p.Ports.Remind, func(s string, p *reminderPorts) string {
		p.Out.Emit("later " + s)
		return s
	})
	topology.Output(p, &p.Ports.Out).To(words2)
	return build(t, b)
}

// TestWallTimers sets timers by a clock of its own, while transactions fail, and moves it
// while the process runs and while it does not: each goes off once.
func TestWallTimers(t *testing.T) {
	addrs := newCluster(t)
	clock := new(fakeClock)
	clock.advance(1_000_000 * time.Hour)
	want := map[string]bool{}
	for run := range 3 {
		fb := &faultyBroker{Broker: openBroker(t, addrs), rng: rand.New(rand.NewPCG(uint64(run), 7)), per1000: 100}
		stop := start(t, shell.Config{Broker: fb, CommitEvery: 10 * time.Millisecond, Now: clock.now, Logger: slog.New(slog.DiscardHandler)}, reminders(t))
		var rs []*kgo.Record
		for i := range 20 {
			w := fmt.Sprintf("%d-%d", run, i)
			rs = append(rs, &kgo.Record{Topic: "words", Partition: int32(i % partitions), Key: []byte(w), Value: []byte(w)})
			want["now "+w], want["later "+w] = true, true
		}
		send(t, addrs, rs...)
		if run < 2 { // of this run, later comes in the next one
			all(t, addrs, "counts", len(want)-20)
			fb.off()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			clock.advance(2 * time.Hour)
			continue
		}
		all(t, addrs, "counts", len(want)-20)
		clock.advance(time.Hour)
		all(t, addrs, "counts", len(want))
		fb.off()
		send(t, addrs, &kgo.Record{Topic: "words", Key: []byte("end"), Value: []byte("end")})
		got := all(t, addrs, "counts", len(want)+1)
		slices.Sort(got)
		if n := len(slices.Compact(got)); n != len(want)+1 {
			t.Errorf("%d different ones, want %d", n, len(want)+1)
		}
		for _, g := range got {
			if !want[g] && g != "now end" {
				t.Errorf("got %q", g)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAdvanceIdle closes a window with no further input; and while nothing comes of ticks,
// nothing is committed.
func TestAdvanceIdle(t *testing.T) {
	addrs := newCluster(t)
	clock := new(fakeClock)
	clock.advance(1_000_000 * time.Hour)
	b := topology.New("idle", topology.AdvanceIdle(time.Minute))
	windows := topology.Count(words.Stream(b).Window(topology.Tumbling(time.Minute)), "minutes", topology.EmitOnClose())
	topology.KeyBy(windows.ToStream(), "plain", func(int64) string { return "" }).To(counts)
	var commits atomic.Int64
	stop := start(t, shell.Config{
		Broker: openBroker(t, addrs), CommitEvery: 10 * time.Millisecond, Now: clock.now,
		Events: shell.Events{Committed: func(shell.CommitInfo) { commits.Add(1) }},
	}, build(t, b))
	send(t, addrs, &kgo.Record{Topic: "words", Key: []byte("k"), Value: []byte("w"), Timestamp: clock.now()})
	waitUntil(20*time.Second, func() bool { return commits.Load() > 0 })
	time.Sleep(100 * time.Millisecond)
	before := commits.Load()
	time.Sleep(300 * time.Millisecond)
	if n := commits.Load(); before == 0 || n != before {
		t.Errorf("%d commits, and %d while nothing happened", before, n-before)
	}
	clock.advance(2 * time.Minute)
	if got := last(t, addrs, "counts", 1); got != "\x00\x00\x00\x00\x00\x00\x00\x01" {
		t.Errorf("got %q", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Records that let go what fails, while each tick changes rows and commits take as long as it is between
// ticks: the task comes to the end of them.
func TestTicksLeaveHeldRecords(t *testing.T) {
	type ports struct{ Wall topology.WallTimer }
	const n = 12
	addrs := newCluster(t)
	b := topology.New("held")
	in := words.Stream(b, topology.OnError(topology.Skip))
	late := topology.Suppress(in.ToTable("t"), "late", topology.UntilTimeLimit(10*time.Millisecond)).ToStream()
	topology.FlatMap(late, func(w string, out *topology.Out[string]) {
		if w == "bad" {
			out.Reject(nil)
		}
		out.Emit(w)
	}).To(words2)
	p := topology.NewProcessor(in, "ticks", func(s, _ string, p *ports) string {
		p.Wall.In(time.Millisecond)
		return s + "."
	})
	p.OnTimer(&p.Ports.Wall, func(s string, p *ports) string {
		p.Wall.In(time.Millisecond)
		return s + "'"
	})
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: "words", Key: fmt.Append(nil, i), Value: []byte("bad"), Timestamp: time.UnixMilli(1000 * int64(1+i))})
	}
	rs[0].Value = []byte("good")
	for _, r := range rs {
		r.Partition = 0
	}
	send(t, addrs, rs...)
	const every = 10 * time.Millisecond
	slow := &slowBroker{Broker: openBroker(t, addrs)}
	var wait func()
	wait = func() {
		time.Sleep(3 * every)
		slow.mu.Lock()
		slow.before = wait
		slow.mu.Unlock()
	}
	slow.before = wait
	var skipped atomic.Int64
	stop := start(t, shell.Config{
		Broker: slow, CommitEvery: every,
		Events: shell.Events{Committed: func(i shell.CommitInfo) {
			for _, d := range i.Drops {
				skipped.Add(d.N)
			}
		}},
	}, build(t, b))
	const want = n - 2 // the first is good, nothing is behind the last
	if waitUntil(20*time.Second, func() bool { return skipped.Load() == want }); skipped.Load() != want {
		t.Errorf("%d were skipped, want %d", skipped.Load(), want)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
