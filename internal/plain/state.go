package plain

import "strconv"

// Fold says what becomes of the values of a key.
type Fold struct {
	First func(value string) string // nil: the first is added to nothing, too
	Add   func(sum, value string) string
	Done  func(sum string) bool // deletes the row; nil: never
}

// Count counts values.
var Count = Fold{Add: func(sum, _ string) string {
	n, _ := strconv.Atoi(sum)
	return strconv.Itoa(n + 1)
}}

// first is what is done with the first value.
func (f Fold) first() func(sum, value string) string {
	if f.First == nil {
		return f.Add
	}
	return func(_, value string) string { return f.First(value) }
}

// Also is a further stream that is folded into the same rows.
type Also struct {
	In  Stream
	Add func(sum, value string) string
}

// folded is a record that is in a row, and how it gets there.
type folded struct {
	Record
	first, add func(sum, value string) string
}

// sum is the row that some records make, one after the other, and the greatest of their times.
func sum(of []folded) (row Opt, at Time) {
	for i, r := range of {
		if i == 0 {
			row.Value = r.first("", r.Value)
		} else {
			row.Value = r.add(row.Value, r.Value)
		}
		at = max(at, r.Time)
	}
	row.OK = len(of) > 0
	return row, at
}

// Aggregate folds the values of each key. The row's time is the greatest of the records that it holds; a row that was deleted
// begins anew.
func (p *Topology) Aggregate(in Stream, name string, f Fold, also ...Also) Table {
	from := []Stream{in}
	for _, a := range also {
		from = append(from, a.In)
	}
	out := p.tableOf(from...)
	p.add(func(t *Task) {
		rows := t.kept(out, name)
		held := map[Key][]folded{}
		take := func(r Record, first, add func(string, string) string) {
			if r.Key.Null {
				return
			}
			held[r.Key] = append(held[r.Key], folded{r, first, add})
			row, at := sum(held[r.Key])
			if f.Done != nil && f.Done(row.Value) {
				delete(held, r.Key)
				row = Opt{}
			}
			rows.set(r.Key, row, at, r.Headers)
		}
		t.hear(in, func(r Record) { take(r, f.first(), f.Add) })
		for _, a := range also {
			t.hear(a.In, func(r Record) { take(r, a.Add, a.Add) })
		}
	})
	return out
}

// Step is a step of Process: the new state and what is emitted. A new key has the empty state.
type Step func(state, value string) (now string, emit []string)

// Process emits what a step makes of the key's state and each value. The state is not seen outside.
func (p *Topology) Process(in Stream, name string, step Step) Stream {
	out, state := p.stream(in), p.tableOf(in)
	p.add(func(t *Task) {
		states := t.kept(state, name)
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			was := states.rows[r.Key]
			now, emit := step(was.Value, r.Value)
			states.set(r.Key, Opt{Value: now, OK: true}, max(r.Time, was.Time), r.Headers)
			for _, v := range emit {
				r.Value = v
				t.pass(out, r)
			}
		})
	})
	return out
}
