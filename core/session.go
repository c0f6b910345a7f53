package core

// sessions are windows that grow as long as records follow each other with no gap greater
// than the gap between them.
type sessions[W comparable, V, A any] struct {
	*Windows[W, A]
	node  NodeID
	clock *Clock // the input's time
	first func(V) A
	add   func(A, V) A
	late  Next[W, V]
}

// step merges all sessions that the record connects into one and puts it there, closed ones
// too as long as their rows are kept. The row of a merged session is deleted, the new one has
// another key. The record is late if the session that it would be in has closed.
func (w *sessions[W, V, A]) step(tx *Tx, r Record[W, V]) {
	if !w.begin(tx, w.clock, r.Time) {
		return
	}
	start, end := r.Time, r.Time
	list, ok := w.spans.of(tx, w.id(r.Key))
	if !ok {
		return
	}
	w.near = w.near[:0]
	closed := w.Window.closed(w.timeOf(w.clock))
	for i := w.since(list, r.Time-w.Size); i < len(list) && list[i].start <= r.Time.plus(w.Size); i++ {
		w.near = append(w.near, list[i])
		start, end = min(start, list[i].start), max(end, list[i].end)
	}
	if end <= closed {
		late(tx, w.node, r, w.late)
		return
	}
	var acc Opt[A]
	for _, s := range w.near {
		i := w.tb.find(tx, w.key.With(r.Key, s.start, s.end))
		if i < 0 {
			return
		}
		old := w.tb.cells[i].val
		if !acc.OK {
			acc = Some(old)
			continue
		}
		tx.node = w.n
		acc.Value = w.merge(acc.Value, old)
		tx.called(w.n)
	}
	k := w.key.With(r.Key, start, end)
	if start < r.Time || r.Time < end { // else the one session is the record's own instant
		for _, s := range w.near {
			k := w.key.With(r.Key, s.start, s.end)
			i := w.tb.find(tx, k)
			if i < 0 {
				return
			}
			if w.set(tx, i, k, None[A](), s.end, r.Headers); tx.err != nil {
				return
			}
		}
	}
	a := addTo(tx, w.node, acc, r.Value, w.first, w.add)
	w.put(tx, k, a, end, r.Headers)
	w.end(tx)
}
