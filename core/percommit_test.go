package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// perCommitTask counts values by key; the counts that go on get an id, and one of 13 panics.
func perCommitTask() *world {
	return newWorld(TaskConfig{}, func(t *Task) {
		counts := NewTable(t, "counts", str{}, i64{})
		sink := Sink(t, 0, "out", str{}, str{}, nil)
		name := FlatMap(t.Node("name", ""), func(n int64, out *Out[string]) {
			if n == 13 {
				panic("unlucky")
			}
			out.Emit(fmt.Sprint(n, " ", out.ID()))
		}, sink)
		add := func(n int64, _ string) int64 { return n + 1 }
		Source(t, "in", str{}, str{}, Aggregate(t.Node("count", ""), counts, nil, add, nil, new(PerCommit[string, int64]).Connect(t, ToStream(name))))
	})
}

func batchOf(from Offset, keys ...string) *Batch {
	b := &Batch{Next: from + Offset(len(keys)), CaughtUp: true}
	for i, k := range keys {
		b.Records = append(b.Records, RawRecord{Key: []byte(k), Value: []byte("v"), Offset: from + Offset(i), Time: Time(i)})
	}
	return b
}

// Each generation passes on what was changed in it; an Abort drops both.
func TestPerCommitTwoGenerations(t *testing.T) {
	w := perCommitTask()
	step := func(b *Batch) {
		t.Helper()
		if err := w.task.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	step(batchOf(0, "a", "b", "a"))
	c := w.ready(t)
	step(batchOf(3, "a", "c"))
	w.settle(c)
	step(batchOf(5, "c", "c"))
	if c = w.ready(t); len(c.Outputs) != 2 {
		t.Errorf("%v", c)
	}
	step(batchOf(7, "b", "b"))
	want := []string{
		`out 0 "a" -> "2 app/name/in/0@2/1073741823" @2`,
		`out 0 "b" -> "1 app/name/in/0@1/1073741824" @1`,
		`out 0 "a" -> "3 app/name/in/0@3/1073741823" @2`,
		`out 0 "c" -> "3 app/name/in/0@6/1073741824" @3`,
		`out 0 "b" -> "2 app/name/in/0@7/1073741823" @1`,
	}
	w.task.Abort() // c is not committed, nor is what came behind it
	step(batchOf(3, "a", "c", "c", "c"))
	w.settle(w.ready(t))
	step(batchOf(7, "b"))
	w.settle(w.ready(t))
	if got := strings.Join(w.outputs, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if c = w.ready(t); len(c.Outputs) > 0 || !c.Empty() {
		t.Errorf("nothing has changed: %v", c)
	}
}

// What goes on is named by the tick that made the change, or the time that was passed on then, whichever
// came behind it.
func TestPerCommitNamesTheTick(t *testing.T) {
	w := newWorld(TaskConfig{}, func(t *Task) {
		name := FlatMap(t.Node("name", ""), func(at int64, out *Out[string]) { out.Emit(fmt.Sprint(at, " ", out.ID())) }, Sink(t, 0, "out", str{}, str{}, nil))
		held := new(PerCommit[string, int64]).Connect(t, ToStream(name))
		clock := NewClock(t, "clock")
		change := func(tx *Tx, key string, at Time) {
			if at%20 == 10 { // others change nothing
				held(tx, Record[string, Change[int64]]{Key: key, Value: Change[int64]{New: Some(int64(at))}, Time: at})
			}
		}
		t.onTick(clock, func(tx *Tx) { change(tx, "tick", t.times.wall) })
		clock.onPass(func(*Tx) bool { return true }, func(tx *Tx) { change(tx, "pass", clock.at) })
		Source(t, "in", str{}, str{}, func(*Tx, Record[string, string]) {})
	})
	for _, err := range []error{w.task.Tick(10), w.task.Pass(30), w.task.Tick(40), w.task.Pass(60)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.settle(w.ready(t))
	want := []string{
		`out 0 "tick" -> "10 app/name/(tick)/0@10/1073741823" @10`,
		`out 0 "pass" -> "30 app/name/(pass)/0@30/1073741824" @30`,
	}
	if got := strings.Join(w.outputs, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// What fails when changes go on is a failure of Ready, of the record that made the change.
func TestPerCommitFailsAtReady(t *testing.T) {
	w := perCommitTask()
	keys := make([]string, 13)
	for i := range keys {
		keys[i] = "a"
	}
	if err := w.task.Step(batchOf(0, append(keys, "b")...)); err != nil {
		t.Fatal(err)
	}
	_, err := w.task.Ready()
	var re *RecordError
	if !errors.Is(err, ErrPanic) || !errors.As(err, &re) || re.Offset != 12 || re.Node != "name" || re.Topic != "in" {
		t.Fatalf("got %v", err)
	}
	if err := w.task.Step(batchOf(14, "b")); !errors.Is(err, ErrPanic) {
		t.Errorf("the task goes on: %v", err)
	}
	w.task.Abort()
	if err := w.task.Step(batchOf(0, keys[:12]...)); err != nil {
		t.Fatal(err)
	}
	c, err := w.task.Ready()
	if err != nil || len(c.Outputs) != 1 || !strings.HasPrefix(string(c.Outputs[0].Value), "12 ") {
		t.Errorf("%v, %v", c, err)
	}
}

// countZipf counts keys of which few come often, with each change passed on, the last one a
// commit, or at most one in d.
func countZipf(how func(*Task, *Table[int64, int64], Next[int64, Change[int64]]) Next[int64, Change[int64]]) (*Task, *Batch) {
	t := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	counts := NewTable(t, "counts", i64{}, i64{})
	add := func(n, _ int64) int64 { return n + 1 }
	Source(t, "in", i64{}, i64{}, Aggregate(t.Node("count", ""), counts, nil, add, nil, how(t, counts, TableSink(t, 0, "out", i64{}, i64{}, nil))))
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 1, 10_000)
	b := &Batch{CaughtUp: true}
	for i := range 10_000 {
		k, _ := i64{}.Append(nil, int64(zipf.Uint64()))
		b.Records = append(b.Records, RawRecord{Key: k, Value: k, Time: Time(i)})
	}
	return t, b
}

func each(_ *Task, _ *Table[int64, int64], next Next[int64, Change[int64]]) Next[int64, Change[int64]] {
	return next
}

func lastPerCommit(t *Task, _ *Table[int64, int64], next Next[int64, Change[int64]]) Next[int64, Change[int64]] {
	return new(PerCommit[int64, int64]).Connect(t, next)
}

func BenchmarkCountZipf(b *testing.B) {
	for name, how := range map[string]func(*Task, *Table[int64, int64], Next[int64, Change[int64]]) Next[int64, Change[int64]]{"each": each, "percommit": lastPerCommit} {
		b.Run(name, func(b *testing.B) {
			t, batch := countZipf(how)
			for range 3 {
				stepAndCommit(t, batch)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(batch.Records) {
				stepAndCommit(t, batch)
			}
		})
	}
}

func TestPerCommitAllocatesNothing(t *testing.T) {
	task, batch := countZipf(lastPerCommit)
	for range 4 {
		stepAndCommit(task, batch)
	}
	if n := testing.AllocsPerRun(20, func() { stepAndCommit(task, batch) }); n != 0 {
		t.Errorf("%v allocations for %d warm records, want none", n, len(batch.Records))
	}
}

// Those of a task go on by their places, whichever was connected first.
func TestPerCommitsGoOnInOrder(t *testing.T) {
	w := newWorld(TaskConfig{}, func(t *Task) {
		sink := Sink(t, 0, "out", str{}, str{}, nil)
		var nexts []Next[string, Change[string]]
		for _, nth := range []int{2, 1, 3} {
			name := func(string) string { return fmt.Sprint(nth) }
			p := &PerCommit[string, string]{Nth: nth}
			nexts = append(nexts, p.Connect(t, ToStream(Map(t.Node("name", ""), name, sink))))
		}
		TableSource(t, "in", NewTable(t, "rows", str{}, str{}), Fan(nexts...))
	})
	if err := w.task.Step(batchOf(0, "a")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range w.ready(t).Outputs {
		got = append(got, string(o.Value))
	}
	if s := strings.Join(got, " "); s != "1 2 3" {
		t.Errorf("they go on as %s", s)
	}
}

// A row whose change is held back is found as it last went on, with the time of that change, whatever the row is made of by now.
func TestPerCommitLookupTime(t *testing.T) {
	task := NewTask(TaskConfig{})
	p := new(PerCommit[string, string])
	step := p.Connect(task, func(*Tx, Record[string, Change[string]]) {})
	step(&task.tx, Record[string, Change[string]]{Key: "a", Value: Change[string]{Old: Some("old")}, Time: 9})
	now := func(*Tx, string) (string, Time, bool) { return "", 5, false }
	if v, at, ok := p.Lookup(now)(&task.tx, "a"); v != "old" || at != 9 || !ok {
		t.Errorf("it is %q @%d, %v", v, at, ok)
	}
}
