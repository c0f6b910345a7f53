package shell_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
)

// slowBroker does something before the next Produce or Open.
type slowBroker struct {
	shell.Broker
	mu         sync.Mutex
	before     func() // of the next Produce
	beforeOpen func() // of the next Open
}

func (b *slowBroker) NewProducer(cfg shell.ProducerConfig) shell.Producer {
	return &slowProducer{b.Broker.NewProducer(cfg), b}
}

type slowProducer struct {
	shell.Producer
	b *slowBroker
}

func (p *slowProducer) Produce(ctx context.Context, bs []*shell.ProduceBatch) error {
	p.b.mu.Lock()
	f := p.b.before
	p.b.before = nil
	p.b.mu.Unlock()
	if f != nil {
		f()
	}
	return p.Producer.Produce(ctx, bs)
}

func (p *slowProducer) Open(ctx context.Context) error {
	p.b.mu.Lock()
	f := p.b.beforeOpen
	p.b.beforeOpen = nil
	p.b.mu.Unlock()
	if f != nil {
		f()
	}
	return p.Producer.Open(ctx)
}

// run starts the word count on sb and waits until it has counted a thousand words.
// ran counts the tasks that began to run.
func run(t *testing.T) (c *kfake.Cluster, sb *slowBroker, ran *atomic.Int64, rng *rand.Rand, want map[string]int64) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "words", "counts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	sb, ran, rng = &slowBroker{Broker: openBroker(t, c.ListenAddrs())}, new(atomic.Int64), rand.New(rand.NewPCG(1, 1))
	start(t, shell.Config{
		Broker: sb, StateDir: t.TempDir(), CommitEvery: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Events: shell.Events{Running: func(core.TaskID) { ran.Add(1) }},
	}, wordCount(t))
	want = feed(t, c.ListenAddrs(), 1000, rng)
	await(t, c.ListenAddrs(), want, 20*time.Second)
	return c, sb, ran, rng, want
}

func waitUntil(within time.Duration, ok func() bool) {
	for end := time.Now().Add(within); !ok() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// TestLostDuringProduce: the membership is lost while a transaction waits for a slow
// partition leader, and the same member has joined again before that transaction goes
// on. It may still be committed, so the tasks must not be opened before.
func TestLostDuringProduce(t *testing.T) {
	c, sb, ran, rng, want := run(t)
	before := ran.Load()
	sb.mu.Lock()
	sb.before = func() {
		forgetMember(c)
		waitUntil(3*time.Second, func() bool { return ran.Load() > before })
	}
	sb.mu.Unlock()
	for w, n := range feed(t, c.ListenAddrs(), 1000, rng) {
		want[w] += n
	}
	await(t, c.ListenAddrs(), want, 30*time.Second)
	if ran.Load() == before {
		t.Error("the membership was not lost: the test proves nothing")
	}
}

// forgetMember answers the next heartbeat as a coordinator that does not know the member.
func forgetMember(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
}

// TestLateLost: the broker no longer knows the member when offsets are sent, and the
// group has joined again before the producer is open again. The news that the old tasks
// are lost must not drop the new ones.
func TestLateLost(t *testing.T) {
	c, sb, ran, rng, want := run(t)
	before := ran.Load()
	sb.mu.Lock()
	sb.beforeOpen = func() { waitUntil(3*time.Second, func() bool { return ran.Load() >= before+2*partitions }) }
	sb.mu.Unlock()
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.TxnOffsetCommitRequest)
		resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, tp := range req.Topics {
			rt := kmsg.NewTxnOffsetCommitResponseTopic()
			rt.Topic = tp.Topic
			for _, p := range tp.Partitions {
				rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.UnknownMemberID.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	for w, n := range feed(t, c.ListenAddrs(), 1000, rng) {
		want[w] += n
	}
	await(t, c.ListenAddrs(), want, 30*time.Second)
	if ran.Load() == before {
		t.Error("the membership was not lost: the test proves nothing")
	}
}

// TestSlowIsNotHung: what one response brought is seconds of work, each call a
// millisecond. Commits go on meanwhile, some in each second, and nobody calls it hung.
func TestSlowIsNotHung(t *testing.T) {
	addrs := newCluster(t)
	b := topology.New("slow")
	topology.Map(words.Stream(b), func(w string) string { time.Sleep(time.Millisecond); return w }).To(words2)
	plan := build(t, b)
	const n = 6000
	feed(t, addrs, n, rand.New(rand.NewPCG(1, 1)))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var done, commits, settling atomic.Int64
	err := shell.Run(ctx, plan, shell.Config{
		Broker: openBroker(t, addrs), HangAfter: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Events: shell.Events{Committed: func(c shell.CommitInfo) {
			commits.Add(1)
			settling.Add(int64(c.Took))
			if done.Add(c.Records) >= n {
				cancel()
			}
		}},
	})
	mean := time.Duration(settling.Load() / max(1, commits.Load()))
	if mean > 110*time.Millisecond { // with pieces of 256 records it was 220 ms
		t.Errorf("commits took %v each", mean)
	}
	if err != nil || done.Load() != n || commits.Load() < 4 {
		t.Errorf("%d of %d records in %d commits, %v", done.Load(), n, commits.Load(), err)
	}
}
