package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
)

// worker is the topology at work.
type worker interface {
	// done gets the one error that the worker ends with.
	done() <-chan error
	// calm ends the crashes.
	calm()
	// stop asks it to end in good order.
	stop()
	crashes() int64
}

// start starts a worker for each topology.
func (s *show) start() (worker, error) {
	var ws workers
	for i, plan := range s.plans {
		w, err := s.startOne(i, plan)
		if err != nil {
			ws.stop()
			return nil, errors.Join(err, <-ws.done())
		}
		ws = append(ws, w)
	}
	if len(ws) == 1 {
		return ws[0], nil
	}
	return &together{workers: ws, ended: ws.done()}, nil
}

// lateAfter is when topologies start that come late.
const lateAfter = 2 * time.Second

func (s *show) startOne(i int, plan *topology.Plan) (worker, error) {
	if late := i - (len(s.plans) - s.late); late >= 0 {
		return startLate(lateAfter, func() (worker, error) { return s.startNow(i, plan) }), nil
	}
	return s.startNow(i, plan)
}

func (s *show) startNow(i int, plan *topology.Plan) (worker, error) {
	dir := s.o.StateDir
	if len(s.plans) > 1 {
		dir = filepath.Join(dir, plan.Name())
	}
	if s.o.CrashEvery > 0 {
		// Each is killed that often, one after the other.
		first := s.o.CrashEvery * time.Duration(i+1) / time.Duration(len(s.plans))
		return startChild(plan.Name(), dir, s.broker, s.o, first, s.view), nil
	}
	if s.o.Memory {
		dir = ""
	}
	return startHere(plan, s.broker, dir, s.log)
}

// late is a worker that is not there at first.
type late struct {
	ended        chan error
	quiet        chan struct{}
	stopping     chan struct{}
	now          atomic.Pointer[worker]
	calmO, stopO func()
}

func startLate(after time.Duration, start func() (worker, error)) worker {
	l := &late{ended: make(chan error, 1), quiet: make(chan struct{}), stopping: make(chan struct{})}
	l.calmO, l.stopO = sync.OnceFunc(func() { close(l.quiet) }), sync.OnceFunc(func() { close(l.stopping) })
	go func() {
		quiet := l.quiet
		select {
		case <-time.After(after):
		case <-quiet: // the demo comes to its end: high time
		case <-l.stopping:
			l.ended <- nil
			return
		}
		w, err := start()
		if err != nil {
			l.ended <- err
			return
		}
		l.now.Store(&w)
		for stopping := l.stopping; ; {
			select {
			case <-quiet:
				w.calm()
				quiet = nil
			case <-stopping:
				w.stop()
				stopping = nil
			case err := <-w.done():
				l.ended <- err
				return
			}
		}
	}()
	return l
}

func (l *late) done() <-chan error { return l.ended }
func (l *late) calm()              { l.calmO() }
func (l *late) stop()              { l.stopO() }

func (l *late) crashes() int64 {
	if w := l.now.Load(); w != nil {
		return (*w).crashes()
	}
	return 0
}

// workers are one worker: when one ends, all are ended.
type workers []worker

// together is workers whose end is waited for.
type together struct {
	workers
	ended <-chan error
}

func (t *together) done() <-chan error { return t.ended }

// done starts to wait for all of them.
func (ws workers) done() <-chan error {
	each, all := make(chan error, len(ws)), make(chan error, 1)
	for _, w := range ws {
		go func() { each <- <-w.done() }()
	}
	go func() {
		var errs []error
		for range ws {
			errs = append(errs, <-each)
			ws.stop()
		}
		all <- errors.Join(errs...)
	}()
	return all
}

func (ws workers) calm() {
	for _, w := range ws {
		w.calm()
	}
}

func (ws workers) stop() {
	for _, w := range ws {
		w.stop()
	}
}

func (ws workers) crashes() (n int64) {
	for _, w := range ws {
		n += w.crashes()
	}
	return n
}

// here is a worker in this process.
type here struct {
	ended  chan error
	cancel context.CancelFunc
}

func startHere(plan *topology.Plan, b *broker, stateDir string, log *slog.Logger) (worker, error) {
	ctx, cancel := context.WithCancel(context.Background())
	kb, err := kafka.Open(ctx, kafka.Config{Brokers: []string{b.addr}, Logger: log})
	if err != nil {
		cancel()
		return nil, err
	}
	w := &here{ended: make(chan error, 1), cancel: cancel}
	go func() {
		err := shell.Run(ctx, plan, shell.Config{Broker: kb, StateDir: stateDir, Logger: log})
		w.ended <- errors.Join(err, kb.Close())
	}()
	return w, nil
}

func (w *here) done() <-chan error { return w.ended }
func (w *here) calm()              {}
func (w *here) stop()              { w.cancel() }
func (w *here) crashes() int64     { return 0 }

// child is a worker in a process of its own, killed now and then, in the middle of a
// commit, and started again at once.
type child struct {
	command  func() *exec.Cmd
	moment   func()
	first    time.Duration // when it is killed for the first time
	every    time.Duration
	ended    chan error
	quiet    chan struct{}
	stopping chan struct{}
	killed   atomic.Int64
	last     lastLines
	calmOnce func()
	stopOnce func()
}

// stopWithin is how long a worker may take to end in good order.
const stopWithin = 40 * time.Second

func startChild(name, stateDir string, b *broker, o cli.DemoOptions, first time.Duration, logs io.Writer) worker {
	w := &child{first: first, every: o.CrashEvery, moment: b.midCommit, ended: make(chan error, 1), quiet: make(chan struct{}), stopping: make(chan struct{})}
	w.calmOnce, w.stopOnce = sync.OnceFunc(func() { close(w.quiet) }), sync.OnceFunc(func() { close(w.stopping) })
	w.command = func() *exec.Cmd {
		cmd := exec.Command(o.Program, "run", name, "--brokers", b.addr, "--state-dir", stateDir, "--log-level", o.LogLevel)
		cmd.Stderr = io.MultiWriter(logs, &w.last)
		for _, e := range os.Environ() { // the settings of somebody's real Kafka are not for us
			if !strings.HasPrefix(e, "LIMPET_") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		detach(cmd)
		return cmd
	}
	go func() {
		// The system kills the child when the thread that started it ends: ours stays.
		runtime.LockOSThread()
		w.ended <- w.supervise()
	}()
	return w
}

func (w *child) done() <-chan error { return w.ended }
func (w *child) calm()              { w.calmOnce() }
func (w *child) stop()              { w.stopOnce() }
func (w *child) crashes() int64     { return w.killed.Load() }

func (w *child) supervise() error {
	for after := w.first; ; after = w.every {
		cmd := w.command()
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting the worker: %w", err)
		}
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		crash := time.NewTimer(after)
		select {
		case <-crash.C:
			w.moment() // the worst one: what is killed now leaves a transaction open
			_ = cmd.Process.Kill()
			if err := <-exited; err == nil {
				return w.died(err)
			}
			w.killed.Add(1)
			continue
		case err := <-exited:
			return w.died(err)
		case <-w.stopping:
		case <-w.quiet:
		}
		crash.Stop()
		select {
		case err := <-exited:
			return w.died(err)
		case <-w.stopping:
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-exited:
			// One that was started a moment ago has no handler for the signal yet, and has done nothing.
			if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || ok && s.Signaled() && s.Signal() == syscall.SIGTERM {
				return nil
			}
			return w.died(err)
		case <-time.After(stopWithin):
			_ = cmd.Process.Kill()
			return fmt.Errorf("the worker did not stop within %v", stopWithin)
		}
	}
}

func (w *child) died(err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("the worker ended by itself: %w\n%s", err, w.last.String())
}

// lastLines keeps the end of what is written to it.
type lastLines struct {
	mu  sync.Mutex
	buf []byte
}

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if n := len(l.buf) - 4096; n > 0 {
		l.buf = bytes.Clone(l.buf[n:])
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.buf))
}
