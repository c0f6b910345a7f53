package core

// Joins of tables with the same keys, and the groups of a table. A change of either side
// makes a change of the result. It keeps no rows: the result's row is made of the sides'
// rows whenever somebody asks. Only where a change can come in on both sides at once (both
// are made of the same table) the rows are kept, see Keep.

// TableJoin is the join of two tables, as both of its sides and its lookups share it.
type TableJoin[K, A, B, R any] struct {
	Node  NodeID
	Left  Lookup[K, A]
	Right Lookup[K, B]
	Join  func(Opt[A], Opt[B]) R
	// NeedLeft and NeedRight say without whose row there is no result: an inner join needs
	// both, an outer one needs none.
	NeedLeft, NeedRight bool
	Done                func(R) bool // a result that it accepts is none; may be nil
	Kept                Lookup[K, R] // the rows, where they are kept; else nil
}

// row is the result's row; with neither side there is none.
func (j *TableJoin[K, A, B, R]) row(tx *Tx, a Opt[A], b Opt[B]) (r Opt[R]) {
	if !a.OK && (j.NeedLeft || !b.OK || planted("an outer join of tables passes over rows with no left one")) || !b.OK && j.NeedRight {
		return r
	}
	tx.node = j.Node
	if r = Some(j.Join(a, b)); j.Done != nil && j.Done(r.Value) {
		r = None[R]()
	}
	tx.called(j.Node)
	return r
}

// Find finds a row of the result. Its time is the greater one of its sides.
func (j *TableJoin[K, A, B, R]) Find(tx *Tx, k K) (r R, at Time, ok bool) {
	var a Opt[A]
	var b Opt[B]
	var bt Time
	if a.Value, at, a.OK = j.Left(tx, k); tx.err != nil {
		return r, 0, false
	}
	if b.Value, bt, b.OK = j.Right(tx, k); tx.err != nil {
		return r, 0, false
	}
	row := j.row(tx, a, b)
	return row.Value, later(at, a.OK, bt, b.OK), row.OK
}

// later is the greater time of the sides that are there.
func later(at Time, aOK bool, bt Time, bOK bool) Time {
	switch {
	case !aOK:
		return bt
	case !bOK:
		return at
	}
	return max(at, bt)
}

// FromLeft takes the changes of the left table. A change goes on where the left rows alone
// could have made one: also where it changes nothing.
func (j *TableJoin[K, A, B, R]) FromLeft(next Next[K, Change[R]]) Next[K, Change[A]] {
	return func(tx *Tx, r Record[K, Change[A]]) {
		var b Opt[B]
		var at Time
		if b.Value, at, b.OK = j.Right(tx, r.Key); tx.err != nil {
			return
		}
		if planted("a join of tables has the time of the change alone") {
			at = NoTime
		}
		switch {
		case b.OK:
			r.Time = max(r.Time, at)
		case j.NeedRight || !r.Value.Old.OK && !r.Value.New.OK:
			if !r.Value.New.OK {
				gone(tx, j.Kept, r.Key, r.Time, r.Headers, next)
			}
			return
		}
		c := Change[R]{j.row(tx, r.Value.Old, b), j.row(tx, r.Value.New, b)}
		next(tx, Record[K, Change[R]]{r.Key, c, r.Time, r.Headers})
	}
}

// FromRight takes the changes of the right table.
func (j *TableJoin[K, A, B, R]) FromRight(next Next[K, Change[R]]) Next[K, Change[B]] {
	return func(tx *Tx, r Record[K, Change[B]]) {
		var a Opt[A]
		var at Time
		if a.Value, at, a.OK = j.Left(tx, r.Key); tx.err != nil {
			return
		}
		switch {
		case a.OK:
			r.Time = max(r.Time, at)
		case j.NeedLeft || !r.Value.Old.OK && !r.Value.New.OK:
			if !r.Value.New.OK {
				gone(tx, j.Kept, r.Key, r.Time, r.Headers, next)
			}
			return
		}
		c := Change[R]{j.row(tx, a, r.Value.Old), j.row(tx, a, r.Value.New)}
		next(tx, Record[K, Change[R]]{r.Key, c, r.Time, r.Headers})
	}
}

// gone deletes the row of k where rows are kept and there is one: both sides have lost
// theirs at once, so that neither of them found the other one's.
func gone[K, R any](tx *Tx, kept Lookup[K, R], k K, at Time, h Headers, next Next[K, Change[R]]) {
	if kept == nil {
		return
	}
	if _, _, ok := kept(tx, k); ok {
		next(tx, Record[K, Change[R]]{k, Change[R]{}, at, h})
	}
}

// Keep keeps the rows of a table that others only compute. What goes on has the row that
// was kept for its old one. next may be nil.
func Keep[K comparable, V any](tb *Table[K, V], next Next[K, Change[V]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		if i := tb.find(tx, r.Key); i >= 0 {
			set(tx, tb, i, r.Value.New, Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}, next)
		}
	}
}

// Combine is the join of any number of tables: a row is made from the zero R by the parts,
// in their order.
type Combine[K, R any] struct {
	Node  NodeID
	Parts []CombinePart[K, R]
	Kept  Lookup[K, R] // the rows, where they are kept; else nil
}

// CombinePart is one table of a Combine. Put puts the table's row of k into r; ok says
// whether there was one.
type CombinePart[K, R any] struct {
	Put  func(tx *Tx, k K, r R) (_ R, at Time, ok bool)
	Need bool // without its row there is no result
}

// PutRow makes the Put of a part.
func PutRow[K, V, R any](n NodeID, find Lookup[K, V], put func(R, V) R) func(*Tx, K, R) (R, Time, bool) {
	return func(tx *Tx, k K, r R) (R, Time, bool) {
		v, at, ok := find(tx, k)
		if ok {
			tx.node = n
			r = put(r, v)
			tx.called(n)
		}
		return r, at, ok
	}
}

// Find finds a row of the result.
func (c *Combine[K, R]) Find(tx *Tx, k K) (r R, at Time, ok bool) {
	row, at := c.row(tx, k, -1, nil)
	return row.Value, at, row.OK
}

// row makes a row of the result; put stands for the part at i.
func (c *Combine[K, R]) row(tx *Tx, k K, i int, put func(R) (R, bool)) (row Opt[R], at Time) {
	at = NoTime
	whole := true
	for j := range c.Parts {
		p := &c.Parts[j]
		var ok bool
		t := NoTime
		if j == i {
			row.Value, ok = put(row.Value)
		} else if row.Value, t, ok = p.Put(tx, k, row.Value); tx.err != nil {
			return None[R](), at
		}
		if ok {
			at, row.OK = max(at, t), true
		}
		whole = whole && (ok || !p.Need)
	}
	if row.OK = row.OK && whole; !row.OK {
		row = None[R]()
	}
	return row, at
}

// From takes the changes of the table that is the part at i. A change goes on where there
// was a row, or is one.
func From[K, V, R any](c *Combine[K, R], i int, put func(R, V) R, next Next[K, Change[R]]) Next[K, Change[V]] {
	var in Opt[V]
	var tx *Tx
	one := func(r R) (R, bool) {
		if in.OK {
			tx.node = c.Node
			r = put(r, in.Value)
			tx.called(c.Node)
		}
		return r, in.OK
	}
	return func(tx1 *Tx, r Record[K, Change[V]]) {
		var out Change[R]
		tx, in = tx1, r.Value.Old
		out.Old, _ = c.row(tx, r.Key, i, one)
		in = r.Value.New
		var at Time
		if out.New, at = c.row(tx, r.Key, i, one); tx.err != nil {
			return
		}
		if !out.Old.OK && !out.New.OK {
			gone(tx, c.Kept, r.Key, r.Time, r.Headers, next)
			return
		}
		next(tx, Record[K, Change[R]]{r.Key, out, max(r.Time, at), r.Headers})
	}
}

// Regroup gives each row of a table the key of its group. A row that moves to another group
// leaves the old one first, in a change of its own; one that stays is one change (KIP-904).
func Regroup[K any, G comparable, V any](n NodeID, group func(V) G, next Next[G, Change[V]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		tx.node = n
		c := r.Value
		var from, to G
		if c.Old.OK {
			from = group(c.Old.Value)
		}
		if c.New.OK {
			to = group(c.New.Value)
		}
		if tx.called(n); c.Old.OK && c.New.OK && from == to {
			next(tx, Record[G, Change[V]]{to, c, r.Time, r.Headers})
			return
		}
		if c.Old.OK {
			next(tx, Record[G, Change[V]]{from, Change[V]{Old: c.Old}, r.Time, r.Headers})
		}
		if c.New.OK {
			next(tx, Record[G, Change[V]]{to, Change[V]{New: c.New}, r.Time, r.Headers})
		}
	}
}

// AggregateTable folds the rows of each group: remove takes the old row out, then add takes
// the new one in. A new group has the zero A, or, where first is not nil, what first makes
// of its first row. A row is not taken out of a group that is not there. done is as in
// Aggregate.
func AggregateTable[G comparable, V, A any](n NodeID, tb *Table[G, A], first func(V) A, add, remove func(A, V) A, done func(A) bool, next Next[G, Change[A]]) Next[G, Change[V]] {
	return func(tx *Tx, r Record[G, Change[V]]) {
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		tx.node = n
		c := &tb.cells[i]
		row := Opt[A]{c.val, c.ok}
		if r.Value.Old.OK && row.OK {
			row.Value = remove(row.Value, r.Value.Old.Value)
		}
		if v := r.Value.New; v.OK {
			if !row.OK && first != nil {
				row.Value = first(v.Value)
			} else {
				row.Value = add(row.Value, v.Value)
			}
			row.OK = true
		}
		if row.OK && done != nil {
			row.OK = !done(row.Value)
		}
		tx.called(n)
		if c.ok {
			r.Time = max(r.Time, c.at)
		}
		set(tx, tb, i, row, Record[G, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}, next)
	}
}
