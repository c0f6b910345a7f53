package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// The rows of the store benchmarks: 16 bytes of key, 100 of value.
const (
	rowKey   = 16
	rowValue = 100
)

func openPebble(tb testing.TB) statestore.Store {
	tb.Helper()
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: tb.TempDir(), App: "bench"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	s, err := db.Open(core.TaskID{}, []statestore.TableSpec{{Name: "rows", Schema: "bytes -> bytes"}})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// keys draws from n keys, Zipf with exponent s or, with 0, each as often.
func keys(n int, s float64) func() uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	if s == 0 {
		return func() uint64 { return r.Uint64N(uint64(n)) }
	}
	z := rand.NewZipf(r, s, 1, uint64(n-1))
	return func() uint64 { return z.Uint64() * 0x9E3779B97F4A7C15 % uint64(n) }
}

func rowKeyOf(b []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, id*0x9E3779B97F4A7C15), id)
}

// BenchmarkStore is what a record costs a task's state, beside the overlay of decoded rows:
// read-modify-write reads a row and writes it again; apply only writes. A commit holds
// 10 000 records. Flushes to Pebble, and its compaction, are in the CPU time.
func BenchmarkStore(b *testing.B) {
	for _, c := range []struct {
		name string
		keys int
		zipf float64
		read bool
	}{
		{"rmw/1M-uniform", 1_000_000, 0, true},
		{"rmw/1M-zipf", 1_000_000, 1.1, true},
		{"apply/1M-uniform", 1_000_000, 0, false},
		{"apply/1M-zipf", 1_000_000, 1.1, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := openPebble(b)
			draw := keys(c.keys, c.zipf)
			view := s.View(0)
			const commit = 10_000
			writes := make([]core.Write, 0, commit)
			arena := make([]byte, 0, commit*(rowKey+rowValue))
			value, buf := make([]byte, rowValue), make([]byte, 0, rowValue)
			cp := statestore.Checkpoint{Changelog: []core.Offset{0}, Input: []core.Offset{0}}
			b.ReportAllocs()
			b.ResetTimer()
			cpu := measure.CPU()
			for range b.N {
				at := len(arena)
				arena = rowKeyOf(arena, draw())
				k := arena[at:]
				v := value
				if c.read {
					old, _, ok, err := view.Get(k, buf[:0])
					if err != nil {
						b.Fatal(err)
					}
					if ok {
						v = old
					}
				}
				at = len(arena)
				arena = append(arena, v...)
				binary.BigEndian.PutUint64(arena[at:], binary.BigEndian.Uint64(arena[at:])+1)
				writes = append(writes, core.Write{Key: k, Value: arena[at:], Time: 1})
				if len(writes) == commit {
					cp.Changelog[0] += commit
					cp.Input[0] += commit
					if err := s.Apply(writes, cp); err != nil {
						b.Fatal(err)
					}
					writes, arena = writes[:0], arena[:0]
				}
			}
			b.StopTimer()
			reportCPU(b, cpu)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRestore is a changelog of 1M keys that is read again, in batches as the shell
// makes them, until the rows are on disk.
func BenchmarkRestore(b *testing.B) {
	for _, c := range []struct {
		name string
		zipf float64
	}{{"1M-uniform", 0}, {"1M-zipf", 1.1}} {
		b.Run(c.name, func(b *testing.B) {
			s := openPebble(b)
			draw := keys(1_000_000, c.zipf)
			const size = 20_000
			writes := make([]core.Write, 0, size)
			arena := make([]byte, 0, size*(rowKey+rowValue))
			value := make([]byte, rowValue)
			cp := statestore.Checkpoint{Changelog: []core.Offset{0}}
			s.Bulk(true)
			b.ResetTimer()
			cpu := measure.CPU()
			for n := range b.N {
				at := len(arena)
				arena = append(rowKeyOf(arena, draw()), value...)
				k := at + rowKey
				writes = append(writes, core.Write{Key: arena[at:k:k], Value: arena[k:], Time: 1})
				if len(writes) == size || n == b.N-1 {
					cp.Changelog[0] += core.Offset(len(writes))
					if err := s.Apply(writes, cp); err != nil {
						b.Fatal(err)
					}
					writes, arena = writes[:0], arena[:0]
				}
			}
			s.Bulk(false)
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			reportCPU(b, cpu)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
