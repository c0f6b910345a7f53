package shell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func build(t testing.TB, b *topology.Builder) *topology.Plan {
	t.Helper()
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func send(t testing.TB, addrs []string, rs ...*kgo.Record) {
	t.Helper()
	// Small batches, as they are: a broker hands out whole ones, however little it is asked for.
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(32<<10), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// stopsWith runs until Run returns by itself.
func stopsWith(t testing.TB, cfg shell.Config, plan *topology.Plan) error {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	ended := make(chan error, 1)
	go func() { ended <- shell.Run(t.Context(), plan, cfg) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run did not return")
		return nil
	}
}

// TestPoison wants everything before a bad record done, nothing of it, and an error
// that says where it is.
func TestPoison(t *testing.T) {
	numbers := topology.NewTopic("words", codec.String, codec.Int64)
	for _, c := range []struct {
		name string
		bad  []byte
		f    func(int64) int64
		is   error
		text string
	}{
		{"undecodable", []byte("seven"), func(n int64) int64 { return n }, core.ErrDecode, "value"},
		{"panic", []byte{0, 0, 0, 0, 0, 0, 0, 13}, func(n int64) int64 {
			if n == 13 {
				panic("thirteen")
			}
			return n
		}, core.ErrPanic, "thirteen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addrs := newCluster(t)
			b := topology.New("poison")
			topology.Map(numbers.Stream(b), c.f).To(counts)
			good := []byte{0, 0, 0, 0, 0, 0, 0, 1}
			send(t, addrs,
				&kgo.Record{Topic: "words", Partition: 2, Key: []byte("a"), Value: good},
				&kgo.Record{Topic: "words", Partition: 2, Key: []byte("b"), Value: c.bad})
			err := stopsWith(t, shell.Config{Broker: openBroker(t, addrs), CommitEvery: 10 * time.Millisecond}, build(t, b))
			var re *core.RecordError
			if !errors.As(err, &re) || !errors.Is(err, c.is) {
				t.Fatalf("got %v, want a RecordError of %v", err, c.is)
			}
			if want := (core.TaskID{Partition: 2}); re.Task != want || re.Topic != "words" || re.Offset != 1 {
				t.Errorf("got task %v, topic %s, offset %d", re.Task, re.Topic, re.Offset)
			}
			for _, part := range []string{"0_2", "words", "partition 2", "offset 1", c.text} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestLastCommitFails wants a clean stop to end soon where the last commit cannot be made: the
// revoked tasks wait for nothing more.
func TestLastCommitFails(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "words")) // one task: the last one that is revoked
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	addrs := c.ListenAddrs()
	b := topology.New("last")
	seen := make(chan string, 2)
	shown := words.Stream(b).Peek(func(w string) { seen <- w })
	rows := codec.Func(func(dst []byte, w string) ([]byte, error) {
		if w == "bad" {
			return nil, errors.New("no such word")
		}
		return append(dst, w...), nil
	}, func(b []byte) (string, error) { return string(b), nil })
	shown.ToTable("latest", topology.StateCodec(rows))
	stop := start(t, shell.Config{
		Broker: openBroker(t, addrs), CommitEvery: time.Hour, CommitMin: time.Hour, // but for the first one
	}, build(t, b))
	send(t, addrs, &kgo.Record{Topic: "words", Key: []byte("a"), Value: []byte("good")})
	<-seen
	time.Sleep(100 * time.Millisecond) // the first commit is made, if not before
	send(t, addrs, &kgo.Record{Topic: "words", Key: []byte("a"), Value: []byte("bad")})
	<-seen
	began := time.Now()
	if err := stop(); !errors.Is(err, core.ErrEncode) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestHang wants a function that does not return to be named.
func TestHang(t *testing.T) {
	addrs := newCluster(t)
	release := make(chan struct{})
	defer close(release)
	b := topology.New("hang")
	topology.Map(words.Stream(b), func(w string) string { return waitFor(release, w) }).To(words2)
	plan := build(t, b)
	send(t, addrs, &kgo.Record{Topic: "words", Value: []byte("x"), Key: []byte("k")})
	err := stopsWith(t, shell.Config{Broker: openBroker(t, addrs), HangAfter: time.Second}, plan)
	if !errors.Is(err, shell.ErrHung) || !strings.Contains(err.Error(), "waitFor") {
		t.Fatalf("got %v, want ErrHung naming waitFor", err)
	}
}

var words2 = topology.NewTopic("counts", codec.String, codec.String)

//go:noinline
func waitFor(release chan struct{}, w string) string {
	<-release
	return w
}

// TestSlow wants a slow function to slow the fetch down: what is fetched and not yet
// stepped stays within its bound, however much there is.
func TestSlow(t *testing.T) {
	addrs := newCluster(t)
	var rs []*kgo.Record
	for i := range 400 {
		rs = append(rs, &kgo.Record{Topic: "words", Partition: int32(i % partitions), Key: fmt.Append(nil, i), Value: make([]byte, 20<<10)})
	}
	send(t, addrs, rs...)
	b := topology.New("slow")
	var seen atomic.Int64
	topology.Map(words.Stream(b), func(w string) string {
		seen.Add(1)
		time.Sleep(5 * time.Millisecond)
		return "x"
	}).To(words2)
	hb := &heldBroker{Broker: openBroker(t, addrs)}
	const bound = 300 << 10
	stop := start(t, shell.Config{Broker: hb, BufferBytes: bound, CommitEvery: 50 * time.Millisecond}, build(t, b))
	for deadline := time.Now().Add(20 * time.Second); seen.Load() < 400 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if seen.Load() < 400 {
		t.Fatalf("%d of 400 records were stepped", seen.Load())
	}
	// Each partition may hold its share and one fetch more.
	if most := hb.most.Load(); most == 0 || most > 2*bound+partitions*(64<<10) {
		t.Errorf("%d bytes were held at a time, the bound is %d", most, bound)
	}
}

// heldBroker watches what was fetched and not given back.
type heldBroker struct {
	shell.Broker
	held, most atomic.Int64
}

func (b *heldBroker) NewFetcher(cfg shell.FetchConfig) shell.Fetcher {
	return &heldFetcher{Fetcher: b.Broker.NewFetcher(cfg), b: b}
}

type heldFetcher struct {
	shell.Fetcher
	b *heldBroker
}

func (f *heldFetcher) Poll(ctx context.Context) ([]shell.Fetched, error) {
	got, err := f.Fetcher.Poll(ctx)
	for i := range got {
		n := f.b.held.Add(int64(got[i].Bytes))
		for m := f.b.most.Load(); n > m && !f.b.most.CompareAndSwap(m, n); m = f.b.most.Load() {
		}
	}
	return got, err
}

func (f *heldFetcher) Release(p shell.Partition, tag int64, bytes int) {
	f.b.held.Add(-int64(bytes))
	f.Fetcher.Release(p, tag, bytes)
}

// TestAtLeastOnce loses nothing while commits fail, and may repeat.
func TestAtLeastOnce(t *testing.T) {
	addrs := newCluster(t)
	b := topology.New("alo")
	words.Stream(b).To(words2)
	fb := &faultyBroker{Broker: openBroker(t, addrs), rng: rand.New(rand.NewPCG(7, 7)), per1000: 100, kinds: []string{"aborted"}}
	stop := start(t, shell.Config{Broker: fb, AtLeastOnce: true, CommitEvery: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, build(t, b))
	want := map[string]bool{}
	for i := range 50 {
		var rs []*kgo.Record
		for j := range 20 {
			w := fmt.Sprint(i, "-", j)
			want[w] = true
			rs = append(rs, &kgo.Record{Topic: "words", Partition: int32(j % partitions), Key: []byte(w), Value: []byte(w)})
		}
		send(t, addrs, rs...)
		time.Sleep(10 * time.Millisecond)
	}
	fb.off()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	n := 0
	for deadline := time.Now().Add(30 * time.Second); len(want) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d words are missing", len(want))
		}
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			n++
			delete(want, string(r.Value))
		})
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if fb.hit["aborted"] == 0 {
		t.Error("no fault was injected")
	}
	t.Logf("%d records written for 1000, %v", n, fb.hit)
}

// TestTableOfExpiringTopic: such a table has a changelog of its own, from which it is
// restored where the state is gone and its topic was read long ago.
func TestTableOfExpiringTopic(t *testing.T) {
	addrs := newCluster(t)
	b := topology.New("own")
	table := topology.NewTopic("words", codec.String, codec.String).Table(b)
	asked := topology.NewTopic("questions", codec.String, codec.String).Stream(b)
	topology.Join(asked, table, "answer", func(q, a string) string { return q + a }).To(words2)
	plan := build(t, b)
	broker := openBroker(t, addrs)
	if err := broker.CreateTopics(t.Context(), []shell.Topic{{Name: "questions", Partitions: partitions}}); err != nil {
		t.Fatal(err)
	}
	send(t, addrs, &kgo.Record{Topic: "words", Partition: 1, Key: []byte("k"), Value: []byte("42")})
	for i := range 3 {
		stop := start(t, shell.Config{Broker: broker, CommitEvery: 10 * time.Millisecond}, plan) // state in memory
		send(t, addrs, &kgo.Record{Topic: "questions", Partition: 1, Key: []byte("k"), Value: fmt.Append(nil, i, "? ")})
		if got, want := last(t, addrs, "counts", i+1), fmt.Sprint(i, "? 42"); got != want {
			t.Errorf("run %d: got %q, want %q", i, got, want)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	topics, err := broker.Topics(t.Context(), "own-words-changelog")
	if err != nil || topics["own-words-changelog"].Config["cleanup.policy"] != "compact" {
		t.Errorf("changelog: %v, %v", topics, err)
	}
}

// last waits for the nth committed record of a topic and returns its value.
func last(t testing.TB, addrs []string, topic string, n int) string {
	t.Helper()
	return all(t, addrs, topic, n)[n-1]
}

// all waits for n committed records of a topic and returns their values.
func all(t testing.TB, addrs []string, topic string, n int) (vs []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for len(vs) < n {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records in %s", len(vs), n, topic)
		}
		fs.EachRecord(func(r *kgo.Record) { vs = append(vs, string(r.Value)) })
	}
	return vs
}

// TestNeverStale: an update that was acknowledged before an order was written is in the
// order's join, though both may come in one response.
func TestNeverStale(t *testing.T) {
	addrs := newCluster(t)
	b := topology.New("stale")
	table := words.Table(b)
	orders := topology.NewTopic("orders", codec.String, codec.String)
	topology.Join(orders.Stream(b), table, "join", func(o, c string) string { return o + " " + c }).To(words2)
	broker := openBroker(t, addrs)
	if err := broker.CreateTopics(t.Context(), []shell.Topic{{Name: "orders", Partitions: partitions}}); err != nil {
		t.Fatal(err)
	}
	stop := start(t, shell.Config{Broker: broker, CommitEvery: 10 * time.Millisecond}, build(t, b))
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const n = 1500
	at := time.Now()
	for i := range n {
		for _, topic := range []string{"words", "orders"} {
			at = at.Add(time.Millisecond)
			r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Append(nil, i), Timestamp: at}
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stale := 0
	for _, v := range all(t, addrs, "counts", n) {
		var order, row int
		if _, err := fmt.Sscan(v, &order, &row); err != nil || row < order {
			stale++
		}
	}
	if stale > 0 {
		t.Errorf("%d of %d orders were joined with an older row than there was", stale, n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestMergeOfUnequal: streams that are only merged need not have equal counts; the last
// tasks go without the smaller topic.
func TestMergeOfUnequal(t *testing.T) {
	addrs := newCluster(t)
	b := topology.New("merge")
	few := topology.NewTopic("few", codec.String, codec.String)
	words.Stream(b).Merge(few.Stream(b)).To(words2)
	broker := openBroker(t, addrs)
	if err := broker.CreateTopics(t.Context(), []shell.Topic{{Name: "few", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	plan := build(t, b)
	want := 0
	for i := range 2 { // the second time from committed offsets
		stop := start(t, shell.Config{Broker: broker, CommitEvery: 10 * time.Millisecond}, plan)
		for p := range int32(partitions) {
			send(t, addrs, &kgo.Record{Topic: "words", Partition: p, Key: []byte("k"), Value: fmt.Append(nil, "w", i, p)})
			want++
		}
		send(t, addrs, &kgo.Record{Topic: "few", Key: []byte("k"), Value: fmt.Append(nil, "f", i)})
		want++
		got := map[string]int{}
		for _, v := range all(t, addrs, "counts", want) {
			got[v]++
		}
		if len(got) != want {
			t.Errorf("run %d: %v", i, got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}
