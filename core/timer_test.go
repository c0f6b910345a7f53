package core

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
)

// timedTask is 500 keys, each of which sets a timer with each record; those of the batch
// before go off meanwhile, and some are set anew before they do.
func timedTask() (*Task, *Batch) {
	type ports struct {
		Out  Out[int64]
		Due  Timer
		Wall WallTimer
		Now  Moment[int64]
	}
	t := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	states := NewTable(t, "p", i64{}, i64{})
	names := []string{"Due", "Wall"}
	alarms := NewTable[TimerKey[int64], Alarm](t, "p-timers", TimerKeyCodec[int64]{names, i64{}}, AlarmCodec{})
	ts := NewTimers(t, t.Node("p-timers", ""), alarms, i64{}, NewClock(t, "p"), len(names), 1<<20)
	ps := &Ports[int64, ports]{User: new(ports)}
	AddOut(ps, &ps.User.Out, Sink(t, 0, "out", i64{}, i64{}, nil))
	AddMoment(ps, &ps.User.Now)
	due := func(_ int64, p *ports) int64 { p.Out.EmitAt(p.Now.Time(), p.Now.Key()); return p.Now.Key() }
	AddTimer(t, t.Node("p", ""), ps, ts, 0, &ps.User.Due, states, due, nil, nil)
	AddTimer(t, t.Node("p", ""), ps, ts, 1, &ps.User.Wall, states, due, nil, nil)
	Source(t, "in", i64{}, i64{}, ProcessPorts(t.Node("p", ""), states, ps, func(n, v int64, p *ports) int64 {
		p.Due.In(100 * time.Millisecond)
		if v%3 == 0 {
			p.Due.In(50 * time.Millisecond)
			p.Wall.Cancel()
		}
		return n + 1
	}, nil, nil))
	b := &Batch{CaughtUp: true}
	for i := range 500 {
		key, _ := i64{}.Append(nil, int64(i))
		b.Records = append(b.Records, RawRecord{Key: key, Value: key})
	}
	return t, b
}

func TestTimersAllocateNothing(t *testing.T) {
	task, batch := timedTask()
	at := Time(0)
	step := func() {
		for i := range batch.Records {
			at++
			batch.Records[i].Time = at
		}
		if err := task.Tick(at); err != nil {
			t.Fatal(err)
		}
		stepAndCommit(task, batch)
	}
	for range 8 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%v allocations for %d warm records, want none", n, len(batch.Records))
	}
}

// An index of which most is stale is made smaller, and loses nothing.
func TestTimersForgetStale(t *testing.T) {
	task := NewTask(TaskConfig{View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	names := []string{"T"}
	alarms := NewTable[TimerKey[int64], Alarm](task, "timers", TimerKeyCodec[int64]{names, i64{}}, AlarmCodec{})
	ts := NewTimers(task, 0, alarms, i64{}, NewClock(task, "p"), 1, 1<<20)
	var fired []int64
	ts.fire[0] = func(_ *Tx, r Record[int64, struct{}]) { fired = append(fired, r.Key) }
	for i := range int64(10_000) {
		k := TimerKey[int64]{0, i}
		r := Record[int64, struct{}]{Key: i}
		ts.put(&task.tx, k, Time(20_000-i), r)
		ts.put(&task.tx, k, Time(19_000-i), r)
		if i%100 == 0 {
			ts.put(&task.tx, k, Time(30_000-i), r)
			continue
		}
		ts.cancel(&task.tx, k, 0)
	}
	if n := len(ts.due[streamTimer].list); ts.set != 100 || n > 2*ts.set+1024 {
		t.Errorf("%d entries for %d timers", n, ts.set)
	}
	ts.run(&task.tx, streamTimer, maxTime)
	for i, k := range fired {
		if k != int64(9900-100*i) {
			t.Fatalf("the one at %d is %d", i, k)
		}
	}
	if len(fired) != 100 || len(ts.due[streamTimer].list) != 0 {
		t.Errorf("%d went off", len(fired))
	}
}

// Offsets and times of a group can be lost, with a topic that was deleted, while the alarms
// are kept: a wall timer that goes off then may set a timer of stream time.
func TestWallTimerWithoutStreamTime(t *testing.T) {
	w := newWorld(TaskConfig{}, timersShape)
	record := func(at Time, v string) {
		t.Helper()
		if err := w.task.Step(w.one("k", v, at)); err != nil {
			t.Fatal(err)
		}
		w.settle(w.ready(t))
	}
	tick := func(at Time) {
		t.Helper()
		if err := w.task.Tick(at); err != nil {
			t.Fatal(err)
		}
		w.settle(w.ready(t))
	}
	tick(1000)
	record(5, "wall 20")
	w.next, w.cfg.Times, w.outputs = nil, nil, nil
	w.open()
	tick(1500)
	record(1019, "keep")
	record(1020, "keep")
	want := []string{
		`out 0 "k" -> "wall of wall 20 app/proc/(tick)/0@1500/0" @1020`,
		`out 0 "k" -> "due of after wall app/proc/in/0@1/0" @1020`,
	}
	if !slices.Equal(w.outputs, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(w.outputs, "\n"), strings.Join(want, "\n"))
	}
}

// TestTimerOrder wants the order of alarms of one time to be that of the keys' bytes, also
// where one key is the beginning of another or has zeros in it.
func TestTimerOrder(t *testing.T) {
	order := alarmOrder[string]{str{}}
	var last []byte
	for _, k := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "a", "a\x00", "a\x00b", "ab", "b"} {
		for timer := range int32(300) {
			b, err := order.Append([]byte{}, TimerKey[string]{timer, k})
			if err != nil {
				t.Fatal(err)
			}
			if last != nil && string(last) >= string(b) {
				t.Fatalf("%q of timer %d: %q comes before %q", k, timer, b, last)
			}
			last = b
		}
	}
}

func BenchmarkTimers(b *testing.B) {
	task, batch := timedTask()
	at := Time(0)
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(batch.Records) {
		for i := range batch.Records {
			at++
			batch.Records[i].Time = at
		}
		stepAndCommit(task, batch)
	}
}

// dedupTask is Deduplicate, Reorder and Throttle behind each other, with records of which
// some come twice, and each fourth before the one before it.
func dedupTask() (*Task, *Batch) {
	t := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	ids := NewTable[KeyID[int64, int64], Seen](t, "once", KeyIDCodec[int64, int64]{i64{}, i64{}}, SeenCodec{})
	expected := NewTable(t, "in-order", i64{}, i64{})
	wait := NewTable[KeyID[int64, int64], Parked[int64]](t, "in-order-waiting", KeyIDCodec[int64, int64]{i64{}, i64{}}, parkedI64{})
	counts := NewTable(t, "few", i64{}, i64{})
	once, order, few := NewClock(t, "once"), NewClock(t, "in-order"), NewClock(t, "few")
	number := func(v int64) int64 { return v / 10 }
	o := &Reorder[int64, int64]{Node: t.Node("in-order", ""), Number: number, Grace: 1000, Clock: order}
	o.Next = Throttle(t.Node("few", ""), counts, NewExpiry(counts, few, 100, nil), 3, Sink(t, 0, "out", i64{}, i64{}, nil), nil)
	o.Init(expected, wait)
	Source(t, "in", i64{}, i64{}, Deduplicate(t.Node("once", ""), ids, NewExpiry(ids, once, 1000, nil), number, o.Step))
	b := &Batch{CaughtUp: true}
	for range 1000 {
		key, _ := i64{}.Append(nil, 0)
		b.Records = append(b.Records, RawRecord{Key: key, Value: append([]byte(nil), key...)})
	}
	return t, b
}

// parkedI64 writes no headers.
type parkedI64 struct{}

func (parkedI64) Append(b []byte, p Parked[int64]) ([]byte, error) { return i64{}.Append(b, p.Value) }

func (parkedI64) Decode(b []byte) (p Parked[int64], err error) {
	p.Value, err = i64{}.Decode(b)
	return p, err
}

func TestDedupAllocatesNothing(t *testing.T) {
	task, batch := dedupTask()
	at, numbers := Time(0), [20]int64{}
	step := func() {
		for i := range batch.Records {
			r := &batch.Records[i]
			key := int64(i/10) % 20
			numbers[key]++
			n := numbers[key]
			switch n % 4 { // 1 3 2 4 5 7 6 8, and 8 again with the next 1
			case 2:
				n++
			case 3:
				n--
			}
			if i%7 == 0 {
				n = max(1, n-1)
			}
			at++
			binary.BigEndian.PutUint64(r.Key, uint64(key))
			binary.BigEndian.PutUint64(r.Value, uint64(n*10))
			r.Time = at
		}
		stepAndCommit(task, batch)
	}
	for range 8 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%v allocations for %d warm records, want none", n, len(batch.Records))
	}
	seen := map[Reason]bool{}
	task.Dropped(func(_ string, why Reason, _ int64) { seen[why] = true })
	if !seen[Duplicate] || !seen[Throttled] || !seen[Gap] {
		t.Errorf("dropped: %v", seen)
	}
}

// At a tick operators have their turn in the order of their clocks, whichever was made first.
func TestTicksComeInOrder(t *testing.T) {
	task := NewTask(TaskConfig{})
	clocks := []*Clock{NewClock(task, "a"), NewClock(task, "b"), NewClock(task, "c")}
	var got []int
	for _, n := range []int{1, 0, 2} {
		task.onTick(clocks[n], func(*Tx) { got = append(got, n) })
	}
	if err := task.Tick(1); err != nil || !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("they have their turn as %v: %v", got, err)
	}
}
