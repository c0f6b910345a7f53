package chaos

import (
	"strings"
	"syscall"
	"testing"
)

// The exit codes of package cli for ends that have an excuse.
const (
	failed      = 1
	unreachable = 4 // it reached no broker
)

// end is how a process ended: with which code, and what it said last.
type end struct {
	code int
	last string
}

// because reports whether the process says that it stopped, with that code and for that reason. A panic has no
// excuse, nor has who only spoke of the reason and then ended in silence.
func (e end) because(code int, reason string) bool {
	return e.code == code && strings.Contains(e.last, "level=ERROR msg=stopped ") && strings.Contains(e.last, reason)
}

// onFullDisk is the end of a process that found no room on its disk.
func (e end) onFullDisk() bool { return e.because(failed, syscall.ENOSPC.Error()) }

// excused says what the report notes of a process that has ended by itself while its disk was full, or its
// network was not well (apart), and whether it may have.
func (e end) excused(full, apart bool) (note string, ok bool) {
	switch {
	case full && e.onFullDisk():
		return "ended on a full disk, and started again", true
	case apart && e.because(unreachable, "Kafka unreachable or refused"):
		return "ended since they reached no broker when they started, and started again", true
	}
	return "ended by itself, and started again", false
}

// stopped says the same of one that was asked to end. What other faults hold up it gives up after 25 s.
func (e end) stopped(full bool) (note string, ok bool) {
	switch {
	case e.code == 0:
		return "", true
	case e.because(failed, "not stopped within"):
		return "gave up a clean stop after 25 s, amid other faults", true
	case full && e.onFullDisk():
		return "could not stop cleanly, on a full disk", true
	}
	return "", false
}

// An end is excused by what was done to the process, its code and what it says together, and by no two of them.
func TestEnds(t *testing.T) {
	const (
		at       = `time=2026-11-22T15:04:05.000Z level=ERROR msg=`
		noRoom   = at + `stopped err="shell: task 0_1: statestore: disk is full: /d/state: write 000007.sst: no space left on device"`
		noBroker = at + `stopped err="shell: Kafka unreachable or refused: dial tcp: i/o timeout"`
		late     = at + `stopped err="shell: not stopped within 25s"`
	)
	cases := []struct {
		name        string
		end         end
		full, apart bool
		ended       bool // excused, if nobody asked
		stopped     bool // and if somebody did
	}{
		{"no room", end{1, noRoom}, true, false, true, true},
		{"no room, on a disk that has some", end{1, noRoom}, false, false, false, false},
		{"no room, while only its network is away", end{1, noRoom}, false, true, false, false},
		{"no room, with the code of a setting", end{3, noRoom}, true, false, false, false},
		{"no room, and killed", end{-1, noRoom}, true, false, false, false},
		{"a full disk, and another error", end{1, at + `stopped err="shell: task 0_1: core: a row does not decode"`}, true, false, false, false},
		{"a full disk, and damage", end{1, at + `stopped err="statestore: damaged: /d/state"`}, true, false, false, false},
		{"a full disk, and a panic", end{2, "panic: write /d/state/MANIFEST: no space left on device"}, true, false, false, false},
		{"a full disk, spoken of only", end{1, at + `"state store fails to write" error="no space left on device"`}, true, false, false, false},
		{"no broker", end{4, noBroker}, false, true, true, false},
		{"no broker, with a network", end{4, noBroker}, false, false, false, false},
		{"no broker, while only its disk is full", end{4, noBroker}, true, false, false, false},
		{"no broker, with another code", end{1, noBroker}, false, true, false, false},
		{"a stop that is given up", end{1, late}, true, true, false, true},
		{"a clean end", end{0, ""}, true, true, false, true},
	}
	for _, c := range cases {
		if note, ok := c.end.excused(c.full, c.apart); ok != c.ended {
			t.Errorf("%s: ended by itself: excused %v (%s)", c.name, ok, note)
		}
		if note, ok := c.end.stopped(c.full); ok != c.stopped {
			t.Errorf("%s: asked to stop: excused %v (%s)", c.name, ok, note)
		}
	}
}
