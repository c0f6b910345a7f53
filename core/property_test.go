package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// logs draws the contents of a number of source partitions: times mostly rise, offsets
// have gaps, and keys and values are few, so that they meet.
func logs(t *rapid.T, sources int) [][]RawRecord {
	return logsOf(t, sources, 25, "a", "b", "c", "d", "")
}

// logsOf is logs with at most so many records a source, of these keys; "" is none.
func logsOf(t *rapid.T, sources, most int, keys ...string) [][]RawRecord {
	all := make([][]RawRecord, sources)
	for s := range all {
		at, offset := Time(0), Offset(0)
		for range rapid.IntRange(0, most).Draw(t, "records") {
			at = max(0, at+Time(rapid.IntRange(-2, 4).Draw(t, "later")))
			offset += Offset(rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "gap"))
			r := RawRecord{Time: at, Offset: offset}
			if k := rapid.SampledFrom(keys).Draw(t, "key"); k != "" {
				r.Key = []byte(k)
			}
			if v := rapid.SampledFrom([]string{"x", "yy", "zzz", "w", "reset", ""}).Draw(t, "value"); v != "" {
				r.Value = []byte(v)
			}
			if rapid.IntRange(0, 5).Draw(t, "headers") == 0 {
				r.Headers = Headers{}.With("h", fmt.Sprint(offset)).Raw()
			}
			all[s] = append(all[s], r)
			offset++
		}
	}
	return all
}

// rest is what of a source's log lies at or behind an offset.
func rest(log []RawRecord, at Offset) []RawRecord {
	i, _ := slices.BinarySearchFunc(log, at, func(r RawRecord, at Offset) int { return int(r.Offset - at) })
	return log[i:]
}

// end is where a log ends: behind a control record.
func end(log []RawRecord) Offset {
	if len(log) == 0 {
		return 0
	}
	return log[len(log)-1].Offset + 2
}

// feedAll feeds everything in one go, so that the merge sees it all, and commits once.
func feedAll(t *rapid.T, w *world, all [][]RawRecord) {
	for s, log := range all {
		b := &Batch{Source: SourceID(s), Records: rest(log, w.next[s]), Next: end(log), CaughtUp: true}
		if err := w.task.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	w.settle(w.ready(t))
}

// feedRandomly feeds the same in another way: random batches, sources told to be caught
// up only at their end, so that the order is the same; commits that are overtaken by the
// next generation, and are then settled or aborted; crashes.
func feedRandomly(t *rapid.T, w *world, all [][]RawRecord) {
	var sealed *Commit
	fed := make([]Offset, len(all))
	told := make([]bool, len(all)) // that its end has come; anew after each rewind
	rewind := func() { copy(fed, w.next); clear(told); sealed = nil }
	rewind()
	for steps := 0; ; steps++ {
		action := rapid.SampledFrom([]string{"feed", "feed", "feed", "feed", "commit", "commit", "abort", "crash", "tick"}).Draw(t, "action")
		if steps > 300 {
			action = "feed" // enough
		}
		switch action {
		case "feed":
			var open []int
			for s := range all {
				if !told[s] {
					open = append(open, s)
				}
			}
			if len(open) == 0 {
				if sealed != nil {
					w.settle(sealed)
				}
				sealed = w.ready(t)
				w.settle(sealed)
				return
			}
			s := rapid.SampledFrom(open).Draw(t, "source")
			log := rest(all[s], fed[s])
			n := rapid.IntRange(0, len(log)).Draw(t, "n")
			b := &Batch{Source: SourceID(s), Records: log[:n], Next: fed[s]}
			if n == len(log) {
				b.Next, b.CaughtUp, told[s] = end(all[s]), true, true
			} else if n > 0 {
				b.Next = log[n-1].Offset + 1
			}
			fed[s] = b.Next
			if err := w.task.Step(b); err != nil {
				t.Fatal(err)
			}
		case "commit":
			if sealed == nil {
				sealed = w.ready(t)
			} else {
				w.settle(sealed)
				sealed = nil
			}
		case "abort":
			w.task.Abort()
			rewind()
		case "crash":
			w.open()
			rewind()
		case "tick":
			if err := w.task.Tick(Time(steps)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Outputs and folded changelogs do not depend on batches, commits, aborts and restarts.
func TestAnyScheduleGivesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := logs(t, 2)
		plain := newWorld(TaskConfig{CacheBytes: 1 << 20}, chain)
		feedAll(t, plain, all)
		other := newWorld(TaskConfig{CacheBytes: rapid.SampledFrom([]int{0, 200, 1 << 20}).Draw(t, "cache"), CheckMutation: rapid.Bool().Draw(t, "check")}, chain)
		feedRandomly(t, other, all)
		plain.cfg.Times[1], other.cfg.Times[1] = 0, 0 // ticks are part of a schedule
		if got, want := other.state(), plain.state(); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// The merge takes the oldest head; where the times of each source rise, that is the order
// of time, then source, then offset.
func TestMergeOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := logs(t, 4)
		if rapid.Bool().Draw(t, "rising") {
			for _, log := range all {
				for i := range max(0, len(log)-1) {
					log[i+1].Time = max(log[i+1].Time, log[i].Time)
				}
			}
		}
		var got [][2]int
		w := newWorld(TaskConfig{}, func(task *Task) {
			for s := range all {
				task.addSource(fmt.Sprint(s), task.Node("", ""), func(tx *Tx, r *RawRecord) {
					got = append(got, [2]int{s, int(r.Offset)})
				})
			}
		})
		feedAll(t, w, all)
		model := mergeModel(all)
		if !slices.Equal(got, model) {
			t.Fatalf("got %v, want %v", got, model)
		}
		for _, log := range all {
			if !slices.IsSortedFunc(log, func(a, b RawRecord) int { return int(a.Time - b.Time) }) {
				return
			}
		}
		slices.SortStableFunc(model, func(a, b [2]int) int {
			if d := at(all, a).Time - at(all, b).Time; d != 0 {
				return int(d)
			}
			return a[0] - b[0]
		})
		if !slices.Equal(got, model) {
			t.Fatalf("got %v, sorted %v", got, model)
		}
	})
}

// mergeModel takes the oldest head again and again.
func mergeModel(all [][]RawRecord) (order [][2]int) {
	pos := make([]int, len(all))
	for {
		best := -1
		for s, log := range all {
			if pos[s] < len(log) && (best < 0 || log[pos[s]].Time < all[best][pos[best]].Time) {
				best = s
			}
		}
		if best < 0 {
			return order
		}
		order = append(order, [2]int{best, int(all[best][pos[best]].Offset)})
		pos[best]++
	}
}

// A join is a nested loop: each stream record with the last row before it.
func TestJoinIsANestedLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := logs(t, 2)
		w := newWorld(TaskConfig{}, func(task *Task) {
			tb := NewTable(task, "table", str{}, str{})
			TableSource(task, "table", tb, nil)
			Source(task, "stream", str{}, str{}, Join(task.Node("join", ""), tb.Get, func(v, row string) string { return v + "+" + row }, Sink(task, 0, "out", str{}, str{}, nil)))
		})
		feedAll(t, w, all)

		var want []string
		order := mergeModel(all)
		for i, x := range order {
			r := at(all, x)
			if x[0] != 1 || r.Key == nil || r.Value == nil {
				continue
			}
			for _, y := range slices.Backward(order[:i]) {
				if row := at(all, y); y[0] == 0 && row.Key != nil && string(row.Key) == string(r.Key) {
					if row.Value != nil {
						want = append(want, fmt.Sprintf("%q -> %q @%d", r.Key, string(r.Value)+"+"+string(row.Value), r.Time))
					}
					break
				}
			}
		}
		var got []string
		for _, o := range w.outputs {
			o = strings.TrimPrefix(o, "out 0 ")
			if i := strings.Index(o, " h="); i >= 0 {
				o = o[:i]
			}
			got = append(got, o)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func at(all [][]RawRecord, x [2]int) RawRecord { return rest(all[x[0]], Offset(x[1]))[0] }

// An aggregate is a map.
func TestAggregateIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := logs(t, 1)
		w := newWorld(TaskConfig{}, func(task *Task) {
			tb := NewTable(task, "table", str{}, str{})
			add := func(a, v string) string { return a + v }
			done := func(a string) bool { return strings.HasSuffix(a, "w") }
			Source(task, "stream", str{}, str{}, Aggregate(task.Node("agg", ""), tb, nil, add, done, nil))
		})
		feedAll(t, w, all)
		want := &memView{rows: map[string]memRow{}}
		for _, r := range all[0] {
			if r.Key == nil || r.Value == nil {
				continue
			}
			row, k := want.rows[string(r.Key)], string(r.Key)
			if row.value += string(r.Value); strings.HasSuffix(row.value, "w") {
				delete(want.rows, k)
				continue
			}
			row.at = max(row.at, r.Time)
			want.rows[k] = row
		}
		if got := w.views[0].String(); got != want.String() {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// From the decisions that a commit holds, and the input, the commit is made again, byte
// for byte.
func TestReplayFromDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := logs(t, 2)
		w := newWorld(TaskConfig{CacheBytes: rapid.SampledFrom([]int{0, 1 << 20}).Draw(t, "cache")}, chain)
		var recorded []string
		var decisions [][]Decision
		var ends [][]Offset
		fed := make([]Offset, len(all))
		commit := func() {
			c := w.ready(t)
			recorded, decisions, ends = append(recorded, c.String()), append(decisions, slices.Clone(c.Decisions)), append(ends, slices.Clone(c.Next))
			w.settle(c)
		}
		for s := rapid.IntRange(0, 40).Draw(t, "steps"); s > 0; s-- {
			switch s := rapid.IntRange(-2, len(all)-1).Draw(t, "what"); s {
			case -2:
				commit()
			case -1:
				if err := w.task.Tick(Time(rapid.IntRange(0, 100).Draw(t, "tick"))); err != nil {
					t.Fatal(err)
				}
			default: // live: a source may claim to have caught up where it has not
				log := rest(all[s], fed[s])
				n := rapid.IntRange(0, len(log)).Draw(t, "n")
				b := &Batch{Source: SourceID(s), Records: log[:n], Next: fed[s], CaughtUp: rapid.Bool().Draw(t, "caught up")}
				if n > 0 {
					b.Next = log[n-1].Offset + 1 + Offset(rapid.IntRange(0, 1).Draw(t, "control"))
				}
				if len(log) > n {
					b.Next = min(b.Next, log[n].Offset)
				}
				fed[s] = b.Next
				if err := w.task.Step(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		commit()

		r := newWorld(TaskConfig{}, chain)
		pos := make([]Offset, len(all))
		tell := func(s int, records []RawRecord, next Offset) {
			if err := r.task.Step(&Batch{Source: SourceID(s), Records: records, Next: next, CaughtUp: true}); err != nil {
				t.Fatal(err)
			}
			pos[s] = next
		}
		for s := range all {
			tell(s, nil, 0)
		}
		for i, ds := range decisions {
			for _, d := range ds {
				if d.Source == Ticked {
					if err := r.task.Tick(Time(d.N)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				rs := rest(all[d.Source], pos[d.Source])[:d.N]
				tell(int(d.Source), rs, rs[d.N-1].Offset+1)
			}
			for s, next := range ends[i] {
				tell(s, nil, next)
			}
			c, err := r.task.Ready()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.String(); got != recorded[i] {
				t.Fatalf("commit %d: got\n%s\nwant\n%s", i, got, recorded[i])
			}
			r.settle(c)
		}
	})
}
