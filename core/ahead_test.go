package core

import (
	"strconv"
	"testing"
)

// countTask counts records by the key that keyOf makes of a value, or by their own.
func countTask(keyOf func(string) string) (*Task, *Table[string, int64]) {
	t := NewTask(TaskConfig{App: "ahead", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	tb := NewTable(t, "count", str{}, i64{})
	chain := Aggregate(t.Node("count", ""), tb, nil, func(n int64, _ string) int64 { return n + 1 }, nil, ToStream(Sink(t, 0, "counts", str{}, i64{}, nil)))
	if keyOf != nil {
		chain = KeyBy[string](t.Node("by", ""), keyOf, chain)
	}
	Source(t, "in", str{}, str{}, chain)
	return t, tb
}

// recordsOf has a record of each of n keys.
func recordsOf(n int) *Batch {
	b := &Batch{CaughtUp: true}
	for i := range n {
		text := []byte("key-" + strconv.Itoa(i))
		b.Records = append(b.Records, RawRecord{Key: text, Value: text, Time: Time(i)})
	}
	return b
}

// Rows are found where they are, and counts are as if nobody had asked.
func TestAhead(t *testing.T) {
	const n = aheadMin + 1000
	task, tb := countTask(nil)
	b := recordsOf(n)
	for round := range 3 {
		stepAndCommit(task, b)
		if len(task.sources[0].near) != 1 {
			t.Fatalf("round %d: %d tables are asked, want that of the count", round, len(task.sources[0].near))
		}
	}
	found := 0
	for at := 0; at < n; at += ahead {
		var cells [ahead]int32
		records := b.Records[at:min(at+ahead, n)]
		for _, i := range cells[:tb.expect(records, &cells)] {
			own := false
			for _, r := range records {
				own = own || string(r.Key) == tb.cells[i].key
			}
			if !own {
				t.Fatalf("%q is expected, which none of the records has", tb.cells[i].key)
			}
			found++
		}
	}
	if found < n*9/10 {
		t.Errorf("%d of %d rows were expected where they are", found, n)
	}
	for i := range tb.cells {
		if c := &tb.cells[i]; c.val != 3 {
			t.Fatalf("%s: %d, want 3", c.key, c.val)
		}
	}
	if allocs := testing.AllocsPerRun(5, func() { stepAndCommit(task, b) }); allocs > 2*n { // key and value are decoded
		t.Errorf("%v allocations a round, want those of the codecs: %d", allocs, 2*n)
	}
}

// A table of other keys is not asked.
func TestAheadOfOtherKeys(t *testing.T) {
	task, _ := countTask(func(v string) string { return v + "!" })
	for range 3 {
		stepAndCommit(task, recordsOf(10))
	}
	if n := len(task.sources[0].near); n != 0 {
		t.Errorf("%d tables are asked", n)
	}
}

// The windows of the next records are those of the last ones, until that was wrong too often.
func TestAheadOfWindows(t *testing.T) {
	tb := newCells[Windowed[string]]()
	for i := range 100 {
		tb.add(Windowed[string]{strconv.Itoa(i), 60, 120})
	}
	learned := func(k string, start Time) int {
		task := &Task{sources: []source{{queue: []*Batch{{Records: []RawRecord{{Key: []byte(k)}}}}}}}
		tb.learn(&Tx{t: task}, Windowed[string]{k, start, start + 60})
		return len(task.sources[0].near)
	}
	if learned("7", 60) != 1 {
		t.Fatal("the table is not asked")
	}
	var cells [ahead]int32
	if n := tb.expect([]RawRecord{{Key: []byte("8")}, {Key: []byte("none")}, {Key: []byte("9")}}, &cells); n != 2 || cells[0] != 8 || cells[1] != 9 {
		t.Errorf("%v are expected, want 8 and 9", cells[:n])
	}
	for i := range oddMax + 1 {
		learned("7", Time(60*i))
	}
	if tb.guess.odd != oddMax {
		t.Errorf("%d wrong guesses, want the most: %d", tb.guess.odd, oddMax)
	}
	if learned("5", 60*oddMax); tb.guess.odd != 0 {
		t.Errorf("%d wrong guesses behind a right one", tb.guess.odd)
	}
}
