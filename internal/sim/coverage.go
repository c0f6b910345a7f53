package sim

import (
	"maps"
	"slices"
	"sync"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Coverage counts the states that runs reach: those that the product and the simulator
// name with invariant.Sometimes. It is safe for concurrent use.
type Coverage struct {
	mu     sync.Mutex
	counts map[string]int
}

// Cover counts from now on. It must be called before anything runs, and counts for the
// whole process.
func Cover() *Coverage {
	c := &Coverage{counts: map[string]int{}}
	invariant.Observe(func(name string) {
		c.mu.Lock()
		c.counts[name]++
		c.mu.Unlock()
	})
	return c
}

// Counts are how often each state was reached.
func (c *Coverage) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// Missing are the states of States that were never reached.
func (c *Coverage) Missing() []string {
	counts := c.Counts()
	return slices.DeleteFunc(slices.Clone(States), func(s string) bool { return counts[s] > 0 })
}

// States are those that every large enough set of seeds must reach.
var States = []string{
	"core: a commit that is written nowhere hands its decisions on",
	"core: a tick is before the last one",
	"core: a record fails, and what is not committed runs again up to it",
	"core: an abort drops the rows of two generations",
	"core: an index by key has room for a part of the rows",
	"core: nothing has come for long, and time moves on",
	"core: rows that are not committed take more than the cache",
	"core: two things that were let go are left out of one record",
	"core: what comes due next is looked for in the table",
	"core: what was let go fails, and is left out",
	"core: what was let go fails behind changes, and runs again alone",
	"shell: a commit came between offsets and changelog",
	"shell: a restore took longer than tombstones are kept",
	"shell: a revoked task needs one more commit",
	"shell: a task is opened that nobody wants any more",
	"shell: a task is revoked with more uncommitted rows than its cache takes",
	"shell: a task is revoked within a transaction",
	"shell: a transaction ends with its membership",
	"shell: a task goes on whose changelog has lost its beginning",
	"shell: an abort takes a second generation with it",
	"shell: an opening waits for a transaction of a lost membership",
	"shell: fenced",
	"shell: local state is older than tombstones are kept",
	"shell: local state is of a time that is still to come",
	"shell: local state is rolled forward",
	"shell: local state lies before the changelog's first offset",
	"shell: the rows of a global table are read again in full",
	"shell: records or ticks come by a clock that was set back",
	"shell: the membership is lost within a transaction",
	"shell: the offset to read is gone",
	"shell: the outcome of a transaction is not known",
	"sim: EndTxn comes in late",
	"sim: EndTxn is lost",
	"sim: a fresh run takes a record back",
	"sim: a late batch is rejected",
	"sim: a clock is set back while a process runs",
	"sim: a clock is set back while no process runs",
	"sim: a batch that is there is not written again",
	"sim: a copy of InitProducerId fences who has sent it",
	"sim: a late copy of AddPartitionsToTxn begins a transaction",
	"sim: a late copy of AddPartitionsToTxn is rejected",
	"sim: a late copy of EndTxn is rejected",
	"sim: a late copy of offsets is rejected",
	"sim: a late copy of offsets is rejected, as its generation is over",
	"sim: a member learns that it was dropped",
	"sim: a record is too large for a broker",
	"sim: a saga ends undone",
	"sim: a saga ends with a parcel",
	"sim: a partition is silent while others go on",
	"sim: a source is silent while others go on",
	"sim: a source that was silent goes on",
	"sim: a static member comes back in time",
	"sim: a store on Pebble is opened after a crash",
	"sim: a task that was opened has the rows of a fresh run",
	"sim: a tombstone is gone",
	"sim: a transaction expires",
	"sim: a transaction left open is aborted by whoever opens its id",
	"sim: a worker stops since a changelog was deleted",
	"sim: a worker stops since a changelog has lost its beginning",
	"sim: a worker stops since a topic has another id",
	"sim: a worker stops since a source was deleted",
	"sim: a worker stops since a source was deleted, and its offsets with it",
	"sim: a changelog is filled",
	"sim: a worker stops since its table has a changelog by now",
	"sim: a worker stops since a user function panics",
	"sim: a worker stops since its disk fails",
	"sim: a worker stops since its store is damaged",
	"sim: a checkpoint cannot be read",
	"sim: a read fails while a task is restored",
	"sim: a read fails while records are stepped",
	"sim: a row cannot be read",
	"sim: a row of a global table cannot be read",
	"sim: a scan breaks off",
	"sim: a worker stops since a read fails",
	"sim: a worker stops since records were deleted before they were read",
	"sim: a write cannot read what it needs",
	"sim: what comes due cannot be read",
	"sim: an illegal generation is waited out",
	"sim: an order of services is closed",
	"sim: an order of services is undone",
	"sim: committed offsets are waited for",
	"sim: fenced at the offsets",
	"sim: fenced inside EndTxn",
	"sim: offsets of a task that is lost",
	"sim: records of a repartition topic are deleted",
	"sim: the answer to EndTxn is lost",
	"sim: the membership is lost at the offsets",
	"sim: two faults at once",
	"statestore: a crash takes rows back",
	"statestore: a task finds rows",
	"statestore: a task finds rows on disk",
	"statestore: rows are sealed for the disk",
	"statestore: the rows of a task are dropped",
	"statestore: the rows of a task on disk are dropped",
}
