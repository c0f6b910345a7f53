package shell_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// Behind an Await, all that was written is in the counts, two topics further on.
func TestAwait(t *testing.T) {
	addrs, plan := newCluster(t), wordCount(t)
	b := openBroker(t, addrs)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	pos := shell.Position{{Topic: "elsewhere"}: 100}
	write := func(n int) {
		for range n {
			r := &kgo.Record{Topic: "words", Key: fmt.Append(nil, n), Value: []byte("word")}
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			pos[shell.Partition{Topic: "words", ID: r.Partition}] = core.Offset(r.Offset + 1)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	written := 3
	write(written)
	if err := shell.Await(short, b, plan, plan.Name(), pos); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody has read it: got %v", err)
	}
	stop := start(t, shell.Config{Broker: openBroker(t, addrs), CommitEvery: 30 * time.Millisecond}, plan)
	for n := range 8 {
		written += n
		write(n)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := shell.Await(ctx, b, plan, plan.Name(), pos); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := lastCount(t, addrs, b); got != int64(written) {
			t.Errorf("%d words were written and awaited, the count is %d", written, got)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// lastCount reads the counts up to where they end now.
func lastCount(t *testing.T, addrs []string, b shell.Broker) (n int64) {
	t.Helper()
	var ps []shell.Partition
	for i := range int32(partitions) {
		ps = append(ps, shell.Partition{Topic: "counts", ID: i})
	}
	bounds, err := b.Bounds(t.Context(), ps)
	if err != nil {
		t.Fatal(err)
	}
	for p, at := range bounds {
		if at.End == 0 {
			continue
		}
		// A partition ends with a transaction's marker.
		cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"counts": {p.ID: kgo.NewOffset().AtStart()}}))
		if err != nil {
			t.Fatal(err)
		}
		for next := int64(0); next < int64(at.End); {
			cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
				if next = r.Offset + 1; !r.Attrs.IsControl() {
					n = max(n, int64(binary.BigEndian.Uint64(r.Value)))
				}
			})
		}
		cl.Close()
	}
	return n
}
