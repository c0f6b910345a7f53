package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// strWindow is the codec of windowed keys of strings; those of sessions with both times.
type strWindow struct{ size Time }

func (c strWindow) tail() int {
	if c.size == 0 {
		return 16
	}
	return 8
}

func (c strWindow) Append(b []byte, w Windowed[string]) ([]byte, error) {
	if b = append(b, w.Key...); c.size == 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(w.End))
	}
	return binary.BigEndian.AppendUint64(b, uint64(w.Start)), nil
}

func (c strWindow) Decode(b []byte) (w Windowed[string], err error) {
	n := len(b) - c.tail()
	if n < 0 {
		return w, errBenchSize
	}
	w.Key = string(b[:n])
	w.Start = Time(binary.BigEndian.Uint64(b[len(b)-8:]))
	if w.End = w.Start + c.size; c.size == 0 {
		w.End = Time(binary.BigEndian.Uint64(b[n:]))
	}
	return w, nil
}

func (c strWindow) DueOf(key []byte) (at, then Time, ok bool) { return DueTail(key, c.tail()-8) }

func windowShape(rule Window) func(*Task) {
	return func(t *Task) {
		c := strWindow{rule.Size}
		if rule.Kind == SessionWindow {
			c.size = 0
		}
		tb := NewTable[Windowed[string], string](t, "w", c, str{})
		concat := func(a, b string) string { return a + b }
		w := NewWindows(t.Node("w", ""), tb, WindowKeyOf[string](), rule, concat, func(a string) bool { return len(a) > 12 }, TableSink(t, 0, "out", Codec[Windowed[string]](c), str{}, nil))
		late := Unwindowed(Sink(t, 1, "late", str{}, str{}, nil))
		Source(t, "in", str{}, str{}, Windowing(AggregateWindows(t.Node("w", ""), w, NewClock(t, "w"), nil, concat, late)))
	}
}

func joinShape(before, after, grace Time, lonely, outer bool) func(*Task) {
	return func(t *Task) {
		n := t.Node("join", "")
		buffer := func(name string) *Buffer[string, string] {
			return NewBuffer(NewTable[Timed[string], string](t, name, TimedCodec[string]{str{}}, str{}))
		}
		j := &StreamJoin[string, string, string, string]{
			Node: n, Before: before, After: after, Grace: grace, Left: buffer("left"), Right: buffer("right"), Outer: outer,
			Clock: NewClock(t, "join"), Join: func(a, b Opt[string]) string { return a.Or("-") + "+" + b.Or("-") },
			Next: Sink(t, 0, "out", str{}, str{}, nil),
		}
		if lonely {
			j.Lonely = NewLonelyTable[string, string, string](t, "lonely", str{}, str{}, str{})
		}
		j.Init()
		Source(t, "l", str{}, str{}, j.FromLeft)
		Source(t, "r", str{}, str{}, j.FromRight)
	}
}

func selfJoinShape(t *Task) {
	j := &SelfJoin[string, string, string]{
		Node: t.Node("join", ""), Before: 4, After: 2, Grace: 3,
		Buffer: NewBuffer(NewTable[Timed[string], string](t, "self", TimedCodec[string]{str{}}, str{})),
		Join:   func(a, b string) string { return a + "+" + b }, Next: Sink(t, 0, "out", str{}, str{}, nil),
	}
	j.Init()
	Source(t, "in", str{}, str{}, j.Step)
}

// foreignShape has left rows that refer to what their value says; "reset" refers to nothing.
func foreignShape(t *Task) {
	rights := NewTable(t, "rights", str{}, str{})
	kc := SubscriberCodec[string, string]{str{}, str{}}
	tb := NewTable[Subscriber[string, string], int64](t, "subscribed", kc, i64{})
	out := Sink(t, 0, "answers", str{}, str{}, nil)
	s := NewSubscriptions(tb, str{}, rights.Get, func(tx *Tx, r Record[string, Answer[string]]) {
		out(tx, Record[string, string]{Key: r.Key, Value: fmt.Sprint(r.Value), Time: r.Time})
	})
	lefts := NewTable(t, "lefts", str{}, str{})
	TableSource(t, "rights", rights, s.FromRight)
	TableSource(t, "lefts", lefts, func(tx *Tx, r Record[string, Change[string]]) {
		if was := r.Value.Old; was.OK && was != r.Value.New {
			s.FromLeft(tx, Record[string, Subscription[string]]{Key: was.Value[:1], Value: Subscription[string]{Key: r.Key, Do: Unsubscribe}, Time: r.Time})
		}
		if is := r.Value.New; is.OK && is.Value != "reset" && tx.err == nil {
			s.FromLeft(tx, Record[string, Subscription[string]]{Key: is.Value[:1], Value: Subscription[string]{Key: r.Key, Version: int64(r.Time)}, Time: r.Time})
		}
	})
}

// bounded are tasks whose indexes by time are in memory in part only.
var bounded = map[string]func(*Task){
	"tumbling":          windowShape(Window{Size: 8, Advance: 8, Grace: 3}),
	"hopping, on close": windowShape(Window{Size: 6, Advance: 2, Grace: 3, OnClose: true}),
	"hopping":           windowShape(Window{Size: 6, Advance: 2, Grace: 3, Retain: 20}),
	"sliding":           windowShape(Window{Kind: SlidingWindow, Size: 5, Grace: 4}),
	"sliding, on close": windowShape(Window{Kind: SlidingWindow, Size: 5, Grace: 4, OnClose: true}),
	"session":           windowShape(Window{Kind: SessionWindow, Size: 3, Grace: 4, Retain: 12}),
	"join":              joinShape(4, 3, 5, false, false),
	"left join":         joinShape(5, -1, 3, true, false),
	"outer join":        joinShape(3, 4, 6, true, true),
	"self join":         selfJoinShape,
	"foreign keys":      foreignShape,
	"session, on close": windowShape(Window{Kind: SessionWindow, Size: 3, Grace: 4, OnClose: true}),
}

// What lies in memory of an index changes nothing, whether the view finds rows by time or not.
// Keys begin as others do, and a windowed key may look as another one does that is longer.
func TestBoundedIndexesGiveTheSame(t *testing.T) {
	for name, shape := range bounded {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				sources := newWorld(TaskConfig{}, shape).task.sources
				all := logsOf(t, len(sources), 60, "a", "a\x00", "aa", "b", "w", "x", "y", "b\x00\x00\x00\x00\x00\x00\x00\x01", "c", "d", "")
				plain := newWorld(TaskConfig{CacheBytes: 1 << 20}, shape)
				feedAll(t, plain, all)
				cfg := TaskConfig{CacheBytes: rapid.SampledFrom([]int{0, 600}).Draw(t, "cache"), CheckMutation: rapid.Bool().Draw(t, "check")}
				other := newWorld(cfg, shape)
				other.dated = rapid.Bool().Draw(t, "dated")
				other.open()
				feedRandomly(t, other, all)
				plain.cfg.Times[1], other.cfg.Times[1] = 0, 0 // ticks are part of a schedule
				if got, want := other.state(), plain.state(); got != want {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
			})
		})
	}
}

// However many rows there are, so many are in the index, and twice as many in the lists of keys.
func TestIndexesAreBounded(t *testing.T) {
	const most, rows = 200, 10 * 200
	for _, rule := range []Window{
		{Size: 1000, Advance: 1000, Grace: 10 * rows},
		{Size: 1000, Advance: 1000, Grace: 10 * rows, OnClose: true},
		{Kind: SlidingWindow, Size: 1, Grace: 10 * rows},
		{Kind: SessionWindow, Size: 1, Grace: 10 * rows},
	} {
		var w *Windows[Windowed[string], string]
		closed := 0
		world := newWorld(TaskConfig{CacheBytes: most * indexRow}, func(t *Task) {
			c := strWindow{rule.Size}
			if rule.Kind == SessionWindow {
				c.size = 0
			}
			tb := NewTable[Windowed[string], string](t, "w", c, str{})
			concat := func(a, b string) string { return a + b }
			w = NewWindows(t.Node("w", ""), tb, WindowKeyOf[string](), rule, concat, nil, func(*Tx, Record[Windowed[string], Change[string]]) { closed++ })
			Source(t, "in", str{}, str{}, Windowing(AggregateWindows(t.Node("w", ""), w, NewClock(t, "w"), nil, concat, nil)))
		})
		world.dated = true
		world.open()
		step := func(r RawRecord, n int) {
			r.Offset, r.Value = Offset(n), []byte("v")
			if err := world.task.Step(&Batch{Records: []RawRecord{r}, Next: Offset(n + 1), CaughtUp: true}); err != nil {
				t.Fatal(err)
			}
			if n%50 == 0 {
				c, err := world.task.Ready()
				if err != nil {
					t.Fatal(err)
				}
				world.settle(c)
			}
			if in := max(w.open.n, w.closed.n, w.open.calendar.size(), w.closed.calendar.size()); in > most {
				t.Fatalf("%d rows in the index, at most %d may be", in, most)
			}
			if w.spans != nil && len(w.spans.lists)+len(w.spans.old) > 2*(most+51) {
				t.Fatalf("%d lists of keys", len(w.spans.lists)+len(w.spans.old))
			}
		}
		n := 0
		for ; n < rows; n++ {
			step(RawRecord{Key: []byte(strconv.Itoa(n)), Time: Time(3 * n)}, n)
		}
		if w.closed.n > 0 == (w.open.n > 0) || len(world.views[0].rows) < rows-51 {
			t.Fatalf("%d rows, %d and %d of them in the indexes", len(world.views[0].rows), w.open.n, w.closed.n)
		}
		closed = 0
		step(RawRecord{Key: []byte("end"), Time: 100 * rows}, (n+49)/50*50)
		if len(world.views[0].rows) > 1 {
			t.Errorf("%+v: %d rows are left", rule, len(world.views[0].rows))
		}
		if rule.OnClose && closed != rows {
			t.Errorf("%d results, want %d", closed, rows)
		}
	}
}

// Of rows beyond memory only those that have closed are brought among the closed ones: the others
// are in the other index, and would be there twice.
func TestClosedRowsOnly(t *testing.T) {
	for _, rule := range []Window{
		{Size: 1, Advance: 1, Grace: 90, OnClose: true},
		{Kind: SlidingWindow, Size: 1, Grace: 90, OnClose: true},
		{Kind: SessionWindow, Size: 1, Grace: 90},
	} {
		var w *Windows[Windowed[string], string]
		world := newWorld(TaskConfig{CacheBytes: 16 * indexRow}, func(t *Task) {
			c := strWindow{rule.Size}
			if rule.Kind == SessionWindow {
				c.size = 0
			}
			tb := NewTable[Windowed[string], string](t, "w", c, str{})
			concat := func(a, b string) string { return a + b }
			w = NewWindows(t.Node("w", ""), tb, WindowKeyOf[string](), rule, concat, nil, func(*Tx, Record[Windowed[string], Change[string]]) {})
			Source(t, "in", str{}, str{}, Windowing(AggregateWindows(t.Node("w", ""), w, NewClock(t, "w"), nil, concat, nil)))
		})
		world.dated = true
		world.open()
		for n := range 300 {
			r := RawRecord{Key: []byte(strconv.Itoa(n)), Value: []byte("v"), Time: Time(3 * n), Offset: Offset(n)}
			if err := world.task.Step(&Batch{Records: []RawRecord{r}, Next: Offset(n + 1), CaughtUp: true}); err != nil {
				t.Fatal(err)
			}
			for _, p := range w.closed.everyPage() {
				if p.at > w.shut {
					t.Fatalf("%+v: record %d: a row that closes at %d is among those closed at %d", rule, n, p.at, w.shut)
				}
			}
			if n%7 == 0 {
				c, err := world.task.Ready()
				if err != nil {
					t.Fatal(err)
				}
				world.settle(c)
			}
			if n%50 == 49 {
				world.open()
			}
		}
	}
}

// size is how many keys are in memory.
func (c *calendar[K]) size() int {
	n := len(c.keys) - c.at
	for _, p := range c.everyPage() {
		if n++; p.list > 0 {
			n += len(c.lists[p.list-1]) - 1
		}
	}
	return n
}

func (c *calendar[K]) everyPage() []page[K] {
	return slices.Concat(c.pages, slices.Concat(c.run.pieces...)[c.run.at:])
}

// The same of a join, whose records all find no partner in time.
func TestJoinBuffersAreBounded(t *testing.T) {
	const most, rows = 200, 10 * 200
	var j *StreamJoin[string, string, string, int]
	alone := 0
	world := newWorld(TaskConfig{CacheBytes: most * indexRow}, func(t *Task) {
		j = &StreamJoin[string, string, string, int]{
			Node: t.Node("join", ""), After: 10 * rows,
			Left:   NewBuffer(NewTable[Timed[string], string](t, "left", TimedCodec[string]{str{}}, str{})),
			Right:  NewBuffer(NewTable[Timed[string], string](t, "right", TimedCodec[string]{str{}}, str{})),
			Lonely: NewLonelyTable[string, string, string](t, "lonely", str{}, str{}, str{}),
			Clock:  NewClock(t, "join"), Join: func(Opt[string], Opt[string]) int { return 0 },
			Next: func(_ *Tx, r Record[string, int]) { alone++ },
		}
		j.Init()
		Source(t, "l", str{}, str{}, j.FromLeft)
	})
	world.dated = true
	world.open()
	step := func(r RawRecord, n int, commit bool) {
		r.Offset, r.Value = Offset(n), []byte("v")
		if err := world.task.Step(&Batch{Records: []RawRecord{r}, Next: Offset(n + 1), CaughtUp: true}); err != nil {
			t.Fatal(err)
		}
		if commit {
			c, err := world.task.Ready()
			if err != nil {
				t.Fatal(err)
			}
			world.settle(c)
		}
		if in := max(j.Left.gone.size(), j.Lonely.due[1].size(), len(j.Lonely.open)); in > most {
			t.Fatalf("%d rows in the index, at most %d may be", in, most)
		}
		if n := len(j.Left.times.lists) + len(j.Left.times.old); n > 2*(most+51) {
			t.Fatalf("%d lists of keys", n)
		}
	}
	for n := range rows {
		step(RawRecord{Key: []byte(strconv.Itoa(n)), Time: Time(n)}, n, n%50 == 49)
	}
	if n := len(world.views[0].rows); n != rows || j.Left.gone.n == 0 {
		t.Fatalf("%d rows, %d of them in the index", n, j.Left.gone.n)
	}
	step(RawRecord{Key: []byte("end"), Time: 100 * rows}, rows, true)
	if alone != rows || len(world.views[0].rows) != 1 || len(world.views[2].rows) != 1 {
		t.Errorf("%d records alone, %d and %d rows are left", alone, len(world.views[0].rows), len(world.views[2].rows))
	}
}
