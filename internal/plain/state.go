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

// of folds values, one after the other.
func (f Fold) of(values []string) (sum string) {
	for i, v := range values {
		if i == 0 && f.First != nil {
			sum = f.First(v)
		} else {
			sum = f.Add(sum, v)
		}
	}
	return sum
}

// Aggregate folds the values of each key. The row's time is the greatest of the records that it holds; a row that was deleted
// begins anew.
func (p *Topology) Aggregate(in Stream, name string, f Fold) Table {
	out := p.tableOf(in)
	p.add(func(t *Task) {
		rows := t.kept(out, name)
		held := map[Key][]Record{}
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			held[r.Key] = append(held[r.Key], r)
			var values []string
			at := r.Time
			for _, h := range held[r.Key] {
				values, at = append(values, h.Value), max(at, h.Time)
			}
			row := Opt{Value: f.of(values), OK: true}
			if f.Done != nil && f.Done(row.Value) {
				delete(held, r.Key)
				row = Opt{}
			}
			rows.set(r.Key, row, at, r.Headers)
		})
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
