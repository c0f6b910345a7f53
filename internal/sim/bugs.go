package sim

import "github.com/seed-81380e12/limpet/internal/invariant"

// Bug is a mistake that can be planted, to see that it is found.
type Bug struct {
	Name string
	// Inside mistakes are those of the product; they can be planted in builds with the tag
	// limpetbugs. The others are those of the simulated cluster, or of the client below the
	// ports.
	Inside bool
	// Scenario is the topology that is run, where only one can show the mistake, or shows it sooner.
	Scenario string
	// Pebble says that it is one of the real store.
	Pebble bool
}

// Bugs are all of them.
var Bugs = []Bug{
	{Name: "a fetch returns aborted records"},
	{Name: "a fetch forgets the last record"},
	{Name: "bounds are the last stable offset"},
	{Name: "committed offsets are read while a transaction is pending"},
	{Name: "a task is granted before its owner has answered"},
	{Name: "the broker does not fence old epochs"},
	{Name: "an abort keeps the epoch though a batch may come late"},

	{Name: "versions are compacted though they can be seen", Scenario: "prices"},

	{Name: "an order is sent before it is paid", Scenario: "saga"},

	{Name: "what is sold out is reserved", Scenario: "choreography"},
	{Name: "what is not shipped is not refunded", Scenario: "choreography"},

	{Name: "a task begins before its global tables are read", Inside: true, Scenario: "rates"},
	{Name: "a global table is kept however old it is", Inside: true, Scenario: "rates"},
	{Name: "changed rows of a global table stay decoded", Inside: true, Scenario: "rates"},
	{Name: "a global table that is cut off while it is read is given up", Inside: true, Scenario: "rates"},
	{Name: "versions are restored as rows", Inside: true, Scenario: "prices"},
	{Name: "a late version is the last word of the changelog", Inside: true, Scenario: "prices"},
	{Name: "a join takes the latest version", Inside: true, Scenario: "prices"},

	{Name: "a transaction has no offsets", Inside: true},
	{Name: "deletions are not in the changelog", Inside: true},
	{Name: "an unknown outcome is taken for an abort", Inside: true},
	{Name: "an unknown outcome is taken for a commit", Inside: true},
	{Name: "an aborted transaction is taken for a committed one", Inside: true},
	{Name: "a commit says that its changelog ends one earlier", Inside: true},
	{Name: "more is purged than was read", Inside: true},
	{Name: "an abort does not fetch again", Inside: true},
	{Name: "what was fetched before an abort is taken", Inside: true},
	{Name: "a revocation is answered before the last commit", Inside: true, Scenario: "count"},
	{Name: "a lost membership keeps its tasks", Inside: true},
	{Name: "tables are fetched before streams", Inside: true, Scenario: "lookup"},
	{Name: "batches of one fetch are stepped one by one", Inside: true, Scenario: "lookup"},
	{Name: "every source has caught up", Inside: true, Scenario: "lookup"},
	{Name: "rows of a commit do not reach the store", Inside: true},
	{Name: "commits without output are not made", Inside: true},
	{Name: "a task that is to be opened again is only aborted", Inside: true},
	{Name: "a table is restored from its topic beyond the offset", Inside: true},
	{Name: "local state is not rolled forward", Inside: true},
	{Name: "local state is kept however old it is", Inside: true},
	{Name: "local state that is dropped keeps its rows", Inside: true},
	{Name: "operator times are forgotten at an opening", Inside: true},
	{Name: "the last record of a changelog is not restored", Inside: true},
	{Name: "a restore passes over tombstones", Inside: true},
	{Name: "a restore may take as long as it likes", Inside: true, Scenario: "timers"},
	{Name: "an abort keeps the sealed rows", Inside: true},
	{Name: "uncommitted rows are evicted", Inside: true},
	{Name: "an abort keeps the stream time", Inside: true},
	{Name: "an abort keeps the operators' times", Inside: true},
	{Name: "a crash leaves a newer checkpoint than the rows", Inside: true},
	{Name: "a reset keeps the rows", Inside: true},
	{Name: "a record that failed leaves its rows", Inside: true, Scenario: "poison"},
	{Name: "a record that failed leaves its outputs", Inside: true, Scenario: "poison"},
	{Name: "the limit that a broker tells is forgotten", Inside: true, Scenario: "poison"},
	{Name: "a reset keeps the rows on disk", Inside: true, Pebble: true},
	{Name: "a scan leaves out what is not on disk", Inside: true, Pebble: true},
	{Name: "a worker stops at the first offset that is gone", Inside: true},
	{Name: "a changelog that is made anew is written on", Inside: true, Scenario: "count"},
	{Name: "a reader begins anew where a topic does", Inside: true},
	{Name: "topics are told apart by name", Inside: true, Scenario: "timers"},
	{Name: "records that find no partner never come", Inside: true, Scenario: "outer"},
	{Name: "rows that a table refers to are written over", Inside: true},
	{Name: "wall timers never go off", Inside: true, Scenario: "timers"},
}

// bug reports whether a mistake is planted in the simulated parts.
func (w *world) bug(name string) bool { return w.opt.Bug == name }

// Find runs seeds, the first one first, until the planted mistake is found, and returns the
// run that found it. ok = false: none did, or it cannot be planted in this build.
func (b Bug) Find(first uint64, seeds int) (r Result, tries int, ok bool) {
	if b.Inside {
		if !invariant.Planting {
			return r, 0, false
		}
		invariant.Plant(b.Name)
		defer invariant.Plant("")
	}
	for i := range seeds {
		if r = Run(Options{Seed: first + uint64(i), Bug: b.Name, Scenario: b.Scenario, Pebble: b.Pebble}); r.Err != nil {
			return r, i + 1, true
		}
	}
	return r, seeds, false
}
