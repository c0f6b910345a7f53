package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/pubsub"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
)

const published = 100

// publish writes orders to a topic of one partition, ten of each key.
func publish(t *testing.T, config map[string]string) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for name, config := range map[string]map[string]string{
		pubsub.Orders.Name(): config, pubsub.Archive.Name(): {"retention.ms": "-1"},
	} {
		if err := c.CreateTopic(name, 1, config); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	for i := range published {
		r, err := demo.Encode(pubsub.Orders, fmt.Sprint(i%10), pubsub.Order{OrderID: fmt.Sprint(i), Product: "book"})
		if err == nil {
			err = cl.ProduceSync(t.Context(), r).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c, cl
}

// subscribe runs the archive until it has read all that there is, and returns how many
// orders it has. It fails with what stops the subscriber.
func subscribe(t *testing.T, c *kfake.Cluster, dir string) (int, error) {
	t.Helper()
	b, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	plan, err := pubsub.Archiving().Build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- shell.Run(ctx, plan, shell.Config{Broker: b, StateDir: dir, Logger: slog.New(slog.DiscardHandler)})
		cancel()
	}()
	p := shell.Partition{Topic: pubsub.Orders.Name()}
	bounds, err := b.Bounds(ctx, []shell.Partition{p})
	if err == nil {
		err = shell.Await(ctx, b, plan, plan.Name(), shell.Position{p: bounds[p].End})
	}
	cancel()
	if e := <-ended; e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	return archived(t, c), nil
}

func archived(t *testing.T, c *kfake.Cluster) (n int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{pubsub.Archive.Name(): {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end := c.PartitionInfos(pubsub.Archive.Name())[0].LastStableOffset
	for next := int64(0); next < end; {
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; !r.Attrs.IsControl() {
				n++
			}
		})
	}
	return n
}

// A subscriber that comes when retention has deleted records sees those that are left; one
// that was away meanwhile stops, and says what it has lost.
func TestRetention(t *testing.T) {
	c, cl := publish(t, nil)
	dir := t.TempDir()
	if n, err := subscribe(t, c, dir); n != published || err != nil {
		t.Fatalf("from the beginning: %d orders, %v", n, err)
	}
	for i := range 50 {
		r, _ := demo.Encode(pubsub.Orders, fmt.Sprint(i), pubsub.Order{OrderID: fmt.Sprint(published + i), Product: "book"})
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DeleteRecords(pubsub.Orders.Name(), 0, published+20); err != nil {
		t.Fatal(err)
	}
	_, err := subscribe(t, c, dir)
	var lost *shell.OffsetError
	if !errors.Is(err, shell.ErrOffsetLost) || !errors.As(err, &lost) || lost.Want != published || lost.Has.Start != published+20 {
		t.Fatalf("one that was away: %v", err)
	}

	late, _ := publish(t, nil)
	if err := late.DeleteRecords(pubsub.Orders.Name(), 0, 40); err != nil {
		t.Fatal(err)
	}
	if n, err := subscribe(t, late, t.TempDir()); n != published-40 || err != nil {
		t.Fatalf("one that came late: %d orders, %v", n, err)
	}
}

// A subscriber that comes when the topic was compacted sees the last record of each key.
func TestCompaction(t *testing.T) {
	c, _ := publish(t, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "1", "segment.bytes": "200"})
	c.Compact()
	// The last segment is never compacted.
	if n, err := subscribe(t, c, t.TempDir()); n < 10 || n > 15 || err != nil {
		t.Fatalf("%d of %d orders, %v", n, published, err)
	}
}
