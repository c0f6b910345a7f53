package bench

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// bigState is a topology whose rows stay for an hour of the records' time, and then go.
type bigState struct {
	name  string
	build func(b *topology.Builder)
}

var bigStates = []bigState{
	{"tumbling", windows(topology.Tumbling(time.Hour), codec.Windowed(codec.Int64, time.Hour))},
	{"session", windows(topology.Session(time.Hour), codec.SessionWindowed(codec.Int64))},
	{"join", twoStreams(func(l, r ints) ints {
		return topology.JoinStreams(l, r, "op", topology.Within(time.Hour), addInt)
	})},
}

// stateRun runs a task on a store, record by record of keys that do not come again.
type stateRun struct {
	task  *core.Task
	db    statestore.DB
	store statestore.Store
	cp    statestore.Checkpoint
	keys  uint64
	at    core.Time
	batch core.Batch
	other []*core.Batch // of the other sources: nothing
	bytes []byte
}

const (
	stateRows  = 300_000
	stateCache = 4 << 20 // of the decoded rows of a table
	stateStore = 8 << 20 // write-back table
)

func newStateRun(tb testing.TB, s bigState, memory bool) *stateRun {
	tb.Helper()
	b := topology.New("state")
	s.build(b)
	sub := build(tb, b).Subtopologies()[0]
	var db statestore.DB = statestore.NewMemory()
	if !memory {
		var err error
		if db, err = statestore.OpenPebble(statestore.PebbleConfig{Dir: tb.TempDir(), App: "state", MemoryBytes: stateStore, CacheBytes: 4 << 20}); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	var specs []statestore.TableSpec
	for _, t := range sub.Tables {
		specs = append(specs, statestore.TableSpec{Name: t.Name, Schema: t.Schema, DueOf: t.DueOf})
	}
	r := &stateRun{cp: statestore.Checkpoint{Changelog: make([]core.Offset, len(specs)), Input: make([]core.Offset, len(sub.Sources))}}
	r.db = db
	var err error
	if r.store, err = db.Open(core.TaskID{}, specs); err != nil {
		tb.Fatal(err)
	}
	r.task = sub.NewTask(core.TaskConfig{View: r.store.View, CacheBytes: stateCache})
	for i := range sub.Sources[1:] {
		r.other = append(r.other, &core.Batch{Source: core.SourceID(i + 1), CaughtUp: true})
	}
	return r
}

// run runs n records of new keys, of times from r.at to r.at + d, and commits.
func (r *stateRun) run(tb testing.TB, n int, d core.Time) {
	tb.Helper()
	for left := n; left > 0; {
		size := min(left, 5000)
		left -= size
		r.batch.Records, r.bytes = r.batch.Records[:0], r.bytes[:0]
		if cap(r.bytes) < 8*size {
			r.bytes = make([]byte, 0, 8*size)
		}
		for range size {
			r.keys++
			key := r.bytes[len(r.bytes) : len(r.bytes)+8]
			r.bytes = binary.BigEndian.AppendUint64(r.bytes, r.keys*0x9E3779B97F4A7C15>>1)
			r.batch.Records = append(r.batch.Records, core.RawRecord{Key: key, Value: key, Time: r.at + d*core.Time(n-left-size)/core.Time(n), Offset: r.batch.Next})
			r.batch.Next++
		}
		r.batch.CaughtUp = true
		if err := r.task.Step(append(r.other, &r.batch)...); err != nil {
			tb.Fatal(err)
		}
		c, err := r.task.Ready()
		if err != nil {
			tb.Fatal(err)
		}
		if err := r.store.Apply(c.Writes, r.cp); err != nil {
			tb.Fatal(err)
		}
		r.task.Advance()
	}
	r.at += d
}

func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// passed is how many bytes the process has read from files and written to them, by Linux' count; zeros
// elsewhere.
func passed() (read, written int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err == nil {
		_, err = fmt.Sscanf(string(b), "rchar: %d\nwchar: %d", &read, &written)
	}
	if err != nil {
		return 0, 0
	}
	return read, written
}

var bigRows = flag.Int("state-rows", stateRows, "rows in the state of BenchmarkBigState")

// BenchmarkBigState is what a record costs that makes a row, and lets an old one go, with many more
// rows in the state than memory is allowed. MiB is the heap with all rows in the state, disk-MiB what the
// store takes on disk at the end; read and written are from and to files.
func BenchmarkBigState(b *testing.B) {
	rows := *bigRows
	for _, s := range bigStates {
		b.Run(s.name, func(b *testing.B) {
			r := newStateRun(b, s, false)
			hour := core.Ms(time.Hour)
			r.run(b, rows, hour)
			full := heap()
			b.ReportAllocs()
			b.ResetTimer()
			cpu := measure.CPU()
			read, written := passed()
			r.run(b, b.N, max(1, hour*core.Time(b.N)/core.Time(rows)))
			reportCPU(b, cpu)
			read2, written2 := passed()
			b.ReportMetric(float64(read2-read)/float64(b.N), "read-B/op")
			b.ReportMetric(float64(written2-written)/float64(b.N), "written-B/op")
			b.ReportMetric(float64(r.db.Metrics().Disk)/(1<<20), "disk-MiB")
			b.ReportMetric(float64(full)/(1<<20), "MiB")
		})
	}
}
