package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Bug is a mistake that can be planted, to see that it is found.
type Bug struct {
	Name string
	// Wants is the check that must find it, before any other one does.
	Wants Check
	// Inside mistakes are those of the product; they can be planted in builds with the tag
	// limpetbugs. The others are those of the simulated cluster, or of the client below the
	// ports.
	Inside bool
	// Scenario is the topology that is run, where only one can show the mistake, or shows it sooner.
	Scenario string
	// Pebble says that it is one of the real store.
	Pebble bool
}

// Bugs are all of them. Each check has one at least that wants it. What is wrong in all runs alike, such as a rule of the core,
// no fresh run sees: that is what the models are for.
var Bugs = []Bug{
	{Name: "a fetch returns aborted records", Wants: checkTaken},
	{Name: "a fetch forgets the last record", Wants: checkPassed},
	{Name: "a fetch reads beyond the last stable offset", Wants: checkGlobalSeen, Scenario: "rates"},
	{Name: "bounds are the last stable offset", Wants: checkGlobalSeen},
	{Name: "committed offsets are read while a transaction is pending", Wants: checkOpenedBack},
	{Name: "a task is granted before its owner has answered", Wants: checkTwice},
	{Name: "the broker does not fence old epochs", Wants: checkLogged},
	{Name: "an abort keeps the epoch though a batch may come late", Wants: checkLogged},
	{Name: "a batch that comes twice is written twice", Wants: checkOutputs},
	{Name: "a transaction keeps the epoch though EndTxn may come late", Wants: checkOffsets},
	{Name: "a transaction keeps the epoch though offsets may come late", Wants: checkOffsetsBack},
	{Name: "the group forgets an offset", Wants: checkGroupEnd},
	{Name: "the group takes an offset for the one before it", Wants: checkGroupBack},

	{Name: "versions are compacted though they can be seen", Wants: checkFolded, Scenario: "prices"},
	{Name: "an order is sent before it is paid", Wants: "model of saga", Scenario: "saga"},
	{Name: "an order that nobody answers is never given up", Wants: "model of saga", Scenario: "saga"},
	{Name: "what is sold out is reserved", Wants: "model of choreography", Scenario: "choreography"},
	{Name: "what is not shipped is not refunded", Wants: "model of choreography", Scenario: "choreography"},
	{Name: "what is given back does not say why", Wants: "model of choreography", Scenario: "choreography"},
	{Name: "an account may be overdrawn", Wants: "model of accounts", Scenario: "accounts"},
	{Name: "a command of another version is rejected for something else", Wants: "model of accounts", Scenario: "accounts"},
	{Name: "a function of the user fails when it is called again", Wants: checkAgain, Scenario: "lookup"},

	{Name: "a task begins before its global tables are read", Wants: checkGlobalSeen, Inside: true, Scenario: "rates"},
	{Name: "a global table is kept however old it is", Wants: checkGlobalEnd, Inside: true, Scenario: "rates"},
	{Name: "changed rows of a global table stay decoded", Wants: checkOutputs, Inside: true, Scenario: "rates"},
	{Name: "a global table that is cut off while it is read is given up", Wants: checkStop, Inside: true, Scenario: "rates"},
	{Name: "a changelog that is new is taken for the whole table", Wants: checkOpenedRows, Inside: true, Scenario: "email"},
	{Name: "versions are restored as rows", Wants: checkOpenedRows, Inside: true, Scenario: "prices"},
	{Name: "a late version is the last word of the changelog", Wants: checkOpenedRows, Inside: true, Scenario: "prices"},
	{Name: "what is deleted keeps its value", Wants: checkOutputs, Inside: true, Scenario: "random"},
	{Name: "what waits for the commit is named by the last tick", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "a join takes the latest version", Wants: "model of prices", Inside: true, Scenario: "prices"},
	{Name: "a transaction has no offsets", Wants: checkOffsets, Inside: true},
	{Name: "deletions are not in the changelog", Wants: checkLogged, Inside: true},
	{Name: "an unknown outcome is taken for an abort", Wants: checkOffsetsBack, Inside: true},
	{Name: "an unknown outcome is taken for a commit", Wants: checkPassed, Inside: true},
	{Name: "an aborted transaction is taken for a committed one", Wants: checkPassed, Inside: true},
	{Name: "a commit says that its changelog ends one earlier", Wants: checkStop, Inside: true},
	{Name: "more is purged than was read", Wants: checkStop, Inside: true},
	{Name: "an abort does not fetch again", Wants: checkPassed, Inside: true},
	{Name: "what was fetched before an abort is taken", Wants: checkStop, Inside: true},
	{Name: "a revocation is answered before the last commit", Wants: checkLive, Inside: true, Scenario: "count"},
	{Name: "a lost membership keeps its tasks", Wants: checkPanic, Inside: true},
	{Name: "tables are fetched before streams", Wants: "model of lookup", Inside: true, Scenario: "lookup"},
	{Name: "batches of one fetch are stepped one by one", Wants: "model of lookup", Inside: true, Scenario: "lookup"},
	{Name: "every source has caught up", Wants: "model of lookup", Inside: true, Scenario: "lookup"},
	{Name: "rows of a commit do not reach the store", Wants: checkRowsEnd, Inside: true},
	{Name: "commits without output are not made", Wants: checkPassed, Inside: true},
	{Name: "a task that is to be opened again is only aborted", Wants: checkOffsetsBack, Inside: true},
	{Name: "a table is restored from its topic beyond the offset", Wants: checkOpenedRows, Inside: true},
	{Name: "local state is not rolled forward", Wants: checkOpenedRows, Inside: true},
	{Name: "a clock that was set back is believed", Wants: checkOpenedRows, Inside: true, Scenario: "timers"},
	{Name: "ticks go back with the clock", Wants: checkTimesBack, Inside: true, Scenario: "timers"},
	{Name: "local state is kept however old it is", Wants: checkOpenedRows, Inside: true},
	{Name: "local state that is dropped keeps its rows", Wants: checkOpenedRows, Inside: true},
	{Name: "operator times are forgotten at an opening", Wants: checkTimesBack, Inside: true},
	{Name: "the last record of a changelog is not restored", Wants: checkOpenedRows, Inside: true},
	{Name: "a restore passes over tombstones", Wants: checkOpenedRows, Inside: true},
	{Name: "a restore may take as long as it likes", Wants: checkOpenedRows, Inside: true, Scenario: "timers"},
	{Name: "an abort keeps the sealed rows", Wants: checkLogged, Inside: true},
	{Name: "uncommitted rows are evicted", Wants: checkLogged, Inside: true},
	{Name: "an abort keeps the stream time", Wants: checkTimes, Inside: true},
	{Name: "an abort keeps the operators' times", Wants: checkTimes, Inside: true},
	{Name: "a crash leaves a newer checkpoint than the rows", Wants: checkOpenedRows, Inside: true},
	{Name: "a reset keeps the rows", Wants: checkOpenedRows, Inside: true},
	{Name: "a record that failed leaves its rows", Wants: checkOutputs, Inside: true, Scenario: "poison"},
	{Name: "a record that failed leaves its outputs", Wants: "model of poison", Inside: true, Scenario: "poison"},
	{Name: "what was let go and fails takes the record in hand with it", Wants: "model of held", Inside: true, Scenario: "held"},
	{Name: "what is left out is no dead letter", Wants: "model of held", Inside: true, Scenario: "held"},
	{Name: "what was left out of a record is left out of the next one", Wants: "model of held", Inside: true, Scenario: "held"},
	{Name: "the limit that a broker tells is forgotten", Wants: checkLive, Inside: true, Scenario: "poison"},
	{Name: "a reset keeps the rows on disk", Wants: checkStore, Inside: true, Pebble: true},
	{Name: "a scan leaves out what is not on disk", Wants: checkOpenedRows, Inside: true, Pebble: true},
	{Name: "a worker stops at the first offset that is gone", Wants: checkStop, Inside: true},
	{Name: "a changelog that is made anew is written on", Wants: checkPointsBack, Inside: true, Scenario: "count"},
	{Name: "a reader begins anew where a topic does", Wants: checkPointsBack, Inside: true},
	{Name: "a reader goes on behind records that are gone", Wants: checkPassed, Inside: true},
	{Name: "topics are told apart by name", Wants: checkOpenedRows, Inside: true, Scenario: "foreign"},
	{Name: "what a changelog has lost at its beginning is not missed", Wants: checkOpenedRows, Inside: true},
	{Name: "a changelog began where it was seen last", Wants: checkTold, Inside: true},
	{Name: "records that find no partner never come", Wants: "model of outer", Inside: true, Scenario: "outer"},
	{Name: "rows that a table refers to are written over", Wants: checkRowsEnd, Inside: true},
	{Name: "a row that cannot be read is none", Wants: checkReads, Inside: true},
	{Name: "a scan that breaks off was whole", Wants: checkReads, Inside: true},
	{Name: "a failed read does not say at which record", Wants: checkReads, Inside: true},
	{Name: "a task that cannot be restored runs with what it has", Wants: checkOpenedRows, Inside: true},
	{Name: "wall timers never go off", Wants: "model of timers", Inside: true, Scenario: "timers"},
	{Name: "the first record of a key is folded twice", Wants: "model of count", Inside: true, Scenario: "count"},
	{Name: "a join passes over rows that are younger than its record", Wants: "model of email", Inside: true, Scenario: "email"},
	{Name: "windows close a millisecond late", Wants: "model of windows", Inside: true, Scenario: "windows"},
	{Name: "the deletion of a right row is not told", Wants: "model of foreign", Inside: true, Scenario: "foreign"},
	{Name: "a left join needs a row", Wants: "model of rates", Inside: true, Scenario: "rates"},
	{Name: "a join passes over rows of a global table that are younger than its record", Wants: "model of rates", Inside: true, Scenario: "rates"},
	{Name: "a join by foreign keys is never quiet", Wants: "model of foreign", Inside: true, Scenario: "foreign"},
	{Name: "a join of tables has the time of the change alone", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "an outer join of tables passes over rows with no left one", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "a duplicate prolongs its id", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "the deletion of a row that is not there is not told", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "a record goes past one of its key that waits", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "what waits in a join leaves a millisecond late", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "what a wall timer sets counts from its alarm", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "versions that are past the history are found", Wants: "model of random", Inside: true, Scenario: "random"},
	{Name: "a commit is settled twice", Wants: checkPanic, Inside: true},
	{Name: "a commit without rows leaves the checkpoint where it was", Wants: checkStoreEnd, Inside: true},
	{Name: "a transaction that fails is not ended", Wants: checkPorts, Inside: true},
	{Name: "changelogs are purged as repartition topics are", Wants: checkFolded, Inside: true},
	{Name: "a task that ends leaves its store open", Wants: checkStore, Inside: true},
	{Name: "a worker ends before its tasks", Wants: checkEnded, Inside: true},
	{Name: "a restore begins where its changelog does, whatever is there", Wants: checkPointsBack, Inside: true},
	{Name: "a flush does not keep its checkpoint", Wants: checkFlushed, Inside: true},
	{Name: "the last record of a commit comes again", Wants: checkOffsets, Inside: true},
	{Name: "offsets are sent once more with the next transaction", Wants: checkOffsets, Inside: true},
	{Name: "an opening is tried for ever", Wants: checkTold, Inside: true},
}

// bug reports whether a mistake is planted in the simulated parts.
func (w *world) bug(name string) bool { return w.opt.Bug == name }

// Hunt is what came of looking for a planted mistake.
type Hunt struct {
	Result               // of the last seed
	Seeds  int           // that were run; 0: the mistake cannot be planted in this build
	Found  bool          // by the check that is wanted, in the last of them
	Others map[Check]int // which other checks were first, in how many of the seeds
}

// Find runs seeds, the first one first, until the check that is wanted finds the planted mistake. A run ends
// with its first find, so nothing else had seen it there.
func (b Bug) Find(first uint64, seeds int) Hunt {
	h := Hunt{Others: map[Check]int{}}
	if b.Inside {
		if !invariant.Planting {
			return h
		}
		invariant.Plant(b.Name)
		defer invariant.Plant("")
	}
	for ; h.Seeds < seeds && !h.Found; h.Seeds++ {
		h.Result = Run(Options{Seed: first + uint64(h.Seeds), Bug: b.Name, Scenario: b.Scenario, Pebble: b.Pebble})
		var f *CheckError
		if errors.As(h.Err, &f) {
			if h.Found = f.Check == b.Wants; !h.Found {
				h.Others[f.Check]++
			}
		}
	}
	return h
}

func (h *Hunt) String() string {
	var b strings.Builder
	switch {
	case h.Seeds == 0:
		return "not in this build"
	case !h.Found:
		fmt.Fprintf(&b, "NOT FOUND in %d seeds", h.Seeds)
	default:
		text, _, _ := strings.Cut(h.Err.Error(), "\n")
		fmt.Fprintf(&b, "%4d seeds, %s: %.120s", h.Seeds, h.Scenario, text)
	}
	others := slices.SortedFunc(maps.Keys(h.Others), func(a, b Check) int { return cmp.Or(h.Others[b]-h.Others[a], cmp.Compare(a, b)) })
	for i, c := range others {
		fmt.Fprintf(&b, "%s%s %d", [...]string{"; before that: ", ", "}[min(i, 1)], c, h.Others[c])
	}
	return b.String()
}
