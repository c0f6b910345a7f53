package shell

import (
	"log/slog"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// redo aborts the tasks that have to take back what they did since the last commit. Their
// next commit is made before they go on to the record because of which it is. Those that
// have to be opened again are.
func (w *worker) redo() {
	if w.inflight != nil {
		return // it may be committed, and then it must not be aborted
	}
	for _, t := range w.live() {
		switch {
		case t.anew:
			w.reopen(t)
		case t.redo:
			t.core.Abort()
			t.redo = false
			w.seek(t)
		}
	}
}

// skips says in the log that records were skipped or sent to the dead letters: the first
// one at once, then one line for all of each skipsEvery. What was dropped, not in error, is
// counted only (CommitInfo.Drops).
type skips struct {
	n    int64
	last *core.RecordError
	told time.Time
}

const skipsEvery = 10 * time.Second

// add takes what a commit skipped. A commit that is made again after an abort tells it again.
func (s *skips) add(c *core.Commit) {
	if c.Skipped > 0 {
		s.n += c.Skipped
		s.last = c.LastSkip
	}
}

// tell writes the line, if its time has come.
func (s *skips) tell(log *slog.Logger, now time.Time) {
	if s.n == 0 || now.Sub(s.told) < skipsEvery {
		return
	}
	log.Warn("records were skipped, or sent to the dead letters", "count", s.n, "last", s.last.Error())
	s.n, s.last, s.told = 0, nil, now
}
