package bench

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// countTask is a task that counts per key, on a part of the store.
type countTask struct {
	task  *core.Task
	store statestore.Store
	cp    statestore.Checkpoint
	batch core.Batch
	bytes []byte
}

const (
	countTasks = 4
	countCache = 128 << 20 // as shell has it for all of them
	countPiece = 256       // records of a Step
	countRound = 10_000    // records of a task in a commit
)

func newCountTasks(tb testing.TB) (tasks []*countTask) {
	tb.Helper()
	b := topology.New("count")
	topology.Count(topology.NewTopic("in", codec.String, codec.Bytes).Stream(b), "counts").To(topology.NewTopic("out", codec.String, codec.Int64))
	sub := build(tb, b).Subtopologies()[0]
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: tb.TempDir(), App: "count"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	for p := range countTasks {
		t := &countTask{cp: statestore.Checkpoint{Changelog: make([]core.Offset, 1), Input: make([]core.Offset, 1)}}
		id := core.TaskID{Partition: int32(p)}
		if t.store, err = db.Open(id, []statestore.TableSpec{{Name: sub.Tables[0].Name, Schema: sub.Tables[0].Schema}}); err != nil {
			tb.Fatal(err)
		}
		t.task = sub.NewTask(core.TaskConfig{ID: id, View: t.store.View, CacheBytes: countCache / countTasks})
		tasks = append(tasks, t)
	}
	return tasks
}

// round steps n records of drawn keys and commits them.
func (t *countTask) round(tb testing.TB, n int, draw func() uint64) {
	tb.Helper()
	for n > 0 {
		size := min(n, countPiece)
		n -= size
		t.batch.Records, t.bytes = t.batch.Records[:0], t.bytes[:0]
		if cap(t.bytes) == 0 {
			t.bytes = make([]byte, 0, rowKey*countPiece)
		}
		for range size {
			at := len(t.bytes)
			t.bytes = rowKeyOf(t.bytes, draw())
			t.batch.Records = append(t.batch.Records, core.RawRecord{Key: t.bytes[at:], Value: t.bytes[at:], Time: 1, Offset: t.batch.Next})
			t.batch.Next++
		}
		t.batch.CaughtUp = true
		if err := t.task.Step(&t.batch); err != nil {
			tb.Fatal(err)
		}
	}
	c, err := t.task.Ready()
	if err != nil {
		tb.Fatal(err)
	}
	t.cp.Changelog[0] += core.Offset(len(c.Writes))
	t.cp.Input[0] = t.batch.Next
	if err := t.store.Apply(c.Writes, t.cp); err != nil {
		tb.Fatal(err)
	}
	t.task.Advance()
}

// BenchmarkCount is what a record of a count costs without Kafka: Step, Ready, Apply, and the
// flushes to Pebble in the CPU time. Most keys have a row when it begins.
func BenchmarkCount(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		for _, zipf := range []float64{0, 1.1} {
			b.Run(fmt.Sprintf("%s/zipf=%v", count(n), zipf), func(b *testing.B) {
				tasks := newCountTasks(b)
				draw := keys(n/countTasks, zipf)
				for range max(2, n/countTasks/countRound) {
					for _, t := range tasks {
						t.round(b, countRound, draw)
					}
				}
				b.ReportAllocs()
				b.ResetTimer()
				cpu := measure.CPU()
				for left := b.N; left > 0; {
					for _, t := range tasks {
						t.round(b, min(left, countRound), draw)
						if left -= countRound; left <= 0 {
							break
						}
					}
				}
				reportCPU(b, cpu)
			})
		}
	}
}
