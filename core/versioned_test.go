package core

import "testing"

// Versions that come and go, and lookups of them, cost no allocation.
func TestVersionsAllocs(t *testing.T) {
	task := NewTask(TaskConfig{CacheBytes: 1 << 20, View: func(TableID) View { return noRows{} }})
	v := NewVersions(task, "rows", Codec[int64](num{}), Codec[int64](num{}), 20)
	v.Connect(NewClock(task, "rows"), nil)
	found := 0
	Source(task, "in", num{}, num{}, Fan(
		ToVersions(task.Node("rows", ""), v, func(n int64) bool { return n%8 == 3 }),
		LeftJoin(task.Node("join", ""), v.Find, func(n int64, row Opt[int64]) int64 {
			if row.OK {
				found++
			}
			return n
		}, func(*Tx, Record[int64, int64]) {}),
	))
	b := &Batch{CaughtUp: true, Next: 64, Records: make([]RawRecord, 64)}
	at := Time(1000)
	for i := range b.Records {
		k, _ := num{}.Append(nil, int64(i%4))
		n, _ := num{}.Append(nil, int64(i%16))
		b.Records[i] = RawRecord{Key: k, Value: n, Offset: Offset(i)}
	}
	step := func() {
		task.sources[0].reset(0)
		for i := range b.Records {
			at++
			b.Records[i].Time = at - Time(i%3)*7
		}
		if err := task.Step(b); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Ready(); err != nil {
			t.Fatal(err)
		}
		task.Advance()
	}
	for range 4 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%v allocations for 64 records", n)
	}
	if found < 64 {
		t.Errorf("%d rows found", found)
	}
}

// What a changelog says and what a store holds are each made of the other.
func TestVersionLog(t *testing.T) {
	for _, value := range [][]byte{nil, {}, []byte("v")} {
		w := Restored(3, true, &RawRecord{Key: []byte("k"), Value: value, Time: 5})
		if w.Version != OneVersion || w.Value == nil || string(w.Key) != "k\x00\x00\x00\x00\x00\x00\x00\x05" {
			t.Errorf("%q: %+v", value, w)
		}
		r, ok := w.Log()
		if !ok || string(r.Key) != "k" || string(r.Value) != string(value) || (r.Value == nil) != (value == nil) || r.Time != 5 {
			t.Errorf("%q: %+v, %v", value, r, ok)
		}
		w.Value = nil
		if r, ok := w.Log(); ok {
			t.Errorf("what nobody can see is told: %+v", r)
		}
		w.Version = LastWord
		if r, ok := w.Log(); !ok || r.Value != nil || string(r.Key) != "k" {
			t.Errorf("that there is no row is not told: %+v", r)
		}
	}
	plain := Restored(3, false, &RawRecord{Key: []byte("k"), Time: 5})
	if r, ok := plain.Log(); !ok || string(plain.Key) != "k" || r.Value != nil {
		t.Errorf("%+v", plain)
	}
}
