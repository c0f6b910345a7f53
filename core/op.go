package core

// The stateless operators, and those that turn streams into tables and back. Each
// takes the rest of the chain and returns the chain with itself in front.

// Filter passes on the records whose value keep accepts.
func Filter[K, V any](n NodeID, keep func(V) bool, next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		ok := keep(r.Value)
		if tx.called(n); ok {
			next(tx, r)
		}
	}
}

// OfType passes the values on that is takes for a W.
func OfType[K, V, W any](next Next[K, W], is func(V) (W, bool)) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if w, ok := is(r.Value); ok {
			next(tx, Record[K, W]{r.Key, w, r.Time, r.Headers})
		}
	}
}

// Split passes the records whose value test accepts to yes, the others to no.
func Split[K, V any](n NodeID, test func(V) bool, yes, no Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		ok := test(r.Value)
		if tx.called(n); ok {
			yes(tx, r)
		} else {
			no(tx, r)
		}
	}
}

// Map turns each value into one other.
func Map[K, V, W any](n NodeID, f func(V) W, next Next[K, W]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		w := f(r.Value)
		tx.called(n)
		next(tx, Record[K, W]{r.Key, w, r.Time, r.Headers})
	}
}

// Peek shows each value to see.
func Peek[K, V any](n NodeID, see func(V), next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		see(r.Value)
		tx.called(n)
		next(tx, r)
	}
}

// KeyBy gives each record the key that f makes of its value.
func KeyBy[K, K2, V any](n NodeID, f func(V) K2, next Next[K2, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		k := f(r.Value)
		tx.called(n)
		had := tx.nullKey
		tx.nullKey = false
		next(tx, Record[K2, V]{k, r.Value, r.Time, r.Headers})
		tx.nullKey = had // for the branches beside this one
	}
}

// WithHeader sets the header key of each record to what f makes of its value.
func WithHeader[K, V any](n NodeID, key string, f func(V) string, next Next[K, V]) Next[K, V] {
	var room headerRoom
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		v := f(r.Value)
		tx.called(n)
		r.Headers = room.with(r.Headers, key, v)
		next(tx, r)
	}
}

// WithHeaders gives each record the headers that f makes of its value and headers.
func WithHeaders[K, V any](n NodeID, f func(V, Headers) Headers, next Next[K, V]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		r.Headers = f(r.Value, r.Headers)
		tx.called(n)
		next(tx, r)
	}
}

// Records makes the whole record the value.
func Records[K, V any](next Next[K, Record[K, V]]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		next(tx, Record[K, Record[K, V]]{r.Key, r, r.Time, r.Headers})
	}
}

// Values undoes Records: key, time and headers are those of the record in hand.
func Values[K, K2, V any](next Next[K, V]) Next[K, Record[K2, V]] {
	return func(tx *Tx, r Record[K, Record[K2, V]]) {
		next(tx, Record[K, V]{r.Key, r.Value.Value, r.Time, r.Headers})
	}
}

// Fan passes each record to all of nexts, in their order.
func Fan[K, V any](nexts ...Next[K, V]) Next[K, V] {
	switch len(nexts) {
	case 0:
		return func(*Tx, Record[K, V]) {}
	case 1:
		return nexts[0]
	}
	return func(tx *Tx, r Record[K, V]) {
		for _, next := range nexts {
			next(tx, r)
		}
	}
}

// FlatMap turns each value into any number of others.
func FlatMap[K, V, W any](n NodeID, f func(V, *Out[W]), next Next[K, W]) Next[K, V] {
	out := new(Out[W])
	return func(tx *Tx, r Record[K, V]) {
		tx.node = n
		out.begin(tx, n)
		f(r.Value, out)
		tx.called(n)
		emit(tx, n, out, r.Key, r.Time, r.Headers, next)
	}
}

// ToTable keeps the latest value of each key, by offset. A value that done accepts deletes
// the row (done may be nil).
func ToTable[K comparable, V any](n NodeID, tb *Table[K, V], done func(V) bool, next Next[K, Change[V]]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		i := tb.find(tx, r.Key)
		if i < 0 {
			return
		}
		row := Some(r.Value)
		if done != nil {
			tx.node = n
			row.OK = !done(r.Value)
			tx.called(n)
		}
		set(tx, tb, i, row, Record[K, struct{}]{Key: r.Key, Time: r.Time, Headers: r.Headers}, next)
	}
}

// ToStream passes on the new values of a table's rows; deletions end here.
func ToStream[K, V any](next Next[K, V]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		if r.Value.New.OK {
			next(tx, Record[K, V]{r.Key, r.Value.New.Value, r.Time, r.Headers})
		}
	}
}

// FilterTable keeps the rows that keep accepts. A row that leaves is deleted. One that was not
// there before and is not there now goes no further, unless every deletion is asked for.
func FilterTable[K, V any](n NodeID, keep func(V) bool, every bool, next Next[K, Change[V]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		tx.node = n
		c := &r.Value
		if c.Old.OK && !keep(c.Old.Value) {
			c.Old = None[V]()
		}
		if c.New.OK && !keep(c.New.Value) {
			c.New = None[V]()
		}
		if tx.called(n); c.Old.OK || c.New.OK || every {
			next(tx, r)
		}
	}
}

// MapTable turns each row into one other.
func MapTable[K, V, W any](n NodeID, f func(V) W, next Next[K, Change[W]]) Next[K, Change[V]] {
	return func(tx *Tx, r Record[K, Change[V]]) {
		tx.node = n
		var c Change[W]
		if c.Old.OK = r.Value.Old.OK; c.Old.OK {
			c.Old.Value = f(r.Value.Old.Value)
		}
		if c.New.OK = r.Value.New.OK; c.New.OK {
			c.New.Value = f(r.Value.New.Value)
		}
		tx.called(n)
		next(tx, Record[K, Change[W]]{r.Key, c, r.Time, r.Headers})
	}
}
