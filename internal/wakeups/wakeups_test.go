package wakeups

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitions = 3
	workers    = 2
)

var (
	words  = topology.NewTopic("words", codec.String, codec.String)
	names  = topology.NewTopic("names", codec.String, codec.String, topology.Compacted())
	rates  = topology.NewTopic("rates", codec.String, codec.String, topology.Compacted())
	counts = topology.NewTopic("counts", codec.String, codec.Int64)
	joined = topology.NewTopic("joined", codec.String, codec.String)
)

// plan has what workers wait for: a repartition topic between two of them, a join of a stream with a
// table, whose sources wait for each other, and a global table.
func plan(t *testing.T) *topology.Plan {
	t.Helper()
	b := topology.New("app")
	byWord := topology.KeyBy(words.Stream(b), "by-word", func(w string) string { return w })
	topology.Count(byWord, "count").To(counts)
	withName := topology.LeftJoin(byWord, names.Table(b), "with-name", func(w string, n topology.Opt[string]) string { return w + n.Or("") })
	topology.LeftJoinGlobal(withName, rates.GlobalTable(b), "with-rate", func(string) string { return "k" }, func(w string, r topology.Opt[string]) string { return w + r.Or("") }).To(joined)
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// world is an application that runs.
type world struct {
	t      *testing.T
	m      *memory
	db     *versions
	counts atomic.Int64 // results
	came   chan struct{}
	rng    *rand.Rand
	stop   func()
}

// begin starts the application within a bubble, and waits until it has nothing to do.
func begin(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(7, 7)), came: make(chan struct{}, 1), db: &versions{DB: statestore.NewMemory()}}
	w.m = newMemory(
		workers, shell.Topic{Name: "words", Partitions: partitions}, shell.Topic{Name: "counts", Partitions: 1}, shell.Topic{Name: "joined", Partitions: 1},
		shell.Topic{Name: "names", Partitions: partitions, Config: map[string]string{"cleanup.policy": "compact"}},
		shell.Topic{Name: "rates", Partitions: 1, Config: map[string]string{"cleanup.policy": "compact"}})
	w.m.appended = func(p shell.Partition, n int) {
		if p.Topic != "counts" && p.Topic != "joined" {
			return
		}
		w.counts.Add(int64(n))
		select {
		case w.came <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- shell.Run(ctx, plan(t), shell.Config{
			Broker: w.m, Store: w.db, Workers: workers, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			CommitEvery: time.Hour, CommitMin: time.Hour, CommitBytes: 1, RefreshEvery: time.Hour, HangAfter: 24 * time.Hour,
		})
	}()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
	return w
}

// jitter lets other goroutines run for a moment, or not.
func (w *world) jitter() {
	for range w.rng.IntN(4) {
		runtime.Gosched()
	}
	for n := w.rng.IntN(2000); n > 0; n-- {
		_ = n
	}
}

// send writes so many words at once.
func (w *world) send(n int) {
	p := shell.Partition{Topic: "words", ID: int32(w.rng.IntN(partitions))}
	var rs []core.RawRecord
	for range n {
		rs = append(rs, core.RawRecord{Key: []byte("k"), Value: fmt.Append(nil, "w", w.rng.IntN(20)), Time: 1})
	}
	w.m.write(p, rs...)
}

// results waits for so many: a count and a join for each word.
func (w *world) results(words int) {
	w.t.Helper()
	for want := int64(2 * words); w.counts.Load() < want; {
		select {
		case <-w.came:
		case <-time.After(time.Minute): // of a clock that moves when all wait
			w.t.Fatalf("%d of %d results, and all wait: a wake-up was lost\n%s", w.counts.Load(), want, stacks())
		}
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// still fails where the clock has moved: something went on by a timer.
func still(t *testing.T, began time.Time) {
	t.Helper()
	if took := time.Since(began); took != 0 {
		t.Errorf("something waited for a timer: the clock has moved by %v", took)
	}
}

func rounds(n int) int {
	if testing.Short() {
		n /= 10
	}
	return n
}

// Single records, each when the one before has come out, and a few at a time: each is read, committed,
// read from the repartition topic, joined and committed again.
func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t)
		defer w.stop()
		began := time.Now()
		sent := 0
		for range rounds(20_000) {
			for range []int{1, 1, 1, 2, 4}[w.rng.IntN(5)] {
				n := 1
				if w.rng.IntN(50) == 0 {
					n = 100 // more than one piece
				}
				w.send(n)
				w.jitter()
				sent += n
			}
			w.results(sent)
		}
		still(t, began)
		t.Logf("%d words", sent)
	})
}

// Tasks are taken and given back, while records come.
func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t)
		defer w.stop()
		began := time.Now()
		sent := 0
		for range rounds(3_000) {
			g := w.m.groups[w.rng.IntN(workers)]
			task := g.mine[w.rng.IntN(len(g.mine))]
			w.send(1)
			sent++
			w.jitter()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := g.revoke(ctx, task); err != nil {
				t.Fatalf("task %v is not given back, and all wait: a wake-up was lost: %v", task, err)
			}
			cancel()
			if w.rng.IntN(2) == 0 {
				w.send(1)
				sent++
			}
			w.jitter()
			g.events <- shell.GroupEvent{Kind: shell.Assigned, Task: task}
			w.results(sent)
		}
		still(t, began)
	})
}

// A worker with nothing to do takes each version of a global table, so that the one before can go.
func TestGlobals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t)
		defer w.stop()
		began := time.Now()
		for i := range rounds(20_000) {
			for range 1 + w.rng.IntN(3) {
				w.m.write(shell.Partition{Topic: "rates"}, core.RawRecord{Key: []byte("k"), Value: fmt.Append(nil, i)})
				w.jitter()
			}
			synctest.Wait()
			if n := w.db.live.Load(); n != 1 {
				t.Fatalf("round %d: all wait, and %d versions are held: a wake-up was lost", i, n)
			}
		}
		still(t, began)
		if n := w.db.made.Load(); n < int64(rounds(20_000)) {
			t.Errorf("%d versions were made", n)
		}
	})
}

// Stops at any moment come to their end.
func TestStops(t *testing.T) {
	for range rounds(300) {
		synctest.Test(t, func(t *testing.T) {
			w := begin(t)
			w.rng = rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), rand.Uint64()))
			began := time.Now()
			for range 1 + w.rng.IntN(5) {
				w.send(1)
				w.jitter()
			}
			w.stop()
			still(t, began)
		})
	}
}

// versions counts those of global tables that are held.
type versions struct {
	statestore.DB
	live, made atomic.Int64
}

func (v *versions) OpenGlobal(spec statestore.TableSpec) (statestore.Global, error) {
	g, err := v.DB.OpenGlobal(spec)
	return &global{g, v}, err
}

type global struct {
	statestore.Global
	v *versions
}

func (g *global) Version() (statestore.GlobalVersion, error) {
	x, err := g.Global.Version()
	g.v.live.Add(1)
	g.v.made.Add(1)
	return &version{x, g.v}, err
}

type version struct {
	statestore.GlobalVersion
	v *versions
}

func (x *version) Release() {
	x.v.live.Add(-1)
	x.GlobalVersion.Release()
}

var (
	_ shell.Broker = (*memory)(nil)
	_ core.View    = (*version)(nil)
)
