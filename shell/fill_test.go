package shell_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// prices asks for the price of a thing, and counts how often: a table of a compacted topic, and one
// that has a changelog in any case.
func prices(t testing.TB, opts ...topology.SourceOption) *topology.Plan {
	t.Helper()
	b := topology.New("fill")
	table := topology.NewTopic("prices", codec.String, codec.Int64).Table(b, opts...)
	asked := topology.NewTopic("words", codec.String, codec.String).Stream(b)
	topology.LeftJoin(asked, table, "answer", func(q string, n topology.Opt[int64]) string { return fmt.Sprint(q, n.Value, n.OK) }).To(words2)
	topology.Count(asked, "count")
	return build(t, b)
}

// priceWorld is a cluster with the topics of prices.
type priceWorld struct {
	t      *testing.T
	addrs  []string
	broker shell.Broker
	asked  int
	now    map[string]int64
}

func newPriceWorld(t *testing.T, policy string) *priceWorld {
	t.Helper()
	w := &priceWorld{t: t, addrs: newCluster(t), now: map[string]int64{}}
	createTopics(t, w.addrs, "prices", map[string]string{"cleanup.policy": policy})
	w.broker = openBroker(t, w.addrs)
	return w
}

func (w *priceWorld) set(key string, value []byte) {
	w.t.Helper()
	send(w.t, w.addrs, &kgo.Record{Topic: "prices", Partition: 1, Key: []byte(key), Value: value})
}

func (w *priceWorld) price(key string, n int64) {
	w.t.Helper()
	v, err := codec.Int64.Append(nil, n)
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(key, v)
	w.now[key] = n
}

func (w *priceWorld) delete(key string) {
	w.t.Helper()
	w.set(key, nil)
	delete(w.now, key)
}

// release runs a version of the application until it has answered for all things.
func (w *priceWorld) release(cfg shell.Config, opts ...topology.SourceOption) {
	w.t.Helper()
	cfg.Broker, cfg.CommitEvery = w.broker, 10*time.Millisecond
	stop := start(w.t, cfg, prices(w.t, opts...))
	var asked []*kgo.Record
	var want []string
	for i := range 8 {
		key := fmt.Sprint("k", i)
		n, ok := w.now[key]
		question := fmt.Sprint(w.asked+i, "? ", key, " ")
		asked = append(asked, &kgo.Record{Topic: "words", Partition: 1, Key: []byte(key), Value: []byte(question)})
		want = append(want, fmt.Sprint(question, n, ok))
	}
	send(w.t, w.addrs, asked...)
	w.asked += len(asked)
	got := all(w.t, w.addrs, "counts", w.asked)
	for _, s := range want {
		if !slices.Contains(got, s) {
			w.t.Errorf("no %q among %q", s, got[w.asked-len(asked):])
		}
	}
	if err := stop(); err != nil {
		w.t.Fatal(err)
	}
}

// A policy that may skip records, when it is added to a running application or taken away, changes
// which log its table is restored from. It has the rows that it had, whatever of the state is kept.
func TestPolicyComesAndGoes(t *testing.T) {
	skip := topology.OnError(topology.Skip)
	for _, atLeastOnce := range []bool{false, true} {
		for _, state := range []string{"kept", "deleted"} {
			t.Run(fmt.Sprintf("%s, at least once %v", state, atLeastOnce), func(t *testing.T) {
				t.Parallel()
				w := newPriceWorld(t, "compact")
				dir := t.TempDir()
				cfg := func() shell.Config {
					if state == "deleted" {
						dir = t.TempDir()
					}
					return shell.Config{StateDir: dir, AtLeastOnce: atLeastOnce}
				}
				for i := range int64(5) {
					w.price(fmt.Sprint("k", i), i)
				}
				w.release(cfg())
				w.release(cfg(), skip) // it is all there: nothing was read of the topic since
				w.price("k0", 10)
				w.delete("k1")
				w.price("k5", 15)
				w.set("k2", []byte("no price at all"))
				w.release(cfg(), skip)
				w.release(cfg(), skip)
				w.price("k6", 16)
				w.release(cfg()) // what was skipped does not come back
				w.delete("k3")
				w.release(cfg())
				w.price("k3", 23)
				w.release(cfg(), skip)
			})
		}
	}
}

// A transaction that fills a changelog is made again where it fails, with the task opened anew: each row is
// there once it is committed. One that never succeeds stops the process.
func TestFillFails(t *testing.T) {
	skip := topology.OnError(topology.Skip)
	for _, kind := range []string{"aborted", "unknown before", "unknown after", "fenced"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newPriceWorld(t, "compact")
			for i := range int64(5) {
				w.price(fmt.Sprint("k", i), i)
			}
			w.release(shell.Config{})
			fb := &faultyBroker{Broker: w.broker, rng: rand.New(rand.NewPCG(1, 1)), per1000: 1000, kinds: []string{kind}, most: 3}
			good := w.broker
			w.broker = fb
			w.release(shell.Config{Workers: 2}, skip)
			if fb.faults() == 0 {
				t.Error("no fault was injected")
			}
			w.broker = good
			w.release(shell.Config{}, skip)
		})
	}
	for kind, want := range map[string]error{"aborted": shell.ErrAborted, "fenced": shell.ErrInstanceFenced} { // too late is fenced, too
		t.Run(kind+" for ever", func(t *testing.T) {
			t.Parallel()
			w := newPriceWorld(t, "compact")
			w.price("k0", 1)
			w.release(shell.Config{})
			fb := &faultyBroker{Broker: w.broker, rng: rand.New(rand.NewPCG(1, 1)), per1000: 1000, kinds: []string{kind}}
			err := stopsWith(t, shell.Config{Broker: fb, CommitEvery: 10 * time.Millisecond}, prices(t, skip))
			if !errors.Is(err, want) || !strings.Contains(err.Error(), "new changelog") || !strings.Contains(err.Error(), "transaction timeout") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// offsetsBroker fails the first SendOffsets of each producer.
type offsetsBroker struct {
	shell.Broker
	failed  *atomic.Int64
	between func()
}

func (b offsetsBroker) NewProducer(cfg shell.ProducerConfig) shell.Producer {
	return &offsetsProducer{b.Broker.NewProducer(cfg), b}
}

type offsetsProducer struct {
	shell.Producer
	b offsetsBroker
}

func (p *offsetsProducer) SendOffsets(ctx context.Context, g shell.Group, offsets []shell.GroupOffset) error {
	if p.b.failed.Add(1) == 1 {
		p.b.between()
		return shell.ErrAborted
	}
	return p.Producer.SendOffsets(ctx, g, offsets)
}

// At least once a changelog that is filled has no transaction. Where that is cut off it is filled anew, and has no
// row of before that the table has not.
func TestFillIsCutOffAtLeastOnce(t *testing.T) {
	skip := topology.OnError(topology.Skip)
	w := newPriceWorld(t, "compact")
	for i := range int64(5) {
		w.price(fmt.Sprint("k", i), i)
	}
	w.release(shell.Config{AtLeastOnce: true})
	good, failed := w.broker, new(atomic.Int64)
	w.broker = offsetsBroker{good, failed, func() {
		v, _ := codec.Int64.Append(nil, 77)
		send(t, w.addrs, &kgo.Record{Topic: "fill-prices-changelog", Partition: 1, Key: []byte("k7"), Value: v})
	}}
	w.release(shell.Config{AtLeastOnce: true}, skip)
	if failed.Load() < 2 {
		t.Errorf("%d times offsets were sent", failed.Load())
	}
	w.broker = good
	w.release(shell.Config{AtLeastOnce: true}, skip) // restored from the changelog
}
