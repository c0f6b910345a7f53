package core

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// windowRow is the codec of windowed keys of int64.
type windowRow struct{ size Time }

func (windowRow) Append(b []byte, w Windowed[int64]) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(w.Key))
	return binary.BigEndian.AppendUint64(b, uint64(w.Start)), nil
}

func (c windowRow) Decode(b []byte) (w Windowed[int64], err error) {
	if len(b) != 16 {
		return w, errBenchSize
	}
	start := Time(binary.BigEndian.Uint64(b[8:]))
	return Windowed[int64]{int64(binary.BigEndian.Uint64(b)), start, start + c.size}, nil
}

// windowTask counts 500 keys in windows of 1000 ms, hopping by advance, and closes them.
func windowTask(advance Time, onClose bool) (*Task, *Batch) {
	t := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	tb := NewTable(t, "count", windowRow{1000}, i64{})
	n := t.Node("count", "")
	rule := Window{Size: 1000, Advance: advance, Grace: 100, OnClose: onClose}
	w := NewWindows(n, tb, WindowKeyOf[int64](), rule, nil, nil, ToStream(Sink(t, 0, "counts", windowRow{1000}, i64{}, nil)))
	count := AggregateWindows(n, w, NewClock(t, "count"), nil, func(n, _ int64) int64 { return n + 1 }, nil)
	Source(t, "in", i64{}, i64{}, Windowing(count))
	b := &Batch{CaughtUp: true}
	for i := range 500 {
		key, _ := i64{}.Append(nil, int64(i))
		b.Records = append(b.Records, RawRecord{Key: key, Value: key})
	}
	return t, b
}

// later moves the batch on in time.
func (b *Batch) later(d Time) {
	for i := range b.Records {
		b.Records[i].Time += d
	}
}

func TestWindowedCountAllocatesNothing(t *testing.T) {
	for _, onClose := range []bool{false, true} {
		task, batch := windowTask(250, onClose)
		step := func() {
			batch.later(100) // windows open, close and expire
			stepAndCommit(task, batch)
		}
		for range 200 {
			step()
		}
		if n := testing.AllocsPerRun(50, step); n > 1 { // a map of rows that come and go grows now and then
			t.Errorf("on close %v: %v allocations for %d warm records, want none", onClose, n, len(batch.Records))
		}
	}
}

func benchmarkWindow(b *testing.B, advance Time) {
	t, batch := windowTask(advance, false)
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(batch.Records) {
		batch.later(50)
		stepAndCommit(t, batch)
	}
}

// BenchmarkStepTumbling is decode, count in a window, encode, and a commit each 500 records;
// each window has 20 records.
func BenchmarkStepTumbling(b *testing.B) { benchmarkWindow(b, 1000) }

// BenchmarkStepHopping counts each record in four windows.
func BenchmarkStepHopping(b *testing.B) { benchmarkWindow(b, 250) }

// The heap gives keys by time, second time and bytes, whatever came first.
func TestDueIsSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		d := due[int64]{kc: i64{}}
		var want []dueKey[int64]
		for range rng.IntN(40) {
			e := dueKey[int64]{Time(rng.IntN(5)), Time(rng.IntN(2)), int64(rng.IntN(9))}
			want = append(want, e)
			d.push(e)
		}
		slices.SortFunc(want, func(a, b dueKey[int64]) int {
			return slices.Compare([]int64{int64(a.at), int64(a.then), a.key}, []int64{int64(b.at), int64(b.then), b.key})
		})
		for _, w := range want {
			if d.next() != w.at {
				t.Fatal(d.next(), w)
			}
			if got := d.pop(); got != w {
				t.Fatalf("got %v, want %v", got, w)
			}
		}
		if d.next() != maxTime {
			t.Error("not empty")
		}
	}
}

// A clock goes by its operator's name, wherever the operator stands in the topology.
func TestClocksGoByName(t *testing.T) {
	task := func(times []Time, names ...string) (*Task, []*Clock) {
		t := NewTask(TaskConfig{Times: times, View: func(TableID) View { return emptyView{} }})
		var cs []*Clock
		for _, n := range names {
			cs = append(cs, NewClock(t, n))
		}
		return t, cs
	}
	one, clocks := task(nil, "a", "b")
	clocks[0].move(7)
	clocks[0].move(3)
	clocks[1].move(9)
	one.tx.c.moved = true // as the records that move them do
	c, err := one.Ready()
	if err != nil {
		t.Fatal(err)
	}
	times := slices.Clone(c.Times)
	one.Advance()
	clocks[0].move(8)
	if one.Abort(); clocks[0].at != 7 || clocks[1].at != 9 {
		t.Errorf("after an abort %v %v, want 7 and 9", clocks[0].at, clocks[1].at)
	}
	if _, clocks := task(times, "c", "b", "a"); clocks[0].at != NoTime || clocks[1].at != 9 || clocks[2].at != 7 {
		t.Errorf("%v %v %v", clocks[0].at, clocks[1].at, clocks[2].at)
	}
}

// A view that cannot be read stops the task, when the first record needs the index.
func TestWindowsStopWithoutAView(t *testing.T) {
	for _, v := range []View{&memView{err: errBenchSize}, &memView{rows: map[string]memRow{"short": {}}}} {
		task := NewTask(TaskConfig{View: func(TableID) View { return v }})
		tb := NewTable(task, "count", windowRow{10}, i64{})
		w := NewWindows(task.Node("count", ""), tb, WindowKeyOf[int64](), Window{Size: 10, Advance: 10}, nil, nil, nil)
		Source(task, "in", i64{}, i64{}, Windowing(AggregateWindows(0, w, NewClock(task, "count"), nil, func(n, _ int64) int64 { return n + 1 }, nil)))
		key, _ := i64{}.Append(nil, 1)
		if err := task.Step(&Batch{Records: []RawRecord{{Key: key, Value: key}}, Next: 1}); err == nil {
			t.Error("no error")
		}
	}
}
