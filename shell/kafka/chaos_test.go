package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// counting runs transactions that write the numbers from 0 on to each of some partitions,
// three at a time, and commit how far they are: exactly once, whatever happens, if the
// producer keeps its promises.
type counting struct {
	t     testing.TB
	b     *Broker
	p     shell.Producer
	g     shell.Group
	group string
	parts int32
	next  core.Offset              // transactions that are committed
	ends  map[[2]int32]core.Offset // by transaction and partition, of the last try

	aborted, unknown, fenced int
}

const perTransaction = 3

func (c *counting) transaction(ctx context.Context) error {
	var batches []*shell.ProduceBatch
	for i := range c.parts {
		var rs []core.RawRecord
		for k := range perTransaction {
			rs = append(rs, core.RawRecord{Key: []byte("k"), Value: fmt.Appendf(nil, "%d", int(c.next)*perTransaction+k), Time: core.Time(time.Now().UnixMilli())}) // now: retention looks at it
		}
		batches = append(batches, &shell.ProduceBatch{Partition: tp("out", i), Records: rs})
	}
	if err := c.p.Produce(ctx, batches); err != nil {
		return err
	}
	if c.ends == nil {
		c.ends = map[[2]int32]core.Offset{}
	}
	for i, b := range batches {
		c.ends[[2]int32{int32(c.next), int32(i)}] = b.End
	}
	if err := c.p.SendOffsets(ctx, c.g, []shell.GroupOffset{{Partition: tp("in", 0), Next: c.next + 1}}); err != nil {
		return err
	}
	return c.p.End(ctx)
}

// step runs one transaction and does what its error asks for, as the shell does.
func (c *counting) step(ctx context.Context) error {
	err := c.transaction(ctx)
	switch {
	case err == nil:
		c.next++
		return nil
	case errors.Is(err, shell.ErrAborted):
		c.aborted++
		if err = c.p.Abort(ctx); err == nil {
			return nil
		}
	case errors.Is(err, shell.ErrUnknown):
		c.unknown++
	case errors.Is(err, shell.ErrFenced):
		c.fenced++
	default:
		return err
	}
	if err := c.p.Open(ctx); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	os, err := c.b.Committed(ctx, c.group, []shell.Partition{tp("in", 0)})
	if err != nil {
		return err
	}
	if at := os[tp("in", 0)].Next; at != c.next && at != c.next+1 {
		return fmt.Errorf("committed %d, expected %d or one more", at, c.next)
	}
	c.next = os[tp("in", 0)].Next
	return nil
}

// check compares the output with what was committed.
func (c *counting) check(addrs []string) {
	c.t.Helper()
	if c.next == 0 {
		c.t.Fatal("nothing was committed")
	}
	var want []string
	for i := range int(c.next) * perTransaction {
		want = append(want, fmt.Sprint(i))
	}
	got := readBack(c.t, addrs, "out", int(c.parts)*len(want))
	ends := map[shell.Partition]core.Offset{}
	for i := range c.parts {
		equal(c.t, fmt.Sprint("partition ", i), kvalues(got[i]), want)
		for n := range int32(c.next) {
			last := core.Offset(got[i][(n+1)*perTransaction-1].Offset)
			if end, ok := c.ends[[2]int32{n, i}]; ok && end != last+1 { // ok: of this run
				c.t.Errorf("%v: transaction %d was said to end before %d; its last record has offset %d", tp("out", i), n, end, last)
			}
		}
		ends[tp("out", i)] = core.Offset(got[i][len(got[i])-1].Offset) + 1
	}
	for p, rs := range fetchUntil(c.t, c.b, ends) { // and the reader that is under test
		equal(c.t, p.String(), values(rs), want)
	}
	c.t.Logf("%d transactions; aborted %d, unknown %d, fenced %d", c.next, c.aborted, c.unknown, c.fenced)
}

// Random answers and broken connections in all requests of a transaction.
func TestFaults(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := fake(t, 3)
			cfg := testConfig(c.ListenAddrs())
			cfg.BatchBytes = 1 << 10
			b := open(t, cfg)
			topics(t, b, 3, "out", "in")
			x := &counting{t: t, b: b, p: producerFor(t, b, "x"), group: "g", parts: 3}
			rnd := rand.New(rand.NewPCG(seed, 1))
			faults := []struct {
				keys []kmsg.Key
				errs []*kerr.Error
			}{
				{[]kmsg.Key{kmsg.Produce}, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch}},
				{[]kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.InitProducerID}, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.RequestTimedOut}},
				{[]kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn}, []*kerr.Error{kerr.ProducerFenced}},
				{[]kmsg.Key{kmsg.EndTxn}, []*kerr.Error{kerr.ConcurrentTransactions, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.InvalidTxnState}},
				{[]kmsg.Key{kmsg.TxnOffsetCommit}, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RequestTimedOut, kerr.InvalidProducerEpoch}},
				{[]kmsg.Key{kmsg.OffsetFetch}, []*kerr.Error{kerr.UnstableOffsetCommit, kerr.NotCoordinator}},
				{[]kmsg.Key{kmsg.Fetch}, []*kerr.Error{kerr.NotLeaderForPartition, kerr.OffsetOutOfRange}},
			}
			ctx := limit(t, 60*time.Second)
			for x.next < 30 {
				f := faults[rnd.IntN(len(faults))]
				h := c.Fault(kfake.Fault{Keys: f.keys, Err: f.errs[rnd.IntN(len(f.errs))], Count: 1 + rnd.IntN(2)})
				if rnd.IntN(4) == 0 { // a connection breaks before the request is read
					key := f.keys[rnd.IntN(len(f.keys))]
					c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
						return nil, errors.New("broken on purpose"), true
					})
				}
				must(t, x.step(ctx))
				h.Remove()
			}
			x.check(c.ListenAddrs())
		})
	}
}
