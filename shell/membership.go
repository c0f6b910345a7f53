package shell

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// The lives of a worker's tasks: what becomes of them when the group says so.

// member takes an event of the group.
func (w *worker) member(ev GroupEvent) {
	switch ev.Kind {
	case Assigned:
		w.assigned(ev.Task)
	case Revoked:
		w.revoked(ev.Task, ev.Done)
	case Lost:
		w.lostMembership()
	case Failed:
		w.failure(ev.Err)
	}
}

// assigned begins to open a task.
func (w *worker) assigned(id core.TaskID) {
	if int(id.Sub) >= len(w.layout.subs) {
		w.failure(fmt.Errorf("%w: task %v of another topology was assigned: all members of group %s must run the same one", ErrConfig, id, w.layout.app))
		return
	}
	t := &task{id: id, sub: w.layout.subs[id.Sub]}
	for _, s := range t.sub.sources {
		t.sources = append(t.sources, taskSource{partition: Partition{s.topic, id.Partition}})
	}
	i, _ := slices.BinarySearchFunc(w.tasks, id, func(t *task, id core.TaskID) int {
		switch {
		case t.id.Less(id):
			return -1
		case id.Less(t.id):
			return 1
		}
		return 0
	})
	w.tasks = slices.Insert(w.tasks, i, t)
	if i+1 < len(w.tasks) && w.tasks[i+1].id == id {
		return // an opening of the same task, which was lost meanwhile, has to end first
	}
	w.startOpening(t)
}

func (w *worker) startOpening(t *task) {
	t.state = taskOpening
	if w.behind != nil {
		invariant.Sometimes("shell: an opening waits for a transaction of a lost membership")
		t.opening = nil
		return
	}
	t.opening = &opening{task: t, id: t.id, sub: t.sub, was: slices.Clone(t.point.Input), globals: w.globals, cancel: func() {}}
	w.open(t.opening)
}

// opened takes an opened task, or why it could not be opened.
func (w *worker) opened(o *opening) {
	t := o.task
	if t.state == taskOpening && o.err == nil && len(o.fill) > 0 {
		w.fills, w.urgent = append(w.fills, o), true // and it comes back when that is done
		return
	}
	if t.state != taskOpening { // revoked or lost meanwhile
		invariant.Sometimes("shell: a task is opened that nobody wants any more")
		o.discard()
		t.opening = nil
		w.answer(t)
		if again := w.find(t.id); again != nil && again.state == taskOpening && again.opening == nil {
			w.startOpening(again)
		}
		return
	}
	t.opening = nil
	if o.err != nil {
		w.failure(w.explain(t, o.err))
		return
	}
	t.core, t.store, t.point, t.begins, t.state = o.core, o.store, o.point, o.begins, taskRunning
	t.piece, t.most = min(o.most, firstPiece), o.most
	for i := range t.sources {
		if t.sources[i].absent = !t.sub.has(core.SourceID(i), t.id.Partition); t.sources[i].absent {
			continue
		}
		w.routes[t.sources[i].partition] = route{t, core.SourceID(i)}
	}
	for id, g := range t.sub.plan.Globals {
		t.core.Move(core.GlobalMove{Global: core.GlobalID(id), At: w.globals.now[g.Index].at, All: true})
	}
	w.seek(t)
	w.log.Info("task runs", "task", t.id.String(), "restored", o.restored, "took", o.took.Round(time.Millisecond))
	if w.cfg.Events.Running != nil {
		w.cfg.Events.Running(t.id)
	}
}

// reopen opens a running task again at what the broker says is committed.
func (w *worker) reopen(t *task) {
	if t.state == taskClosing {
		w.close(t)
		return
	}
	if invariant.Bug("a task that is to be opened again is only aborted") {
		t.core.Abort()
		t.more = false
		w.seek(t)
		return
	}
	w.stop(t)
	w.startOpening(t)
}

// revoked commits what the task has done and closes it.
func (w *worker) revoked(id core.TaskID, done func()) {
	t := w.find(id)
	if t == nil {
		done() // dropped before
		return
	}
	t.done = done
	switch t.state {
	case taskOpening:
		w.giveUp(t)
	case taskRunning:
		t.state = taskClosing
		w.urgent = true
		if w.inflight != nil {
			invariant.Sometimes("shell: a task is revoked within a transaction")
		}
		if t.core.Overfull() {
			invariant.Sometimes("shell: a task is revoked with more uncommitted rows than its cache takes")
		}
		if invariant.Bug("a revocation is answered before the last commit") {
			done()
			t.done = nil
		}
	}
	w.closeFinished()
}

// giveUp ends a task that is not open yet. It is answered when the opening has ended.
func (w *worker) giveUp(t *task) {
	o := t.opening
	t.state = taskClosed
	if o == nil {
		w.answer(t)
		return
	}
	o.cancel()
	if i := slices.Index(w.fills, o); i >= 0 {
		w.fills = slices.Delete(w.fills, i, i+1)
		w.opened(o)
	}
}

// closeFinished closes the tasks whose last commit is done, and, when the worker has
// failed, all that are revoked: what they have done is not committed.
func (w *worker) closeFinished() {
	for _, t := range slices.Clone(w.tasks) {
		if t.state == taskClosing && w.inflight == nil && (t.final || w.err != nil) {
			w.close(t)
		}
	}
	for _, t := range w.tasks {
		if t.state == taskClosing {
			w.urgent = true // it was sealed before it was revoked: once more
			if w.inflight == nil {
				invariant.Sometimes("shell: a revoked task needs one more commit")
			}
		}
	}
}

// close ends a running task.
func (w *worker) close(t *task) {
	w.stop(t)
	t.state = taskClosed
	w.answer(t)
	w.skips.told = time.Time{} // what is left to be told
	w.skips.tell(w.log, w.cfg.Now())
	if w.cfg.Events.Closed != nil {
		w.cfg.Events.Closed(t.id)
	}
}

// stop takes a task's state and routes away.
func (w *worker) stop(t *task) {
	for i := range t.sources {
		if s := &t.sources[i]; !s.absent {
			delete(w.routes, s.partition)
			w.fetch.Remove(s.partition)
			s.held = nil
		}
	}
	if invariant.Bug("a task that ends leaves its store open") {
		t.store, t.core = nil, nil
		t.redo, t.anew, t.more = false, false, false
		return
	}
	if err := t.store.Close(); err != nil {
		w.failure(fmt.Errorf("task %v: %w", t.id, err))
	}
	t.store, t.core = nil, nil
	t.redo, t.anew, t.more = false, false, false
}

// answer removes a closed task and tells the group that the next owner may begin.
func (w *worker) answer(t *task) {
	w.tasks = slices.DeleteFunc(w.tasks, func(o *task) bool { return o == t })
	if t.done != nil {
		t.done()
		t.done = nil
	}
}

// closing reports whether a task is revoked and not closed.
func (w *worker) closing() bool {
	return slices.ContainsFunc(w.tasks, func(t *task) bool { return t.state == taskClosing })
}

func (w *worker) find(id core.TaskID) *task {
	for _, t := range w.tasks {
		if t.id == id && t.state != taskClosed {
			return t
		}
	}
	return nil
}

// idle reports whether the worker has nothing left to do.
func (w *worker) idle() bool {
	return len(w.tasks) == 0 && w.inflight == nil || invariant.Bug("a worker ends before its tasks")
}
