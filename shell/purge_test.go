package shell

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

type purgeBroker struct {
	Broker
	deleted map[Partition]core.Offset
}

func (b *purgeBroker) DeleteRecords(_ context.Context, before map[Partition]core.Offset) error {
	for p, o := range before {
		b.deleted[p] = o
	}
	return nil
}

type scriptProducer struct {
	Producer
	fail      error
	committed map[Partition]core.Offset
	pending   []GroupOffset
}

func (p *scriptProducer) Open(context.Context) error                     { return nil }
func (p *scriptProducer) Abort(context.Context) error                    { return nil }
func (p *scriptProducer) Produce(context.Context, []*ProduceBatch) error { return nil }
func (p *scriptProducer) SendOffsets(_ context.Context, _ Group, os []GroupOffset) error {
	if p.fail != nil {
		return p.fail
	}
	p.pending = append(p.pending[:0], os...)
	return nil
}

func (p *scriptProducer) End(context.Context) error {
	for _, o := range p.pending {
		p.committed[o.Partition] = o.Next
	}
	return nil
}

// TestPurge: what a failed transaction had read is not deleted by the next one's purge.
func TestPurge(t *testing.T) {
	for _, failure := range []error{ErrLost, ErrAborted} {
		t.Run(fmt.Sprint(failure), func(t *testing.T) {
			l := &layout{app: "a", subs: []*subLayout{
				{partitions: 1, sources: []sourceLayout{{topicLayout{"in", 1}, false, -1}}},
				{partitions: 1, sources: []sourceLayout{{topicLayout{"a-by-repartition", 1}, true, -1}}},
			}}
			b := &purgeBroker{deleted: map[Partition]core.Offset{}}
			p := &scriptProducer{committed: map[Partition]core.Offset{}}
			c := newCommitter(l, b, p, nil, true, func(string, ...any) {})
			now := time.Now()
			req := func(sub int32, next core.Offset) *request {
				return &request{began: now, parts: []part{{commit: &core.Commit{Task: core.TaskID{Sub: sub}, Next: []core.Offset{next}, Times: []core.Time{0, 0}}}}}
			}
			c.commit(t.Context(), req(1, 400))
			now = now.Add(31 * time.Second)
			p.fail = failure
			if r := c.commit(t.Context(), req(1, 500)); r.outcome == committed {
				t.Fatal("committed")
			}
			p.fail = nil
			c.commit(t.Context(), req(0, 7))
			rp := Partition{"a-by-repartition", 0}
			if b.deleted[rp] > p.committed[rp] {
				t.Errorf("%v: records before %d are deleted, the group has committed %d only: %d records lost", rp, b.deleted[rp], p.committed[rp], b.deleted[rp]-p.committed[rp])
			}
		})
	}
}
