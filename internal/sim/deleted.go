package sim

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// deletion is the fault that somebody deletes a topic while the application runs, and that it
// is made again at once, empty. The worker that comes upon it must stop with an error that
// names the topic, and the run ends there. Until then all checks go on: nothing may be
// committed that a fresh run over the old records has not, and no task be opened with less.
//
// It draws from a generator of its own, so that the other runs are what they were.
type deletion struct {
	rng  *rand.Rand
	at   int  // after so many records of the input; -1: never
	logs bool // a changelog is deleted, else a source
	ids  bool // the cluster tells ids of topics
	done bool
	name string
	old  []*partition
	told bool // a worker has stopped with an error that names it
	// forgot: the group's offsets went with the topic, as they do in Kafka. Where nobody remembers, a task begins anew then, rightly.
	forgot, anew bool
	blind        map[blindState]bool // local state of tasks that began to be opened when nobody remembered
	last         bool                // all processes were ended, so that all tasks are opened
}

type blindState struct {
	slot *slot
	task core.TaskID
}

// deletionEvery is in how many seeds a topic is deleted.
const deletionEvery = 5

func newDeletion(seed uint64, records int, calm bool) deletion {
	d := deletion{rng: rand.New(rand.NewPCG(seed, 0x64656c65746564)), at: -1, ids: true}
	if d.rng.IntN(deletionEvery) == 0 && !calm {
		d.at = records/4 + d.rng.IntN(records/2)
		d.logs = d.rng.IntN(2) == 0
		d.ids = d.rng.IntN(4) < 3
	}
	return d
}

// strike deletes a topic, if it is time. Sources into which the application writes as well, and
// repartition topics, are left alone: they would be filled again, and once they are longer
// than what was read of them nobody can tell.
func (d *deletion) strike(w *world) {
	if d.at < 0 || d.done || w.feeder.written < d.at || !w.faults.on {
		return
	}
	sources, logs, sinks := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range w.check.tasks {
		for _, src := range s.sub.Sources {
			sources[src.TopicName(app)] = !src.Repartition
		}
		for _, t := range s.sinks {
			sinks[t.Name] = true
		}
		for _, t := range s.logs {
			if t != nil {
				logs[t.Name] = true
			}
		}
	}
	var may []*topic
	for _, t := range w.kafka.sorted() {
		if used := slices.ContainsFunc(t.parts, w.used); used && !sinks[t.Name] && (d.logs && logs[t.Name] || !d.logs && sources[t.Name]) {
			may = append(may, t)
		}
	}
	if len(may) == 0 {
		return
	}
	t := may[d.rng.IntN(len(may))]
	d.done, d.name, d.old = true, t.Name, t.parts
	w.faults.strikes(w, "topic deleted", t.Name)
	w.note("topic deleted", t.Name, 0, 0)
	t.parts, t.made = nil, t.made+1
	for _, p := range d.old {
		t.parts = append(t.parts, &partition{Partition: p.Partition, node: p.node})
	}
	if d.ids && !d.logs && d.rng.IntN(5) < 3 {
		d.forgot = true
		for _, p := range d.old {
			delete(w.kafka.offsets, p.Partition)
		}
	}
	for _, s := range w.slots {
		if s.life == nil {
			continue
		}
		for _, f := range s.life.fetchers {
			for _, x := range f.parts {
				if x.Topic == t.Name {
					x.log, x.known, x.caught = w.kafka.part(x.Partition), false, false
				}
			}
		}
	}
}

// used reports whether the committed offsets stand for records of a partition.
func (w *world) used(p *partition) bool {
	if w.internal(p.Topic) {
		return slices.ContainsFunc(p.log, func(e entry) bool { return e.committed() })
	}
	return w.kafka.offsets[p.Partition].Next > 0
}

// forget is for a batch that comes into the topic that was made again: where the deleted one had it, whose answer did not come,
// it is not written twice, since nobody can read that one.
func (d *deletion) forget(of shell.Partition, id *txnID, epoch, first, n int) {
	if d.name != of.Topic {
		return
	}
	old := d.old[of.ID]
	if end, ok := old.has(id, epoch, first, n); ok {
		for o := end - core.Offset(n); o < end; o++ {
			old.log[o].txn, old.log[o].control = nil, true
		}
	}
}

// hidden reports whether the topic that was made again has as much as the committed offsets
// stand for: then a process that is started cannot tell them apart without ids.
func (d *deletion) hidden(w *world) bool {
	for i, p := range w.kafka.topics[d.name].parts {
		n := d.old[i].end()
		for n > 0 && !d.old[i].log[n-1].committed() {
			n-- // where the committed offsets say that it ends
		}
		if d.old[i].end() > 0 && p.end() >= n && p.end() > 0 {
			return true
		}
	}
	return false
}

// over reports whether a run with a deleted topic has come to its end.
func (d *deletion) over(w *world) bool {
	return d.done && (d.told || d.anew || d.logs && !d.ids && d.hidden(w))
}

// remembers reports whether a process has local state of a task that may know of the offsets that went with the topic. What an
// opening behind that has restored, and a crash has cut off, knows nothing of them.
func (d *deletion) remembers(s *slot, id core.TaskID) bool {
	state, key := slices.Contains(s.disk.Tasks(), id), blindState{s, id}
	if d.forgot && !state {
		if d.blind == nil {
			d.blind = map[blindState]bool{}
		}
		d.blind[key] = true
	}
	return state && !d.blind[key]
}

// begins is told of a task that was opened. Without local state, before, it does not know that there were other
// offsets: then it reports true, and the run ends.
func (d *deletion) begins(w *world, id core.TaskID, state bool) bool {
	if !d.forgot || state {
		return false
	}
	for _, p := range w.check.task(id).in {
		d.anew = d.anew || p != nil && p.Topic == d.name
	}
	return d.anew
}

// excuse reports whether a worker may stop since the topic is gone.
func (d *deletion) excuse(err error) bool {
	if !d.done {
		return false
	}
	var at shell.Partition
	var offset *shell.OffsetError
	var began *shell.AnewError
	var remade *shell.RemadeError
	switch {
	case errors.As(err, &remade):
		at.Topic = remade.Topic
		invariant.Sometimes("sim: a worker stops since a topic has another id")
	case errors.As(err, &offset):
		at = offset.Partition
		invariant.Sometimes("sim: a worker stops since a source was deleted")
	case errors.As(err, &began):
		at = began.Partition
		invariant.Sometimes("sim: a worker stops since a changelog was deleted")
	}
	if d.told = at.Topic == d.name; d.told && d.forgot {
		invariant.Sometimes("sim: a worker stops since a source was deleted, and its offsets with it")
	}
	return d.told
}

// idle reports whether no worker can come upon what was deleted: nobody has committed
// anything of it. (Records that nobody has read are lost with it, and nobody can tell.)
//
// A topic that nobody writes to or reads any more is come upon when its task is opened: so all
// processes are ended when all else is done.
func (d *deletion) idle(w *world) bool {
	if !d.done || w.steps%32 != 0 {
		return false
	}
	if (d.logs || d.ids) && !d.last && w.settled() {
		d.last = true
		for _, s := range w.slots {
			s.life.crash()
		}
	}
	return !d.forgot && !slices.ContainsFunc(d.old, w.used)
}
