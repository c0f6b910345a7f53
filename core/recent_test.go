package core

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// A key that a row is of is never said to have none: whatever came, and however little memory there is.
func TestRecentMissesNoKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent[string]
		due := map[string]Time{}
		now, gone, begun := Time(0), NoTime, NoTime
		for n := range rapid.IntRange(0, 40).Draw(t, "before") {
			due[fmt.Sprint(n)] = Time(n)
			begun = Time(n)
		}
		r.begin(begun, rapid.SampledFrom([]int{0, 1000, 1 << 20}).Draw(t, "most"))
		said := 0
		for range rapid.IntRange(0, 1500).Draw(t, "steps") {
			now += Time(rapid.IntRange(0, 2).Draw(t, "later"))
			k := fmt.Sprint(rapid.IntRange(0, 3000).Draw(t, "key"))
			if _, ok := due[k]; r.none(k, gone) {
				if said++; ok {
					t.Fatalf("%q is there", k)
				}
			}
			due[k] = max(due[k], now+50)
			r.add(k, now+50)
			gone = max(gone, now-Time(rapid.IntRange(0, 20).Draw(t, "behind")))
			for k, at := range due {
				if at <= gone {
					delete(due, k)
				}
			}
			if r.bytes > r.most {
				t.Fatalf("%d bytes, at most %d", r.bytes, r.most)
			}
		}
	})
}

// Of keys that are not there few are taken for one that is, and memory goes with the rows.
func TestRecentIsOfUse(t *testing.T) {
	const keys = 200_000
	var r recent[int64]
	r.begin(NoTime, 1<<20)
	for n := range int64(keys) {
		r.add(n, Time(n))
	}
	wrong := 0
	for n := range int64(keys) {
		if !r.none(keys+n, NoTime) {
			wrong++
		}
	}
	if wrong == 0 || wrong > keys/30 {
		t.Errorf("%d keys of %d are taken for others", wrong, keys)
	}
	if allocs := testing.AllocsPerRun(100, func() { r.none(7, 5) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	before := r.bytes
	for n := range int64(keys) { // as many that come as go
		r.add(keys+n, Time(keys+n))
		r.none(-1, Time(n))
	}
	if r.bytes > 2*before {
		t.Errorf("%d bytes, %d for as many keys", r.bytes, before)
	}
	if r.none(0, 2*keys); len(r.sets) > 0 || r.bytes != 0 {
		t.Errorf("%d filters are left", len(r.sets))
	}
	// Beyond its memory it forgets the oldest, and says nothing until they have gone.
	var few recent[int64]
	few.begin(NoTime, recentMin)
	for n := range int64(1000) {
		few.add(n, Time(n))
	}
	if few.before == NoTime || few.none(-1, 0) {
		t.Errorf("before %v: it knows no more of the oldest", few.before)
	}
	if !few.none(-1, few.before) {
		t.Error("it says nothing when they have gone")
	}
}
