package measure

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestBetween(t *testing.T) {
	marks := []Mark{
		{Records: 10, CPU: 10, Wall: 1},
		{Records: 25, CPU: 20, Wall: 2, Flushes: 1},
		{Records: 60, CPU: 50, Wall: 3, Flushes: 1},
		{Records: 100, CPU: 95, Wall: 5, Flushes: 4},
	}
	got, ok := Between(marks, 20, 100)
	want := Part{Records: 75, CPU: 75, Wall: 3, Commits: 2, Flushes: 3}
	if !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	if got.PerRecord() != 1 {
		t.Errorf("per record: %v, want 1ns", got.PerRecord())
	}
	if _, ok := Between(marks, 20, 101); ok {
		t.Error("a run that never came to its end was measured")
	}
	if _, ok := Between(marks[3:], 20, 100); ok {
		t.Error("a run of one commit was measured")
	}
}

func TestQuantiles(t *testing.T) {
	s := Sample{5, 1, 3}
	if s.Median() != 3 || s.Quantile(0.25) != 2 || s.Quantile(1) != 5 || s.Spread("%.0f") != "1..5" {
		t.Errorf("median %v, quartile %v, max %v, spread %s", s.Median(), s.Quantile(0.25), s.Quantile(1), s.Spread("%.0f"))
	}
	if (Sample{}).Median() != 0 || (Durations{}).Quantile(0.5) != 0 {
		t.Error("nothing measured is not 0")
	}
	d := make(Durations, 1000)
	for i := range d {
		d[i] = time.Duration(1000 - i)
	}
	if d.Quantile(0.5) != 501 || d.Quantile(0.99) != 991 || d.Quantile(1) != 1000 {
		t.Errorf("p50 %d, p99 %d, max %d", d.Quantile(0.5), d.Quantile(0.99), d.Quantile(1))
	}
}

func TestProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("known on Linux only")
	}
	for ProcessCPU(os.Getpid()) == 0 {
		Kernel()
	}
	if own, seen := CPU(), ProcessCPU(os.Getpid()); own < seen-20*time.Millisecond || own > seen+time.Second {
		t.Errorf("own CPU %v, as seen from outside %v", own, seen)
	}
	if PeakRSS() < 1<<20 {
		t.Errorf("peak of %d bytes", PeakRSS())
	}
}

// What other goroutines do meanwhile is not the kernel's.
func TestKernelIsOfOneThread(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are told apart on Linux only")
	}
	var stop atomic.Bool
	defer stop.Store(true)
	for range 2 {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	before, took := CPU(), time.Duration(0)
	for range 20 {
		took += Kernel()
	}
	if all := CPU() - before; took > all*4/5 {
		t.Errorf("%v are the kernel's, of %v with two that spin", took, all)
	}
}
