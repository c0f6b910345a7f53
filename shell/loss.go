package shell

import (
	"slices"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// lostMembership drops all tasks: others own them. The transaction under way, if any,
// will fail; whatever is open must be aborted, since its offsets hold the others up.
func (w *worker) lostMembership() {
	if !invariant.Bug("a lost membership keeps its tasks") {
		w.dropAll()
	}
	if w.inflight == nil {
		w.inflight = &request{open: true, began: w.began}
		w.commit(w.inflight)
	} else if w.inflight.drop != nil {
		w.inflight.drop()
	}
	w.behind = w.inflight
}

// openWaiting opens the tasks that were assigned while behind was under way.
func (w *worker) openWaiting() {
	for i, t := range slices.Clone(w.tasks) {
		if t.state == taskOpening && t.opening == nil && (i+1 == len(w.tasks) || w.tasks[i+1].id != t.id) {
			w.startOpening(t)
		}
	}
}

func (w *worker) dropAll() {
	for _, t := range slices.Clone(w.tasks) {
		switch t.state {
		case taskOpening:
			if t.opening != nil {
				t.opening.cancel()
			}
			t.state = taskClosed
			if t.opening == nil {
				w.answer(t)
			}
		case taskRunning, taskClosing:
			w.close(t)
		}
	}
	w.size, w.dirty, w.urgent = 0, false, false
}
