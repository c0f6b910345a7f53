package bench

import (
	"testing"

	"github.com/reugn/go-streams"
	"github.com/reugn/go-streams/flow"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/core"
)

// BenchmarkHop is a source, a stage of go-streams that passes on, and a sink: two hops. It
// is why the elements of the shell's stages are batches.
func BenchmarkHop(b *testing.B) {
	for _, size := range []int{1, batchRecords} {
		b.Run(count(size), func(b *testing.B) {
			b.ReportAllocs()
			cpu := measure.CPU()
			src := &hopSource{out: make(chan any)}
			sink := &hopSink{in: make(chan any), done: make(chan int)}
			go src.run(b.N, size)
			go sink.run()
			src.Via(flow.NewPassThrough()).To(sink)
			if n := <-sink.done; n < b.N {
				b.Fatalf("%d of %d records came through", n, b.N)
			}
			reportCPU(b, cpu)
		})
	}
}

type hopSource struct{ out chan any }

func (s *hopSource) Out() <-chan any { return s.out }

func (s *hopSource) Via(f streams.Flow) streams.Flow {
	go func() {
		for e := range s.out {
			f.In() <- e
		}
		close(f.In())
	}()
	return f
}

// run sends records as batches of a size, each a new one, as a fetch makes them.
func (s *hopSource) run(records, size int) {
	rs := make([]core.RawRecord, size)
	for n := 0; n < records; n += size {
		s.out <- &core.Batch{Records: rs}
	}
	close(s.out)
}

type hopSink struct {
	in   chan any
	done chan int
}

func (s *hopSink) In() chan<- any   { return s.in }
func (s *hopSink) AwaitCompletion() {}

func (s *hopSink) run() {
	n := 0
	for e := range s.in {
		n += len(e.(*core.Batch).Records)
	}
	s.done <- n
}
