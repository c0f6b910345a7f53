package bench

import (
	"context"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/limpet"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// BenchmarkShell is the whole shell on kfake, exactly once, from the first record to the
// commit of the last: start-up, the broker's CPU and the final flush are in it. For the
// shell alone see shellvsloop.
func BenchmarkShell(b *testing.B) {
	for _, kind := range []string{workload.Passthrough, workload.Count} {
		b.Run(kind, func(b *testing.B) {
			c, err := cluster.InProcess()
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					b.Error(err)
				}
			}()
			w := &workload.Workload{Name: kind, Kind: kind, Records: b.N, Keys: 100_000, Zipf: 1.1, Value: 100, Partitions: 4, Seed: 1}
			filled, err := w.Fill(b.Context(), c, "in")
			if err == nil {
				err = c.Create(b.Context(), "out", w.Partitions, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
			ctx, done := context.WithTimeout(b.Context(), 5*time.Minute)
			defer done()
			total := int64(0)
			b.ResetTimer()
			cpu := measure.CPU()
			if err := limpet.Run(ctx, limpet.Config{
				Kind: kind, Brokers: c.Brokers, In: "in", Out: "out", App: "app", Partitions: w.Partitions,
				CommitEvery: 100 * time.Millisecond, StateDir: b.TempDir(),
				Committed: func(records, _ int64) {
					if total += records; total == int64(b.N) {
						done()
					}
				},
				Restored: func() {},
			}); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			reportCPU(b, cpu)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if err := filled.Check(b.Context(), c, "out"); err != nil {
				b.Fatal(err)
			}
		})
	}
}
