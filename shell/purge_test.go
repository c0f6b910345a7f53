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
	produced  []*ProduceBatch
}

func (p *scriptProducer) Open(context.Context) error  { return nil }
func (p *scriptProducer) Abort(context.Context) error { return nil }
func (p *scriptProducer) Produce(_ context.Context, bs []*ProduceBatch) error {
	p.produced = bs
	return nil
}

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

// Sub-topologies that write to one topic in one commit write one batch to a partition: a second
// one would take the place of the first.
func TestSharedSink(t *testing.T) {
	var subs []*subLayout
	for _, in := range []string{"in", "too"} {
		subs = append(subs, &subLayout{partitions: 1, sources: []sourceLayout{{topicLayout{in, 1}, false, -1}}, sinks: []topicLayout{{"out", 2}, {"of " + in, 1}}})
	}
	p := &scriptProducer{committed: map[Partition]core.Offset{}}
	c := newCommitter(&layout{app: "a", subs: subs}, &purgeBroker{}, p, nil, true, func(string, ...any) {})
	for range 2 {
		r := &request{began: time.Now()}
		for sub := range int32(2) {
			commit := &core.Commit{Task: core.TaskID{Sub: sub}, Next: []core.Offset{1}, Times: []core.Time{0, 0}}
			for _, key := range []string{"a", "b", "c", "d"} {
				commit.Outputs = append(commit.Outputs, core.Output{Key: []byte(key), Value: fmt.Append(nil, sub)})
			}
			commit.Outputs = append(commit.Outputs, core.Output{Sink: 1, Key: []byte("a")})
			r.parts = append(r.parts, part{commit: commit})
		}
		if got := c.commit(t.Context(), r); got.outcome != committed {
			t.Fatal(got.err)
		}
		records, seen := 0, map[Partition]bool{}
		for _, b := range p.produced {
			if seen[b.Partition] {
				t.Errorf("%v twice", b.Partition)
			}
			seen[b.Partition] = true
			records += len(b.Records)
		}
		if records != 10 {
			t.Errorf("%d records, want 10", records)
		}
	}
}
