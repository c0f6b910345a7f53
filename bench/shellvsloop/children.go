package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/limpet"
	"github.com/seed-81380e12/limpet/bench/internal/loop"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

// The contenders, each a role of a child process.
const (
	loopRole   = "loop"
	limpetRole = "limpet"
)

// job is what a contender is told to do.
type job struct {
	Kind       string
	Brokers    []string
	In, Out    string
	App        string
	Partitions int32
	Records    int64 // after so many it stops; 0: when it has restored its state
	Every      time.Duration
	StateDir   string
	Memory     int64
	Flush      int
	Profile    string // file for a CPU profile of the measured part
}

// report is what a contender tells at its end.
type report struct {
	Marks   []measure.Mark
	Stopped time.Duration // CPU when it had stopped
	PeakRSS int64
	Restore time.Duration // on the clock, from the beginning until the state was there
	RestCPU time.Duration // CPU until then
}

// worker is what the two children have in common: they work until their job is done.
type worker struct {
	job
	report
	marks *measure.Marks
	done  context.CancelFunc
	prof  *os.File
}

// warm is the part of a run that is not measured.
const warm = 0.2

func newWorker(args []string, done context.CancelFunc) (*worker, error) {
	w := &worker{marks: measure.NewMarks(), done: done}
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	return w, json.Unmarshal([]byte(args[0]), &w.job)
}

// committed is called after each commit.
func (w *worker) committed(records, flushes int64) {
	total := w.marks.Add(records, flushes)
	if w.Profile != "" && w.prof == nil && total >= int64(warm*float64(w.Records)) {
		f, err := os.Create(w.Profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		w.prof = f
	}
	if w.Records > 0 && total >= w.Records {
		if w.prof != nil {
			pprof.StopCPUProfile()
			_ = w.prof.Close() // a profile cut short is seen when it is read
		}
		w.done()
	}
}

// restored is called when the state is there.
func (w *worker) restored() {
	w.Restore, w.RestCPU = w.marks.Since(), measure.CPU()
	if w.Records == 0 {
		w.done()
	}
}

func (w *worker) end(say func(any) error, err error) error {
	if err != nil {
		return err
	}
	w.report.Marks, w.Stopped, w.PeakRSS = w.marks.List(), measure.CPU(), measure.PeakRSS()
	return say(w.report)
}

func loopChild(ctx context.Context, args []string, say func(any) error) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	w, err := newWorker(args, done)
	if err != nil {
		return err
	}
	err = loop.Run(ctx, loop.Config{
		Kind: w.Kind, Brokers: w.Brokers, In: w.In, Out: w.Out, App: w.App, Partitions: w.Partitions, CommitEvery: w.Every,
		Committed: func(n int64) { w.committed(n, 0) },
		Restored:  w.restored,
	})
	return w.end(say, err)
}

func limpetChild(ctx context.Context, args []string, say func(any) error) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	w, err := newWorker(args, done)
	if err != nil {
		return err
	}
	err = limpet.Run(ctx, limpet.Config{
		Kind: w.Kind, Brokers: w.Brokers, In: w.In, Out: w.Out, App: w.App, Partitions: w.Partitions, CommitEvery: w.Every,
		StateDir: w.StateDir, Memory: w.Memory, FlushRecords: w.Flush,
		Committed: w.committed,
		Restored:  w.restored,
	})
	return w.end(say, err)
}
