package shell

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// lossyProducer loses the membership while it produces; the broker would take the offsets
// all the same, as it does when the member has joined anew and got the same task again.
type lossyProducer struct {
	scriptProducer
	lose func()
}

func (p *lossyProducer) Produce(context.Context, []*ProduceBatch) error {
	p.lose()
	return nil
}

func (p *lossyProducer) SendOffsets(ctx context.Context, g Group, os []GroupOffset) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.scriptProducer.SendOffsets(ctx, g, os)
}

// What a member had begun under a membership that is lost is not committed under the next
// one: others have committed in between. (Found by the simulator: seed 68639 at that time.)
func TestTransactionEndsWithItsMembership(t *testing.T) {
	l := &layout{app: "a", subs: []*subLayout{{partitions: 1, sources: []sourceLayout{{topicLayout{"in", 1}, false, -1}}}}}
	cfg := Config{}.withDefaults("a")
	w := &worker{cfg: &cfg, hard: t.Context(), log: slog.New(slog.DiscardHandler)}
	p := &lossyProducer{scriptProducer: scriptProducer{committed: map[Partition]core.Offset{}}, lose: w.lostMembership}
	c := newCommitter(l, nil, p, nil, true, func(string, ...any) {})

	r := &request{began: time.Now(), parts: []part{{commit: &core.Commit{Next: []core.Offset{7}, Times: []core.Time{0, 0}}}}}
	r.held, r.drop = context.WithCancel(w.hard)
	w.inflight = r
	if res := c.commit(t.Context(), r); res.outcome != lost || len(p.committed) > 0 {
		t.Errorf("outcome %d, committed %v; want %d and nothing", res.outcome, p.committed, lost)
	}
	if w.behind != r {
		t.Error("tasks are opened before the transaction has ended")
	}
}

// endProducer has changelogs that end where it says.
type endProducer struct {
	scriptProducer
	end core.Offset
}

func (p *endProducer) Produce(_ context.Context, bs []*ProduceBatch) error {
	for _, b := range bs {
		b.End = p.end
	}
	return nil
}

// A changelog that was deleted and made again is noticed by the first commit into it, and
// that is not made.
func TestChangelogBeganAnew(t *testing.T) {
	for end, want := range map[core.Offset]outcome{42: committed, 41: failed, 2: failed} {
		sub := &subLayout{partitions: 1, sources: []sourceLayout{{topicLayout{"in", 1}, false, -1}}, tables: []tableLayout{{topic: "a-rows-changelog", source: -1}}}
		p := &endProducer{scriptProducer{committed: map[Partition]core.Offset{}}, end}
		c := newCommitter(&layout{app: "a", subs: []*subLayout{sub}}, nil, p, nil, true, func(string, ...any) {})
		res := c.commit(t.Context(), &request{began: time.Now(), parts: []part{{
			commit: &core.Commit{Next: []core.Offset{7}, Times: []core.Time{0, 0}, Writes: []core.Write{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("l"), Value: []byte("v")}}},
			ends:   []core.Offset{40},
			begins: []core.Offset{0},
		}}})
		var anew *AnewError
		if res.outcome != want || (want == failed) != errors.As(res.err, &anew) || (want == failed) == (len(p.committed) > 0) {
			t.Errorf("end %d: outcome %d, %v, committed %v", end, res.outcome, res.err, p.committed)
		}
	}
}

// fencedProducer is fenced by each transaction that fences says.
type fencedProducer struct {
	scriptProducer
	fences func() bool
}

func (p *fencedProducer) SendOffsets(ctx context.Context, g Group, os []GroupOffset) error {
	if p.fences() {
		return ErrFenced
	}
	return p.scriptProducer.SendOffsets(ctx, g, os)
}

// A process that is fenced now and then goes on, however often in its life; one that is fenced fencesMax times in a
// row has another one of its name beside it.
func TestFencedInARow(t *testing.T) {
	l := &layout{app: "a", subs: []*subLayout{{partitions: 1, sources: []sourceLayout{{topicLayout{"in", 1}, false, -1}}}}}
	for _, row := range []int{1, fencesMax, fencesMax + 1} {
		n := 0
		p := &fencedProducer{scriptProducer{committed: map[Partition]core.Offset{}}, func() bool { n++; return n%(row+1) != 0 }}
		c := newCommitter(l, nil, p, nil, true, func(string, ...any) {})
		var res result
		for i := 0; i < 4*(fencesMax+1) && res.outcome != failed; i++ {
			res = c.commit(t.Context(), &request{began: time.Now(), parts: []part{{commit: &core.Commit{Next: []core.Offset{7}, Times: []core.Time{0, 0}}}}})
		}
		if stopped := errors.Is(res.err, ErrInstanceFenced); stopped != (row > fencesMax) || stopped != (res.outcome == failed) {
			t.Errorf("fenced %d times in a row: outcome %d, %v", row, res.outcome, res.err)
		}
	}
}
