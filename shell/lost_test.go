package shell

import (
	"context"
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
