package sim

import (
	"errors"
	"fmt"
)

// Check names one thing that is looked at in a run, so that a find says which check has made it.
type Check string

// The checks, but for the models: see Checks.
const (
	checkPanic Check = "no panic"
	checkStop  Check = "no stop"
	checkPorts Check = "ports in order"
	checkStore Check = "stores open and close"
	checkEnded Check = "ended is ended"
	checkReads Check = "failed reads are told"

	checkOffsets Check = "offsets of a transaction"
	checkTaken   Check = "records taken"
	checkPassed  Check = "no record passed over"
	checkOutputs Check = "outputs"
	checkLogged  Check = "changelog records"
	checkTimes   Check = "operator times"
	checkAgain   Check = "fresh run goes on"

	checkOffsetsBack Check = "offsets never back"
	checkGroupBack   Check = "group's offsets never back"
	checkTimesBack   Check = "operator times never back"
	checkOpenedBack  Check = "opened where committed"
	checkPointsBack  Check = "checkpoints never back"
	checkFlushed     Check = "flushed is kept"

	checkOpenedRows Check = "rows when opened"
	checkGlobalSeen Check = "global table seen"

	checkLive      Check = "liveness"
	checkTold      Check = "deleted topic noticed"
	checkTwice     Check = "no task runs twice"
	checkStoreEnd  Check = "stores at the end"
	checkRowsEnd   Check = "rows at the end"
	checkGroupEnd  Check = "group's offsets at the end"
	checkFolded    Check = "changelog folded"
	checkGlobalEnd Check = "global table at the end"
)

// Checked is a check, and what it looks at.
type Checked struct {
	Check Check
	What  string
}

// Checks are all of them: those while a run goes on, those at its end, and the naive models of the scenarios.
func Checks() []Checked {
	all := []Checked{
		{checkPanic, "nothing panics, but for functions of the user that a fault lets panic"},
		{checkStop, "a process starts, and its worker goes on; else a fault explains the error"},
		{checkPorts, "the shell asks for what there is, and uses a producer in the order that its port asks for"},
		{checkStore, "stores open and close, and no task's store is opened while it is open"},
		{checkEnded, "nothing of a process that has ended still runs"},
		{checkReads, "a read of the disk that fails stops its worker at once, with an error that says which task it was, and which record"},

		{checkOffsets, "a transaction commits an offset for each source of its tasks, where the task says, and no other"},
		{checkTaken, "a task took no more than there are committed records, so none that was aborted, and its offset lies behind them, not behind the log's end"},
		{checkPassed, "between what a task took and its offset there is no committed record"},
		{checkOutputs, "what a transaction wrote to topics is what a fresh run writes, byte for byte, partition by partition, in order"},
		{checkLogged, "what it wrote to changelogs, too"},
		{checkTimes, "operator times are those of a fresh run"},
		{checkAgain, "a fresh run can take what a task took"},

		{checkOffsetsBack, "no offset in a transaction that commits is before one of a transaction that has committed earlier"},
		{checkGroupBack, "no offset of the group goes back when the marker of a transaction is there"},
		{checkTimesBack, "no operator time of a task goes back from one of its transactions to the next"},
		{checkOpenedBack, "a task opens with the offsets and operator times that were committed when the opening began, or later ones"},
		{checkPointsBack, "a store's checkpoint goes back by Reset alone: each Apply is at the changelog offsets, input and times of the one before, or behind them"},
		{checkFlushed, "a store has the checkpoint with which it was closed, and after a crash that of the last flush, or one that was applied since"},

		{checkOpenedRows, "a task that was opened, and is where the fresh run is, has its rows"},
		{checkGlobalSeen, "a task sees a global table not beyond what may be read, and not before what the topic held when the process was started"},

		{checkLive, "all input is consumed within 30 000 steps after the last fault"},
		{checkTold, "a worker stops with the name of a topic that was deleted, or of a changelog that was cut off"},
		{checkTwice, "no task runs in two processes"},
		{checkStoreEnd, "each task's checkpoint is what it has committed"},
		{checkRowsEnd, "each task has the rows of the fresh run"},
		{checkGroupEnd, "the group's offsets are those of the last transactions"},
		{checkFolded, "a changelog, folded, is the rows of the fresh run"},
		{checkGlobalEnd, "each process has all rows of the global tables, and no others"},
	}
	for i := range scenarios {
		if s := &scenarios[i]; s.model != nil {
			all = append(all, Checked{s.check(), s.says})
		}
	}
	return all
}

// check is the one that the scenario's model makes.
func (s *scenario) check() Check { return Check("model of " + s.name) }

// CheckError is what a check has found: the error of a run.
type CheckError struct {
	Check Check
	Err   error
}

func (f *CheckError) Error() string { return fmt.Sprintf("%s: %v", f.Check, f.Err) }

func (f *CheckError) Unwrap() error { return f.Err }

// seen is an error on its way to failf, which already knows the check that has made it.
type seen struct {
	check Check
	error
}

func (s seen) Unwrap() error { return s.error }

func see(c Check, format string, args ...any) error { return seen{c, fmt.Errorf(format, args...)} }

// seenBy is the check that has made err; one that none has made is other's.
func seenBy(err error, other Check) Check {
	var s seen
	if errors.As(err, &s) {
		return s.check
	}
	return other
}
