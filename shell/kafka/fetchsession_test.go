package kafka

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// Many partitions of streams alone are fetched in a session: what is asked and answered again
// and again is only what is new, and nothing is missing, also when the broker forgets the session.
func TestFetchSession(t *testing.T) {
	c := fake(t, 1)
	var whole, part, named atomic.Int64
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		q := r.(*kmsg.FetchRequest)
		if q.SessionEpoch <= 0 {
			whole.Add(1)
			return nil, nil, false
		}
		n := part.Add(1)
		for i := range q.Topics {
			named.Add(int64(len(q.Topics[i].Partitions)))
		}
		if n == 10 || n == 30 {
			resp := r.ResponseKind().(*kmsg.FetchResponse)
			resp.ErrorCode = kerr.FetchSessionIDNotFound.Code
			return resp, nil, true
		}
		return nil, nil, false
	})
	fetchMany(t, open(t, testConfig(c.ListenAddrs())), "many")
	t.Logf("%d requests whole, %d in sessions, which named %d partitions", whole.Load(), part.Load(), named.Load())
	if part.Load() < 40 || whole.Load() > part.Load() || named.Load() > 20*part.Load() {
		t.Errorf("%d requests whole, %d in sessions, which named %d partitions", whole.Load(), part.Load(), named.Load())
	}
}

// With tables beside streams the order counts, and there is no session; nor where a session goes
// on with tables that were added.
func TestNoFetchSession(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, sessionFrom, "in", "rows")
	var last atomic.Int64
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		last.Store(int64(r.(*kmsg.FetchRequest).SessionEpoch))
		return nil, nil, false
	})
	f := b.NewFetcher(shell.FetchConfig{Name: "test"})
	defer f.Close()
	caught := func(n int) {
		for ctx := limit(t, 10*time.Second); n > 0; {
			fs, err := f.Poll(ctx)
			must(t, err)
			n -= len(fs)
		}
	}
	epoch := func(ok func(int64) bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); !ok(last.Load()); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("epoch %d", last.Load())
			}
		}
	}
	for p := range int32(sessionFrom) {
		f.Add(tp("in", p), 0, 1, 0)
	}
	caught(sessionFrom)
	epoch(func(e int64) bool { return e > 3 })
	f.Add(tp("rows", 0), 0, 1, 1)
	caught(1)
	epoch(func(e int64) bool { return e == sessionEnd })
	f.Remove(tp("rows", 0))
	epoch(func(e int64) bool { return e > 3 })
}

// fetchMany writes to some of many partitions in turn and reads all of them. Buffers are full
// at times, and partitions are added anew.
func fetchMany(t *testing.T, b *Broker, topic string) {
	const parts = sessionFrom + 20
	topics(t, b, parts, topic)
	p := producerFor(t, b, topic+"-writer")
	f := b.NewFetcher(shell.FetchConfig{Name: "test", PartitionBytes: 2 << 10, BufferBytes: 4 << 10})
	defer f.Close()
	ctx := limit(t, time.Minute)
	var next [parts]core.Offset
	var read, wrote [parts]int
	var tags [parts]int64
	var known [parts]bool
	for i := range tags {
		f.Add(tp(topic, int32(i)), 0, 0, 0)
	}
	var held []shell.Fetched
	take := func(q shell.Fetched) {
		must(t, q.Err)
		i := q.Partition.ID
		if q.Tag != tags[i] {
			t.Fatalf("%v: tag %d, not %d", q.Partition, q.Tag, tags[i])
		}
		for _, r := range q.Batch.Records {
			if r.Offset < next[i] {
				t.Fatalf("%v: %d again", q.Partition, r.Offset)
			}
			next[i] = r.Offset + 1
			read[i]++
		}
		next[i], known[i] = max(next[i], q.Batch.Next), true
		held = append(held, q)
	}
	release := func() {
		for _, q := range held {
			f.Release(q.Partition, q.Tag, q.Bytes)
		}
		held = held[:0]
	}
	for round := range 60 {
		var batches []*shell.ProduceBatch
		for _, i := range rand.Perm(parts)[:rand.IntN(4)] {
			batches = append(batches, &shell.ProduceBatch{Partition: tp(topic, int32(i)), Records: records(1+rand.IntN(60), "value %080d")})
			wrote[i] += len(batches[len(batches)-1].Records)
		}
		if len(batches) > 0 {
			must(t, p.Produce(ctx, batches))
			must(t, p.End(ctx))
		}
		if i := rand.IntN(parts); round%5 == 0 {
			tags[i]++
			known[i] = false
			f.Add(tp(topic, int32(i)), next[i], tags[i], 0)
		}
		if round%7 != 0 {
			release()
		}
		for behind := func() bool {
			for i := range tags {
				if !known[i] || round%7 != 0 && read[i] < wrote[i] {
					return true
				}
			}
			return false
		}; behind(); {
			fs, err := f.Poll(ctx)
			if err != nil {
				t.Fatalf("round %d: %v; read %v of %v, known %v", round, err, read, wrote, known)
			}
			for _, q := range fs {
				take(q)
			}
			if round%7 != 0 {
				release()
			}
		}
	}
}
