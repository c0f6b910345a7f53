package core

// Lookup finds the row of a key in a table, or in what filters and maps make of one.
// It reports the zero value and ok = false where there is none, and where the task has failed:
// what a function of the user gets must not depend on what is decoded already.
type Lookup[K, V any] func(*Tx, K) (v V, at Time, ok bool)

// FilterLookup finds the rows that keep accepts.
func FilterLookup[K, V any](n NodeID, keep func(V) bool, from Lookup[K, V]) Lookup[K, V] {
	return func(tx *Tx, k K) (v V, at Time, ok bool) {
		if v, at, ok = from(tx, k); !ok {
			return v, at, false
		}
		tx.node = n
		if ok = keep(v); !ok {
			v = *new(V)
		}
		tx.called(n)
		return v, at, ok
	}
}

// MapLookup finds what f makes of the rows.
func MapLookup[K, V, W any](n NodeID, f func(V) W, from Lookup[K, V]) Lookup[K, W] {
	return func(tx *Tx, k K) (w W, at Time, ok bool) {
		v, at, ok := from(tx, k)
		if !ok {
			return w, at, false
		}
		tx.node = n
		w = f(v)
		tx.called(n)
		return w, at, true
	}
}

// Join looks the key of each record up and passes on what f makes of value and row,
// with the record's time. A record with no row goes no further. Only the stream's
// records make results, and they see the row as it is when they are stepped, or, in a table that
// keeps versions, the one that is valid at their time.
func Join[K, V, T, R any](n NodeID, table Lookup[K, T], f func(V, T) R, next Next[K, R]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		if tx.nullKey {
			tx.drop(n, NullKey)
			return
		}
		tx.asOf = r.Time.plus(2)
		row, _, ok := table(tx, r.Key)
		tx.asOf = 0
		if tx.err != nil {
			return
		}
		if ok && planted("a join passes over rows that are younger than its record") {
			_, at, _ := table(tx, r.Key)
			ok = at <= r.Time
		}
		if !ok {
			tx.drop(n, Unmatched)
			return
		}
		tx.node = n
		res := f(r.Value, row)
		tx.called(n)
		next(tx, Record[K, R]{r.Key, res, r.Time, r.Headers})
	}
}

// LeftJoin is Join that also takes records with no row, and those with no key (KIP-962).
func LeftJoin[K, V, T, R any](n NodeID, table Lookup[K, T], f func(V, Opt[T]) R, next Next[K, R]) Next[K, V] {
	return func(tx *Tx, r Record[K, V]) {
		var row Opt[T]
		if !tx.nullKey {
			tx.asOf = r.Time.plus(2)
			row.Value, _, row.OK = table(tx, r.Key)
			if tx.asOf = 0; tx.err != nil {
				return
			}
		}
		tx.node = n
		res := f(r.Value, row)
		tx.called(n)
		next(tx, Record[K, R]{r.Key, res, r.Time, r.Headers})
	}
}
