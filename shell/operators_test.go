package shell_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// Operators with state over time, through the real shell: transactions fail before and after
// each of their steps, the process stops and comes back, with its state and without it. What
// comes out must be what the same topology makes of the same records in topologytest, with no
// shell, no commit and no fault in between.

// The topics of these tests. What comes out has one partition, so that its order shows.
var (
	opIn    = topology.NewTopic("in", codec.String, codec.String, topology.Partitions(partitions))
	opOther = topology.NewTopic("other", codec.String, codec.String, topology.Partitions(partitions))
	opRows  = topology.NewTopic("op-rows", codec.String, codec.String, topology.Partitions(partitions), topology.Compacted())
	opOut   = topology.NewTopic("op-out", codec.String, codec.Optional(codec.String), topology.Partitions(1))
)

// opRecord is a record that goes in or comes out, its value nil for null.
type opRecord struct {
	topic, key string
	value      []byte
	at         int64
}

func (r opRecord) String() string {
	if r.value == nil {
		return fmt.Sprintf("%s deleted @%d", r.key, r.at)
	}
	return fmt.Sprintf("%s=%s @%d", r.key, r.value, r.at)
}

// opCase is a topology and what it is given.
type opCase struct {
	build func(b *topology.Builder)
	// records makes the input.
	records func(rng *rand.Rand) []opRecord
	// folded: only the last record of each key is determined, since what goes through
	// repartition topics has no order. Otherwise all records are, those of the keys of one
	// task in their order.
	folded bool
	// taskKey is the key that tells the task of a record that comes out; nil: its own.
	taskKey func(key string) string
	// changelog, if set, is the table whose changelog must lead to the same.
	changelog string
}

const opStart = 1_700_000_000_000

// opRecords makes n records with rising times, some of them late.
func opRecords(rng *rand.Rand, n int, topics ...string) []opRecord {
	var rs []opRecord
	at := int64(opStart)
	for i := range n {
		at += rng.Int64N(1500)
		r := opRecord{topic: topics[rng.IntN(len(topics))], key: fmt.Sprint("k", rng.IntN(9)), at: at}
		if rng.IntN(8) == 0 {
			r.at -= rng.Int64N(20_000)
		}
		r.at = max(r.at, opStart)
		// Long, so that a fetch holds few and there are many commits.
		r.value = fmt.Appendf(nil, "%d:%s", i, strings.Repeat("x", 700))
		rs = append(rs, r)
	}
	return rs
}

// short cuts off what makes records long.
func short(v string) string { s, _, _ := strings.Cut(v, ":"); return s }

// optional makes the values of a stream such that a topic may have null ones.
func optional[K comparable](s topology.Stream[K, string]) topology.Stream[K, topology.Opt[string]] {
	return topology.Map(s, topology.Some[string])
}

// text is a table's changes as text.
func text[V any](t topology.Table[string, V]) topology.Stream[string, topology.Opt[string]] {
	return topology.Map(topology.Changes(t), func(c topology.Change[V]) topology.Opt[string] {
		if !c.New.OK {
			return topology.None[string]()
		}
		return topology.Some(fmt.Sprint(c.New.Value))
	})
}

// windowText has a window's key and times in the key.
func windowText(t topology.Table[topology.Windowed[string], int64], name string) topology.Stream[string, topology.Opt[string]] {
	type record = topology.Record[topology.Windowed[string], int64]
	lines := topology.Map(topology.Records(t.ToStream()), func(r record) string {
		return fmt.Sprintf("%s/%d-%d|%d", r.Key.Key, r.Key.Start-opStart, r.Key.End-opStart, r.Value)
	})
	byLine := topology.KeyBy(lines, name, func(l string) string { k, _, _ := strings.Cut(l, "|"); return k })
	return topology.Map(byLine, func(l string) topology.Opt[string] { _, n, _ := strings.Cut(l, "|"); return topology.Some(n) })
}

var opCases = map[string]opCase{
	"windows on close": {
		build: func(b *topology.Builder) {
			w := opIn.Stream(b).Window(topology.Hopping(10*time.Second, 5*time.Second).Grace(3 * time.Second))
			windowText(topology.Count(w, "count", topology.EmitOnClose()), "text").To(opOut)
			optional(topology.Map(w.Late(), func(v string) string { return "late " + short(v) })).To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord { return opRecords(rng, 1500, "in") },
		taskKey: func(key string) string { k, _, _ := strings.Cut(key, "/"); return k },
	},
	"sessions at each change": {
		build: func(b *topology.Builder) {
			w := opIn.Stream(b).Window(topology.Session(4 * time.Second).Grace(2 * time.Second))
			windowText(topology.Count(w, "count"), "text").To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord { return opRecords(rng, 1500, "in") },
		taskKey: func(key string) string { k, _, _ := strings.Cut(key, "/"); return k },
	},
	"left join of streams": {
		build: func(b *topology.Builder) {
			optional(topology.LeftJoinStreams(opIn.Stream(b), opOther.Stream(b), "pairs", topology.Within(3*time.Second).Grace(2*time.Second),
				func(l string, r topology.Opt[string]) string { return short(l) + "+" + short(r.Or("-")) })).To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord {
			rs := opRecords(rng, 1500, "in", "other")
			for i := 1; i < len(rs); i++ { // the merge is by time: so is the driver's order, if nothing is late
				rs[i].at = max(rs[i].at, rs[i-1].at+1)
			}
			return rs
		},
	},
	"suppress": {
		build: func(b *topology.Builder) {
			text(topology.Suppress(topology.Count(opIn.Stream(b), "count"), "suppress", topology.UntilTimeLimit(15*time.Second))).To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord { return opRecords(rng, 1500, "in") },
	},
	"foreign-key join": {
		build: func(b *topology.Builder) {
			left := topology.MapTable(opIn.Table(b), short)
			// The left row's number refers to one of the right keys.
			text(topology.LeftJoinForeign(left, opRows.Table(b), "foreign", func(v string) string { return "k" + v[len(v)-1:] },
				func(l string, r topology.Opt[string]) string { return l + "+" + short(r.Or("-")) })).To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord {
			rs := opRecords(rng, 1500, "in", "op-rows")
			for i := range rs {
				if rng.IntN(6) == 0 {
					rs[i].value = nil
				}
			}
			return rs
		},
		folded: true,
	},
	"group of a table": {
		build: func(b *topology.Builder) {
			t := topology.MapTable(opIn.Table(b), short)
			text(topology.CountTable(t, "groups", func(v string) string { return "group" + v[len(v)-1:] })).To(opOut)
		},
		records: func(rng *rand.Rand) []opRecord {
			rs := opRecords(rng, 1500, "in")
			for i := range rs {
				rs[i].key = fmt.Sprint("k", rng.IntN(200))
				if rng.IntN(6) == 0 {
					rs[i].value = nil
				}
			}
			return rs
		},
		folded: true,
	},
}

// Records of "in" are versions of rows, or what is joined with the version of its time. Some are late,
// a few too late.
func versionOrAsked(v string) bool { return short(v)[len(short(v))-1]%2 == 0 }

func init() {
	opCases["versioned table"] = opCase{
		build: func(b *topology.Builder) {
			asked, versions := opIn.Stream(b).Split(func(v string) bool { return !versionOrAsked(v) })
			gone := func(v string) bool { return strings.HasSuffix(short(v), "4") }
			rows := topology.ToVersionedTable(versions, "versions", 10*time.Second, topology.DeleteWhen(gone))
			optional(topology.LeftJoin(asked, rows, "joined", func(v string, row topology.Opt[string]) string {
				return short(v) + "+" + short(row.Or("-"))
			})).To(opOut)
		},
		records:   func(rng *rand.Rand) []opRecord { return opRecords(rng, 1500, "in") },
		changelog: "versions",
	}
	opCases["time to live"] = opCase{
		build: func(b *topology.Builder) {
			text(topology.Count(opIn.Stream(b), "counts", topology.TTL(3*time.Second))).To(opOut)
		},
		records:   func(rng *rand.Rand) []opRecord { return opRecords(rng, 1500, "in") },
		changelog: "counts",
	}
}

// logTopic is the changelog of a table.
func logTopic(table string) topology.Topic[string, topology.Opt[[]byte]] {
	return topology.NewTopic("ops-"+table+"-changelog", codec.String, codec.Optional(codec.Bytes))
}

// sameLog reads the changelog until it leads to what is expected. There must be deletions in it.
func (c *opCase) sameLog(t *testing.T, addrs []string, want map[string]opRecord) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(logTopic(c.changelog).Name()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, deleted := map[string]*kgo.Record{}, 0
	equal := func(a *kgo.Record, b opRecord) bool {
		return bytes.Equal(a.Value, b.value) && a.Timestamp.UnixMilli() == b.at
	}
	for !maps.EqualFunc(got, want, equal) {
		if ctx.Err() != nil {
			for k, r := range got {
				t.Logf("there is %s: %.8q @%d", k, r.Value, r.Timestamp.UnixMilli()-opStart)
			}
			for k, r := range want {
				t.Logf("want %s: %.8q @%d", k, r.value, r.at-opStart)
			}
			t.Fatalf("the changelog of %s leads to something else", c.changelog)
		}
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if got[string(r.Key)] = r; r.Value == nil {
				deleted++
				delete(got, string(r.Key))
			}
		})
	}
	if deleted == 0 {
		t.Errorf("nothing was ever deleted in the changelog of %s", c.changelog)
	}
}

// expected is what topologytest makes of the records, and the last record of each key in the
// changelog.
func (c *opCase) expected(t *testing.T, rs []opRecord) (out []opRecord, log map[string]opRecord) {
	b := topology.New("ops")
	c.build(b)
	d := topologytest.Config{Partitions: partitions}.New(t, b)
	topics := map[string]*topologytest.TopicHandle[string, string]{}
	for _, r := range rs {
		h := topics[r.topic]
		if h == nil {
			for _, tp := range []topology.Topic[string, string]{opIn, opOther, opRows} {
				if tp.Name() == r.topic {
					h = topologytest.Topic(d, tp)
				}
			}
			topics[r.topic] = h
		}
		h.SendRawAt(core.Time(r.at), []byte(r.key), r.value)
	}
	for _, r := range topologytest.Topic(d, opOut).Records() {
		o := opRecord{key: r.Key, at: int64(r.Time)}
		if r.Value.OK {
			o.value = []byte(r.Value.Value)
		}
		out = append(out, o)
	}
	if c.changelog != "" {
		log = map[string]opRecord{}
		for _, r := range topologytest.Topic(d, logTopic(c.changelog)).Records() {
			if log[r.Key] = (opRecord{key: r.Key, value: r.Value.Value, at: int64(r.Time)}); !r.Value.OK {
				delete(log, r.Key)
			}
		}
	}
	return out, log
}

// same compares what came out with what is expected, as far as it is determined.
func (c *opCase) same(got, want []opRecord) string {
	if c.folded {
		fold := func(rs []opRecord) map[string]string {
			m := map[string]string{}
			for _, r := range rs {
				if m[r.key] = string(r.value); r.value == nil {
					delete(m, r.key)
				}
			}
			return m
		}
		g, w := fold(got), fold(want)
		if maps.Equal(g, w) {
			return ""
		}
		return fmt.Sprintf("rows\n%v\nwant\n%v", g, w)
	}
	byTask := func(rs []opRecord) (lines [partitions][]string) {
		for _, r := range rs {
			key := r.key
			if c.taskKey != nil {
				key = c.taskKey(key)
			}
			p := core.HashPartition([]byte(key), partitions)
			lines[p] = append(lines[p], r.String())
		}
		return lines
	}
	g, w := byTask(got), byTask(want)
	for p := range w {
		for i := range max(len(g[p]), len(w[p])) {
			switch {
			case i >= len(g[p]):
				return fmt.Sprintf("task %d: %d records, want %d; the next is %s", p, len(g[p]), len(w[p]), w[p][i])
			case i >= len(w[p]):
				return fmt.Sprintf("task %d: %d records, want %d; the next is %s", p, len(g[p]), len(w[p]), g[p][i])
			case g[p][i] != w[p][i]:
				return fmt.Sprintf("task %d, record %d: %s, want %s", p, i, g[p][i], w[p][i])
			}
		}
	}
	return ""
}

func TestOperators(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(opCases)) {
		for _, seed := range []uint64{1, 2} {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				t.Parallel()
				c := opCases[name]
				c.run(t, seed)
			})
		}
	}
}

func (c *opCase) run(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	rs := c.records(rng)
	want, log := c.expected(t, rs)
	if len(want) < 20 {
		t.Fatalf("%d records come out: the test proves nothing", len(want))
	}
	addrs := fakeKafka(t)
	compact := map[string]string{"cleanup.policy": "compact"}
	if err := openBroker(t, addrs).CreateTopics(t.Context(), []shell.Topic{
		{Name: "in", Partitions: partitions}, {Name: "other", Partitions: partitions}, {Name: "op-rows", Partitions: partitions, Config: compact}, {Name: "op-out", Partitions: 1},
	}); err != nil {
		t.Fatal(err)
	}
	// All of it is there before the start: what order sources are merged in is then determined.
	var in []*kgo.Record
	for _, r := range rs {
		in = append(in, &kgo.Record{
			Topic: r.topic, Partition: core.HashPartition([]byte(r.key), partitions),
			Key: []byte(r.key), Value: r.value, Timestamp: time.UnixMilli(r.at),
		})
	}
	send(t, addrs, in...)

	b := topology.New("ops")
	c.build(b)
	plan := build(t, b)
	fb := &faultyBroker{Broker: openBroker(t, addrs), rng: rand.New(rand.NewPCG(seed, 0)), per1000: 150}
	dir, restarts := t.TempDir(), 0
	var got []opRecord
	read := readOps(t, addrs, &got)
	deadline := time.Now().Add(90 * time.Second)
	for done := false; !done; restarts++ {
		cfg := shell.Config{
			Broker: fb, StateDir: dir, Workers: 1 + restarts%2, CommitEvery: 10 * time.Millisecond, BufferBytes: 1, // as little as goes
			Logger: slog.New(slog.DiscardHandler),
		}
		if restarts > 3 {
			fb.off()
		}
		stop := start(t, cfg, plan)
		// On a busy machine nothing may have been sent in so short a time: then the last one waits for a fault.
		unhurt := func() bool { return restarts == 3 && fb.faults() == 0 && c.same(got, want) != "" }
		for until := time.Now().Add(300 * time.Millisecond); restarts > 3 || time.Now().Before(until) || unhurt(); {
			read(50 * time.Millisecond)
			if done = c.same(got, want) == "" && restarts > 3; done {
				break
			}
			if time.Now().After(deadline) || !c.folded && len(got) > len(want) {
				t.Fatalf("after %d restarts, %v: %s", restarts, fb.hit, c.same(got, want))
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if restarts == 1 {
			dir = t.TempDir() // lost
		}
	}
	read(200 * time.Millisecond)
	if diff := c.same(got, want); diff != "" {
		t.Errorf("after the end: %s", diff)
	}
	if c.changelog != "" {
		c.sameLog(t, addrs, log)
	}
	t.Logf("%d records in, %d out, %d restarts, faults %v", len(rs), len(got), restarts, fb.hit)
	if fb.faults() == 0 {
		t.Error("no fault was injected")
	}
}

// readOps returns a function that appends to got what has come out, waiting up to a time.
func readOps(t *testing.T, addrs []string, got *[]opRecord) func(time.Duration) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("op-out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return func(wait time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			*got = append(*got, opRecord{key: string(r.Key), value: r.Value, at: r.Timestamp.UnixMilli()})
		})
	}
}
