package shell_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// read returns the committed records of a topic when there are n, and fails where there are
// more.
func read(t testing.TB, addrs []string, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for len(rs) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { rs = append(rs, r) })
	}
	quiet, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	cl.PollFetches(quiet).EachRecord(func(r *kgo.Record) { rs = append(rs, r) })
	if len(rs) != n {
		t.Fatalf("topic %s has %d records, want %d", topic, len(rs), n)
	}
	return rs
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// poisoned counts words and writes them, and fails on those that begin with "bad": behind
// these effects, or in front of them.
func poisoned(t testing.TB, behind bool) *topology.Plan {
	t.Helper()
	b := topology.New("poisoned")
	in := words.Stream(b, topology.OnError(topology.DeadLetter))
	fail := func(w string) string {
		if strings.HasPrefix(w, "bad") {
			panic(w)
		}
		return w
	}
	if behind {
		topology.Count(in, "count").To(counts)
		topology.Map(in, fail, topology.Named("fails")).To(texts)
	} else {
		good := topology.Map(in, fail, topology.Named("fails"))
		topology.Count(good, "count").To(counts)
		good.To(texts)
	}
	return build(t, b)
}

var texts = topology.NewTopic("texts", codec.String, codec.String)

// TestPoisonFlood sends 10 000 records that fail, with good ones between them, and wants
// each in the dead letters, nothing of them elsewhere, and no more time than it takes to
// count to 10 000: what a record costs must not grow with those before it.
func TestPoisonFlood(t *testing.T) {
	const n = 10_000
	for _, c := range []struct {
		name   string
		behind bool
		good   int // one good record in so many
	}{
		{"in front of effects", false, 10},
		{"behind effects", true, 2000},
		{"behind effects, every other one", true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			addrs := newCluster(t)
			createTopics(t, addrs, "texts", nil)
			var rs []*kgo.Record
			good := 0
			for i := range n {
				r := &kgo.Record{Topic: "words", Partition: int32(i % partitions), Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "bad %d", i)}
				if i%c.good == 0 {
					r.Value = []byte("fine")
					good++
				}
				rs = append(rs, r)
			}
			send(t, addrs, rs...)
			var logged bytes.Buffer
			var drops atomic.Int64
			began := time.Now()
			stop := start(t, shell.Config{
				Broker: openBroker(t, addrs), CommitEvery: 50 * time.Millisecond,
				Logger: slog.New(slog.NewTextHandler(&logged, nil)),
				Events: shell.Events{Committed: func(i shell.CommitInfo) {
					for _, d := range i.Drops {
						if d.Node == "fails" && d.Why == core.Panicked {
							drops.Add(d.N)
						}
					}
				}},
			}, poisoned(t, c.behind))
			letters := read(t, addrs, "poisoned-dead-letter", n-good)
			took := time.Since(began)
			read(t, addrs, "texts", good)
			read(t, addrs, "counts", good)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d dead letters in %v", len(letters), took)
			seen := map[string]bool{}
			for _, l := range letters {
				if seen[string(l.Value)] || !strings.HasPrefix(string(l.Value), "bad ") {
					t.Fatalf("dead letter %q", l.Value)
				}
				seen[string(l.Value)] = true
			}
			if drops.Load() != int64(n-good) {
				t.Errorf("%d counted", drops.Load())
			}
			if lines := strings.Count(logged.String(), "records were skipped"); lines < 1 || lines > 3+int(took/(10*time.Second)) {
				t.Errorf("%d lines in the log:\n%s", lines, logged.String())
			}
			for key, want := range map[string]string{
				core.HeaderTopic: "words", core.HeaderReason: "panic", core.HeaderNode: "fails",
				core.HeaderException: core.ErrPanic.Error(), core.HeaderPartition: strconv.Itoa(int(letters[0].Partition)),
			} {
				got := header(letters[0], key)
				if key == core.HeaderPartition {
					want = got // its own partition follows from the key
				}
				if got != want || got == "" {
					t.Errorf("header %s is %q, want %q", key, got, want)
				}
			}
			if !strings.Contains(header(letters[0], core.HeaderStacktrace), "poisoned") {
				t.Errorf("stack %q", header(letters[0], core.HeaderStacktrace))
			}
		})
	}
}

// TestPoisonAmongOthers mixes failing records among good ones that change the same rows, with
// faults in the transactions: the state must be that of the good ones.
func TestPoisonAmongOthers(t *testing.T) {
	addrs := newCluster(t)
	createTopics(t, addrs, "texts", nil)
	fb := &faultyBroker{Broker: openBroker(t, addrs), rng: rand.New(rand.NewPCG(7, 0)), per1000: 20}
	stop := start(t, shell.Config{Broker: fb, CommitEvery: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, poisoned(t, true))
	bad, fine := 0, map[int32]int{}
	for range 20 {
		var rs []*kgo.Record
		for i := range 100 {
			r := &kgo.Record{Topic: "words", Partition: int32(i % partitions), Key: []byte{byte(i % partitions)}, Value: []byte("fine")}
			if i%20 == 7 {
				r.Value = fmt.Appendf(nil, "bad %d", bad)
				bad++
			} else {
				fine[r.Partition]++
			}
			rs = append(rs, r)
		}
		send(t, addrs, rs...)
		time.Sleep(20 * time.Millisecond)
	}
	read(t, addrs, "poisoned-dead-letter", bad)
	total := 0
	for _, n := range fine {
		total += n
	}
	read(t, addrs, "texts", total)
	last := map[string]uint64{}
	for _, r := range read(t, addrs, "counts", total) {
		n := uint64(0)
		for _, b := range r.Value {
			n = n<<8 | uint64(b)
		}
		if n != last[string(r.Key)]+1 {
			t.Errorf("key %v: %d came after %d", r.Key, n, last[string(r.Key)])
		}
		last[string(r.Key)] = n
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func createTopics(t testing.TB, addrs []string, topic string, config map[string]string) {
	t.Helper()
	if err := openBroker(t, addrs).CreateTopics(t.Context(), []shell.Topic{{Name: topic, Partitions: partitions, Replicas: 1, Config: config}}); err != nil {
		t.Fatal(err)
	}
}

// TestTooLarge wants a record that leads to one which its topic does not take to go to the
// dead letters: where the limit is known at the start, and where the broker says so later.
// Batches are within it too.
func TestTooLarge(t *testing.T) {
	for _, c := range []struct {
		name        string
		limit       string // of the topic
		recordBytes int
	}{
		{"the topic's limit", "2000", 0},
		{"a limit of ours", "100000", 2000},
		{"the broker says so", "2000", 50000},
	} {
		t.Run(c.name, func(t *testing.T) {
			addrs := newCluster(t)
			createTopics(t, addrs, "texts", map[string]string{"max.message.bytes": c.limit})
			b := topology.New("large")
			in := words.Stream(b, topology.OnError(topology.DeadLetter))
			topology.Map(in, func(w string) string {
				if strings.HasPrefix(w, "large") {
					return strings.Repeat(w, 1000)
				}
				return w
			}).To(texts)
			var rs []*kgo.Record
			for i := range 300 {
				r := &kgo.Record{Topic: "words", Partition: int32(i % partitions), Key: fmt.Append(nil, i), Value: []byte(strings.Repeat("x", 500))}
				if i == 100 || i == 200 {
					r.Value = []byte("large")
				}
				rs = append(rs, r)
			}
			send(t, addrs, rs...)
			stop := start(t, shell.Config{Broker: openBroker(t, addrs), CommitEvery: 20 * time.Millisecond, RecordBytes: c.recordBytes}, build(t, b))
			letters := read(t, addrs, "large-dead-letter", 2)
			read(t, addrs, "texts", 298)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, l := range letters {
				keys = append(keys, string(l.Key))
				if header(l, core.HeaderReason) != "too large" || string(l.Value) != "large" {
					t.Errorf("dead letter %q: %s", l.Value, header(l, core.HeaderMessage))
				}
			}
			if slices.Sort(keys); !slices.Equal(keys, []string{"100", "200"}) {
				t.Errorf("dead letters of %q", keys)
			}
		})
	}
}
