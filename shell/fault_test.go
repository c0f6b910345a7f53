package shell_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The topology of these tests: words, keyed by nothing in particular, are counted by
// their text. Every count from 1 up must come out once and in order, so a record that
// is lost, doubled or overtaken shows.
var (
	words  = topology.NewTopic("words", codec.String, codec.String)
	counts = topology.NewTopic("counts", codec.String, codec.Int64)
)

func wordCount(t testing.TB) *topology.Plan {
	t.Helper()
	b := topology.New("wordcount")
	byWord := topology.KeyBy(words.Stream(b), "by-word", func(w string) string { return w })
	topology.Count(byWord, "count").To(counts)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

const partitions = 3

func newCluster(t testing.TB) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "words", "counts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func openBroker(t testing.TB, addrs []string) shell.Broker {
	t.Helper()
	b, err := kafka.Open(t.Context(), kafka.Config{Brokers: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// feed writes n words, taken from a few, and returns how often each was written.
func feed(t testing.TB, addrs []string, n int, rng *rand.Rand) map[string]int64 {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	want := map[string]int64{}
	var rs []*kgo.Record
	for i := range n {
		w := fmt.Sprintf("word-%d", rng.IntN(20))
		want[w]++
		rs = append(rs, &kgo.Record{Topic: "words", Key: fmt.Append(nil, i), Value: []byte(w)})
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return want
}

// await reads the committed counts until every word has the count that it must have,
// and fails where one comes twice, not at all, or out of order.
func await(t testing.TB, addrs []string, want map[string]int64, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("counts"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got := map[string]int64{}
	done := func() bool {
		for w, n := range want {
			if got[w] != n {
				return false
			}
		}
		return true
	}
	for !done() {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("after %v: got %v, want %v", within, got, want)
		}
		fs.EachRecord(func(r *kgo.Record) {
			w, n := string(r.Key), int64(binary.BigEndian.Uint64(r.Value))
			if n != got[w]+1 {
				t.Errorf("%s: count %d came after %d", w, n, got[w])
			}
			got[w] = n
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	// What comes too often comes late: look once more.
	quiet, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	cl.PollFetches(quiet).EachRecord(func(r *kgo.Record) {
		t.Errorf("%s: count %d came after the end", r.Key, binary.BigEndian.Uint64(r.Value))
	})
}

// start runs the topology until the returned function is called, which returns Run's error.
func start(t testing.TB, cfg shell.Config, plan *topology.Plan) (stop func() error) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- shell.Run(ctx, plan, cfg) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(60 * time.Second):
			return fmt.Errorf("Run did not return within 60 s")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestCounts(t *testing.T) {
	addrs := newCluster(t)
	stop := start(t, shell.Config{Broker: openBroker(t, addrs), CommitEvery: 20 * time.Millisecond}, wordCount(t))
	want := feed(t, addrs, 5000, rand.New(rand.NewPCG(1, 1)))
	await(t, addrs, want, 30*time.Second)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestRestart stops and starts with the state on disk, then with the state wiped.
func TestRestart(t *testing.T) {
	addrs, dir := newCluster(t), t.TempDir()
	rng := rand.New(rand.NewPCG(2, 2))
	want := map[string]int64{}
	for _, state := range []string{dir, dir, t.TempDir(), ""} {
		for w, n := range feed(t, addrs, 1000, rng) {
			want[w] += n
		}
		stop := start(t, shell.Config{Broker: openBroker(t, addrs), StateDir: state, CommitEvery: 20 * time.Millisecond}, wordCount(t))
		await(t, addrs, want, 30*time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoWorkers shares the tasks between two members of one process.
func TestTwoWorkers(t *testing.T) {
	addrs := newCluster(t)
	stop := start(t, shell.Config{Broker: openBroker(t, addrs), Workers: 2, StateDir: t.TempDir(), CommitEvery: 20 * time.Millisecond}, wordCount(t))
	want := feed(t, addrs, 5000, rand.New(rand.NewPCG(3, 3)))
	await(t, addrs, want, 30*time.Second)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestFaults fails transactions before and after each of their steps, at random.
func TestFaults(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			addrs := newCluster(t)
			fb := &faultyBroker{Broker: openBroker(t, addrs), rng: rand.New(rand.NewPCG(seed, 0)), per1000: 60}
			stop := start(t, shell.Config{
				Broker: fb, StateDir: t.TempDir(), CommitEvery: 10 * time.Millisecond,
				Logger: slog.New(slog.DiscardHandler),
			}, wordCount(t))
			want := map[string]int64{}
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 100 {
				for w, n := range feed(t, addrs, 50, rng) {
					want[w] += n
				}
				time.Sleep(10 * time.Millisecond)
			}
			fb.off()
			await(t, addrs, want, 60*time.Second)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			t.Logf("faults: %v", fb.hit)
			for _, f := range []string{"aborted", "unknown before", "unknown after", "fenced"} {
				if fb.hit[f] == 0 {
					t.Errorf("no fault %q was injected: the test proves nothing about it", f)
				}
			}
		})
	}
}

// faultyBroker is a broker whose transactions fail now and then.
type faultyBroker struct {
	shell.Broker
	mu      sync.Mutex
	rng     *rand.Rand
	per1000 int
	kinds   []string // only these; nil: all
	most    int      // so many; 0: any number
	hit     map[string]int
}

func (b *faultyBroker) off() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.per1000 = 0
}

func (b *faultyBroker) fault(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rng.IntN(1000) >= b.per1000 || b.kinds != nil && !slices.Contains(b.kinds, name) || b.most > 0 && b.hit[name] == b.most {
		return false
	}
	if b.hit == nil {
		b.hit = map[string]int{}
	}
	b.hit[name]++
	return true
}

// faults is how many there were.
func (b *faultyBroker) faults() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.hit {
		n += k
	}
	return n
}

func (b *faultyBroker) NewProducer(cfg shell.ProducerConfig) shell.Producer {
	return &faultyProducer{Producer: b.Broker.NewProducer(cfg), b: b, cfg: cfg}
}

type faultyProducer struct {
	shell.Producer
	b   *faultyBroker
	cfg shell.ProducerConfig
}

func (p *faultyProducer) Produce(ctx context.Context, bs []*shell.ProduceBatch) error {
	if p.b.fault("aborted") {
		return fmt.Errorf("%w: injected before Produce", shell.ErrAborted)
	}
	if err := p.Producer.Produce(ctx, bs); err != nil {
		return err
	}
	if p.b.fault("fenced") { // somebody else opens the id
		other := p.b.Broker.NewProducer(p.cfg)
		defer func() { _ = other.Close() }()
		if err := other.Open(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *faultyProducer) SendOffsets(ctx context.Context, g shell.Group, os []shell.GroupOffset) error {
	if err := p.Producer.SendOffsets(ctx, g, os); err != nil {
		return err
	}
	if p.b.fault("aborted") {
		return fmt.Errorf("%w: injected after SendOffsets", shell.ErrAborted)
	}
	return nil
}

func (p *faultyProducer) End(ctx context.Context) error {
	if p.b.fault("unknown before") {
		return fmt.Errorf("%w: injected before EndTxn", shell.ErrUnknown)
	}
	if err := p.Producer.End(ctx); err != nil {
		return err
	}
	if p.b.fault("unknown after") {
		return fmt.Errorf("%w: injected after EndTxn", shell.ErrUnknown)
	}
	return nil
}
