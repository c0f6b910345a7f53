package sim

import (
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// ratchet is how far tasks have come, by what their transactions say. It knows nothing of the
// fresh run. None of it may ever go back, whatever crashes, moves or is restored: a committed
// offset that does would have records taken twice, and an operator time would have windows opened again that
// have closed. (A topic that is made anew has offsets of its own; but nobody may commit any then.)
type ratchet struct {
	offsets map[shell.Partition]core.Offset
	times   map[core.TaskID][]core.Time
}

// committed takes what a transaction that has just been decided says.
func (r *ratchet) committed(t *txn) error {
	if r.offsets == nil {
		r.offsets, r.times = map[shell.Partition]core.Offset{}, map[core.TaskID][]core.Time{}
	}
	for _, o := range t.offsets {
		if was := r.offsets[o.Partition]; o.Next < was {
			return see(checkOffsetsBack, "offset of %v goes back from %d to %d", o.Partition, was, o.Next)
		}
		r.offsets[o.Partition] = o.Next
	}
	for i := range t.commits {
		sc := &t.commits[i]
		if n := behind(sc.times, r.times[sc.task]); n >= 0 {
			return see(checkTimesBack, "task %v: operator times go back, the one at %d: from %v to %v", sc.task, n, r.times[sc.task], sc.times)
		}
		r.times[sc.task] = sc.times
	}
	return nil
}

// reached is how far a task is, by what is committed.
type reached struct {
	offsets []core.Offset // by source
	times   []core.Time
}

func (r *ratchet) reached(id core.TaskID, sources []shell.Partition) reached {
	at := reached{times: slices.Clone(r.times[id])}
	for _, p := range sources {
		at.offsets = append(at.offsets, r.offsets[p])
	}
	return at
}

// behind is the first place in which now is before was, in both; -1: in none.
func behind[T core.Offset | core.Time](now, was []T) int {
	for i := range min(len(now), len(was)) {
		if now[i] < was[i] {
			return i
		}
	}
	return -1
}
