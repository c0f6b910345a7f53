package core

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// heldI64 is a codec of changes that are held back, with no headers.
type heldI64 struct{}

func (heldI64) Append(b []byte, h Held[int64]) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(h.Since)), uint64(h.Change.Old.Value))
	if h.Change.Old.OK {
		b = append(b, 1)
	}
	return binary.BigEndian.AppendUint64(b, uint64(h.Change.New.Value)), nil
}

func (heldI64) Decode([]byte) (h Held[int64], err error) { return h, fmt.Errorf("nobody reads it") }

// What goes its way when an operator lets it go allocates nothing for that, whatever the policy.
func TestLettingGoAllocatesNothing(t *testing.T) {
	task := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	task.SetPolicy(Policy{Error: Outcome{Action: DeadLetter, Sink: 1}})
	counts := NewTable(task, "count", i64{}, i64{})
	held := NewTable(task, "held", i64{}, heldI64{})
	const room = 3
	gone := 0
	sink := Sink(task, 0, "counts", i64{}, i64{}, nil)
	suppress := SuppressChanges(task.Node("held", ""), held, NewClock(task, "held"), Suppress[int64]{Wait: 1 << 40, MaxRecords: room, Early: true},
		ToStream(func(tx *Tx, r Record[int64, int64]) {
			gone++
			sink(tx, r)
		}))
	Source(task, "orders", i64{}, orderCodec{}, Aggregate(task.Node("count", ""), counts, nil, func(n int64, _ benchOrder) int64 { return n + 1 }, nil, suppress))
	_, batch := benchTask(200, false)
	batch.Source = 0
	for range 4 {
		stepAndCommit(task, batch)
	}
	gone = 0
	const runs = 20
	if n := testing.AllocsPerRun(runs, func() { stepAndCommit(task, batch) }); n != 0 {
		t.Errorf("%v allocations for %d warm records, want none", n, len(batch.Records))
	}
	if want := (runs + 1) * (len(batch.Records) - room); gone < want {
		t.Errorf("%d were let go, want %d", gone, want)
	}
}

// A record that runs again and again, since much of what it lets go fails, leaves no more bytes in the
// commit than its last run, and the first. What was left out is counted, and what its first runs have
// counted is not.
func TestRunsAgainLeaveNothing(t *testing.T) {
	const n = 40
	w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
		t.SetPolicy(Policy{Error: Outcome{Action: Skip}, Drop: Outcome{Action: Skip}})
		rows := NewTable(t, "rows", str{}, str{})
		held := NewTable[string, Held[string]](t, "held", str{}, heldStr{})
		fails := t.Node("fails", "")
		drops := t.Node("drops", "")
		out := Sink(t, 0, "out", str{}, str{}, nil)
		let := func(tx *Tx, r Record[string, Change[string]]) {
			tx.drop(drops, Unmatched)
			out(tx, Record[string, string]{r.Key, strings.Repeat("x", 1000), r.Time, r.Headers})
			if r.Key[0] == 'f' {
				tx.reject(fails, fmt.Errorf("no"))
			}
		}
		Source(t, "in", str{}, str{}, ToTable(t.Node("table", ""), rows, nil, SuppressChanges(t.Node("held", ""), held, NewClock(t, "held"), Suppress[string]{Wait: 10}, let)))
	})
	send := func(key string, at Time) {
		if err := w.task.Step(w.one(key, "v", at)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		send(fmt.Sprintf("%c%d", "fg"[i%2], i), 1000)
	}
	w.settle(w.ready(t))
	send("h", 2000)
	c := w.ready(t)
	if len(c.Outputs) != n/2 || c.Skipped != n/2 {
		t.Errorf("%d outputs and %d skipped, want %d of each", len(c.Outputs), c.Skipped, n/2)
	}
	if most := n/2*1100 + 2*1100; c.Size() > most {
		t.Errorf("the commit takes %d bytes, want at most %d", c.Size(), most)
	}
	w.settle(c)
	counted := map[string]int64{}
	w.task.Dropped(func(node string, why Reason, n int64) { counted[node+" "+why.String()] += n })
	if counted["fails rejected"] != n/2 || counted["drops unmatched"] != n/2 || len(counted) != 2 {
		t.Errorf("counted %v, want %d of each", counted, n/2)
	}
}
