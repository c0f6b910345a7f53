package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A calendar gives keys by time, second time and bytes, whatever came first, and while keys
// come in between.
func TestCalendarIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := calendar[int64]{kc: i64{}}
		c.clear()
		var model []dueKey[int64]
		less := func(a, b dueKey[int64]) int {
			return slices.Compare([]int64{int64(a.at), int64(a.then), a.key}, []int64{int64(b.at), int64(b.then), b.key})
		}
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			if rapid.IntRange(0, 30).Draw(t, "clear") == 0 {
				c.clear()
				model = nil
			}
			if len(model) == 0 || rapid.IntRange(0, 2).Draw(t, "push") > 0 {
				e := dueKey[int64]{
					Time(rapid.IntRange(0, 3).Draw(t, "at")), Time(rapid.IntRange(0, 1).Draw(t, "then")), rapid.Int64Range(0, 20).Draw(t, "key"),
				}
				for range rapid.IntRange(1, 4).Draw(t, "same") { // several keys of a time in a row
					c.push(e)
					model = append(model, e)
					e.key = rapid.Int64Range(0, 20).Draw(t, "key")
				}
				slices.SortFunc(model, less)
				continue
			}
			if c.next() != model[0].at {
				t.Fatalf("next is %d, want %d", c.next(), model[0].at)
			}
			if got := c.pop(); got != model[0] {
				t.Fatalf("got %v, want %v", got, model[0])
			}
			model = model[1:]
		}
		for _, want := range model {
			if got := c.pop(); got != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		if c.next() != maxTime {
			t.Fatal("it is not empty")
		}
	})
}

// Pages that come in the order of time are in a queue, whose memory is used again; the few others
// come in between.
func TestCalendarInOrder(t *testing.T) {
	c := calendar[int64]{kc: i64{}}
	c.clear()
	next, late := int64(0), 0
	push := func(n int64) {
		at := n
		if n%100 == 99 {
			at -= 50
			late++
		}
		c.push(dueKey[int64]{at: Time(at), key: n})
	}
	last := NoTime
	for n := range int64(20 * runPiece) {
		push(n)
		if n < 3*runPiece {
			continue
		}
		e := c.pop()
		if e.at < last || e.at > Time(n) {
			t.Fatalf("%v comes behind %d", e, last)
		}
		last, next = e.at, next+1
	}
	if in := len(c.run.pieces) + len(c.run.spare); in > 6 {
		t.Errorf("%d pieces for %d pages", in, c.n)
	}
	if len(c.pages) > late {
		t.Errorf("%d pages in the heap, %d came late", len(c.pages), late)
	}
	for c.n > 0 {
		e := c.pop()
		if e.at < last {
			t.Fatalf("%v comes behind %d", e, last)
		}
		last, next = e.at, next+1
	}
	if next != 20*runPiece {
		t.Errorf("%d keys came", next)
	}
}

// What a key has at two times is kept apart, where the later one begins what is forgotten.
func TestCalendarForgetsOneTimeOfAKey(t *testing.T) {
	c := calendar[string]{kc: str{}, most: 4}
	c.clear()
	for _, e := range []dueKey[string]{{5, 0, "x"}, {0, 0, "b"}, {6, 0, "y"}, {1, 0, "b"}, {0, 0, "a"}} {
		c.push(e)
	}
	if c.n != 2 || !c.far.some || c.far.at != 1 {
		t.Fatalf("%d keys, what is forgotten begins at %+v", c.n, c.far)
	}
	for _, want := range []string{"a", "b"} {
		if e := c.pop(); e.at != 0 || e.key != want {
			t.Errorf("got %+v, want %s at 0", e, want)
		}
	}
}
