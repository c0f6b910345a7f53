package core

import "testing"

// Rows that come and expire cost no allocation.
func TestTTLAllocs(t *testing.T) {
	task := NewTask(TaskConfig{CacheBytes: 1 << 20, View: func(TableID) View { return noRows{} }})
	tb := NewTable(task, "rows", num{}, num{})
	deleted := 0
	e := NewExpiry(tb, NewClock(task, "rows"), 5, func(_ *Tx, r Record[int64, Change[int64]]) {
		if !r.Value.New.OK {
			deleted++
		}
	})
	Source(task, "in", num{}, num{}, Expiring(e, ToTable(task.Node("rows", ""), tb, nil, nil)))
	b := &Batch{CaughtUp: true, Next: 64, Records: make([]RawRecord, 64)}
	at := Time(0)
	for i := range b.Records {
		n, _ := num{}.Append(nil, int64(i%16))
		b.Records[i] = RawRecord{Key: n, Value: n, Offset: Offset(i)}
	}
	step := func() {
		task.sources[0].reset(0)
		for i := range b.Records {
			at++
			b.Records[i].Time = at
		}
		if err := task.Step(b); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Ready(); err != nil {
			t.Fatal(err)
		}
		task.Advance()
	}
	step()
	step()
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%v allocations for 64 records", n)
	}
	if deleted < 64 {
		t.Errorf("%d rows have expired", deleted)
	}
}
