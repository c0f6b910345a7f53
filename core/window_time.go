package core

// timeWindows are tumbling and hopping windows, aligned to the epoch, and the unlimited one.
type timeWindows[W comparable, V, A any] struct {
	*Windows[W, A]
	node  NodeID
	clock *Clock // the input's time
	first func(V) A
	add   func(A, V) A
	late  Next[W, V]
}

// step puts the record into its windows by their start, as far as they are open. It is late
// if none is: a record that is late for some of its windows only is in the others.
func (w *timeWindows[W, V, A]) step(tx *Tx, r Record[W, V]) {
	if !w.begin(tx, w.clock, r.Time) {
		return
	}
	entered, closed := false, w.Window.closed(w.timeOf(w.clock))
	for start := max(0, r.Time-w.Size+w.Advance) / w.Advance * w.Advance; start <= r.Time; start += w.Advance {
		if start > closed {
			entered = true
			w.fold(tx, w.key.With(r.Key, start, start.plus(w.Size)), r)
			if tx.err != nil {
				return
			}
		}
		if start > maxTime-w.Advance {
			break
		}
	}
	if !entered {
		late(tx, w.node, r, w.late)
	}
	w.end(tx)
}

// unlimited puts the record into the one window, unless it lies before it.
func (w *timeWindows[W, V, A]) unlimited(tx *Tx, r Record[W, V]) {
	if !w.begin(tx, w.clock, r.Time) {
		return
	}
	if r.Time < w.Start {
		tx.drop(w.node, NoWindow)
		return
	}
	w.fold(tx, w.key.With(r.Key, w.Start, maxTime), r)
}

func (w *timeWindows[W, V, A]) fold(tx *Tx, k W, r Record[W, V]) {
	start, _ := w.key.Span(k)
	i := w.tb.findSince(tx, k, start > w.stored || w.recent.none(k, w.gone))
	if i < 0 {
		return
	}
	c, at := &w.tb.cells[i], r.Time
	old := Opt[A]{c.val, c.ok}
	if c.ok {
		at = max(at, c.at)
	}
	a := addTo(tx, w.node, old, r.Value, w.first, w.add)
	w.putAt(tx, i, k, a, at, r.Headers)
}
