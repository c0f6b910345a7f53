package shell_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/shell"
)

// TestShutdown stops an application 100 times while words come in: before it has joined,
// while it opens its tasks, in the midst of commits. It must end in good order within 5 s,
// and in the end every word must have been counted once.
func TestShutdown(t *testing.T) {
	const most = 5 * time.Second
	times := 100
	if testing.Short() {
		times = 10
	}
	addrs, dir, rng := newCluster(t), t.TempDir(), rand.New(rand.NewPCG(4, 4))
	broker, plan := openBroker(t, addrs), wordCount(t)
	quit := make(chan struct{})
	fed := make(chan map[string]int64, 1)
	go func() { fed <- stream(t, addrs, quit) }()
	written := sync.OnceValue(func() map[string]int64 {
		close(quit)
		return <-fed
	})
	t.Cleanup(func() { written() })

	var took []time.Duration
	working := 0 // times that something had been committed
	for range times {
		var commits atomic.Int64
		cfg := shell.Config{
			Broker: broker, StateDir: dir, CommitEvery: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			Events: shell.Events{Committed: func(shell.CommitInfo) { commits.Add(1) }},
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- shell.Run(ctx, plan, cfg) }()
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
		} else {
			n := int64(1 + rng.IntN(10))
			waitUntil(30*time.Second, func() bool { return commits.Load() >= n })
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
		if commits.Load() > 0 {
			working++
		}
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		if took[len(took)-1] > most {
			t.Errorf("a stop took %v", took[len(took)-1])
		}
	}
	want := written()
	slices.Sort(took)
	t.Logf("%d stops, %d of them amid commits: median %v, longest %v", times, working, took[times/2], took[times-1])
	if working < times/2 {
		t.Errorf("only %d of %d were at work", working, times)
	}
	stop := start(t, shell.Config{Broker: broker, StateDir: dir, CommitEvery: 20 * time.Millisecond}, plan)
	await(t, addrs, want, 60*time.Second)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// stream writes words until it is told to quit, and returns how often each was written.
func stream(t testing.TB, addrs []string, quit <-chan struct{}) map[string]int64 {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer cl.Close()
	want := map[string]int64{}
	for i := 0; ; i++ {
		select {
		case <-quit:
			return want
		case <-time.After(2 * time.Millisecond):
		}
		var rs []*kgo.Record
		for k := range 20 {
			w := fmt.Sprintf("word-%d", (i+k)%50)
			want[w]++
			rs = append(rs, &kgo.Record{Topic: "words", Key: fmt.Append(nil, i, k), Value: []byte(w)})
		}
		if err := cl.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
			t.Error(err)
			return want
		}
	}
}
