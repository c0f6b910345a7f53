package sim

import (
	"errors"
	"fmt"
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
	came int  // the last process that ran before there was one of the other version; 0: there is none yet
	told bool // a worker has stopped since it has begun before that
}

// releaseNone is in how many seeds of the scenario there is no other version, and releaseMoves in how many steps, about, tasks change hands
// while there are processes of which one knows the changelog and the other does not.
const (
	releaseNone  = 8
	releaseMoves = 120
)

func newRelease(w *world, sc *scenario) release {
	r := release{rng: rand.New(rand.NewPCG(w.opt.Seed, 0x72656c65617365)), at: -1}
	if r.rng.IntN(releaseNone) == 0 || sc.name != email.name || w.deletion.at >= 0 || w.retention.at >= 0 {
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
	for n := len(w.slots); n < 3; n++ { // faults end some before they have come upon what others do
		w.slots = append(w.slots, &slot{w: w, instance: fmt.Sprintf("p%d", n), disk: w.newDisk(), startAt: epoch})
	}
	return r
}

// runs is the version that a process runs which starts now.
func (r *release) runs(w *world) *topology.Plan {
	if r.came == 0 || w.lives > r.came+1 && r.rng.IntN(4) == 0 {
		return w.check.plan
	}
	return r.plan
}

// strike ends a process when there is another version, which the next one is of, and most of those after it; others go on with the one
// before. So it waits until there is one that does. Tasks are moved between them then, until such a one has come upon the changelog.
func (r *release) strike(w *world) {
	if r.at < 0 || r.told || w.feeder.written < r.at || !w.faults.on {
		return
	}
	g, l := w.kafka.group, w.slots[0].life
	before := slices.ContainsFunc(g.seats, func(s *seat) bool {
		return !s.m.l.dead && s.m.l != l && (r.came == 0 || s.m.l.id <= r.came)
	})
	switch {
	case r.came == 0 && l != nil && before:
		r.came = w.lives
		w.faults.begin("crash", l.slot.instance)
		l.crash()
		l.slot.startAt = w.now
	case r.came > 0 && before && len(g.seats) > 1 && r.rng.IntN(releaseMoves) == 0:
		g.dirty, g.anew = true, true
	}
}

// excuse reports whether a worker may stop since others run another version by now: one that has begun
// before the table had a changelog.
func (r *release) excuse(err error) bool {
	if r.at < 0 || !errors.Is(err, shell.ErrTopic) {
		return false
	}
	r.told = true
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
