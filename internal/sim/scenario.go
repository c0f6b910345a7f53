package sim

import (
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
)

// scenario is a topology with its input, and a naive model of what must come of it.
type scenario struct {
	name   string
	build  func(*world) *topology.Builder
	topics func(*world)
	// next makes the nth record of the input; one that will be aborted says so.
	next func(w *world, n int, aborted bool) input
	// slow says that input is written at one of so many steps at most, where it answers what comes out; 0: at any.
	slow int
	// model looks at the whole history when all is consumed. It must not share anything with
	// the product but codecs. nil: the second run of check.go is all.
	model func(*world) error
	// naive begins what follows each of the scenario's tasks, from commit to commit; nil: nothing does.
	naive func(emit) naive
	// says is what the model looks at.
	says string
}

var scenarios = []scenario{email, lookup, count, windows, outer, foreign, accounts, timers, poison, held, sagas, choreography, prices, rates, random}

// make creates topics with as many partitions as the run has.
func (w *world) make(names ...string) {
	for _, n := range names {
		w.kafka.create(shell.Topic{Name: n, Partitions: w.set.partitions})
	}
}

func (w *world) makeCompacted(names ...string) {
	for _, n := range names {
		w.kafka.create(shell.Topic{Name: n, Partitions: w.set.partitions, Config: map[string]string{"cleanup.policy": "compact"}})
	}
}

// history is all that was ever committed in a topic, partition by partition.
func (w *world) history(topic string) (all []core.RawRecord) {
	for _, p := range w.kafka.topics[topic].parts {
		for i := range p.log {
			if e := &p.log[i]; e.committed() {
				all = append(all, e.rec)
			}
		}
	}
	return all
}
