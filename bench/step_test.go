package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/topology"
)

// The records of a batch, and of the batches of a commit.
const (
	batchRecords  = 500
	commitBatches = 20
)

// BenchmarkStep is a record's way through the email topology: decode the order, join it
// with its customer, encode the email; and its share of a commit each 10 000 records.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name    string
		plan    func(testing.TB) *topology.Plan
		content content
	}{{"fixed", fixedPlan, fixedContent}, {"json", jsonPlan, jsonContent}} {
		b.Run(c.name, func(b *testing.B) {
			for _, customers := range []int{100, 10_000, 200_000} {
				b.Run(count(customers), func(b *testing.B) {
					j := newJoinTask(b, c.plan(b), c.content, customers, batchRecords)
					warm(b, j)
					b.ReportAllocs()
					b.ResetTimer()
					cpu := measure.CPU()
					for n := 0; n < b.N; {
						for range commitBatches {
							j.step(b)
							n += batchRecords
						}
						j.commit(b)
					}
					reportCPU(b, cpu)
				})
			}
		})
	}
}

func warm(tb testing.TB, j *joinTask) {
	for range 4 { // both commits grow to their size
		for range commitBatches {
			j.step(tb)
		}
		j.commit(tb)
	}
}

// reportCPU reports the CPU time per op since began, of all threads.
func reportCPU(b *testing.B, began time.Duration) {
	b.ReportMetric(float64((measure.CPU()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// A warm Step allocates nothing, apart from what codecs and user functions do.
func TestStepAllocatesNothing(t *testing.T) {
	j := newJoinTask(t, fixedPlan(t), fixedContent, 1000, batchRecords)
	warm(t, j)
	if n := testing.AllocsPerRun(20, func() {
		for range commitBatches {
			j.step(t)
		}
		j.commit(t)
	}); n != 0 {
		t.Errorf("%v allocations in %d records and a commit, want none", n, commitBatches*batchRecords)
	}
}

// The goal is 150 ns a record. On a busy machine, or with the race detector, only its
// order of magnitude can be held: the least of many tries, below ten times the goal.
func TestStepTakesNanoseconds(t *testing.T) {
	const limit = 1500 * time.Nanosecond
	j := newJoinTask(t, fixedPlan(t), fixedContent, 1000, batchRecords)
	warm(t, j)
	least := time.Hour
	for range 50 {
		began := time.Now()
		j.step(t)
		least = min(least, time.Since(began)/batchRecords)
		j.commit(t)
	}
	t.Logf("%v a record", least)
	if least > limit && !raceEnabled {
		t.Errorf("%v a record, want less than %v", least, limit)
	}
}

// count names a number of things: 10k, 1M.
func count(n int) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%dM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%dk", n/1e3)
	}
	return fmt.Sprint(n)
}
