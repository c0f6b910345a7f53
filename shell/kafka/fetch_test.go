package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// next polls for one Fetched.
func next(t testing.TB, f shell.Fetcher) shell.Fetched {
	t.Helper()
	fs, err := f.Poll(limit(t, 5*time.Second))
	must(t, err)
	if len(fs) != 1 {
		t.Fatalf("%d at once: %+v", len(fs), fs)
	}
	return fs[0]
}

func quiet(t testing.TB, f shell.Fetcher, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if fs, err := f.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%+v, %v", fs, err)
	}
}

func TestCaughtUp(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "in", "out")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "x")
	f := b.NewFetcher(shell.FetchConfig{Name: "test"})
	defer f.Close()

	f.Add(tp("out", 0), 0, 1, 0)
	if x := next(t, f); !x.Batch.CaughtUp || x.Batch.Next != 0 || len(x.Batch.Records) != 0 || x.Tag != 1 || x.Err != nil {
		t.Fatalf("empty partition: %+v", x)
	}
	quiet(t, f, 200*time.Millisecond) // reported once
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "a%d")}
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	quiet(t, f, 200*time.Millisecond) // not committed
	must(t, p.End(ctx))
	x := next(t, f)
	if !x.Batch.CaughtUp || x.Batch.Next != 4 || len(x.Batch.Records) != 3 || x.Bytes <= 0 {
		t.Fatalf("records and marker: %+v", x)
	}
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	must(t, p.Abort(ctx))
	if x = next(t, f); len(x.Batch.Records) != 0 || x.Batch.Next != 8 || !x.Batch.CaughtUp {
		t.Fatalf("aborted: %+v", x)
	}
	// Anew, from the middle of a batch.
	f.Add(tp("out", 0), 1, 2, 0)
	if x = next(t, f); len(x.Batch.Records) != 2 || x.Batch.Records[0].Offset != 1 || x.Tag != 2 || x.Batch.Next != 8 {
		t.Fatalf("from the middle: %+v", x)
	}
	// Beyond the end, and before the beginning.
	f.Add(tp("out", 0), 9, 3, 0)
	var oe *shell.OffsetError
	if x = next(t, f); !errors.As(x.Err, &oe) || oe.Want != 9 || oe.Has != (shell.Bounds{Start: 0, End: 8}) || !errors.Is(x.Err, shell.ErrOffsetLost) {
		t.Fatalf("%+v", x)
	}
	must(t, b.DeleteRecords(ctx, map[shell.Partition]core.Offset{tp("out", 0): 4}))
	f.Add(tp("out", 0), 3, 4, 0)
	if x = next(t, f); !errors.As(x.Err, &oe) || oe.Has.Start != 4 {
		t.Fatalf("%+v", x)
	}
	quiet(t, f, 100*time.Millisecond)
	f.Remove(tp("out", 0))
	f.Add(tp("none", 0), 0, 5, 0) // a topic that does not exist yet
	quiet(t, f, 200*time.Millisecond)
	topics(t, b, 1, "none")
	if x = next(t, f); x.Partition != tp("none", 0) || !x.Batch.CaughtUp {
		t.Fatalf("%+v", x)
	}
}

// A full partition is not fetched, the others are; what is released comes again.
func TestBuffer(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 2, "out", "in")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "")
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(100, "a%0100d")}
	for range 20 {
		must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	}
	f := b.NewFetcher(shell.FetchConfig{Name: "test", PartitionBytes: 4 << 10, BufferBytes: 60 << 10}) // smaller than a batch
	defer f.Close()
	f.Add(tp("out", 0), 0, 1, 0)
	f.Add(tp("out", 1), 0, 1, 0)
	total, out := 0, 0
	var held []shell.Fetched
	for total < 2000 {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		fs, err := f.Poll(short)
		cancel()
		for _, x := range fs {
			if x.Partition.ID == 0 {
				total += len(x.Batch.Records)
				out += x.Bytes
				held = append(held, x)
			}
		}
		if out >= 60<<10+30<<10 {
			t.Fatalf("%d bytes delivered", out)
		}
		if err != nil {
			if out < 60<<10 {
				t.Fatalf("%v with %d bytes delivered of %d records", err, out, total)
			}
			batch := &shell.ProduceBatch{Partition: tp("out", 1), Records: records(1, "b%d")}
			must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
			if x := next(t, f); x.Partition.ID != 1 {
				t.Fatalf("%+v", x)
			}
			for _, x := range held {
				f.Release(x.Partition, x.Tag, x.Bytes)
			}
			held, out = nil, 0
		}
	}
}

func TestLeaderMoves(t *testing.T) {
	c := fake(t, 3)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out", "in")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "x")
	f := b.NewFetcher(shell.FetchConfig{Name: "test"})
	defer f.Close()
	f.Add(tp("out", 0), 0, 1, 0)
	next(t, f)
	for i := range int32(9) {
		must(t, c.MoveTopicPartition("out", 0, i%3))
		batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "a%d")}
		must(t, commit(ctx, p, nil, batch, core.Offset(i)))
		n := 0
		for n < 3 {
			n += len(next(t, f).Batch.Records)
		}
		if n != 3 {
			t.Fatal(n)
		}
	}
}
