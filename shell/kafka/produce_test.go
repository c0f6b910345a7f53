package kafka

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// DUPLICATE_SEQUENCE_NUMBER comes without the offset. Of a chunk behind another one that is known all the same, of the
// first it is not: the batch has no end then, and the transaction must be done again.
func TestDuplicateHasNoOffset(t *testing.T) {
	for chunk := range int32(2) {
		c := fake(t, 1)
		b := open(t, testConfig(c.ListenAddrs()))
		topics(t, b, 1, "out")
		ctx := limit(t, 20*time.Second)
		p := producerFor(t, b, "x")
		batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(2, "a%d"), MaxBytes: 1} // a chunk for each record
		must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
		must(t, p.End(ctx)) // the next one begins at 3

		var seen atomic.Int32
		c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if seen.Add(1) != chunk+1 {
				return nil, nil, false
			}
			req := r.(*kmsg.ProduceRequest)
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			x := kmsg.NewProduceResponseTopicPartition()
			x.Partition, x.ErrorCode, x.BaseOffset = 0, kerr.DuplicateSequenceNumber.Code, -1
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.Partitions = "out", append(topic.Partitions, x)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		batch.Records = batch.Records[:chunk+1] // the broker would refuse what came behind
		err := p.Produce(ctx, []*shell.ProduceBatch{batch})
		switch {
		case seen.Load() <= chunk:
			t.Fatalf("%d requests: the test is out of date", seen.Load())
		case chunk == 0 && !errors.Is(err, shell.ErrAborted):
			t.Errorf("the first: %v, end %d", err, batch.End)
		case chunk == 1 && (err != nil || batch.End != core.Offset(5)):
			t.Errorf("the second: %v, end %d", err, batch.End)
		}
	}
}

// The first chunk of an epoch goes alone: were it refused, the broker would take the one behind it.
func TestFirstChunkAlone(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	topics(t, b, 1, "out")
	ctx := limit(t, 20*time.Second)
	p := producerFor(t, b, "x")
	q := tp("out", 0)
	op := &outPart{Partition: q, batch: &shell.ProduceBatch{Partition: q, Records: records(4, "a%d")}}
	p.parts[q] = op
	n := &outNode{p: p}
	want := func(what string, requests int) {
		t.Helper()
		got := 0
		for len(n.fill([]shell.Partition{q})) > 0 {
			got++
		}
		if got != requests {
			t.Errorf("%s: %d requests before the next answer, want %d", what, got, requests)
		}
	}
	op.cut(1)
	want("nothing is known", 1)
	op.answered(0, 0, 0, "", 1)
	want("the first is there", 3)
	op.cut(1)
	want("the next batch", 4)
	must(t, p.initID(ctx, p.pid, p.epoch))
	op.cut(1)
	want("a new epoch", 1)
}
