package sim

import (
	"errors"
	"math/rand/v2"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// cutoff is the fault that a changelog loses its beginning, with rows that are there: its policy was another one for a while, and is what it
// must be again. Tasks with local state go on, and commit. A task that would be restored from what is left must not run: its worker stops with an error that
// names the changelog, and with that the run ends. Some time later all processes are ended and lose their disks, if no task had to be restored by
// then: while input comes, or when all is done and was looked at as in other runs.
//
// It draws from a generator of its own, so that the other runs are what they were.
type cutoff struct {
	rng   *rand.Rand
	at    int // after so many records of the input; -1: never
	sweep int // all local state is gone after so many
	cut   *partition
	began core.Offset // where it began before
	swept bool        // no process has local state any more
	told  bool        // a worker has stopped with an error that names it
}

// cutoffEvery is in how many seeds a changelog loses its beginning.
const cutoffEvery = 5

// newCutoff leaves out the runs in which a topic is deleted, records of a source are, or another version fills a changelog.
func newCutoff(w *world) cutoff {
	c := cutoff{rng: rand.New(rand.NewPCG(w.opt.Seed, 0x6375746f6666)), at: -1}
	if c.rng.IntN(cutoffEvery) == 0 && !w.opt.Calm && w.deletion.at < 0 && w.retention.at < 0 && w.release.at < 0 {
		c.at = w.set.records/4 + c.rng.IntN(w.set.records/2)
		c.sweep = c.at + c.rng.IntN(w.set.records)
	}
	return c
}

// strike cuts a changelog off behind one of its rows, if it is time, and takes local state away.
func (c *cutoff) strike(w *world) {
	if c.cut != nil && w.feeder.written >= c.sweep && w.faults.on {
		c.lose(w)
	}
	if c.at < 0 || c.cut != nil || w.feeder.written < c.at || !w.faults.on {
		return
	}
	var may []*partition
	for _, id := range w.check.ids() {
		for _, log := range w.check.tasks[id].logs {
			if log != nil && len(log.parts[id.Partition].rows()) > 0 {
				may = append(may, log.parts[id.Partition])
			}
		}
	}
	if len(may) == 0 {
		return
	}
	c.cut = may[c.rng.IntN(len(may))]
	rows := c.cut.rows()
	c.began, c.cut.start = c.cut.start, rows[c.rng.IntN(1+c.rng.IntN(len(rows)))]+1 // mostly behind many of them
	w.faults.strikes(w, "changelog cut off", c.cut.Topic)
	w.note("changelog cut off", c.cut.Topic, int64(c.cut.ID), int64(c.cut.start))
	if c.rng.IntN(3) > 0 { // tasks are opened again where their local state is
		for _, s := range w.slots {
			if s.life != nil && s.disk.Flush() == nil {
				s.life.crash()
				s.startAt = w.now
			}
		}
	}
}

// rows are the offsets of what a log, folded, consists of, the last one first.
func (p *partition) rows() (offsets []core.Offset) {
	last := map[string]bool{}
	for o := p.stable() - 1; o >= p.start; o-- {
		e := &p.log[o]
		if !e.committed() || e.gone || e.rec.Key == nil || last[string(e.rec.Key)] {
			continue
		}
		last[string(e.rec.Key)] = true
		if e.rec.Value != nil {
			offsets = append(offsets, o)
		}
	}
	return offsets
}

// lose ends all processes, and takes all local state away: all tasks must be restored.
func (c *cutoff) lose(w *world) {
	if c.swept {
		return
	}
	c.swept = true
	w.note("all disks lost", "", 0, 0)
	for _, s := range w.slots {
		if s.life != nil {
			s.life.crash()
		}
		_ = s.disk.Close()
		s.disk = w.newDisk()
	}
}

// waits reports whether somebody has still to stop. When all else is done it is looked at, and local state is taken away.
func (c *cutoff) waits(w *world) bool {
	if c.cut == nil || c.told {
		return false
	}
	if !c.swept && w.settled() {
		w.checkEnd()
		c.lose(w)
	}
	return true
}

// excuse reports whether a worker may stop since a changelog has lost its beginning.
func (c *cutoff) excuse(err error) bool {
	var at *shell.BeginError
	if c.cut == nil || !errors.As(err, &at) || at.Partition != c.cut.Partition || at.Had != c.began || at.Has != c.cut.start {
		return false
	}
	invariant.Sometimes("sim: a worker stops since a changelog has lost its beginning")
	c.told = true
	return true
}
