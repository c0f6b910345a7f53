package shell_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// globalWords joins each word, "id key", with the row of key in a global table.
func globalWords(t testing.TB) *topology.Plan {
	t.Helper()
	b := topology.New("globals")
	rates := topology.NewTopic("rates", codec.String, codec.String).GlobalTable(b)
	key := func(w string) string { _, k, _ := strings.Cut(w, " "); return k }
	topology.LeftJoinGlobal(words.Stream(b), rates, "rate", key, func(w string, r topology.Opt[string]) string { return w + " " + r.Or("-") }).To(words2)
	return build(t, b)
}

// globalWorld is a cluster with the topics of globalWords, and what was written.
type globalWorld struct {
	t      *testing.T
	addrs  []string
	cl     *kgo.Client // writes updates, by key
	rates  map[string]int
	ids    int
	expect map[string]bool // ids that must come out
}

const globalKeys = 20

func newGlobalWorld(t *testing.T, addrs []string) *globalWorld {
	t.Helper()
	if err := openBroker(t, addrs).CreateTopics(t.Context(), []shell.Topic{
		{Name: "words", Partitions: partitions},
		{Name: "counts", Partitions: partitions},
		{Name: "rates", Partitions: 4, Config: map[string]string{"cleanup.policy": "compact"}},
	}); err != nil {
		t.Fatal(err)
	}
	w := &globalWorld{t: t, addrs: addrs, rates: map[string]int{}, expect: map[string]bool{}}
	var err error
	if w.cl, err = kgo.NewClient(kgo.SeedBrokers(w.addrs...), kgo.TransactionalID("rates")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cl.Close)
	return w
}

// update gives n rows the next version, or deletes them, in one transaction; and it writes
// something in another one that is aborted.
func (w *globalWorld) update(rng *rand.Rand, n int) {
	w.t.Helper()
	txn := func(end kgo.TransactionEndTry, rs ...*kgo.Record) {
		w.t.Helper()
		if err := w.cl.BeginTransaction(); err != nil {
			w.t.Fatal(err)
		}
		if err := w.cl.ProduceSync(w.t.Context(), rs...).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
		if err := w.cl.EndTransaction(w.t.Context(), end); err != nil {
			w.t.Fatal(err)
		}
	}
	var rs, bad []*kgo.Record
	for range n {
		k := fmt.Sprint("k", rng.IntN(globalKeys))
		w.rates[k]++
		r := &kgo.Record{Topic: "rates", Key: []byte(k), Value: fmt.Append(nil, w.rates[k])}
		if w.rates[k]%5 == 0 {
			r.Value = nil
		}
		rs = append(rs, r)
		bad = append(bad, &kgo.Record{Topic: "rates", Key: []byte(k), Value: []byte("aborted")})
	}
	txn(kgo.TryAbort, bad...)
	txn(kgo.TryCommit, rs...)
}

// ask sends a word for each key to each partition.
func (w *globalWorld) ask() {
	w.t.Helper()
	var rs []*kgo.Record
	for i := range globalKeys {
		for p := range int32(partitions) {
			w.ids++
			id := fmt.Sprintf("%d/%d", p, w.ids)
			w.expect[id] = true
			rs = append(rs, &kgo.Record{Topic: "words", Partition: p, Key: fmt.Append(nil, p), Value: fmt.Append(nil, id, " k", i)})
		}
	}
	send(w.t, w.addrs, rs...)
}

// answers waits until every word has come out, once and in order, and calls see for each of
// the words from id first on, with the row's version as it was seen.
func (w *globalWorld) answers(see func(id int, key, row string)) {
	w.t.Helper()
	last := map[string]int{} // by stream partition
	seen := map[string]int{} // by stream partition and key: the version
	for _, v := range all(w.t, w.addrs, "counts", len(w.expect)) {
		f := strings.Fields(v)
		part, n, _ := strings.Cut(f[0], "/")
		var id, version int
		_, _ = fmt.Sscan(n, &id)
		if !w.expect[f[0]] || id <= last[part] {
			w.t.Errorf("%s came behind %d", v, last[part])
		}
		last[part] = id
		if at := part + f[1]; f[2] != "-" {
			if _, err := fmt.Sscan(f[2], &version); err != nil || version < seen[at] {
				w.t.Errorf("%s: version %d was seen before", v, seen[at])
			}
			seen[at] = version
		}
		see(id, f[1], f[2])
	}
}

// settled wants all words from id first on to have the latest rows.
func (w *globalWorld) settled(first int) (ok bool) {
	w.t.Helper()
	ok = true
	w.answers(func(id int, key, row string) {
		want := fmt.Sprint(w.rates[key])
		if w.rates[key]%5 == 0 {
			want = "-"
		}
		ok = ok && (id <= first || row == want)
	})
	return ok
}

func fakeKafka(t testing.TB) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// TestGlobalTable: two processes with states of their own, that stop and go, are killed, and
// lose their states. What was written before a process starts, it has; what is written later
// comes; what was aborted does not.
func TestGlobalTable(t *testing.T) { globalTable(t, fakeKafka(t)) }

func TestRealGlobalTable(t *testing.T) {
	kafkatest.Require(t)
	globalTable(t, kafkatest.Start(t, kafkatest.Config{}).Brokers())
}

func globalTable(t *testing.T, addrs []string) {
	w := newGlobalWorld(t, addrs)
	rng := rand.New(rand.NewPCG(1, 1))
	plan := globalWords(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	older := ""
	w.update(rng, 50)
	for round := range 5 {
		var stops []func() error
		for i := range 2 {
			cfg := shell.Config{Broker: openBroker(t, w.addrs), StateDir: dirs[i], Workers: 1 + i, CommitEvery: 10 * time.Millisecond}
			if round == 4 {
				cfg.StateDir = "" // in memory
			}
			stops = append(stops, start(t, cfg, plan))
		}
		first := w.ids
		w.ask()
		if !w.settled(first) {
			t.Errorf("round %d: an update that was there at the start was not seen", round)
		}
		w.update(rng, 20)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			first = w.ids
			w.ask()
			if w.settled(first) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("updates do not come")
			}
		}
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
		switch round {
		case 0:
			older = t.TempDir()
			if err := os.CopyFS(older, os.DirFS(dirs[0])); err != nil {
				t.Fatal(err)
			}
		case 1:
			dirs[1] = t.TempDir() // lost
		case 2:
			dirs[0] = older // as a kill leaves it: at an earlier commit
		}
		w.update(rng, 20) // while nobody is there
	}
}

// TestGlobalTableFaults: transactions fail, workers open tasks again, updates come all the
// while. Each word comes out once, and never with an older row than the one before it.
func TestGlobalTableFaults(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newGlobalWorld(t, fakeKafka(t))
			rng := rand.New(rand.NewPCG(seed, 1))
			fb := &faultyBroker{Broker: openBroker(t, w.addrs), rng: rand.New(rand.NewPCG(seed, 0)), per1000: 60}
			stop := start(t, shell.Config{
				Broker: fb, StateDir: t.TempDir(), Workers: 2, CommitEvery: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			}, globalWords(t))
			for i := 0; i < 40 || i < 400 && !fb.all(); i++ {
				w.update(rng, 5)
				w.ask()
			}
			fb.off()
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				first := w.ids
				w.ask()
				if w.settled(first) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("updates do not come")
				}
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if t.Logf("faults: %v", fb.hit); !fb.all() {
				t.Error("not all faults were injected: the test proves nothing about the others")
			}
		})
	}
}

// all reports whether each kind of fault was injected.
func (b *faultyBroker) all() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.hit) == 4
}

// TestGlobalTableGrows: new partitions of its topic are read.
func TestGlobalTableGrows(t *testing.T) {
	g := newGrowing(t)
	b := topology.New("globals")
	few := topology.NewTopic("few", codec.String, codec.String).GlobalTable(b)
	topology.JoinGlobal(words.Stream(b), few, "join", strings.ToLower, func(a, b string) string { return a + b }).To(words2)
	g.run(t, build(t, b), partitions)
	g.grow(t, "few", 3)
	send(t, g.addrs, &kgo.Record{Topic: "few", Partition: 2, Key: []byte("a"), Value: []byte("!")})
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.addrs...), kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		send(t, g.addrs, &kgo.Record{Topic: "words", Key: []byte("k"), Value: []byte("A")})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		fs := cl.PollFetches(ctx)
		cancel()
		if rs := fs.Records(); len(rs) > 0 {
			if got := string(rs[0].Value); got != "A!" {
				t.Errorf("got %q", got)
			}
			g.stop()
			if err := <-g.ended; err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Fatal("the row in the new partition is not seen")
}
