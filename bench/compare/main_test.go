package main

import (
	"maps"
	"slices"
	"testing"
)

const results = `goos: linux
pkg: github.com/seed-81380e12/limpet/bench
BenchmarkStep/fixed/100-4       	  200000	       172.6 ns/op	         0 cpu-ns/op	       0 B/op	       0 allocs/op
BenchmarkStep/json/100-4        	  200000	      1534 ns/op	      1440 cpu-ns/op	     256 B/op	       8 allocs/op
BenchmarkStep/json/100-4        	  200000	      1534 ns/op	      1440 cpu-ns/op	     256 B/op	       7 allocs/op
BenchmarkOperators/Join/Wait,_with_a_row-16         	  100000	        95.00 ns/op	       0 B/op	       0 allocs/op
PASS
`

func TestAllocations(t *testing.T) {
	want := map[string]int64{"BenchmarkStep/fixed/100": 0, "BenchmarkStep/json/100": 7, "BenchmarkOperators/Join/Wait,_with_a_row": 0}
	if got := allocations(results); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMore(t *testing.T) {
	old := map[string]int64{"same": 2, "less": 2, "more": 0, "gone": 0}
	now := map[string]int64{"same": 2, "less": 1, "more": 1, "new": 0, "new one that allocates": 3}
	want := []string{"  more: 1 allocations, 0 before", "  new one that allocates: 3 allocations, 0 before"}
	if got := more(old, now); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := gone(old, now); !slices.Equal(got, []string{"  gone"}) {
		t.Errorf("%q are gone", got)
	}
	if got := gone(old, old); len(got) > 0 {
		t.Errorf("%q are gone, of the same results", got)
	}
	if got := more(now, now); len(got) > 0 {
		t.Errorf("%q, of the same results", got)
	}
}
