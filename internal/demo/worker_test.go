//go:build unix

package demo

import (
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A worker that is stopped while it starts ends by the signal: that is a good end.
// One that has a handler, and fails, has failed.
func TestStoppedChild(t *testing.T) {
	for _, c := range []struct {
		name, script string
		ends, fails  bool // by itself; with an error
	}{
		{"before it has a handler", "echo up; exec sleep 60", false, false},
		{"and fails", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done", false, true},
		{"having ended", "echo up; exit 0", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := make(signalled)
			w := &child{first: time.Hour, quiet: make(chan struct{}), stopping: make(chan struct{})}
			w.stopOnce = sync.OnceFunc(func() { close(w.stopping) })
			w.command = func() *exec.Cmd {
				cmd := exec.Command("sh", "-c", c.script)
				cmd.Stdout = up
				return cmd
			}
			ended := make(chan error, 1)
			go func() { ended <- w.supervise() }()
			<-up
			if !c.ends {
				w.stop()
			}
			if err := <-ended; (err != nil) != c.fails {
				t.Errorf("got %v", err)
			}
		})
	}
}

// signalled is closed when something is written to it.
type signalled chan struct{}

func (s signalled) Write(p []byte) (int, error) {
	close(s)
	return len(p), nil
}
