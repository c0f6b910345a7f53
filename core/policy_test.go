package core

import (
	"errors"
	"testing"
)

// Policies, times out of values, chosen topics and partitions allocate nothing for records that
// do not fail; nor does noting rows before they change.
func TestPoliciesAllocateNothing(t *testing.T) {
	task := NewTask(TaskConfig{
		App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30,
		Sink: func(SinkID) SinkInfo { return SinkInfo{Partitions: 3, MaxBytes: 1 << 20} },
	})
	task.SetPolicy(Policy{Error: Outcome{Action: DeadLetter, Sink: 2}})
	counts := NewTable(task, "count", i64{}, i64{})
	by := Sink(task, 0, "emails", i64{}, orderCodec{}, func(r Record[int64, benchOrder], n int) int { return int(r.Key) % n })
	count := Aggregate(task.Node("count", ""), counts, nil, func(n int64, _ benchOrder) int64 { return n + 1 }, nil,
		ToStream(Sink(task, 1, "counts", i64{}, i64{}, nil)))
	route := Route(task.Node("route", ""), func(r Record[int64, benchOrder]) int { return int(r.Key) % 2 }, by, by)
	times := Times[int64, benchOrder]{From: func(r Record[int64, benchOrder]) Time { return r.Time }}
	SourceAt(task, "orders", i64{}, orderCodec{}, times, Fan(route, count))
	_, batch := benchTask(500, true)
	batch.Source = 0
	for careful := range 2 {
		task.careful = careful == 1
		for range 4 {
			stepAndCommit(task, batch)
		}
		if n := testing.AllocsPerRun(20, func() { stepAndCommit(task, batch) }); n != 0 {
			t.Errorf("careful %v: %v allocations for %d warm records, want none", task.careful, n, len(batch.Records))
		}
	}
}

// A stored row that does not decode is nobody's fault but the state's: no policy skips it.
func TestStateIsNotSkipped(t *testing.T) {
	w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
		t.SetPolicy(Policy{Error: Outcome{Action: Skip}})
		shapes["aggregate"](t)
	})
	w.views[0].rows["k"] = memRow{"bad row", 1}
	if err := w.task.Step(w.one("j", "bad value", 0)); err != nil {
		t.Errorf("the record's own fault: %v", err)
	}
	if err := w.task.Step(w.one("k", "v", 0)); !errors.Is(err, ErrDecode) {
		t.Errorf("got %v, want an ErrDecode", err)
	}
}

// A read that fails behind a failure that is skipped, in another branch of the same record, stops the
// task all the same, in whatever order the branches are.
func TestReadBehindAFailureIsNotSkipped(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
			t.SetPolicy(Policy{Error: Outcome{Action: Skip}})
			rejects := FlatMap(t.Node("reject", ""), func(_ string, out *Out[string]) { out.Reject(nil) }, Fan[string, string]())
			reads := ToTable(t.Node("read", ""), NewTable(t, "rows", str{}, str{}), nil, nil)
			if first {
				rejects, reads = reads, rejects
			}
			Source(t, "in", str{}, str{}, Fan(rejects, reads))
		})
		w.views[0].err = errors.New("disk on fire")
		err := w.task.Step(w.one("k", "v", 0))
		var e *RecordError
		if !errors.Is(err, ErrState) || !errors.As(err, &e) || e.Node != "rows" {
			t.Errorf("read first %v: got %v, want an ErrState of rows", first, err)
		}
	}
}

// What a batch is cut into for a lone record is the batch.
func TestLoneRecord(t *testing.T) {
	b := &Batch{Next: 9, CaughtUp: true}
	for _, o := range []Offset{2, 4, 5, 7} {
		b.Records = append(b.Records, RawRecord{Offset: o})
	}
	for offset, want := range map[Offset]int{2: 2, 4: 3, 5: 3, 7: 2, 3: 1, 8: 1} {
		parts := (&lone{offset: offset, set: true}).part(b)
		if len(parts) != want {
			t.Errorf("offset %d: %d parts", offset, len(parts))
		}
		n := 0
		for i, p := range parts {
			for range p.Records {
				n++
			}
			if i+1 < len(parts) && p.Next != parts[i+1].Records[0].Offset || i+1 == len(parts) && p.Next != 9 {
				t.Errorf("offset %d: part %d ends at %d", offset, i, p.Next)
			}
		}
		if n != 4 {
			t.Errorf("offset %d: %d records", offset, n)
		}
	}
}

// The size of an output is that of a record batch of it, as shell/kafka writes it: 61 bytes,
// the record's length, 6 bytes of small fields, and what is in it with longer lengths.
func TestWireSize(t *testing.T) {
	for n, o := range map[int]*Output{
		61 + 1 + 6:             {},
		61 + 1 + 6 + 2:         {Key: []byte("a"), Value: []byte("b")},
		61 + 2 + 6 + 1 + 100:   {Value: make([]byte, 100)},
		61 + 1 + 6 + 4:         {Headers: AppendHeader(nil, "a", "b")},
		61 + 3 + 6 + 2 + 10000: {Value: make([]byte, 10000)},
	} {
		if got := o.wireSize(); got != n {
			t.Errorf("key %d, value %d, headers %d: %d, want %d", len(o.Key), len(o.Value), len(o.Headers), got, n)
		}
	}
}
