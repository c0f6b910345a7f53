package sim

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
)

// release has processes that start later run another version of the topology of "email", in which the table
// has a changelog of its own: a policy may skip its records, though there is none to skip. Some are of the version before
// again. Each task goes on with the rows that it had, whoever runs it.
//
// It draws from a generator of its own, so that the other runs are what they were.
type release struct {
	rng  *rand.Rand
	at   int // after so many records of the input; -1: never
	plan *topology.Plan
	came bool // a process was ended, so that there is one of the other version
}

// releaseEvery is in how many seeds of the scenario there is another version.
const releaseEvery = 2

func newRelease(w *world, sc *scenario) release {
	r := release{rng: rand.New(rand.NewPCG(w.opt.Seed, 0x72656c65617365)), at: -1}
	if r.rng.IntN(releaseEvery) != 0 || sc.name != email.name || w.deletion.at >= 0 || w.retention.at >= 0 {
		return r
	}
	next := topology.New(emailservice.Topology().Name())
	customers := emailservice.Customers.Table(next, topology.OnError(topology.Skip))
	orders := topology.KeyBy(emailservice.Orders.Stream(next), "by-customer", emailservice.Order.Customer)
	topology.Join(orders, customers, "with-customer", emailservice.Compose).To(emailservice.Emails)
	plan, err := next.Build()
	if err != nil {
		panic(err)
	}
	r.at, r.plan = r.rng.IntN(w.set.records/2), plan
	if len(w.slots) < 2 {
		w.slots = append(w.slots, &slot{w: w, instance: "p1", disk: w.newDisk(), startAt: epoch})
	}
	return r
}

// runs is the version that a process runs which starts now.
func (r *release) runs(w *world) *topology.Plan {
	if r.at < 0 || w.feeder.written < r.at || r.rng.IntN(4) == 0 {
		return w.check.plan
	}
	return r.plan
}

// strike ends a process when there is another version, which the next one there is of, mostly; others go on with the one before.
func (r *release) strike(w *world) {
	if r.at < 0 || r.came || w.feeder.written < r.at || !w.faults.on {
		return
	}
	if l := w.slots[0].life; l != nil {
		r.came = true
		w.faults.begin("crash", l.slot.instance)
		l.crash()
	}
}

// excuse reports whether a worker may stop since others run another version by now: one that has begun
// before the table had a changelog.
func (r *release) excuse(err error) bool {
	if r.at < 0 || !errors.Is(err, shell.ErrTopic) {
		return false
	}
	invariant.Sometimes("sim: a worker stops since its table has a changelog by now")
	return true
}

// filled looks for a changelog that a transaction is the first to write to, and has the table's rows written there.
func (s *shadow) filled(k *kafka, t *txn) {
	for i := range s.logs {
		log := k.topics[s.sub.Tables[i].ChangelogTopic(app)]
		if s.logs[i] != nil || log == nil || !slices.Contains(t.wrote, log.parts[s.id.Partition]) {
			continue
		}
		invariant.Sometimes("sim: a changelog is filled")
		if k.w.faults.on && len(k.group.seats) > 1 { // tasks change hands, perhaps to who runs the version before
			k.group.dirty, k.group.anew = true, true
		}
		s.logs[i] = log
		for _, key := range slices.Sorted(maps.Keys(s.tables[i].rows)) {
			row := s.tables[i].rows[key]
			s.made = append(s.made, made{log.parts[s.id.Partition], core.RawRecord{Key: []byte(key), Value: row.value, Time: row.at}, ""})
		}
	}
}
