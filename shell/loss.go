package shell

import (
	"errors"
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
			w.giveUp(t)
		case taskRunning, taskClosing:
			w.close(t)
		}
	}
	w.size, w.dirty, w.urgent = 0, false, false
}

// missesMax is how often a task is opened again since an offset is gone, with no commit in
// between. Where what is committed is there all the time, the brokers contradict each other.
const missesMax = 5

// unreadable takes why a source partition of a task cannot be read any more.
//
// Where the offset is gone it may have been read and committed by another process, which
// had the task while this one stood still, and have been deleted since: from a repartition
// topic by that process, from any other by retention. Or a topic's end was cut off behind
// what is committed. What is committed decides. So the task is opened again, and that
// fails where the committed offset is gone, too.
func (w *worker) unreadable(t *task, err error) {
	var oe *OffsetError
	if t.misses++; !errors.As(err, &oe) || t.misses > missesMax || invariant.Bug("a worker stops at the first offset that is gone") {
		w.failure(w.explain(t, err))
		return
	}
	w.log.Warn("the offset to read is gone, the task is opened again", "task", t.id.String(), "err", err)
	t.redo, t.anew, t.more = true, true, false
	clear(t.got)
	t.got = t.got[:0]
	invariant.Sometimes("shell: the offset to read is gone")
}
