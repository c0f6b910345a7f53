package core

import (
	"errors"
	"fmt"
	"slices"
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

// Of two branches of a record that fail, the one that is not skipped counts, in whatever order they are.
func TestStopBehindAFailureThatIsSkipped(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
			rejects := func(name string, policy Action) Next[string, string] {
				t.SetPolicy(Policy{Error: Outcome{Action: policy}})
				return FlatMap(t.Node(name, ""), func(_ string, out *Out[string]) { out.Reject(nil) }, Fan[string, string]())
			}
			skips, stops := rejects("skips", Skip), rejects("stops", Stop)
			if first {
				skips, stops = stops, skips
			}
			Source(t, "in", str{}, str{}, Fan(skips, stops))
		})
		err := w.task.Step(&Batch{Next: 1, Records: []RawRecord{{Key: []byte("k"), Value: []byte("v")}}})
		var e *RecordError
		if !errors.As(err, &e) || e.Node != "stops" {
			t.Errorf("stop first %v: got %v, want it to stop there", first, err)
		}
	}
}

// What a batch is cut into for lone records is the batch, and each of them begins a part.
func TestLoneRecord(t *testing.T) {
	b := &Batch{Next: 9, CaughtUp: true}
	for _, o := range []Offset{2, 4, 5, 7} {
		b.Records = append(b.Records, RawRecord{Offset: o})
	}
	for _, c := range []struct {
		at    []Offset
		parts int
	}{{[]Offset{2}, 1}, {[]Offset{4}, 2}, {[]Offset{5}, 2}, {[]Offset{7}, 2}, {[]Offset{3, 8}, 1}, {[]Offset{2, 5, 7}, 3}, {[]Offset{2, 3, 4, 5, 7}, 4}} {
		ls := loners{}
		for _, at := range c.at {
			ls.add(lone{0, at})
			ls.add(lone{1, at + 1})
		}
		parts := ls.part(b)
		if len(parts) != c.parts {
			t.Errorf("%v: %d parts, want %d", c.at, len(parts), c.parts)
		}
		n := 0
		for i, p := range parts {
			for j, r := range p.Records {
				if n++; j > 0 && slices.Contains(c.at, r.Offset) {
					t.Errorf("%v: offset %d does not begin a part", c.at, r.Offset)
				}
			}
			if i+1 < len(parts) && p.Next != parts[i+1].Records[0].Offset || i+1 == len(parts) && p.Next != 9 {
				t.Errorf("%v: part %d ends at %d", c.at, i, p.Next)
			}
		}
		if n != 4 {
			t.Errorf("%v: %d records", c.at, n)
		}
	}
}

// Records that fail, or let go what fails, behind changes that cannot be taken back one by one, while each
// tick changes a row as well: each of them needs its clean state, and none loses it to another.
func TestManyRecordsAreTakenBack(t *testing.T) {
	const n = 12
	for name, value := range map[string]func(i int) string{
		"what they let go": func(int) string { return "poison" },
		"they themselves":  func(i int) string { return [...]string{"good", "refused"}[i%2] },
		"both in turn":     func(i int) string { return [...]string{"poison", "refused", "good"}[i%3] },
	} {
		now := Time(0)
		w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
			t.SetPolicy(Policy{Error: Outcome{Action: Skip}, Drop: Outcome{Action: Skip}})
			rows, ticks := NewTable(t, "rows", str{}, str{}), NewTable(t, "ticks", str{}, str{})
			held := NewTable[string, Held[string]](t, "held", str{}, heldStr{})
			fails := t.Node("fails", "")
			refuse := func(values ...string) Next[string, string] {
				return func(tx *Tx, r Record[string, string]) {
					if slices.Contains(values, r.Value) {
						tx.reject(fails, nil)
					}
				}
			}
			t.onTick(nil, func(tx *Tx) {
				if i := ticks.find(tx, "tick"); i >= 0 {
					ticks.put(i, fmt.Sprint(now), now)
				}
			})
			suppress := SuppressChanges(t.Node("held", ""), held, NewClock(t, "held"), Suppress[string]{Wait: 10}, ToStream(refuse("poison")))
			Source(t, "in", str{}, str{}, Fan(ToTable(t.Node("table", ""), rows, nil, suppress), refuse("refused")))
		})
		want, aborts := Offset(n), 0
		for w.next[0] < want {
			if aborts > n {
				t.Fatalf("%s: %d aborts, and it is at offset %d of %d", name, aborts, w.next[0], want)
			}
			b := &Batch{Next: want, CaughtUp: true}
			for at := w.next[0]; at < want; at++ {
				b.Records = append(b.Records, RawRecord{Offset: at, Key: fmt.Append(nil, at), Value: []byte(value(int(at))), Time: Time(at) * 100})
			}
			now++
			err := w.task.Tick(now)
			for err == nil {
				if err = w.task.Step(b); err == nil {
					b = &Batch{Next: b.Next, CaughtUp: true}
					var c *Commit
					if c, err = w.task.Ready(); err == nil {
						w.settle(c)
					}
					if !w.task.Holds() {
						break
					}
				}
			}
			if errors.Is(err, ErrTakeBack) {
				aborts++
				w.task.Abort()
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if len(w.task.alone) > 0 {
			t.Errorf("%s: %v are committed, and still to be stepped alone", name, w.task.alone)
		}
	}
}

// A record that is left out moves no stream time, whether its value does not decode or a function rejects it.
func TestFailureMovesNoStreamTime(t *testing.T) {
	w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
		t.SetPolicy(Policy{Error: Outcome{Action: Skip}})
		Source(t, "in", str{}, str{}, FlatMap(t.Node("refuse", ""), func(v string, out *Out[string]) {
			if v == "refused" {
				out.Reject(nil)
			}
		}, Fan[string, string]()))
	})
	for i, r := range []RawRecord{{Value: []byte("good"), Time: 1000}, {Value: []byte("bad value"), Time: 5000}, {Value: []byte("refused"), Time: 9000}, {Value: []byte("good"), Time: 900}} {
		r.Key, r.Offset = []byte("k"), Offset(i)
		if err := w.task.Step(&Batch{Next: r.Offset + 1, Records: []RawRecord{r}}); err != nil {
			t.Fatal(err)
		}
		if at := w.task.StreamTime(); at != 1000 {
			t.Errorf("behind record %d the stream time is %d, want 1000", i, at)
		}
	}
	if c, err := w.task.Ready(); err != nil || c.Skipped != 2 || c.Times[0] != 1000 {
		t.Errorf("%+v, %v: want two that are skipped, and 1000", c, err)
	}
}

// A record that fails behind a commit that is written nowhere, of time that was passed on, leaves the
// operators' times where they were before it.
func TestFailureBehindAnEmptyCommit(t *testing.T) {
	w := newWorld(TaskConfig{CacheBytes: 1 << 20}, func(t *Task) {
		t.SetPolicy(Policy{Error: Outcome{Action: Skip}})
		rows := NewTable(t, "rows", str{}, str{})
		held := NewTable[string, Held[string]](t, "held", str{}, heldStr{})
		refuse := FlatMap(t.Node("refuse", ""), func(_ string, out *Out[string]) { out.Reject(nil) }, Fan[string, string]())
		suppress := SuppressChanges(t.Node("held", ""), held, NewClock(t, "held"), Suppress[string]{Wait: 10}, nil)
		Source(t, "in", str{}, str{}, Fan(ToTable(t.Node("table", ""), rows, nil, suppress), refuse))
	})
	if err := w.task.Pass(2000); err != nil {
		t.Fatal(err)
	}
	if c, err := w.task.Ready(); err != nil || !c.Empty() {
		t.Fatalf("%v, %v: want an empty commit", c, err)
	}
	w.task.Advance()
	if err := w.task.Step(&Batch{Next: 1, Records: []RawRecord{{Key: []byte("k"), Value: []byte("v"), Time: 1500}}}); err != nil {
		t.Fatal(err)
	}
	if at := w.task.clocks[0].at; at != 2000 {
		t.Errorf("the time is %d, want 2000", at)
	}
	w.task.Abort()
	if at := w.task.clocks[0].at; at != NoTime {
		t.Errorf("behind an abort the time is %d, want none", at)
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
