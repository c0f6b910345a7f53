package view_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/shell/view"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	words  = topology.NewTopic("words", codec.String, codec.String)
	counts = topology.NewTopic("counts", codec.String, codec.Int64, topology.Compacted())
)

// count counts words by themselves.
func count() *topology.Builder {
	b := topology.New("word-count")
	byWord := topology.KeyBy(words.Stream(b), "by-word", func(w string) string { return w })
	topology.Count(byWord, "count").To(counts)
	return b
}

// world is a broker with both topics, and a client.
type world struct {
	broker *kafka.Broker
	client *kgo.Client
	fake   *kfake.Cluster
}

func newWorld(t testing.TB, opts ...kgo.Opt) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, words.Name()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.CreateTopic(counts.Name(), 3, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	b, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &world{b, cl, c}
}

// write writes a record and returns the position behind it.
func (w *world) write(t testing.TB, topic, key string, value []byte) shell.Position {
	t.Helper()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
	if err := w.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return shell.Position{{Topic: topic, ID: r.Partition}: core.Offset(r.Offset + 1)}
}

func number(t testing.TB, n int64) []byte {
	t.Helper()
	b, err := codec.Int64.Append(nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, w *world) *view.View[string, int64] {
	t.Helper()
	v, err := view.Open(t.Context(), w.broker, counts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// The latest row of each key is there when Open returns, and later ones when they are waited for.
func TestRows(t *testing.T) {
	w := newWorld(t)
	for i := range int64(100) {
		w.write(t, counts.Name(), fmt.Sprint(i%10), number(t, i))
	}
	w.write(t, counts.Name(), "3", nil)
	v := open(t, w)
	want := map[string]int64{"0": 90, "1": 91, "2": 92, "4": 94, "5": 95, "6": 96, "7": 97, "8": 98, "9": 99}
	if got := maps.Collect(v.All()); !maps.Equal(got, want) || v.Len() != len(want) {
		t.Fatalf("got %v", got)
	}
	if _, ok := v.Get("3"); ok {
		t.Error("a row that was deleted")
	}
	pos := w.write(t, counts.Name(), "3", number(t, 7))
	pos[shell.Partition{Topic: "elsewhere"}] = 1000
	if err := v.WaitFor(soon(t), pos); err != nil {
		t.Fatal(err)
	}
	if n, ok := v.Get("3"); !ok || n != 7 {
		t.Errorf("%d %v", n, ok)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := v.WaitFor(short, shell.Position{{Topic: counts.Name()}: 1 << 40}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited for what never came: %v", err)
	}
}

// Of transactions the committed ones count, and a view is behind their markers when it has
// caught up.
func TestTransactions(t *testing.T) {
	w := newWorld(t, kgo.TransactionalID("writer"))
	v := open(t, w)
	for i := range int64(6) {
		if err := w.client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		w.write(t, counts.Name(), "k", number(t, i))
		if err := w.client.EndTransaction(t.Context(), kgo.TransactionEndTry(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
		if err := v.CatchUp(soon(t)); err != nil {
			t.Fatal(err)
		}
		if n, _ := v.Get("k"); n != i/2*2 {
			t.Errorf("after transaction %d: %d", i, n)
		}
	}
}

// Whoever awaits what came of his own write finds it, each time, while others write too.
func TestAwait(t *testing.T) {
	w := newWorld(t)
	plan, err := count().Build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- shell.Run(ctx, plan, shell.Config{Broker: w.broker, StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	}()
	v := open(t, w)
	var all sync.WaitGroup
	for who := range 3 {
		all.Go(func() {
			for n := range int64(5) {
				word := fmt.Sprint("word", who)
				if err := v.Await(soon(t), plan, plan.Name(), w.write(t, words.Name(), "k", []byte(word))); err != nil {
					t.Error(err)
					return
				}
				if got, _ := v.Get(word); got != n+1 {
					t.Errorf("%s was written %d times, and the view says %d", word, n+1, got)
				}
			}
		})
	}
	all.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// Who waits learns why the view goes on no longer; what was read stays.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	pos := w.write(t, counts.Name(), "k", number(t, 1))
	v := open(t, w)
	if v.Err() != nil {
		t.Fatal(v.Err())
	}
	for p := range pos {
		pos[p] += 2
	}
	waits := make(chan error, 1)
	go func() { waits <- v.WaitFor(soon(t), pos) }()
	w.write(t, counts.Name(), "k", []byte("no number"))
	if err := <-waits; !errors.Is(err, core.ErrDecode) || !errors.Is(v.Err(), core.ErrDecode) {
		t.Errorf("undecodable: %v, %v", err, v.Err())
	}
	if n, ok := v.Get("k"); n != 1 || !ok {
		t.Errorf("%d %v", n, ok)
	}

	if _, err := view.Open(t.Context(), w.broker, topology.NewTopic("nowhere", codec.String, codec.String)); !errors.Is(err, shell.ErrTopic) {
		t.Errorf("no topic: %v", err)
	}

	other, err := view.Open(t.Context(), w.broker, words)
	if err != nil {
		t.Fatal(err)
	}
	go func() { waits <- other.WaitFor(soon(t), shell.Position{{Topic: words.Name()}: 1 << 40}) }()
	other.Close()
	other.Close()
	if err := <-waits; !errors.Is(err, view.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
