package demo

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tail watches the output topic as a consumer would: read_committed, from where it ends.
type tail struct {
	mu        sync.Mutex
	count     int64
	last      *kgo.Record
	latencies []time.Duration  // since the last look
	came      chan *kgo.Record // gets the first one
}

// follow takes records until end is called, which returns when nothing of it is left: before
// the broker goes.
func (t *tail) follow(ctx context.Context, b *broker, topic string) (end func(), err error) {
	from := map[int32]kgo.Offset{}
	for p, end := range b.ends(topic) {
		from[int32(p)] = kgo.NewOffset().At(end)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer c.Close()
		for {
			fetches := c.PollFetches(ctx)
			if ctx.Err() != nil {
				return
			}
			t.take(time.Now(), fetches.Records())
		}
	}()
	return func() { cancel(); <-ended }, nil
}

func (t *tail) take(now time.Time, rs []*kgo.Record) {
	if len(rs) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		t.came <- rs[0]
	}
	t.count += int64(len(rs))
	t.last = rs[len(rs)-1]
	for _, r := range rs {
		t.latencies = append(t.latencies, now.Sub(r.Timestamp))
	}
}

// seen are the latencies of a while.
type seen struct{ p50, p99 time.Duration }

// look returns the latencies since the last look.
func (t *tail) look() (s seen) {
	t.mu.Lock()
	l := t.latencies
	t.latencies = nil
	t.mu.Unlock()
	if len(l) > 0 {
		slices.Sort(l)
		s.p50, s.p99 = l[len(l)/2], l[len(l)*99/100]
	}
	return s
}

// total is how many records came since the beginning.
func (t *tail) total() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// newest is the last record that came, or nil.
func (t *tail) newest() *kgo.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
