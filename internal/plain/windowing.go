package plain

import (
	"cmp"
	"maps"
	"slices"
)

// Windowing is what windowed aggregates do with records: it looks through all rows, for each. Tumbling windows are
// hopping ones whose Advance is their Size.
type Windowing struct {
	Kind WindowKind
	// Size is that of hopping windows, of sliding ones how far records are apart at most, and of sessions the gap.
	Size, Advance, Grace Time
	Retain               Time // rows are kept that long, at least
	OnClose              bool
	// Strict: rows are those of Kafka Streams' store, which shows none that is older than its
	// Retention, by the newest one that was ever put; see docs/semantics.md, "retention".
	Strict    bool
	Retention Time
	newest    Time
	// Add makes a new aggregate of what was and a value of an input; one that is not OK is none.
	Add   func(input string, was, value Opt) Opt
	Merge func(a, b string) string // of sessions
	// Emit is told what goes on.
	Emit func(k Key, was, now Opt, at Time)

	Rows map[Key]Row
	Late bool // the last record entered no window
	now  map[string]Time
	done map[Key]bool // emitted
}

// WindowKind says which windows there are.
type WindowKind int

// The kinds.
const (
	Hopping WindowKind = iota
	Sliding
	Session
	Unlimited // from 0 on
)

// Step takes a record of an input, whose key is not null.
func (w *Windowing) Step(input, key string, value Opt, at Time) {
	w.Late = false
	if !value.OK && w.Kind == Sliding {
		return
	}
	w.Pass(input, at)
	limit := w.clock(input) - w.Grace
	switch w.Kind {
	case Hopping:
		w.Late = true
		for start := max(0, (at-w.Size)/w.Advance*w.Advance); start <= at; start += w.Advance {
			if start+w.Size > at && start+w.Size > limit {
				w.Late = false
				w.put(Key{Key: key, Start: start, End: start + w.Size}, input, value, at)
			}
		}
	case Sliding:
		w.sliding(key, input, value, at, limit)
	case Session:
		w.session(key, input, value, at, limit-w.Size)
	case Unlimited:
		w.put(Key{Key: key, End: latest}, input, value, at)
	}
}

// Pass moves an input's time on.
func (w *Windowing) Pass(input string, at Time) {
	if w.now == nil {
		w.now, w.done, w.newest = map[string]Time{}, map[Key]bool{}, -1<<40
	}
	if w.Rows == nil {
		w.Rows = map[Key]Row{}
	}
	for _, name := range []string{"", input} {
		if old, ok := w.now[name]; !ok || at > old {
			w.now[name] = at
		}
	}
}

// End ends a step: what has closed goes on, and what is of no more use is gone.
func (w *Windowing) End(input string) {
	if w.OnClose {
		w.close(w.clock(input) - w.Grace)
	}
	w.expire()
}

// clock is the time by which a record of an input is late: what is final is so for all inputs.
func (w *Windowing) clock(input string) Time {
	if w.OnClose {
		input = ""
	}
	return w.now[input]
}

// expire drops the rows that no record of the fastest input can change any more, directly or
// by way of another row: a slower input begins them anew. No others go.
func (w *Windowing) expire() {
	if w.Strict {
		w.hide()
		return
	}
	maps.DeleteFunc(w.Rows, func(k Key, _ Row) bool {
		now := w.now[""]
		switch w.Kind {
		case Hopping:
			return k.Start <= now/w.Advance*w.Advance-max(w.Retain, w.Grace+w.Size)
		case Session:
			return k.End <= now-max(w.Retain, w.Grace+w.Size+1)
		case Sliding:
			return k.Start <= now-max(w.Retain, w.Grace+3*w.Size+1)
		}
		return false
	})
}

// base is the time by which a store goes.
func (w *Windowing) base(k Key) Time {
	if w.Kind == Session {
		return k.End
	}
	return k.Start
}

// hide drops the rows that Kafka Streams' store does not show any more. What is put behind that
// is not shown either.
func (w *Windowing) hide() {
	maps.DeleteFunc(w.Rows, func(k Key, _ Row) bool { return w.base(k) <= w.newest-w.Retention })
}

// put adds a value to a row.
func (w *Windowing) put(k Key, input string, value Opt, at Time) {
	r, ok := w.Rows[k]
	if ok {
		at = max(at, r.Time)
	}
	w.write(k, w.Add(input, Opt{Value: r.Value, OK: ok}, value), at)
}

func (w *Windowing) write(k Key, value Opt, at Time) {
	was, ok := w.Rows[k]
	delete(w.Rows, k)
	if value.OK {
		w.Rows[k] = Row{value.Value, at}
	}
	if w.newest = max(w.newest, w.base(k)); w.Strict {
		w.hide()
	}
	if !w.OnClose {
		w.Emit(k, Opt{Value: was.Value, OK: ok}, value, at)
	}
}

// keys are those of all rows of a key, by end and start.
func (w *Windowing) keys(key string) []Key {
	ks := slices.DeleteFunc(slices.Collect(maps.Keys(w.Rows)), func(k Key) bool { return k.Key != key })
	slices.SortFunc(ks, func(a, b Key) int { return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Start, b.Start)) })
	return ks
}

func (w *Windowing) session(key, input string, value Opt, at, limit Time) {
	k := Key{Key: key, Start: at, End: at}
	var near []Key
	var sum Opt
	for _, o := range w.keys(key) {
		if (w.Strict || o.End >= limit || o.End > w.now[""]-w.Retain) && o.End >= at-w.Size && o.Start <= at+w.Size {
			near = append(near, o)
			k.Start, k.End = min(k.Start, o.Start), max(k.End, o.End)
		}
	}
	if w.Late = k.End < limit; w.Late {
		return
	}
	for _, o := range near {
		v := Opt{Value: w.Rows[o].Value, OK: true}
		if sum.OK {
			v.Value = w.Merge(sum.Value, v.Value)
		}
		sum = v
		if k.Start != at || k.End != at {
			w.write(o, Opt{}, o.End)
		}
	}
	w.write(k, w.Add(input, sum, value), k.End)
}

// sliding goes through the windows from early to late, and puts what it does into the order
// that is asked for.
func (w *Windowing) sliding(key, input string, value Opt, at, limit Time) {
	w.Late = true
	if at+w.Size < limit {
		return
	}
	enter := func(start Time, base Opt, baseAt Time) {
		if start+w.Size < limit {
			return
		}
		if w.Late = false; base.OK {
			baseAt = max(baseAt, at)
		} else {
			baseAt = at
		}
		w.write(Key{Key: key, Start: start, End: start + w.Size}, w.Add(input, base, value), baseAt)
	}
	const none = -1
	early, prev := at < w.Size, Time(none)
	var left, right, zero Opt
	var rightAt, zeroAt Time
	var hold []Time // windows that hold the record's time
	starts := map[Time]bool{}
	for _, k := range w.keys(key) {
		r := w.Rows[k]
		if k.Start > at+1 || k.End < at-w.Size {
			continue
		}
		starts[k.Start] = true
		row := Opt{Value: r.Value, OK: true}
		switch {
		case early && k.Start == 0:
			if zero, zeroAt = row, r.Time; r.Time < at {
				prev = r.Time
			}
		case k.Start > at:
		case k.End < at:
			left, prev = row, r.Time
		default:
			if k.End == at && r.Time < at && !left.OK { // else the one before tells it
				prev = r.Time
			}
			if k.End > at || early {
				right, rightAt = row, r.Time
			}
			hold = append(hold, k.Start)
		}
	}
	behind := func() {
		if right.OK && rightAt > at && !starts[at+1] {
			w.Late = false
			w.write(Key{Key: key, Start: at + 1, End: at + 1 + w.Size}, right, rightAt)
		}
	}
	each := func(start Time) {
		r := w.Rows[Key{Key: key, Start: start, End: start + w.Size}]
		enter(start, Opt{Value: r.Value, OK: true}, r.Time)
	}
	if early {
		for _, s := range hold {
			each(s)
		}
		if !right.OK && zero.OK && zeroAt > at {
			right, rightAt = zero, zeroAt
		}
		behind()
		if prev != none && !starts[prev+1] {
			enter(prev+1, Opt{}, 0)
		}
		enter(0, zero, zeroAt)
		return
	}
	for _, s := range slices.Backward(hold) {
		each(s)
	}
	if prev != none && prev+1+w.Size >= at && !starts[prev+1] {
		enter(prev+1, Opt{}, 0)
	}
	if !starts[at-w.Size] {
		if prev == none || prev < at-w.Size {
			left = Opt{}
		}
		enter(at-w.Size, left, 0)
	}
	behind()
}

// close emits what has closed.
func (w *Windowing) close(limit Time) {
	var ks []Key
	for k := range w.Rows {
		closed := false
		switch w.Kind {
		case Hopping:
			closed = k.End <= limit
		case Session:
			closed = k.End < limit-w.Size
		case Sliding:
			closed = k.End < limit
		}
		if closed && !w.done[k] {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b Key) int {
		if w.Kind == Session {
			return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Key, b.Key))
		}
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Key, b.Key))
	})
	for _, k := range ks {
		w.done[k] = true
		w.Emit(k, Opt{}, Opt{Value: w.Rows[k].Value, OK: true}, w.Rows[k].Time)
	}
}
