package shell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// growing is an application that runs while topics get more partitions.
type growing struct {
	c     *kfake.Cluster
	addrs []string
	ended chan error
	ran   chan core.TaskID
	stop  func()
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "words", "counts"), kfake.SeedTopics(1, "few"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &growing{c: c, addrs: c.ListenAddrs(), ran: make(chan core.TaskID, 100)}
}

// run starts the application and waits for n tasks.
func (g *growing) run(t *testing.T, plan *topology.Plan, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	g.stop, g.ended = cancel, make(chan error, 1)
	t.Cleanup(cancel)
	broker := openBroker(t, g.addrs)
	go func() {
		g.ended <- shell.Run(ctx, plan, shell.Config{
			Broker: broker, CommitEvery: 20 * time.Millisecond, RefreshEvery: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			Events: shell.Events{Running: func(id core.TaskID) { g.ran <- id }},
		})
	}()
	for range n {
		g.await(t)
	}
}

func (g *growing) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.ran:
	case err := <-g.ended:
		t.Fatalf("Run returned %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("a task does not run")
	}
}

func (g *growing) grow(t *testing.T, topic string, n int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, n
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 5000
	if resp, err := req.RequestWith(t.Context(), cl); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatal(resp, err)
	}
}

// refused wants the application to stop by itself, and to say these things.
func (g *growing) refused(t *testing.T, says ...string) {
	t.Helper()
	select {
	case err := <-g.ended:
		for _, s := range says {
			if !errors.Is(err, shell.ErrTopic) || !strings.Contains(err.Error(), s) {
				t.Errorf("%v is no ErrTopic that says %q", err, s)
			}
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was said")
	}
}

// TestGrowthTakenOver: a sub-topology with no tables goes on with more tasks, in front of one
// that has; and so it does after a restart.
func TestGrowthTakenOver(t *testing.T) {
	g := newGrowing(t)
	plan := wordCount(t) // a KeyBy in front of a Count
	g.run(t, plan, 2*partitions)
	g.grow(t, "words", partitions+2)
	forgetMember(g.c) // a rebalance, which otherwise comes within a minute
	say := func(n int) {
		t.Helper()
		var rs []*kgo.Record
		for p := range int32(partitions + 2) {
			rs = append(rs, &kgo.Record{Topic: "words", Partition: p, Key: []byte("k"), Value: []byte("hello")})
		}
		send(t, g.addrs, rs...)
		await(t, g.addrs, map[string]int64{"hello": int64(n * (partitions + 2))}, 30*time.Second)
	}
	for range 2*partitions + 2 { // all of them anew
		g.await(t)
	}
	say(1)
	g.stop()
	if err := <-g.ended; err != nil {
		t.Fatal(err)
	}
	g.run(t, plan, 2*partitions+2)
	say(2)
	g.stop()
	if err := <-g.ended; err != nil {
		t.Fatal(err)
	}
}

// TestGrowthRefused: without any rebalance, and again at the next start.
func TestGrowthRefused(t *testing.T) {
	for name, c := range map[string]struct {
		build func(*topology.Builder)
		tasks int
		topic string
		to    int32
		says  []string
		again []string // at the next start; nil: it runs
	}{
		"state with a changelog": {
			func(b *topology.Builder) { topology.Count(words.Stream(b), "count").To(counts) }, partitions, "words", partitions + 1,
			[]string{"words: has grown from 3 to 4 partitions: keys lie in other partitions", "reset the application"},
			[]string{"grow-count-changelog: has 3 partitions and needs 4"},
		},
		"table of a compacted topic": {
			func(b *topology.Builder) {
				rows := topology.NewTopic("rows", codec.String, codec.String, topology.Compacted()).Table(b)
				topology.Join(words.Stream(b), rows, "join", func(a, b string) string { return a + b }).To(words2)
			}, partitions, "rows", partitions + 1,
			[]string{"rows: has grown from 3 to 4"},
			[]string{"was made with 3 partitions, and there are 4"},
		},
		"declared": {
			func(b *topology.Builder) {
				topology.NewTopic("words", codec.String, codec.String, topology.Partitions(partitions)).Stream(b).To(words2)
			}, partitions, "words", partitions + 1,
			[]string{"the topology declares 3. Declare 4"},
			[]string{"has 4 partitions; the topology declares 3"},
		},
		"the smaller one of a merge": {
			func(b *topology.Builder) {
				few := topology.NewTopic("few", codec.String, codec.String)
				words.Stream(b).Merge(few.Stream(b)).To(words2)
			}, partitions, "few", 2,
			[]string{"few: has grown from 1 to 2", "Start the application again"},
			nil,
		},
		"a repartition topic": {
			func(b *topology.Builder) { topology.Map(words.Stream(b).Repartition("by"), strings.ToUpper).To(words2) },
			2 * partitions, "grow-by-repartition", partitions + 1,
			[]string{"grow-by-repartition: has grown from 3 to 4", "belongs to the application"},
			nil, // any number will do where there is no state
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGrowing(t)
			if err := openBroker(t, g.addrs).CreateTopics(t.Context(), []shell.Topic{
				{Name: "rows", Partitions: partitions, Config: map[string]string{"cleanup.policy": "compact"}},
			}); err != nil {
				t.Fatal(err)
			}
			b := topology.New("grow")
			c.build(b)
			plan := build(t, b)
			g.run(t, plan, c.tasks)
			var rs []*kgo.Record
			for p := range int32(partitions) { // so that something is committed
				rs = append(rs, &kgo.Record{Topic: "words", Partition: p, Key: []byte("k"), Value: []byte("v")},
					&kgo.Record{Topic: "rows", Partition: p, Key: fmt.Append(nil, "row", p), Value: []byte("v")})
			}
			send(t, g.addrs, rs...)
			committed(t, g.addrs, "grow", partitions)
			g.grow(t, c.topic, c.to)
			g.refused(t, c.says...)
			if c.topic == "rows" { // both, so that they can be joined
				g.grow(t, "words", c.to)
			}
			if c.again != nil {
				g.run(t, plan, 0)
				g.refused(t, c.again...)
				return
			}
			g.run(t, plan, c.tasks)
			g.stop()
			if err := <-g.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// committed waits until the group has offsets behind the beginning of n partitions.
func committed(t *testing.T, addrs []string, group string, n int) {
	t.Helper()
	var ps []shell.Partition
	for p := range int32(n) {
		ps = append(ps, shell.Partition{Topic: "words", ID: p})
	}
	b := openBroker(t, addrs)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got, err := b.Committed(t.Context(), group, ps)
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for _, o := range got {
			if o.Next > 0 {
				done++
			}
		}
		if done == n {
			return
		}
	}
	t.Fatal("nothing is committed")
}
