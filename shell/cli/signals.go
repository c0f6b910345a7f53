package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// sameSignal is within which the same signal again is taken for the first one: timeout(1)
// and some supervisors signal the process and then its group.
const sameSignal = 300 * time.Millisecond

// interruptible returns a context that the first SIGINT or SIGTERM ends. The second
// ends the process, however far it is: what it leaves is what a crash would leave.
func interruptible(parent context.Context, errs io.Writer) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first os.Signal
		var at time.Time
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				switch {
				case first == nil:
					first, at = s, time.Now()
					cancel()
				case s != first || time.Since(at) > sameSignal:
					fmt.Fprintln(errs, "aborted")
					os.Exit(exitFailure)
				}
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
		cancel()
	})
}
