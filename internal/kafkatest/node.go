package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	brokerClass  = "kafka.Kafka"
	storageClass = "kafka.tools.StorageTool"

	stopMax   = 30 * time.Second // a clean stop takes 1-2 s
	tailLines = 40
)

// Node is one broker and controller.
//
//	        Start             Pause
//	down ----------> running --------> paused
//	  ^                | ^              |  |
//	  |  Kill, Stop    | |    Resume    |  |
//	  +----------------+ +--------------+  |
//	  +------------------------------------+ Kill, Stop
//
// A method that finds its node in another state says so and does nothing. None
// waits for the cluster to notice: WaitReady does.
type Node struct {
	id   int
	addr string
	dir  string // server.properties, data/, log
	dist dist

	mu     sync.Mutex // guards what follows
	proc   *process   // nil: down
	paused bool
}

// process is a started JVM. err may be read once done is closed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Addr is where clients reach the node; it stays the same over restarts.
func (n *Node) Addr() string { return n.addr }

// ID is Kafka's node id, counted from 1: what metadata calls a leader or a replica.
func (n *Node) ID() int { return n.id }

// PID of the node's process; 0 when it is down.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return 0
	}
	return n.proc.cmd.Process.Pid
}

// Log is the file with what the node printed, over all its starts.
func (n *Node) Log() string { return filepath.Join(n.dir, "log") }

// Start starts a node that is down, with its old ports and data. After a kill
// Kafka lets it in only when its old session has ended (9 s with three nodes, 3 s
// with one).
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil && !n.proc.ended() {
		return n.errorf("start: it runs")
	}
	log, err := os.OpenFile(n.Log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return n.errorf("start: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own copy
	// Its life is ours to end, not a context's.
	cmd := n.dist.command(context.Background(), n.dir, brokerClass, propertiesFile)
	cmd.Stdout, cmd.Stderr = log, log
	n.proc, err = launch(cmd)
	if err != nil {
		return n.errorf("start: %w", err)
	}
	n.paused = false
	return nil
}

// launch starts cmd and waits for it on a thread of its own: Linux sends a
// child's death signal when the thread that forked it ends, and Go ends threads.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// output runs cmd to its end and returns what it printed.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	<-p.done
	return out.Bytes(), p.err
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the node at once (SIGKILL): nothing is said to anyone, nothing is
// flushed. It returns when the process is gone.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.up("kill"); err != nil {
		return err
	}
	return n.kill()
}

// kill ends whatever runs. n.mu is held.
func (n *Node) kill() error {
	if n.proc == nil {
		return nil
	}
	if err := n.proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return n.errorf("kill: %w", err)
	}
	<-n.proc.done
	n.proc, n.paused = nil, false
	return nil
}

// Stop ends the node the clean way (SIGTERM): leaders move, logs are flushed. It
// returns when the process is gone; one that is not after 30 s is killed, and
// the error says so (the last nodes of a cluster may wait for a quorum that has
// stopped before them).
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.up("stop"); err != nil {
		return err
	}
	if err := n.proc.cmd.Process.Signal(sigTerm); err != nil {
		return n.errorf("stop: %w", err)
	}
	if n.paused { // else it would not see the signal
		if err := n.proc.cmd.Process.Signal(sigCont); err != nil {
			return n.errorf("stop: %w", err)
		}
	}
	select {
	case <-n.proc.done:
		n.proc, n.paused = nil, false
		return nil
	case <-time.After(stopMax):
		return errors.Join(n.errorf("stop: still there after %s, killed", stopMax), n.kill())
	}
}

// Pause freezes the node (SIGSTOP): its connections stay open and silent.
func (n *Node) Pause() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.up("pause"); err != nil {
		return err
	}
	if n.paused {
		return n.errorf("pause: it is paused")
	}
	if err := n.proc.cmd.Process.Signal(sigPause); err != nil {
		return n.errorf("pause: %w", err)
	}
	n.paused = true
	return nil
}

// Resume lets a paused node go on (SIGCONT).
func (n *Node) Resume() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.up("resume"); err != nil {
		return err
	}
	if !n.paused {
		return n.errorf("resume: it is not paused")
	}
	if err := n.proc.cmd.Process.Signal(sigCont); err != nil {
		return n.errorf("resume: %w", err)
	}
	n.paused = false
	return nil
}

// up is an error unless the node's process is there. n.mu is held.
func (n *Node) up(verb string) error {
	if n.proc == nil {
		return n.errorf("%s: it is down", verb)
	}
	if n.proc.ended() {
		return n.errorf("%s: it ended on its own: %w", verb, n.proc.exit())
	}
	return nil
}

// serves tells whether the node should answer now. A node that ended without
// being told to is an error.
func (n *Node) serves() (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil || n.paused {
		return false, nil
	}
	if n.proc.ended() {
		return false, n.errorf("it ended on its own: %w", n.proc.exit())
	}
	return true, nil
}

func (p *process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// format writes server.properties, and the node's metadata unless it has some.
func (n *Node) format(ctx context.Context, clusterID, properties string, args []string) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return n.errorf("%w", err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, propertiesFile), []byte(properties), 0o644); err != nil {
		return n.errorf("%w", err)
	}
	if _, err := os.Stat(filepath.Join(n.dir, dataDir, "meta.properties")); err == nil {
		return nil
	}
	cmd := n.dist.command(ctx, n.dir, storageClass, append([]string{"format", "-t", clusterID, "-c", propertiesFile}, args...)...)
	if out, err := output(cmd); err != nil {
		return n.errorf("format: %w\n%s", err, tail(out, tailLines))
	}
	return nil
}

// logTail is the end of what the node printed, for a report.
func (n *Node) logTail() string {
	text, err := os.ReadFile(n.Log())
	if err != nil {
		return fmt.Sprintf("node %d: %v", n.id, err)
	}
	return fmt.Sprintf("node %d, the end of its log:\n%s", n.id, tail(text, tailLines))
}

// tail is the last lines of text.
func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (n *Node) errorf(format string, args ...any) error {
	return fmt.Errorf("kafkatest: node %d: "+format, append([]any{n.id}, args...)...)
}
