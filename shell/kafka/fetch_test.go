package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// An offset that a broker does not have for a moment only is asked for again.
func TestOutOfRangeForAMoment(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out")
	p := producerFor(t, b, "")
	must(t, p.Produce(limit(t, 20*time.Second), []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(3, "a%d")}}))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange, Count: 1})
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp("out", 0), 1, 1, 0)
	if x := next(t, f); x.Err != nil || len(x.Batch.Records) != 2 || x.Batch.Next != 3 {
		t.Fatalf("%+v", x)
	}
}

// A partition that has lost its leader has not caught up, as a merge would believe: what the others bring may be newer.
func TestLostIsNotCaughtUp(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out")
	p := producerFor(t, b, "")
	must(t, p.Produce(limit(t, 20*time.Second), []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(3, "a%d")}}))
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp("out", 0), 0, 1, 0)
	if x := next(t, f); x.Err != nil || !x.Batch.CaughtUp || x.Batch.Next != 3 {
		t.Fatalf("%+v", x)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 1})
	for _, caught := range []bool{false, true} {
		if x := next(t, f); x.Err != nil || x.Batch.CaughtUp != caught || x.Batch.Next != 3 || len(x.Batch.Records) != 0 || x.Tag != 1 {
			t.Fatalf("caught up %v: %+v", caught, x)
		}
	}
}

// What is released of a former Add makes no room in this one.
func TestReleaseOfAFormerAdd(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out")
	p := producerFor(t, b, "")
	for range 3 {
		must(t, p.Produce(limit(t, 20*time.Second), []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(100, "a%0100d")}}))
	}
	f := b.NewFetcher(shell.FetchConfig{PartitionBytes: 1 << 10, BufferBytes: 1}) // a batch at a time
	defer f.Close()
	f.Add(tp("out", 0), 0, 1, 0)
	former := next(t, f)
	f.Add(tp("out", 0), 0, 2, 0)
	x := next(t, f)
	if x.Tag != 2 || x.Batch.Next != 100 || x.Bytes != former.Bytes {
		t.Fatalf("%+v", x)
	}
	f.Release(former.Partition, former.Tag, former.Bytes)
	quiet(t, f, 200*time.Millisecond)
	f.Release(x.Partition, x.Tag, x.Bytes)
	if x = next(t, f); x.Batch.Next != 200 {
		t.Fatalf("%+v", x)
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
		for n < 3 { // beside them comes that it is, or is not, caught up
			fs, err := f.Poll(limit(t, 5*time.Second))
			must(t, err)
			for _, x := range fs {
				n += len(x.Batch.Records)
			}
		}
		if n != 3 {
			t.Fatal(n)
		}
	}
}

// Partitions are asked for by priority, whatever order they were added in, with a topic
// more than once if need be.
func TestPriority(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 3, "a", "b")
	var mu sync.Mutex
	var last []string
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		last = nil
		for _, rt := range r.(*kmsg.FetchRequest).Topics {
			for _, p := range rt.Partitions {
				last = append(last, fmt.Sprint(rt.Topic, p.Partition))
			}
		}
		return nil, nil, false
	})
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp("b", 0), 0, 1, 5)
	f.Add(tp("a", 2), 0, 1, 7)
	f.Add(tp("a", 1), 0, 1, 7)
	f.Add(tp("a", 0), 0, 1, -1)
	f.Add(tp("b", 1), 0, 1, 9)
	for seen := 0; seen < 5; {
		fs, err := f.Poll(limit(t, 5*time.Second))
		must(t, err)
		seen += len(fs)
	}
	time.Sleep(200 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	equal(t, "order", last, []string{"a0", "b0", "a1", "a2", "b1"})
}

// A leader names the replica that is near; errors there lead back to the leader.
func TestFollower(t *testing.T) {
	c := fake(t, 2)
	cfg := testConfig(c.ListenAddrs())
	cfg.RackID = "here"
	b := open(t, cfg)
	topics(t, b, 1, "in", "out")
	ctx := limit(t, 20*time.Second)
	leader := c.LeaderFor("out", 0)
	follower := 1 - leader
	c.SetFollowers("out", 0, []int32{follower})
	var mu sync.Mutex
	asked := map[int32]int{}
	broken := false
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.FetchRequest)
		mu.Lock()
		defer mu.Unlock()
		node := c.CurrentNode()
		asked[node]++
		if req.Rack != "here" {
			t.Errorf("rack %q", req.Rack)
		}
		switch {
		case node == leader && !broken:
			resp := req.ResponseKind().(*kmsg.FetchResponse)
			p := kmsg.NewFetchResponseTopicPartition()
			p.LastStableOffset, p.PreferredReadReplica = 99, follower
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.Partitions = "out", append(rt.Partitions, p)
			resp.Topics = append(resp.Topics, rt)
			return resp, nil, true
		case node == follower && broken:
			return nil, errors.New("broken on purpose"), true
		}
		return nil, nil, false
	})
	p := producerFor(t, b, "")
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp("out", 0), 0, 1, 0)
	for i := range 3 {
		batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "a%d")}
		must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
		for n := 0; n < 3; {
			fs, err := f.Poll(ctx)
			must(t, err)
			for _, x := range fs {
				must(t, x.Err)
				n += len(x.Batch.Records)
			}
		}
		mu.Lock()
		if i < 2 && asked[leader] > 1 || i == 2 && asked[leader] < 2 {
			t.Errorf("round %d: %v", i, asked)
		}
		broken = i == 1
		mu.Unlock()
		time.Sleep(150 * time.Millisecond) // the poll under way ends
	}
}

// A partition that cannot be read for too long says so.
func TestOutage(t *testing.T) {
	c := fake(t, 1)
	cfg := testConfig(c.ListenAddrs())
	cfg.RetryFor = 300 * time.Millisecond
	b := open(t, cfg)
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp("none", 0), 0, 1, 0)
	if x := next(t, f); !errors.Is(x.Err, shell.ErrUnreachable) {
		t.Fatalf("%+v", x)
	}
	quiet(t, f, 200*time.Millisecond)
}

// A fetch that brought little rests, so that what comes meanwhile comes together; one that brought much
// does not, and what is added does not wait for it.
func TestFetchRests(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 2, "in")
	ctx := limit(t, time.Minute)
	p := producerFor(t, b, "")
	send := func(part int32, n int, value string) {
		must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("in", part), Records: records(n, value)}}))
	}
	f := b.NewFetcher(shell.FetchConfig{Rest: 300 * time.Millisecond, Merged: true}) // with one broker
	defer f.Close()
	f.Add(tp("in", 0), 0, 0, 0)
	poll := func() (records, bytes int, at time.Time) {
		for records == 0 { // not the news that it has caught up
			fs, err := f.Poll(ctx)
			must(t, err)
			for _, x := range fs {
				must(t, x.Err)
				records += len(x.Batch.Records)
				bytes += x.Bytes
				f.Release(x.Partition, x.Tag, x.Bytes)
			}
		}
		return records, bytes, time.Now()
	}
	send(0, 1, "first %d")
	_, _, first := poll()
	for range 5 {
		send(0, 1, "more %d")
	}
	if n, _, at := poll(); n != 5 || at.Sub(first) < 200*time.Millisecond {
		t.Errorf("%d records after %v", n, at.Sub(first))
	}
	began := time.Now()
	send(1, 1, "other %d")
	f.Add(tp("in", 1), 0, 0, 0)
	if n, _, at := poll(); n != 1 || at.Sub(began) > 200*time.Millisecond {
		t.Errorf("added: %d records after %v", n, at.Sub(began))
	}
	time.Sleep(300 * time.Millisecond)
	send(0, 1000, strings.Repeat("x", 100)+" %d")
	if _, bytes, at := poll(); bytes < shell.RestBytes {
		t.Fatal(bytes)
	} else {
		send(0, 1, "behind %d")
		if n, _, next := poll(); n != 1 || next.Sub(at) > 200*time.Millisecond {
			t.Errorf("behind much: %d records after %v", n, next.Sub(at))
		}
	}
}

// No broker rests where another one has what its records are merged with.
func TestFetchRestsAlone(t *testing.T) {
	c := fake(t, 2)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 2, "in")
	ctx := limit(t, time.Minute)
	p := producerFor(t, b, "")
	for i := range int32(2) {
		must(t, c.MoveTopicPartition("in", i, i))
	}
	for _, merged := range []bool{true, false} {
		f := b.NewFetcher(shell.FetchConfig{Rest: 50 * time.Millisecond, Merged: merged})
		f.Add(tp("in", 0), 0, 0, 0)
		f.Add(tp("in", 1), 0, 0, 0)
		polls, began := 0, time.Now()
		for time.Since(began) < 500*time.Millisecond {
			must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("in", 0), Records: records(1, "more %d")}}))
			fs, err := f.Poll(ctx)
			must(t, err)
			for _, x := range fs {
				must(t, x.Err)
				f.Release(x.Partition, x.Tag, x.Bytes)
			}
			polls++
		}
		f.Close()
		if merged != (polls > 30) {
			t.Errorf("merged %v: %d polls", merged, polls)
		}
	}
}

// Adding, removing and releasing while records come: what comes has the tag of the last
// Add, and begins where that said.
func TestAddAnew(t *testing.T) {
	c := fake(t, 2)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 4, "out", "in")
	ctx := limit(t, 30*time.Second)
	p := producerFor(t, b, "")
	var batches []*shell.ProduceBatch
	for i := range int32(4) {
		batches = append(batches, &shell.ProduceBatch{Partition: tp("out", i), Records: records(50, "a%d")})
	}
	for range 20 {
		must(t, p.Produce(ctx, batches))
	}
	f := b.NewFetcher(shell.FetchConfig{PartitionBytes: 1 << 10, BufferBytes: 8 << 10})
	defer f.Close()
	type pos struct {
		tag  int64
		next core.Offset
	}
	at := map[shell.Partition]pos{}
	tag := int64(0)
	for i := range 500 {
		q := tp("out", int32(rand.IntN(4)))
		switch rand.IntN(20) {
		case 0:
			tag++
			at[q] = pos{tag, core.Offset(rand.IntN(1000))}
			f.Add(q, at[q].next, tag, int64(rand.IntN(3)))
		case 1:
			f.Remove(q)
			delete(at, q)
		default:
			if len(at) == 0 {
				continue
			}
			short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
			fs, _ := f.Poll(short)
			cancel()
			for _, x := range fs {
				must(t, x.Err)
				a, ok := at[x.Partition]
				if !ok || a.tag != x.Tag {
					continue // from before the last Add, and it says so
				}
				if len(x.Batch.Records) > 0 && x.Batch.Records[0].Offset != a.next {
					t.Fatalf("step %d: %v: begins at %d, not %d", i, x.Partition, x.Batch.Records[0].Offset, a.next)
				}
				at[x.Partition] = pos{a.tag, x.Batch.Next}
				f.Release(x.Partition, x.Tag, x.Bytes)
			}
		}
	}
}
