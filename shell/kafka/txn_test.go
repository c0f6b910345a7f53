package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

func topics(t testing.TB, b *Broker, n int32, names ...string) {
	t.Helper()
	var ts []shell.Topic
	for _, name := range names {
		ts = append(ts, shell.Topic{Name: name, Partitions: n, Replicas: 1})
	}
	must(t, b.CreateTopics(limit(t, 20*time.Second), ts))
}

func producerFor(t testing.TB, b *Broker, id string) *producer {
	t.Helper()
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: id, Group: "g"}).(*producer)
	t.Cleanup(func() { _ = p.Close() })
	must(t, p.Open(limit(t, 20*time.Second)))
	return p
}

// commit runs a transaction: records to a partition, and an offset.
func commit(ctx context.Context, p shell.Producer, g shell.Group, batch *shell.ProduceBatch, next core.Offset) error {
	if err := p.Produce(ctx, []*shell.ProduceBatch{batch}); err != nil {
		return err
	}
	if err := p.SendOffsets(ctx, g, []shell.GroupOffset{{Partition: tp("in", batch.ID), Next: next}}); err != nil {
		return err
	}
	return p.End(ctx)
}

func TestTransactions(t *testing.T) {
	for _, codec := range []string{"none", "lz4", "zstd", "snappy", "gzip"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			c := fake(t, 3)
			cfg := testConfig(c.ListenAddrs())
			cfg.Compression, cfg.BatchBytes = codec, 2<<10 // many batches
			b := open(t, cfg)
			topics(t, b, 4, "out", "in")
			p := producerFor(t, b, "x")
			ctx := limit(t, 30*time.Second)
			want := map[shell.Partition][]string{}
			for round := range 6 {
				var batches []*shell.ProduceBatch
				for i := range int32(4) {
					rs := records(300, fmt.Sprintf("%d-%d-%%d", round, i))
					rs[1].Headers = core.AppendHeader(core.AppendHeader(nil, "h", "v"), "i", "")
					rs[2].Value, rs[3].Key, rs[4].Value = nil, nil, []byte{}
					batches = append(batches, &shell.ProduceBatch{Partition: tp("out", i), Records: rs})
				}
				must(t, p.Produce(ctx, batches))
				for i := range int32(4) { // and a second flush of the same transaction
					batches[i].Records = records(5, fmt.Sprintf("%d-%d+%%d", round, i))
				}
				first := batches[0].End
				must(t, p.Produce(ctx, batches))
				if batches[0].End != first+5 {
					t.Fatalf("ends %d and %d", first, batches[0].End)
				}
				must(t, p.SendOffsets(ctx, nil, []shell.GroupOffset{{Partition: tp("in", 0), Next: core.Offset(round + 1)}}))
				if round%2 == 1 {
					must(t, p.Abort(ctx))
					continue
				}
				must(t, p.End(ctx))
				for i := range int32(4) {
					rs := records(300, fmt.Sprintf("%d-%d-%%d", round, i))
					rs[2].Value, rs[4].Value = nil, []byte{}
					want[tp("out", i)] = append(append(want[tp("out", i)], values(rs)...), values(records(5, fmt.Sprintf("%d-%d+%%d", round, i)))...)
				}
			}
			offsets, err := b.Committed(ctx, "g", []shell.Partition{tp("in", 0)})
			must(t, err)
			if offsets[tp("in", 0)].Next != 5 {
				t.Fatalf("%+v", offsets)
			}
			ends := map[shell.Partition]core.Offset{}
			for i := range int32(4) {
				ends[tp("out", i)] = 6 * 306
			}
			got := fetchUntil(t, b, ends)
			other := readBack(t, c.ListenAddrs(), "out", 4*3*305)
			for q, vs := range want {
				rs := got[q]
				equal(t, q.String(), values(rs), vs)
				equal(t, "another reader of "+q.String(), kvalues(other[q.ID]), vs)
				for i, r := range rs {
					if r.Offset != core.Offset(other[q.ID][i].Offset) || int64(r.Time) != other[q.ID][i].Timestamp.UnixMilli() {
						t.Fatalf("record %d: %+v, %+v", i, r, other[q.ID][i])
					}
				}
				if hs := other[q.ID][1].Headers; len(hs) != 2 || hs[0].Key != "h" || string(hs[0].Value) != "v" {
					t.Fatalf("headers %+v", hs)
				}
				if v, ok := core.HeadersOf(rs[1].Headers).Get("h"); !ok || v != "v" || core.HeadersOf(rs[1].Headers).Count() != 2 {
					t.Fatalf("headers %q", rs[1].Headers)
				}
				if rs[2].Value != nil || rs[3].Key != nil || rs[4].Value == nil {
					t.Fatal("null and empty are not the same")
				}
			}
		})
	}
}

func TestFencing(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out", "in")
	ctx := limit(t, 20*time.Second)
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "a%d")}
	old := producerFor(t, b, "x")
	must(t, commit(ctx, old, nil, batch, 1))
	must(t, old.Produce(ctx, []*shell.ProduceBatch{batch})) // left open
	young := producerFor(t, b, "x")
	batch.Records = records(3, "b%d")
	must(t, commit(ctx, young, nil, batch, 2))
	err := commit(ctx, old, nil, batch, 3)
	if !errors.Is(err, shell.ErrFenced) {
		t.Fatalf("the fenced one: %v", err)
	}
	if err := old.Produce(ctx, []*shell.ProduceBatch{batch}); err == nil {
		t.Fatal("a producer works on after an error")
	}
	if err := old.Abort(ctx); !errors.Is(err, shell.ErrFenced) {
		t.Fatalf("abort: %v", err)
	}
	must(t, commit(ctx, young, nil, batch, 4)) // it was not harmed
	must(t, old.Open(ctx))
	batch.Records = records(3, "c%d")
	must(t, commit(ctx, old, nil, batch, 5))
	got := readBack(t, c.ListenAddrs(), "out", 12)
	equal(t, "out", kvalues(got[0]), []string{"a0", "a1", "a2", "b0", "b1", "b2", "b0", "b1", "b2", "c0", "c1", "c2"})
}

func TestAtLeastOnce(t *testing.T) {
	c := fake(t, 2)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out", "in")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "")
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "a%d")}
	must(t, commit(ctx, p, nil, batch, 1))
	must(t, commit(ctx, p, nil, batch, 2))
	must(t, p.Abort(ctx))
	must(t, commit(ctx, p, nil, batch, 3))
	offsets, err := b.Committed(ctx, "g", []shell.Partition{tp("in", 0)})
	must(t, err)
	if offsets[tp("in", 0)].Next != 3 || batch.End != 6+core.Offset(len(batch.Records)) {
		t.Fatalf("%+v, end %d", offsets, batch.End)
	}
}

// Which answers to EndTxn leave open whether the transaction was committed: INVALID_TXN_STATE is said of one that has
// expired, and of one whose first EndTxn has done it.
func TestEndUnknown(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out", "in")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "x")
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(1, "a%d")}
	for said, want := range map[*kerr.Error]error{
		kerr.InvalidTxnState: shell.ErrUnknown, kerr.ProducerFenced: shell.ErrFenced, kerr.InvalidProducerEpoch: shell.ErrFenced,
	} {
		must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: said, Count: 1})
		err := p.End(ctx)
		for _, e := range []error{shell.ErrUnknown, shell.ErrFenced, shell.ErrAborted} {
			if errors.Is(err, e) != errors.Is(want, e) {
				t.Errorf("%v: %v", said, err)
			}
		}
		must(t, p.Open(ctx))
	}
	must(t, commit(ctx, p, nil, batch, 1))
}

// Open leaves no connection on which a batch may still be on its way, and does so before it asks for an epoch.
func TestOpenHangsUp(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "x")
	must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(1, "a%d")}}))
	n := p.nodes[c.LeaderFor("out", 0)]
	was := n.conn
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed, Count: 1})
	if err := p.Open(ctx); !errors.Is(err, shell.ErrUnreachable) {
		t.Fatal(err)
	}
	if _, err := was.net.Write([]byte{0}); n.conn != nil || err == nil {
		t.Error("a late batch may come in behind the new epoch")
	}
}

// Of the answers about several partitions the one counts that has the reason, whatever their order.
func TestWorst(t *testing.T) {
	none, other := sarama.ErrNoError, sarama.ErrOperationNotAttempted
	again, denied := sarama.ErrConcurrentTransactions, sarama.ErrTopicAuthorizationFailed
	for _, x := range []struct {
		want  code
		codes []code
	}{
		{none, nil},
		{none, []code{none, none}},
		{again, []code{none, again}},
		{denied, []code{other, denied}},
		{again, []code{other, again}},
		{denied, []code{again, denied}},
		{denied, []code{other, none, again, denied}},
		{other, []code{none, other}},
	} {
		for range 2 {
			var ps []*sarama.PartitionError
			for i, k := range x.codes {
				ps = append(ps, &sarama.PartitionError{Partition: int32(i), Err: k})
			}
			if got := worst(map[string][]*sarama.PartitionError{"out": ps}); got != x.want {
				t.Errorf("%v: %v", x.codes, got)
			}
			slices.Reverse(x.codes)
		}
	}
}
