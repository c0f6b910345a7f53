package plain

import "slices"

// Waiting says until when records wait: until the join's time is Grace past theirs. Beyond Most records the first one leaves early.
type Waiting struct {
	Grace Time
	Most  int // 0: any number
}

// parked is a record that waits until a time.
type parked struct {
	Record
	until Time
}

// parking are the records that wait, as they came.
type parking struct{ all []parked }

// first takes out the one that leaves first, if it is before a time: by time, of equal times by key, then as they came.
func (p *parking) first(before Time) (r parked, ok bool) {
	at := -1
	for i, o := range p.all {
		if o.until < before && (at < 0 || o.until < p.all[at].until || o.until == p.all[at].until && o.Key.Less(p.all[at].Key)) {
			at = i
		}
	}
	if at < 0 {
		return r, false
	}
	r = p.all[at]
	p.all = slices.Delete(p.all, at, at+1)
	return r, true
}

// joined is what a join with a table does with a record when its turn has come.
func (t *Task) joined(out Stream, left bool, f func(string, Opt) string) func(r Record, row Row, ok bool) {
	return func(r Record, row Row, ok bool) {
		if ok || left {
			r.Value = f(r.Value, Opt{Value: row.Value, OK: ok})
			t.pass(out, r)
		}
	}
}

// JoinGrace is Join in which records wait until the table must have what belongs to them.
func (p *Topology) JoinGrace(in Stream, tb Table, w Waiting, left bool, f func(string, Opt) string) Stream {
	out := Stream(p.handle([]int{int(in), int(tb)}))
	p.add(func(t *Task) {
		at, waits, join := Time(-1), &parking{}, t.joined(out, left, f)
		now := func(r Record) {
			row, ok := t.rowAsOf(tb, r.Key, r.Time)
			join(r, row, ok)
		}
		due := func() {
			for {
				r, ok := waits.first(at - w.Grace + 1)
				if !ok {
					return
				}
				t.letGo(func() { now(r.Record) })
			}
		}
		t.hear(in, func(r Record) {
			switch {
			case r.Key.Null: // it moves no time
				join(r, Row{}, false)
				return
			case at >= 0 && r.Time < at-w.Grace:
				now(r)
				return
			}
			waits.all = append(waits.all, parked{r, r.Time})
			at = max(at, r.Time)
			due()
			if w.Most > 0 && len(waits.all) > w.Most {
				first, _ := waits.first(latest)
				t.letGo(func() { now(first.Record) })
			}
		})
		t.onPass(func(to Time) {
			at = max(at, to)
			due()
		})
	})
	return out
}

// JoinWait is Join in which a record with no row waits for it, for so long at most; none goes past an older one of its key.
func (p *Topology) JoinWait(in Stream, tb Table, wait Time, left bool, f func(string, Opt) string) Stream {
	out := Stream(p.handle([]int{int(in), int(tb)}))
	p.add(func(t *Task) {
		at, waits, join := Time(-1), &parking{}, t.joined(out, left, f)
		move := func(to Time) { // those that have waited long enough leave with no row
			at = max(at, to)
			for {
				r, ok := waits.first(at)
				if !ok {
					return
				}
				t.letGo(func() { join(r.Record, Row{}, false) })
			}
		}
		ofKey := func(k Key) int { return slices.IndexFunc(waits.all, func(o parked) bool { return o.Key == k }) }
		t.hear(in, func(r Record) {
			if r.Key.Null {
				join(r, Row{}, false)
				return
			}
			move(r.Time)
			until := r.Time + wait
			if ofKey(r.Key) >= 0 { // behind those of its key, and as long
				for _, o := range waits.all {
					if o.Key == r.Key {
						until = max(until, o.until)
					}
				}
			} else if row, ok := t.rowAsOf(tb, r.Key, r.Time); ok || until < at {
				join(r, row, ok)
				return
			}
			waits.all = append(waits.all, parked{r, until})
		})
		t.follow(tb, func(c Change) {
			move(c.Time)
			if !c.New.OK {
				return
			}
			for {
				i := ofKey(c.Key)
				if i < 0 {
					return
				}
				r := waits.all[i].Record
				row, ok := t.rowAsOf(tb, r.Key, r.Time)
				if !ok {
					return
				}
				waits.all = slices.Delete(waits.all, i, i+1)
				t.letGo(func() { join(r, row, true) })
			}
		})
		t.onPass(move)
	})
	return out
}
