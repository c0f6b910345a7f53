package sim

import (
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// globalEnds is how far the topics of global tables go.
func (w *world) globalEnds() map[string][]core.Offset {
	ends := map[string][]core.Offset{}
	for _, g := range w.check.plan.Globals() {
		for _, p := range w.kafka.topics[g.Topic].parts {
			ends[g.Topic] = append(ends[g.Topic], p.end())
		}
	}
	return ends
}

// isGlobal reports whether a topic is read as a global table.
func (w *world) isGlobal(name string) bool {
	for _, g := range w.check.plan.Globals() {
		if g.Topic == name {
			return true
		}
	}
	return false
}

// following are the positions at which processes read a partition of a global table.
func (w *world) following(p shell.Partition) (at []*fetchPart) {
	for _, s := range w.slots {
		if s.life == nil {
			continue
		}
		for _, f := range s.life.fetchers {
			if i := f.find(p); i >= 0 && f != s.life.main {
				at = append(at, f.parts[i])
			}
		}
	}
	return at
}

// lags reports whether a process has not all of its global tables yet.
func (l *life) lags() bool {
	for _, g := range l.w.check.plan.Globals() {
		for _, f := range l.fetchers {
			if f.find(shell.Partition{Topic: g.Topic}) >= 0 && len(f.queue) > 0 {
				return true
			}
		}
		at, _ := l.st.Global(g.Topic)
		for i, p := range l.w.kafka.topics[g.Topic].parts {
			if at[i] < p.stable() {
				return true
			}
		}
	}
	return l.st.Moves()
}
