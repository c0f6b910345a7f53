package sim

import (
	"errors"
	"math/rand/v2"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// retention is the fault that a source's records are deleted before they were read: its log begins behind the group's
// offset then. Nothing may be passed over: a worker that needs them stops with an error that names the partition, and so does each
// one after it, until somebody decides what is to become of the group; with that the run ends. Where all that was deleted
// was fetched before, the run goes on as any other.
//
// It draws from a generator of its own, so that the other runs are what they were.
type retention struct {
	rng  *rand.Rand
	at   int // after so many records of the input; -1: never
	cut  *partition
	told bool // a worker has stopped with an error that names it
}

// retentionEvery is in how many seeds records are deleted before they were read.
const retentionEvery = 12

func newRetention(seed uint64, records int, calm bool) retention {
	r := retention{rng: rand.New(rand.NewPCG(seed, 0x72657461696e)), at: -1}
	if r.rng.IntN(retentionEvery) == 0 && !calm {
		r.at = records/4 + r.rng.IntN(records/2)
	}
	return r
}

// strike deletes records of a source, if it is time, and there is one with committed offsets and records behind them. (Of a source with no
// offsets yet nobody can tell that there were any.) Sources that are tables are left alone: they are compacted, not cut off.
func (r *retention) strike(w *world) {
	if r.at < 0 || r.cut != nil || w.deletion.at >= 0 || w.feeder.written < r.at || !w.faults.on {
		return
	}
	var may []*partition
	for _, id := range w.check.ids() {
		s := w.check.tasks[id]
		tables := map[int]bool{}
		for _, t := range s.sub.Tables {
			tables[int(t.Source)] = true
		}
		for i, p := range s.in {
			if p == nil || tables[i] || s.sub.Sources[i].Repartition || w.kafka.topics[p.Topic].compacted() {
				continue
			}
			if o := w.kafka.offsets[p.Partition]; o.ok && r.unread(p, o.Next) {
				may = append(may, p)
			}
		}
	}
	if len(may) == 0 {
		return
	}
	p := may[r.rng.IntN(len(may))]
	next := w.kafka.offsets[p.Partition].Next
	r.cut = p
	p.start = next + 1 + core.Offset(r.rng.IntN(int(p.stable()-next)))
	w.faults.strikes(w, "retention", p.Topic)
	w.note("retention", p.Topic, int64(p.ID), int64(p.start))
}

// unread reports whether there are records from an offset on.
func (r *retention) unread(p *partition, from core.Offset) bool {
	for o := from; o < p.stable(); o++ {
		if p.log[o].committed() {
			return true
		}
	}
	return false
}

// excuse reports whether a worker may stop since records are gone.
func (r *retention) excuse(err error) bool {
	var at *shell.OffsetError
	if r.cut == nil || !errors.As(err, &at) || at.Partition != r.cut.Partition || at.Want >= r.cut.start {
		return false
	}
	invariant.Sometimes("sim: a worker stops since records were deleted before they were read")
	r.told = true
	return true
}
