package kafka

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
)

// TestLateCopies loses the connection of one request of each kind, behind which its first copy is still on its way: it
// comes in when the producer has sent it again, has ended the transaction, and is within the next one. It must
// have no effect there.
func TestLateCopies(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
		t.Run(key.Name(), func(t *testing.T) {
			t.Parallel()
			c := fake(t, 1)
			b := open(t, testConfig(c.ListenAddrs()))
			topics(t, b, 1, "out", "in")
			p := producerFor(t, b, "x")
			ctx := limit(t, 20*time.Second)
			batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(1, "a%d")}
			must(t, commit(ctx, p, nil, batch, 1))

			var mu sync.Mutex
			var late kmsg.Request
			c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				mu.Lock()
				defer mu.Unlock()
				late = req
				return nil, errors.New("the connection is lost"), true
			})
			was := p.epoch
			batch.Records = records(1, "b%d")
			must(t, commit(ctx, p, nil, batch, 2))
			if late == nil || p.epoch != was {
				t.Fatalf("%v, epoch %d: the test is out of date", late, p.epoch)
			}
			batch.Records = records(1, "c%d")
			must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
			must(t, p.SendOffsets(ctx, nil, []shell.GroupOffset{{Partition: tp("in", 0), Next: 3}}))

			cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RequestRetries(0), kgo.MaxVersions(kversion.V3_0_0())) // the versions that we send
			must(t, err)
			t.Cleanup(cl.Close)
			r, err := cl.Broker(0).Request(ctx, late)
			must(t, err)
			if e := refusal(r); e == nil {
				t.Errorf("the late copy was taken: %+v", r)
			}
			batch.Records = records(1, "d%d")
			must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
			must(t, p.End(ctx))
			offsets, err := b.Committed(ctx, "g", []shell.Partition{tp("in", 0)})
			must(t, err)
			if offsets[tp("in", 0)].Next != 3 {
				t.Errorf("the group's offset is %+v", offsets)
			}
			equal(t, "out", kvalues(readBack(t, c.ListenAddrs(), "out", 4)[0]), []string{"a0", "b0", "c0", "d0"})

			was = p.epoch
			must(t, commit(ctx, p, nil, batch, core.Offset(4)))
			if p.epoch != was {
				t.Error("a new epoch, and nothing was sent again")
			}
		})
	}
}

// realCopies sends late copies, written by hand, to a real broker: it takes those of the same epoch, which is what renew
// is for, and refuses those of the one before.
func realCopies(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	in, out, id := realName(t, "in"), realName(t, "out"), t.Name()
	topics(t, b, 1, in, out)
	p := producerFor(t, b, id)
	ctx := limit(t, 60*time.Second)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.RequestRetries(0), kgo.MaxVersions(kversion.V3_0_0()))
	must(t, err)
	t.Cleanup(cl.Close)
	next := core.Offset(10)
	begin := func() {
		next++
		must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp(out, 0), Records: records(1, fmt.Sprint(next))}}))
		must(t, p.SendOffsets(ctx, nil, []shell.GroupOffset{{Partition: tp(in, 0), Next: next}}))
	}
	for _, old := range []bool{true, false} { // the last copy ends the transaction early
		for _, key := range []kmsg.Key{kmsg.TxnOffsetCommit, kmsg.EndTxn} {
			begin()
			must(t, p.End(ctx))
			pid, epoch := p.pid, p.epoch
			p.copies.Store(old)
			begin()
			if (p.epoch == epoch) == old {
				t.Fatalf("epoch %d after %d", p.epoch, epoch)
			}
			var req kmsg.Request
			switch key {
			case kmsg.EndTxn:
				r := kmsg.NewPtrEndTxnRequest()
				r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = id, pid, epoch, true
				req = r
			default:
				r := kmsg.NewPtrTxnOffsetCommitRequest()
				r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = id, "g", pid, epoch
				r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: in, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}}}
				req = r
			}
			a, err := cl.Broker(1).Request(ctx, req)
			must(t, err)
			if err := refusal(a); (err != nil) != old {
				t.Errorf("%s of the epoch before (%v): %v", key.Name(), old, err)
			}
			if key == kmsg.EndTxn && !old {
				return
			}
			must(t, p.End(ctx))
			want := next
			if !old {
				want = 1
			}
			offsets, err := b.Committed(ctx, "g", []shell.Partition{tp(in, 0)})
			must(t, err)
			if got := offsets[tp(in, 0)].Next; got != want {
				t.Errorf("%s of the epoch before (%v): the group's offset is %d, not %d", key.Name(), old, got, want)
			}
		}
	}
}

// refusal is the error in an answer.
func refusal(r kmsg.Response) error {
	var k int16
	switch r := r.(type) {
	case *kmsg.AddPartitionsToTxnResponse:
		k = r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.AddOffsetsToTxnResponse:
		k = r.ErrorCode
	case *kmsg.TxnOffsetCommitResponse:
		k = r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.EndTxnResponse:
		k = r.ErrorCode
	default:
		return fmt.Errorf("%T", r)
	}
	return kerr.ErrorForCode(k)
}
