package core

// SelfJoin is the join of a stream with itself, inner. Each record is in one buffer, where the
// general join has it in two.
type SelfJoin[K comparable, V, R any] struct {
	Node                 NodeID
	Before, After, Grace Time // as in StreamJoin
	Buffer               *Buffer[K, V]
	No                   func(V) bool // the value is null, see Missing; may be nil
	Join                 func(left, right V) R
	Next                 Next[K, R]
}

// Init says how long the buffer keeps records.
func (j *SelfJoin[K, V, R]) Init() {
	j.Buffer.retain = max(j.Before.plus(j.After).plus(j.Grace), 1) // the newest stays
}

// Step takes a record as a left one, with the records that came before it, then as a right one,
// with those and itself.
func (j *SelfJoin[K, V, R]) Step(tx *Tx, r Record[K, V]) {
	switch {
	case j.No != nil && j.No(r.Value):
		tx.drop(j.Node, NullValue)
		return
	case tx.nullKey:
		tx.drop(j.Node, NullKey)
		return
	case !j.Buffer.load(tx):
		return
	}
	j.meet(tx, &r, j.Before, j.After, true)
	if tx.err != nil {
		return
	}
	j.Buffer.put(tx, &r)
	j.meet(tx, &r, j.After, j.Before, false)
}

// meet passes on what a record makes with those from before to after it. Of a record that is
// as late as can be, the buffer is about to lose it: Kafka Streams does not find it in its own
// place any more.
func (j *SelfJoin[K, V, R]) meet(tx *Tx, r *Record[K, V], before, after Time, left bool) {
	list, ok := j.Buffer.times.of(tx, r.Key)
	if !ok {
		return
	}
	self := -1
	if retain := j.Buffer.retain; !left && retain > 1 && r.Time == j.Buffer.newest-retain+1 {
		self = behind(list, r.Time) - 1 // it came last
	}
	last := r.Time.plus(after)
	for n := behind(list, r.Time-before-1); n < len(list) && list[n].at <= last && tx.err == nil; n++ {
		e := list[n]
		i := j.Buffer.tb.find(tx, Timed[K]{r.Key, e.at, e.seq})
		if i < 0 || n == self {
			continue
		}
		a, b := r.Value, j.Buffer.tb.cells[i].val
		if !left {
			a, b = b, a
		}
		tx.node = j.Node
		res := j.Join(a, b)
		tx.called(j.Node)
		j.Next(tx, Record[K, R]{r.Key, res, max(r.Time, e.at), r.Headers})
	}
}
