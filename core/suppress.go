package core

import "fmt"

// Held is a change that Suppress holds back: the row as it was when it was last let go, and
// as it is now.
type Held[V any] struct {
	Since   Time // by which it is let go
	Change  Change[V]
	Headers Headers
}

// Suppress is the rule by which changes are held back.
type Suppress[K comparable] struct {
	// End, if not nil, is when a row's window ends: its changes count from there, and a
	// deletion is not let go at the end. Else they count from the first change held back.
	End func(K) Time
	// Wait is how long after that a change is let go.
	Wait Time
	// MaxRecords and MaxBytes bound what is held back; 0 is no bound. What goes beyond is let
	// go early if Early says so, the oldest first; else the task fails.
	MaxRecords, MaxBytes int
	Early                bool
}

// suppress is the operator: its rows are what is held back.
type suppress[K comparable, V any] struct {
	Suppress[K]
	n       NodeID
	tb      *Table[K, Held[V]]
	clock   *Clock
	next    Next[K, Change[V]]
	indexed bool
	held    agenda[K, Held[V]]
	count   int // of what is held back, where there is a bound
	bytes   int
	buf     []byte
}

// SuppressChanges holds changes back by a rule. Of several changes of a row the last one is
// let go, and it is downstream as if there had been no other. The operator's time is that of
// the changes that reach it. What is let go comes by the time since when it was held back,
// and by the key's bytes, with its own time and headers.
func SuppressChanges[K comparable, V any](n NodeID, tb *Table[K, Held[V]], clock *Clock, rule Suppress[K], next Next[K, Change[V]]) Next[K, Change[V]] {
	return newSuppress(n, tb, clock, rule, next).step
}

func newSuppress[K comparable, V any](n NodeID, tb *Table[K, Held[V]], clock *Clock, rule Suppress[K], next Next[K, Change[V]]) *suppress[K, V] {
	s := &suppress[K, V]{Suppress: rule, n: n, tb: tb, clock: clock, next: next}
	if next == nil {
		s.next = func(*Tx, Record[K, Change[V]]) {}
	}
	s.held = newAgenda(tb, func(_ K, h Held[V], _ Time) (Time, Time) { return h.Since, 0 }, true)
	tb.short = true
	tb.aborted = func() { s.indexed = false }
	clock.onPass(s.index, s.release)
	return s
}

func (s *suppress[K, V]) step(tx *Tx, r Record[K, Change[V]]) {
	if !s.index(tx) {
		return
	}
	s.clock.move(r.Time)
	i := s.tb.find(tx, r.Key)
	if i < 0 {
		return
	}
	c := &s.tb.cells[i]
	h := Held[V]{Since: r.Time, Change: r.Value, Headers: r.Headers.own()}
	if c.ok {
		s.bytes -= s.size(tx, r.Key, c.val)
		h.Since, h.Change.Old = c.val.Since, c.val.Change.Old
	} else {
		if s.End != nil {
			h.Since = s.End(r.Key)
		}
		s.held.push(dueKey[K]{at: h.Since, key: r.Key})
		s.count++
	}
	s.bytes += s.size(tx, r.Key, h)
	s.tb.put(i, h, r.Time)
	s.release(tx)
	for tx.err == nil && s.full() {
		if !s.Early {
			tx.fail(s.n, fmt.Errorf("%w: %d changes with %d bytes are held back, at most %d and %d may be (0: any)", ErrFull, s.count, s.bytes, s.MaxRecords, s.MaxBytes))
			return
		}
		if !s.held.due(tx, maxTime) {
			return // the task has failed
		}
		s.emit(tx)
	}
}

// release lets go what has been held back long enough.
func (s *suppress[K, V]) release(tx *Tx) {
	for limit := s.clock.at - s.Wait; tx.err == nil && s.held.due(tx, limit); {
		s.emit(tx)
	}
}

func (s *suppress[K, V]) full() bool {
	return s.MaxRecords > 0 && s.count > s.MaxRecords || s.MaxBytes > 0 && s.bytes > s.MaxBytes
}

// emit lets the first change go.
func (s *suppress[K, V]) emit(tx *Tx) {
	k := s.held.pop().key
	i := s.tb.find(tx, k)
	if i < 0 {
		return
	}
	h, at := s.tb.cells[i].val, s.tb.cells[i].at
	s.bytes -= s.size(tx, k, h)
	s.count--
	s.tb.delete(i, at)
	if s.End == nil || h.Change.New.OK {
		if outer, ok := tx.letGo(); ok {
			s.next(tx, Record[K, Change[V]]{k, h.Change, at, h.Headers})
			tx.within = outer
		} else {
			leaveOut(tx, s.n, s.tb, k, h, at, h.Headers)
		}
	}
}

// size is what a change counts where there is a bound in bytes.
func (s *suppress[K, V]) size(tx *Tx, k K, h Held[V]) int {
	if s.MaxBytes == 0 {
		return 0
	}
	var err error
	n := 0
	if s.buf, err = s.tb.kc.Append(s.buf[:0], k); err == nil {
		n = len(s.buf)
		s.buf, err = s.tb.vc.Append(s.buf[:0], h)
	}
	if err != nil {
		tx.fail(s.tb.node, fmt.Errorf("%w: row %v: %w", ErrEncode, k, err))
	}
	return n + len(s.buf)
}

// index makes the order of what is held back from the committed rows, or of some; where there is
// a bound, all of them are counted.
func (s *suppress[K, V]) index(tx *Tx) bool {
	switch {
	case s.indexed:
		return true
	case s.MaxRecords == 0 && s.MaxBytes == 0:
		s.indexed = s.held.load(tx)
		return s.indexed
	}
	s.held.clear()
	s.count, s.bytes = 0, 0
	s.indexed = scanStored(tx, s.tb, func(k K, value []byte, _ Time) error {
		h, err := s.tb.vc.Decode(value)
		if err == nil {
			s.held.push(dueKey[K]{at: h.Since, key: k})
			s.count++
			s.bytes += s.size(tx, k, h)
		}
		return err
	})
	return s.indexed
}

// SuppressLookup finds the rows as they were let go: what is held back is not seen yet.
func SuppressLookup[K comparable, V any](tb *Table[K, Held[V]], from Lookup[K, V]) Lookup[K, V] {
	return func(tx *Tx, k K) (v V, at Time, ok bool) {
		if h, at, ok := tb.Get(tx, k); ok {
			return h.Change.Old.Value, at, h.Change.Old.OK
		}
		if tx.err != nil {
			return v, 0, false
		}
		return from(tx, k)
	}
}
