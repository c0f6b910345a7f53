package sim

import (
	"testing"
)

// What was drawn and had no effect is no fault, one that lasts is one, and two are two at once only if both
// took effect, at steps of their own.
func TestFaultsCountByEffect(t *testing.T) {
	const both = "sim: two faults at once"
	was := covered.Counts()[both]
	w := &world{}
	f := &w.faults
	f.begin("pause", "p0")
	f.begin("mute", "p1")
	if f.n != 0 {
		t.Errorf("%d faults, and none had an effect", f.n)
	}
	w.steps = 100
	f.strikes(w, "clock", "")
	f.strikes(w, "compaction", "t") // what the clock brought about
	f.took(w, "crash", "p0")
	w.steps = 200
	for range 5 { // it stands still for a while
		w.steps++
		f.took(w, "pause", "p0")
	}
	if n := covered.Counts()[both] - was; f.n != 3 || n != 0 {
		t.Errorf("%d faults, %d times two at once; want 3 and 0", f.n, n)
	}
	w.steps++
	f.took(w, "mute", "p1")
	if n := covered.Counts()[both] - was; f.n != 4 || n != 1 {
		t.Errorf("%d faults, %d times two at once; want 4 and 1", f.n, n)
	}
}
