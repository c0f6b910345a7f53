package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds a program of the repository.
func build(t *testing.T, pkg string, flags ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", bin, pkg)...)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// proc is a process that is started again when it ends by itself.
//
// Its methods are for one goroutine; what it ended of may be read by others.
type proc struct {
	t     *testing.T
	name  string
	bin   string
	args  []string
	env   []string
	dir   string // of its state
	log   string
	ended func(p *proc, code int, last string) // told of each end that nobody asked for

	mu     sync.Mutex // guards what follows
	run    *running   // nil: it is down
	wanted bool
}

// running is one life of a proc. code may be read once done is closed.
type running struct {
	cmd  *exec.Cmd
	done chan struct{}
	code int
}

func (p *proc) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	p.launch()
}

// launch starts the process on a thread of its own, which lives as long: Linux sends a
// child's death signal when the thread that forked it ends. mu is held.
func (p *proc) launch() {
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Error(err)
		return
	}
	fmt.Fprintf(log, "--- start %s\n", time.Now().Format("15:04:05.000"))
	r := &running{cmd: exec.Command(p.bin, p.args...), done: make(chan struct{})}
	r.cmd.Stderr, r.cmd.Env = log, append(os.Environ(), p.env...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = r.cmd.Wait()
		_ = log.Close()
		r.code = r.cmd.ProcessState.ExitCode()
		close(r.done)
		p.again(r)
	}()
	if err := <-started; err != nil {
		_ = log.Close()
		p.t.Error(err)
		return
	}
	p.run = r
}

// again starts the process once more where it has ended by itself.
func (p *proc) again(r *running) {
	p.mu.Lock()
	asked := !p.wanted || p.run != r
	p.mu.Unlock()
	if asked {
		return
	}
	p.ended(p, r.code, lastError(p.log))
	time.Sleep(500 * time.Millisecond) // as a supervisor would
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.run == r {
		p.launch()
	}
}

// down says that the process is to be down from now on, and gives its last life.
func (p *proc) down() *running {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.run
	p.wanted, p.run = false, nil
	return r
}

// kill ends the process with -9.
func (p *proc) kill() {
	if r := p.down(); r != nil {
		_ = r.cmd.Process.Kill()
		<-r.done
	}
}

// stop ends the process with SIGTERM, and says how long that took and with which code.
// One that is still there after a minute is ended otherwise.
func (p *proc) stop() (took time.Duration, code int) {
	r := p.down()
	if r == nil {
		return 0, 0
	}
	began := time.Now()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		p.t.Errorf("%s: is there a minute after SIGTERM: ended with SIGQUIT", p.name)
		_ = r.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to its log
		<-r.done
	}
	return time.Since(began), r.code
}

// mayEnd says that the process is not to be started again when it ends by itself.
func (p *proc) mayEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
}

// wait waits until the process has ended by itself.
func (p *proc) wait(most time.Duration) (code int, err error) {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	select {
	case <-r.done:
		return r.code, nil
	case <-time.After(most):
		return 0, errors.New("it still runs")
	}
}

func (p *proc) signal(s os.Signal) {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r != nil {
		_ = r.cmd.Process.Signal(s) // it may have ended by itself
	}
}

// lastError is the last thing in a log that explains an end.
func lastError(log string) string {
	b, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= max(0, len(lines)-200) && !strings.HasPrefix(lines[i], "--- start "); i-- {
		if l := lines[i]; strings.HasPrefix(l, "Error") || strings.Contains(l, "level=ERROR") || strings.HasPrefix(l, "panic") || strings.HasPrefix(l, "fatal error") {
			return l
		}
	}
	return lines[len(lines)-1]
}

func lastOf(s string, n int) string { return s[max(0, len(s)-n):] }
