package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

func fake(t testing.TB, brokers int, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	opts = append([]kfake.Opt{
		kfake.NumBrokers(brokers),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testConfig(addrs []string) Config {
	level := slog.LevelError
	if os.Getenv("KAFKA_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return Config{
		Brokers: addrs, RetryFor: 30 * time.Second, SessionTimeout: 6 * time.Second, HeartbeatInterval: 50 * time.Millisecond, FetchWait: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}

func open(t testing.TB, cfg Config) *Broker {
	t.Helper()
	b, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limit(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func tp(topic string, p int32) shell.Partition { return shell.Partition{Topic: topic, ID: p} }

func records(n int, f string) []core.RawRecord {
	rs := make([]core.RawRecord, n)
	for i := range rs {
		rs[i] = core.RawRecord{Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, f, i), Time: core.Time(1000 + i)}
	}
	return rs
}

// fetchUntil reads partitions until each has caught up behind the offsets.
func fetchUntil(t testing.TB, b *Broker, upTo map[shell.Partition]core.Offset) map[shell.Partition][]core.RawRecord {
	t.Helper()
	f := b.NewFetcher(shell.FetchConfig{Name: "test"})
	defer f.Close()
	for p := range upTo {
		f.Add(p, 0, 7, 0)
	}
	got, left := map[shell.Partition][]core.RawRecord{}, len(upTo)
	ctx := limit(t, time.Minute)
	done := map[shell.Partition]bool{}
	for left > 0 {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Fatalf("%v: have %d of %d partitions, %v", err, len(done), len(upTo), counts(got))
		}
		for _, x := range fs {
			must(t, x.Err)
			if x.Tag != 7 {
				t.Fatalf("tag %d", x.Tag)
			}
			got[x.Partition] = append(got[x.Partition], x.Batch.Records...)
			f.Release(x.Partition, x.Tag, x.Bytes)
			if !done[x.Partition] && x.Batch.Next >= upTo[x.Partition] && x.Batch.CaughtUp {
				done[x.Partition] = true
				left--
			}
		}
	}
	return got
}

func counts(m map[shell.Partition][]core.RawRecord) map[shell.Partition]int {
	c := map[shell.Partition]int{}
	for p, rs := range m {
		c[p] = len(rs)
	}
	return c
}

// readBack reads a topic with a client that is not the code under test: read_committed,
// in offset order of each partition: total records, and more if more come soon.
func readBack(t testing.TB, addrs []string, topic string, total int, opts ...kgo.Opt) map[int32][]*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50 * time.Millisecond),
	}, opts...)...)
	must(t, err)
	defer cl.Close()
	out := map[int32][]*kgo.Record{}
	n, quiet := 0, 0
	for deadline := time.Now().Add(time.Minute); (n < total || quiet < 2) && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		fs := cl.PollFetches(ctx)
		cancel()
		before := n
		fs.EachRecord(func(r *kgo.Record) { out[r.Partition] = append(out[r.Partition], r); n++ })
		if quiet++; n > before {
			quiet = 0
		}
	}
	return out
}

func values(rs []core.RawRecord) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func kvalues(rs []*kgo.Record) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %d %.300q, want %d %.300q", what, len(got), got, len(want), want)
	}
}
