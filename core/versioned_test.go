package core

import (
	"strings"
	"testing"
)

// What is not there has no value, whether it was deleted a moment ago, is still decoded, or is read again. A version
// that DeleteWhen had made a deletion kept the value as long as it stayed in the cache (seed 40005476 of the simulator).
func TestWhatIsGoneHasNoValue(t *testing.T) {
	for _, cache := range []int{1, 1 << 20} {
		missing := map[string]int{}
		see := func(who string, row Opt[string]) {
			if row.OK {
				return
			}
			if missing[who]++; row.Value != "" {
				t.Errorf("cache of %d bytes: %s is told %q of what is not there", cache, who, row.Value)
			}
		}
		changes := func(who string) Next[string, Change[string]] {
			return func(_ *Tx, r Record[string, Change[string]]) {
				see(who+": old", r.Value.Old)
				see(who+": new", r.Value.New)
			}
		}
		gone := func(s string) bool { return strings.HasPrefix(s, "gone") }
		w := newWorld(TaskConfig{CacheBytes: cache}, func(t *Task) {
			v := NewVersions(t, "versions", Codec[string](str{}), Codec[string](str{}), 20)
			v.Connect(NewClock(t, "versions"), changes("versions"))
			rows := NewTable(t, "rows", str{}, str{})
			filtered := FilterLookup(t.Node("filter", ""), func(s string) bool { return !strings.HasPrefix(s, "b") }, rows.Get)
			asOf := AsOf(Lookup[string, string](v.Find))
			Source(t, "in", str{}, str{}, Fan(
				ToVersions(t.Node("versions", ""), v, gone),
				ToTable(t.Node("rows", ""), rows, gone, changes("rows")),
				func(tx *Tx, r Record[string, string]) {
					var row Opt[string]
					row.Value, row.OK = asOf(tx, r.Key, r.Time-1)
					see("as of", row)
					row.Value, _, row.OK = v.Find(tx, r.Key)
					see("latest", row)
					row.Value, _, row.OK = filtered(tx, r.Key)
					see("filter", row)
				},
			))
		})
		for i, value := range []string{"a", "gone 1", "b", "gone 2", "gone 3", "c"} {
			if err := w.task.Step(w.one("k", value, Time(5+i))); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 { // so that it is seen in the commit where it was written, too
				w.settle(w.ready(t))
			}
		}
		for _, who := range []string{"versions: old", "versions: new", "rows: old", "rows: new", "as of", "latest", "filter"} {
			if missing[who] < 2 {
				t.Errorf("cache of %d bytes: %s was told %d times that nothing is there", cache, who, missing[who])
			}
		}
	}
}

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
