package core

import (
	"errors"
	"testing"
	"time"
)

func TestTaskID(t *testing.T) {
	for _, id := range []TaskID{{0, 0}, {0, 3}, {12, 345}} {
		b, _ := id.MarshalText()
		var got TaskID
		if err := got.UnmarshalText(b); err != nil || got != id {
			t.Errorf("%v is read as %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "0", "_", "0_", "_0", "a_b", "-1_0", "0_-1", "0_1_2", "99999999999_0"} {
		if err := new(TaskID).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is taken for a task id", s)
		}
	}
	if !(TaskID{0, 9}).Less(TaskID{1, 0}) || !(TaskID{1, 0}).Less(TaskID{1, 1}) || (TaskID{1, 1}).Less(TaskID{1, 1}) {
		t.Error("ids are not ordered by sub-topology, then partition")
	}
}

func TestTime(t *testing.T) {
	a := Time(1000)
	if b := a.Add(1500*time.Millisecond + 999*time.Microsecond); b != 2500 || b.Sub(a) != 1500*time.Millisecond || !a.Before(b) || !b.After(a) {
		t.Errorf("%d", b)
	}
}

func TestOpt(t *testing.T) {
	if Some(3).Or(4) != 3 || None[int]().Or(4) != 4 {
		t.Error("Or")
	}
}

func TestOutWithoutATask(t *testing.T) {
	var out Out[string]
	out.Emit("a")
	out.EmitAt(5, "b")
	out.Reject(nil)
	if len(out.Values()) != 2 || out.Rejected() == nil || out.ID() != "test" {
		t.Errorf("%v, %v, %q", out.Values(), out.Rejected(), out.ID())
	}
	row := RowOf("x")
	if v, ok := row.Get(); v != "x" || !ok {
		t.Errorf("%q, %v", v, ok)
	}
	if _, ok := new(Row[int]).Get(); ok {
		t.Error("the zero Row has a row")
	}
}

func TestRecordErrorUnwraps(t *testing.T) {
	cause := errors.New("cause")
	w := newWorld(TaskConfig{}, func(task *Task) {
		Source(task, "in", str{}, str{}, FlatMap(task.Node("f", "fn"), func(v string, out *Out[string]) { out.Reject(cause) }, Fan[string, string]()))
	})
	err := w.task.Step(&Batch{Records: []RawRecord{{Key: []byte("k"), Value: []byte("v"), Offset: 4}}, Next: 5, CaughtUp: true})
	var re *RecordError
	if !errors.As(err, &re) || !errors.Is(err, ErrRejected) || !errors.Is(err, cause) {
		t.Fatalf("%v", err)
	}
	if re.Topic != "in" || re.Offset != 4 || re.Node != "f" || re.Func != "fn" {
		t.Errorf("%+v", re)
	}
}

func TestCallsOutOfOrderAreBugs(t *testing.T) {
	for name, f := range map[string]func(*Task){
		"Ready after Ready":     func(task *Task) { _, _ = task.Ready(); _, _ = task.Ready() },
		"Advance without Ready": func(task *Task) { task.Advance() },
		"Advance after Abort":   func(task *Task) { _, _ = task.Ready(); task.Abort(); task.Advance() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f(newWorld(TaskConfig{}, chain).task)
		}()
	}
}

func TestCacheStaysWithinItsBound(t *testing.T) {
	w := newWorld(TaskConfig{CacheBytes: 3000}, shapes["aggregate"])
	at := Offset(0)
	for round := range 50 {
		b := &Batch{Next: at + 10, CaughtUp: true}
		for i := range 10 {
			b.Records = append(b.Records, RawRecord{Key: []byte{byte(round), byte(i)}, Value: []byte("v"), Offset: at + Offset(i)})
		}
		at += 10
		if err := w.task.Step(b); err != nil {
			t.Fatal(err)
		}
		w.settle(w.ready(t))
		tb := w.task.tables[0].(*Table[string, string])
		live := 0
		for i := range tb.cells {
			if tb.cells[i].state&cellFree == 0 {
				live += int(tb.cells[i].size)
			}
		}
		if tb.bytes > 3000 || tb.bytes != live || tb.index.len()+len(tb.free) != len(tb.cells) {
			t.Fatalf("%d bytes kept, %d counted; %d rows and %d free in %d cells", live, tb.bytes, tb.index.len(), len(tb.free), len(tb.cells))
		}
	}
}
