package shell

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// addedFetcher remembers from where a partition was fetched last.
type addedFetcher struct {
	Fetcher
	at   map[Partition]core.Offset
	tags map[Partition]int64
}

func (f *addedFetcher) Add(p Partition, from core.Offset, tag, _ int64) {
	f.at[p], f.tags[p] = from, tag
}
func (f *addedFetcher) Remove(p Partition)            { delete(f.at, p) }
func (f *addedFetcher) Release(Partition, int64, int) {}

// goneWorker is a worker with one task, whose source it reads from offset 5 on.
type goneWorker struct {
	*worker
	task    *task
	source  Partition
	broker  *logBroker
	fetcher *addedFetcher
	opening *opening
	open    func() // ends the opening that was begun
}

func newGoneWorker(t *testing.T, id core.TaskID, source string) *goneWorker {
	t.Helper()
	l, err := newLayout(t.Context(), cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1)), joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	g := &goneWorker{source: Partition{source, id.Partition}, fetcher: &addedFetcher{at: map[Partition]core.Offset{}, tags: map[Partition]int64{}}}
	g.broker = &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
	g.has(0, 5)
	cfg := Config{Broker: g.broker, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
	op := newOpener(&cfg, l, statestore.NewMemory())
	g.worker = &worker{cfg: &cfg, layout: l, log: cfg.Logger, fetch: g.fetcher, routes: map[Partition]route{}, beat: func() {}}
	g.worker.open = func(o *opening) { g.opening = o }
	g.open = func() {
		t.Helper()
		o := g.opening
		if o == nil {
			t.Fatal("nothing is opened")
		}
		g.opening = nil
		op.run(t.Context(), o)
		g.opened(o)
	}
	g.assigned(id)
	g.open()
	if g.err != nil || g.fetcher.at[g.source] != 5 {
		t.Fatalf("%v, fetches from %d", g.err, g.fetcher.at[g.source])
	}
	g.task = g.tasks[0]
	return g
}

// has says what the source has, and what the group has committed of it.
func (g *goneWorker) has(start, committed core.Offset) {
	g.broker.start[g.source] = start
	g.broker.logs[g.source] = []core.RawRecord{{Offset: 99}}
	g.broker.offsets[g.source] = GroupOffset{Partition: g.source, Next: committed}
}

// gone answers the fetch: what it asked for is not there.
func (g *goneWorker) gone() {
	g.fetched(time.Now(), []Fetched{{Partition: g.source, Tag: g.fetcher.tags[g.source], Err: &OffsetError{Partition: g.source, Want: g.fetcher.at[g.source], Has: Bounds{g.broker.start[g.source], 100}}}})
}

// An offset that is gone has been read by another process meanwhile, or is lost: which of
// them, the committed offset says. (Found by the simulator: seed 565465.)
func TestOffsetGone(t *testing.T) {
	for _, c := range []struct {
		source string
		id     core.TaskID
	}{{"orders", core.TaskID{}}, {"app-by-customer-repartition", core.TaskID{Sub: 1}}} {
		t.Run(c.source, func(t *testing.T) {
			stops := func(t *testing.T, g *goneWorker) {
				t.Helper()
				if !errors.Is(g.err, ErrOffsetLost) || !strings.Contains(g.err.Error(), "reset the group's offsets of "+c.source) {
					t.Errorf("got %v", g.err)
				}
			}
			runs := func(t *testing.T, g *goneWorker, from core.Offset) {
				t.Helper()
				if g.err != nil || g.task.state != taskRunning || g.fetcher.at[g.source] != from || g.task.redo || g.task.anew {
					t.Errorf("%v, state %d, fetches %v", g.err, g.task.state, g.fetcher.at)
				}
			}
			t.Run("others have committed", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				g.has(20, 30)
				g.gone()
				g.open()
				runs(t, g, 30)
			})
			t.Run("others commit and delete during the opening", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				g.has(20, 12)
				g.gone()
				g.worker.cfg.Broker = &goneLater{g.broker, func() { g.has(20, 30) }}
				g.open()
				runs(t, g, 30)
			})
			for _, now := range []struct {
				name             string
				start, committed core.Offset
				lost             bool
			}{
				{"what is committed is gone", 20, 12, true},
				{"the end was cut off", 0, 4, false},
				{"the end was cut off before what is committed", 0, 101, true},
			} {
				t.Run(now.name, func(t *testing.T) {
					g := newGoneWorker(t, c.id, c.source)
					g.has(now.start, now.committed)
					g.gone()
					g.open()
					if now.lost {
						stops(t, g)
					} else {
						runs(t, g, now.committed)
					}
				})
			}
			t.Run("the topic was made anew, and the group's offset went with it", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				g.has(0, 0)
				delete(g.broker.offsets, g.source)
				g.gone()
				g.open()
				stops(t, g)
			})
			t.Run("it is what is committed, again and again", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				for range missesMax {
					g.gone()
					g.open()
					runs(t, g, 5)
				}
				g.gone()
				stops(t, g)
			})
			t.Run("it is what is committed, again and again, with commits in between", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				for range 3 * missesMax {
					g.gone()
					g.open()
					runs(t, g, 5)
					commit, err := g.task.core.Ready()
					if err != nil {
						t.Fatal(err)
					}
					g.inflight = &request{began: time.Now(), parts: []part{{task: g.task, commit: commit, ends: slices.Clone(g.task.point.Changelog)}}}
					g.settled(time.Now(), result{request: g.inflight, outcome: committed})
				}
			})
			t.Run("it is another fetch's", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				g.fetched(time.Now(), []Fetched{{Partition: g.source, Tag: g.fetcher.tags[g.source] - 1, Err: &OffsetError{}}})
				runs(t, g, 5)
			})
			for name, o := range map[string]outcome{"committed": committed, "aborted": aborted, "reopen": reopen} {
				t.Run("within a transaction that ends "+name, func(t *testing.T) {
					g := newGoneWorker(t, c.id, c.source)
					r := &request{began: time.Now()}
					g.inflight = r
					g.has(20, 30)
					g.gone()
					if g.opening != nil || g.fetcher.at[g.source] != 5 {
						t.Error("the task is opened while it is not known what is committed")
					}
					g.settled(time.Now(), result{request: r, outcome: o})
					g.open()
					runs(t, g, 30)
				})
			}
			t.Run("the task is revoked meanwhile", func(t *testing.T) {
				g := newGoneWorker(t, c.id, c.source)
				r := &request{began: time.Now()}
				g.inflight = r
				g.gone()
				answered := 0
				g.revoked(c.id, func() { answered++ })
				g.settled(time.Now(), result{request: r, outcome: committed})
				if g.opening != nil || answered != 1 || len(g.tasks) > 0 || g.err != nil {
					t.Errorf("%d tasks, answered %d times, %v", len(g.tasks), answered, g.err)
				}
			})
		})
	}
}

// goneLater does something behind the first look at bounds.
type goneLater struct {
	*logBroker
	then func()
}

func (b *goneLater) Bounds(ctx context.Context, ps []Partition) (map[Partition]Bounds, error) {
	bs, err := b.logBroker.Bounds(ctx, ps)
	if b.then != nil {
		b.then()
		b.then = nil
	}
	return bs, err
}

// A task that was to take back what it did, and is opened again since the outcome of a
// transaction is not known, takes records again.
func TestOpenedAgainInsteadOfAborted(t *testing.T) {
	g := newGoneWorker(t, core.TaskID{}, "orders")
	r := &request{began: time.Now()}
	g.inflight = r
	g.task.redo = true // as after core.ErrTakeBack
	g.settled(time.Now(), result{request: r, outcome: reopen})
	g.open()
	g.fetched(time.Now(), []Fetched{{Partition: g.source, Tag: g.fetcher.tags[g.source], Batch: core.Batch{Next: 6, Records: []core.RawRecord{{Offset: 5, Key: []byte("k"), Value: []byte("v")}}}}})
	if next := g.task.core.Next(nil); g.err != nil || next[0] != 6 {
		t.Errorf("%v, the task is at %d", g.err, next)
	}
}

// A process that stood still while its transaction ended has the rows of when it began: others may have
// deleted some of them since, by tombstones that are gone. (Found by the simulator: seed 5020266.)
func TestRowsAreAsOldAsTheirCommit(t *testing.T) {
	g := newGoneWorker(t, core.TaskID{Sub: 1}, "app-by-customer-repartition")
	c, err := g.task.core.Ready()
	if err != nil {
		t.Fatal(err)
	}
	began := time.UnixMilli(1_700_000_000_000)
	r := &request{began: began, wall: core.Time(began.UnixMilli()), parts: []part{{task: g.task, commit: c, ends: make([]core.Offset, 2)}}}
	g.inflight = r
	g.settled(began.Add(30*time.Hour), result{request: r, outcome: committed})
	if cp, ok := g.task.store.Checkpoint(); g.err != nil || !ok || cp.Wall != core.Time(began.UnixMilli()) {
		t.Errorf("%v; as of %v, want %v", g.err, cp.Wall, began)
	}
}
