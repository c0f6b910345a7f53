package core

// Paced is a row of which a change went on lately, and the change that waits since, if any.
type Paced[V any] struct {
	Since   Time // when one went on
	Waits   bool
	Change  Change[V] // with the row as it went on as the old one
	Headers Headers
}

// every is the operator of EmitEvery.
type every[K comparable, V any] struct {
	tb      *Table[K, Paced[V]]
	clock   *Clock
	d       Time
	next    Next[K, Change[V]]
	indexed bool
	rows    agenda[K, Paced[V]] // by when one went on
}

// EmitEvery passes on at most one change of a row in each d of the operator's time, which is
// that of the changes that reach it: the first at once, then the last of those that came in
// between, with its own time and headers. tb has a row for each row of which a change went
// on within d.
func EmitEvery[K comparable, V any](tb *Table[K, Paced[V]], clock *Clock, d Time, next Next[K, Change[V]]) Next[K, Change[V]] {
	return newEvery(tb, clock, d, next).step
}

func newEvery[K comparable, V any](tb *Table[K, Paced[V]], clock *Clock, d Time, next Next[K, Change[V]]) *every[K, V] {
	e := &every[K, V]{tb: tb, clock: clock, d: d, next: next}
	e.rows = newAgenda(tb, func(_ K, p Paced[V], _ Time) (Time, Time) { return p.Since, 0 }, true)
	tb.short = true
	tb.aborted = func() { e.indexed = false }
	clock.onPass(e.index, e.letGo)
	return e
}

func (e *every[K, V]) step(tx *Tx, r Record[K, Change[V]]) {
	if !e.index(tx) {
		return
	}
	e.clock.move(r.Time)
	i := e.tb.find(tx, r.Key)
	if i < 0 {
		return
	}
	first := !e.tb.cells[i].ok
	if c := &e.tb.cells[i]; !first {
		p := Paced[V]{c.val.Since, true, Change[V]{c.val.Change.Old, r.Value.New}, r.Headers.own()}
		if !c.val.Waits {
			p.Change.Old = r.Value.Old
		}
		e.tb.put(i, p, r.Time)
	}
	e.letGo(tx)
	if first && tx.err == nil {
		e.started(i, r.Key, r.Time)
		e.next(tx, r)
	}
}

// letGo lets go what has waited for d.
func (e *every[K, V]) letGo(tx *Tx) {
	for limit := e.clock.at - e.d; tx.err == nil && e.rows.due(tx, limit); {
		e.release(tx)
	}
}

// started notes that a change of the row at i goes on now.
func (e *every[K, V]) started(i int32, k K, at Time) {
	e.tb.put(i, Paced[V]{Since: e.clock.at}, at)
	e.rows.push(dueKey[K]{at: e.clock.at, key: k})
}

// release lets the change that waits in the first row go, or forgets a row with none. A row
// that came and went meanwhile is nothing.
func (e *every[K, V]) release(tx *Tx) {
	k := e.rows.pop().key
	i := e.tb.find(tx, k)
	if i < 0 {
		return
	}
	p, at := e.tb.cells[i].val, e.tb.cells[i].at
	if !p.Waits || !p.Change.Old.OK && !p.Change.New.OK {
		e.tb.delete(i, at)
		return
	}
	e.started(i, k, at)
	if outer, ok := tx.letGo(); ok {
		e.next(tx, Record[K, Change[V]]{k, p.Change, at, p.Headers})
		tx.within = outer
	} else {
		leaveOut(tx, e.tb.node, e.tb, k, p, at, p.Headers)
	}
}

// index makes the order of the committed rows, or of some.
func (e *every[K, V]) index(tx *Tx) bool {
	e.indexed = e.indexed || e.rows.load(tx)
	return e.indexed
}

// EmitEveryLookup finds the rows as they last went on.
func EmitEveryLookup[K comparable, V any](tb *Table[K, Paced[V]], from Lookup[K, V]) Lookup[K, V] {
	return func(tx *Tx, k K) (v V, at Time, ok bool) {
		p, at, ok := tb.Get(tx, k)
		if tx.err != nil {
			return v, 0, false
		}
		if ok && p.Waits {
			return p.Change.Old.Value, at, p.Change.Old.OK
		}
		return from(tx, k)
	}
}
