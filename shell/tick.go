package shell

import "time"

// The wall clock, as tasks see it: ticks, which are inputs of theirs. A task that asks for
// none gets none.

// tickDue is when the tasks are to be told the wall clock's time; ok = false: none of them
// asks for it, or there is no room for what it leads to.
func (w *worker) tickDue() (at time.Time, ok bool) {
	if w.err != nil || w.full() {
		return at, false
	}
	for _, t := range w.tasks {
		if t.state == taskRunning && t.core.Ticks() {
			return w.ticked.Add(w.cfg.CommitEvery), true
		}
	}
	return at, false
}

// tick tells the tasks that ask for it the time.
func (w *worker) tick(now time.Time) {
	w.ticked = now
	for _, t := range w.tasks {
		// One that holds before a record is stepped first: if each tick changed its state, the record would be
		// held for ever where commits take as long as it is between ticks.
		if t.state == taskRunning && !t.redo && !t.core.Holds() && w.err == nil {
			w.tell(t)
		}
	}
}

// tell tells a task the time. What that leads to is committed like records' effects; where
// it leads to nothing, nothing is.
func (w *worker) tell(t *task) {
	if !t.core.Ticks() {
		return
	}
	w.beat()
	before := t.core.Pending()
	if err := t.core.Tick(w.arrives()); err != nil {
		w.failure(err)
		return
	}
	w.dirty = true
	w.size += t.core.Pending() - before
}
