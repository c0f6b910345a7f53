package subscribers

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/pubsub"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
)

// gauge counts the bytes that a subscriber has fetched and not yet given back.
type gauge struct {
	shell.Broker
	held, most, all atomic.Int64
}

func (g *gauge) NewFetcher(c shell.FetchConfig) shell.Fetcher {
	return &gaugedFetcher{g.Broker.NewFetcher(c), g}
}

type gaugedFetcher struct {
	shell.Fetcher
	g *gauge
}

func (f *gaugedFetcher) Poll(ctx context.Context) ([]shell.Fetched, error) {
	got, err := f.Fetcher.Poll(ctx)
	for i := range got {
		f.g.all.Add(int64(got[i].Bytes))
		f.g.most.Store(max(f.g.most.Load(), f.g.held.Add(int64(got[i].Bytes))))
	}
	return got, err
}

func (f *gaugedFetcher) Release(p shell.Partition, tag int64, bytes int) {
	f.g.held.Add(-int64(bytes))
	f.Fetcher.Release(p, tag, bytes)
}

// A subscriber that does not get on holds less of what waits for it than twice its buffer, however
// much that is; and another one reads all of it meanwhile.
func TestSlowSubscriber(t *testing.T) {
	const orders, size, buffer = 256, 128 << 10, 1 << 20
	// Of each partition that has room something is fetched, as much as its part of the buffer and
	// one order more: what is out already and what comes.
	const bound = 2*buffer + 2*size
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, pubsub.Orders.Name(), pubsub.Mails.Name()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.CreateTopic(pubsub.Revenue.Name(), 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range orders {
		r, err := demo.Encode(pubsub.Orders, fmt.Sprint(i), pubsub.Order{OrderID: fmt.Sprint(i), Product: strings.Repeat("x", size)})
		if err == nil {
			err = cl.ProduceSync(t.Context(), r).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// follow runs a subscriber, and returns what waits until it has read all.
	follow := func(b *topology.Builder, g *gauge) (all func()) {
		broker, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.ListenAddrs()})
		if err != nil {
			t.Fatal(err)
		}
		g.Broker = broker
		plan, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- shell.Run(ctx, plan, shell.Config{Broker: g, BufferBytes: buffer, Logger: slog.New(slog.DiscardHandler)})
		}()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			_ = broker.Close()
		})
		return func() {
			wait, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if err := shell.Await(wait, broker, plan, plan.Name(), shell.Position{{Topic: pubsub.Orders.Name()}: orders}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var slow, quick gauge
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	slowHasAll := follow(pubsub.Analytics(func(pubsub.Order) { <-gate }), &slow)
	t.Cleanup(open) // a test that fails lets it end
	follow(pubsub.Mailing(), &quick)()
	if all := quick.all.Load(); all < orders*size {
		t.Errorf("the quick one has fetched %d bytes", all)
	}
	if most := slow.most.Load(); most == 0 || most > bound {
		t.Errorf("the slow one holds %d bytes, and its buffer is %d", most, buffer)
	}
	stood := slow.most.Load()
	open()
	slowHasAll()
	t.Logf("of %d bytes the slow one held %d at most while it stood still, %d in all", orders*size, stood, slow.most.Load())
	if most := slow.most.Load(); most > bound {
		t.Errorf("on its way it held %d bytes, and its buffer is %d", most, buffer)
	}
}
