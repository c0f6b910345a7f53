package core

// Expiry deletes the rows of a table that have become too old: those whose time is more than
// the time to live behind the operator's time, which is the greatest one of the records that
// it took. Rows go by their time, of equal times by the key's bytes, when the record has come
// that moves the operator's time: so before that record meets the table, and right behind it
// where it is late itself. A deletion has the operator's time and no headers.
type Expiry[K comparable, V any] struct {
	tb      *Table[K, V]
	clock   *Clock
	ttl     Time
	next    Next[K, Change[V]] // may be nil
	due     agenda[K, V]       // each row is there with its time, or with an earlier one
	indexed bool
}

// NewExpiry has the rows of tb expire. Deletions go to next, which may be nil.
func NewExpiry[K comparable, V any](tb *Table[K, V], clock *Clock, ttl Time, next Next[K, Change[V]]) *Expiry[K, V] {
	e := &Expiry[K, V]{tb: tb, clock: clock, ttl: ttl, next: next}
	e.due = newAgenda(tb, byTime[K, V], false)
	tb.short, tb.expiry = true, e
	tb.aborted = func() { e.indexed = false }
	clock.onPass(e.index, e.end)
	return e
}

// expiry is an Expiry to its table.
type expiry[K comparable] interface {
	begin(tx *Tx, at Time) bool
	end(tx *Tx)
	dated(k K, at Time)
}

// Expiring is next, an operator that keeps state in the table of e, with rows that expire. A
// record with no key does not move the operator's time.
func Expiring[K comparable, V, S any](e *Expiry[K, S], next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			next(tx, r)
			return
		}
		if e.begin(tx, r.Time) {
			next(tx, r)
			e.end(tx)
		}
	}
}

// begin moves the clock and deletes what has expired. It reports false when the task has
// failed.
func (e *Expiry[K, V]) begin(tx *Tx, at Time) bool {
	if !e.index(tx) {
		return false
	}
	e.clock.move(at)
	e.end(tx)
	return tx.err == nil
}

// end deletes what has expired.
func (e *Expiry[K, V]) end(tx *Tx) {
	var last dueKey[K]
	for again := false; tx.err == nil && e.due.due(tx, e.clock.at-e.ttl-1); again = true {
		d := e.due.pop()
		if again && d == last {
			continue // the row was deleted and made again, and is here twice
		}
		last = d
		i := e.tb.find(tx, d.key)
		if i < 0 {
			return
		}
		switch c := &e.tb.cells[i]; {
		case !c.ok:
		case c.at != d.at:
			e.due.push(dueKey[K]{at: c.at, key: d.key}) // it was written since
		case e.next == nil:
			e.tb.delete(i, e.clock.at)
		default:
			e.expire(tx, i, d.key)
		}
	}
}

// expire deletes the row at i, and lets the deletion go.
func (e *Expiry[K, V]) expire(tx *Tx, i int32, k K) {
	gone := Record[K, struct{}]{Key: k, Time: e.clock.at}
	if outer, ok := tx.letGo(); ok {
		set(tx, e.tb, i, None[V](), gone, e.next)
		tx.within = outer
		return
	}
	c := e.tb.cells[i]
	leaveOut(tx, e.tb.node, e.tb, k, c.val, gone.Time, Headers{})
	e.tb.delete(i, gone.Time)
}

// dated is told the times of rows that are new, or have become older.
func (e *Expiry[K, V]) dated(k K, at Time) { e.due.push(dueKey[K]{at: at, key: k}) }

// index makes the order of the committed rows by time, or of some.
func (e *Expiry[K, V]) index(tx *Tx) bool {
	e.indexed = e.indexed || e.due.load(tx)
	return e.indexed
}
