package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/shell"
)

// unmarkedBroker plays brokers that have left out the marker in out/0: they tell of an open
// transaction there until one ends that has this partition and no records. It keeps what a
// producer asked for.
type unmarkedBroker struct {
	c *kfake.Cluster

	mu     sync.Mutex
	open   bool
	code   int16 // of the answers, instead
	pid    int64
	epoch  int16
	late   int    // so often the coordinator says that it is writing the marker
	state  string // what the coordinator says of the transaction; "": that it is ongoing
	looks  int
	did    []string
	adds   bool // out/0 is in the transaction
	writes bool // so are records
}

func newUnmarkedBroker(t *testing.T) *unmarkedBroker {
	u := &unmarkedBroker{c: fake(t, 1)}
	on := func(key kmsg.Key, f func(kmsg.Request) kmsg.Response) {
		u.c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			u.c.KeepControl()
			u.mu.Lock()
			defer u.mu.Unlock()
			r := f(req)
			return r, nil, r != nil
		})
	}
	on(kmsg.AddPartitionsToTxn, func(req kmsg.Request) kmsg.Response {
		for _, topic := range req.(*kmsg.AddPartitionsToTxnRequest).Topics {
			u.adds = u.adds || topic.Topic == "out" && slices.Contains(topic.Partitions, 0)
			u.did, u.state = append(u.did, fmt.Sprint("add ", topic.Partitions)), ""
		}
		return nil
	})
	on(kmsg.Produce, func(kmsg.Request) kmsg.Response {
		u.did, u.writes = append(u.did, "produce"), true
		return nil
	})
	on(kmsg.EndTxn, func(req kmsg.Request) kmsg.Response {
		r := req.(*kmsg.EndTxnRequest)
		if u.adds && !u.writes {
			u.open = false
		}
		u.did, u.adds, u.writes = append(u.did, fmt.Sprint("end ", r.Commit)), false, false
		u.pid, u.epoch, u.state = r.ProducerID, r.ProducerEpoch, "CompleteAbort"
		if r.Commit {
			u.state = "CompleteCommit"
		}
		return nil
	})
	on(kmsg.InitProducerID, func(kmsg.Request) kmsg.Response {
		u.state = "Empty"
		return nil
	})
	on(kmsg.DescribeTransactions, func(req kmsg.Request) kmsg.Response {
		if u.state == "" || u.pid == 0 {
			return nil
		}
		r := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State, s.ProducerID, s.ProducerEpoch = "x", u.state, u.pid, u.epoch
		if u.late > 0 {
			s.State = "PrepareCommit"
			if u.late--; u.late == 0 {
				u.open = false
			}
		}
		r.TransactionStates = append(r.TransactionStates, s)
		return r
	})
	on(kmsg.DescribeProducers, func(req kmsg.Request) kmsg.Response {
		u.looks++
		r := req.ResponseKind().(*kmsg.DescribeProducersResponse)
		for _, topic := range req.(*kmsg.DescribeProducersRequest).Topics {
			rt := kmsg.NewDescribeProducersResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewDescribeProducersResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p, u.code
				s := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				s.ProducerID, s.CurrentTxnStartOffset = u.pid, -1
				if u.open && topic.Topic == "out" && p == 0 {
					s.CurrentTxnStartOffset = 7
				}
				other := s // somebody else's transaction
				other.ProducerID, other.CurrentTxnStartOffset = u.pid+1, 3
				rp.ActiveProducers = append(rp.ActiveProducers, other, s)
				rt.Partitions = append(rt.Partitions, rp)
			}
			r.Topics = append(r.Topics, rt)
		}
		return r
	})
	return u
}

// asked is what was asked for since the last want.
func (u *unmarkedBroker) asked() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.did)
}

// want compares what was asked for since the last call, and begins anew; the marker is
// missing then, if lose says so.
func (u *unmarkedBroker) want(t *testing.T, lose bool, did ...string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.Equal(u.did, did) {
		t.Fatalf("asked for %q, want %q", u.did, did)
	}
	u.did, u.open = nil, lose
}

func TestMarkerMissing(t *testing.T) {
	u := newUnmarkedBroker(t)
	b := open(t, testConfig(u.c.ListenAddrs()))
	topics(t, b, 2, "out", "in")
	ctx := limit(t, 30*time.Second)
	fresh := func() *producer { // as it is after a restart
		p := b.NewProducer(shell.ProducerConfig{TransactionalID: "x"}).(*producer)
		t.Cleanup(func() { p.open = false; _ = p.Close() })
		must(t, p.Open(ctx))
		return p
	}
	write := func(p *producer, parts ...int32) error {
		var batches []*shell.ProduceBatch
		for _, i := range parts {
			batches = append(batches, &shell.ProduceBatch{Partition: tp("out", i), Records: records(2, "%d")})
		}
		return p.Produce(ctx, batches)
	}
	p := fresh()

	// Nobody looks while one transaction follows the other.
	for range 20 {
		must(t, write(p, 0))
		must(t, p.End(ctx))
		p.since = time.Now() // on a slow machine, too
	}
	if u.looks > 0 {
		t.Fatalf("%d looks", u.looks)
	}
	u.did = nil

	// A transaction that began long ago: the next one ends it as it ended.
	for _, commits := range []bool{true, false} {
		must(t, write(p, 0, 1))
		if commits {
			must(t, p.End(ctx))
		} else {
			must(t, p.Abort(ctx))
		}
		u.want(t, true, "add [0 1]", "produce", fmt.Sprint("end ", commits))
		p.since = p.since.Add(-2 * lookAfter)
		must(t, write(p, 1)) // even where it has nothing for that partition
		u.want(t, false, "add [0]", fmt.Sprint("end ", commits), "add [1]", "produce")
		must(t, p.End(ctx))
		u.did = nil
	}

	// A marker that comes late is waited for.
	must(t, write(p, 0))
	must(t, p.End(ctx))
	u.want(t, true, "add [0]", "produce", "end true")
	u.late = 5
	p.since = p.since.Add(-2 * lookAfter)
	must(t, write(p, 0))
	u.want(t, false, "add [0]", "produce")
	must(t, p.End(ctx))
	u.did = nil

	// After an error it is done before anybody reads offsets.
	must(t, write(p, 0))
	u.want(t, true, "add [0]", "produce")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.SendOffsets(gone, nil, []shell.GroupOffset{{Partition: tp("in", 0), Next: 1}}); err == nil {
		t.Fatal("no error")
	}
	must(t, p.Abort(ctx))
	u.want(t, false, "end false", "add [0]", "end false")

	// The end is not known: the coordinator knows it.
	must(t, write(p, 0))
	must(t, p.End(ctx))
	must(t, write(p, 0))
	u.did = nil
	u.c.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("lost"), true })
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_ = p.End(short)                   // it may arrive, or not,
	time.Sleep(100 * time.Millisecond) // but no later than that
	u.want(t, true, u.asked()...)
	must(t, p.Open(ctx))
	did := u.asked()
	if len(did) < 2 || did[len(did)-2] != "add [0]" {
		t.Fatalf("%q", did)
	}
	u.want(t, false, did...)

	// Another process takes over: what is not marked is known only when it writes there.
	must(t, write(p, 0))
	must(t, p.End(ctx))
	u.want(t, true, "add [0]", "produce", "end true")
	p = fresh()
	must(t, write(p, 1))
	err := write(p, 0)
	if !errors.Is(err, shell.ErrAborted) {
		t.Fatal(err)
	}
	must(t, p.Abort(ctx))
	u.want(t, false, "add [1]", "produce", "end false", "add [0]", "end true")
	must(t, write(p, 0))
	must(t, p.End(ctx))
	u.want(t, true, "add [0]", "produce", "end true")
	p = fresh()
	must(t, write(p, 0))
	u.want(t, false, "add [0]", "end true", "add [0]", "produce")

	// It was killed in the middle: the coordinator knows the partitions.
	u.want(t, true)
	fresh()
	u.want(t, false, "end false", "add [0]", "end false")

	// One that opens the id twice no more knows how what was before ended.
	fresh()
	u.want(t, true)
	p = fresh()
	if err := write(p, 0); err == nil || errors.Is(err, shell.ErrAborted) || !strings.Contains(err.Error(), "KAFKA-20734") {
		t.Fatal(err)
	}
	u.want(t, false)

	// Who may not look writes markers once after errors.
	u.code = kerr.TopicAuthorizationFailed.Code
	must(t, p.Open(ctx))
	u.did = nil
	must(t, write(p, 0))
	must(t, p.End(ctx))
	p.since = p.since.Add(-2 * lookAfter)
	must(t, write(p, 0))
	u.want(t, false, "add [0]", "produce", "end true", "add [0]", "produce")
	_ = p.SendOffsets(gone, nil, []shell.GroupOffset{{Partition: tp("in", 0), Next: 1}})
	must(t, p.Abort(ctx))
	must(t, write(p, 0))
	u.want(t, false, "end false", "add [0]", "end false", "add [0]", "produce")
}
