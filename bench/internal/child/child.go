package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// env names the role that a process has.
const env = "LIMPET_BENCH_ROLE"

// Func is what a child does. ctx ends when the parent wants it to stop.
type Func func(ctx context.Context, args []string, say func(any) error) error

// Main does f and exits where this process is a child with that role. In any other it
// returns at once.
func Main(role string, f Func) {
	if os.Getenv(env) != role {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := f(ctx, os.Args[1:], json.NewEncoder(os.Stdout).Encode); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Process is a running child.
type Process struct {
	role string
	cmd  *exec.Cmd
	life io.Closer
	says *json.Decoder
	done chan struct{} // closed when it has ended
	err  error
}

// stopWithin is how long a child may take to stop before it is killed.
const stopWithin = 40 * time.Second

// Start starts a child.
func Start(role string, args ...string) (*Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), env+"="+role)
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it under the reader's hands.
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p := &Process{role: role, cmd: cmd, life: life, says: json.NewDecoder(out), done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Hear waits for the next thing that the child says.
func (p *Process) Hear(v any) error {
	if err := p.says.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			<-p.done
			return fmt.Errorf("%s ended early: %w", p.role, errors.Join(err, p.err))
		}
		return fmt.Errorf("%s: %w", p.role, err)
	}
	return nil
}

// Stop asks the child to stop and waits until it has. What it still wants to say is lost:
// Hear it first.
func (p *Process) Stop() error {
	_ = p.life.Close() // nil, or it has ended
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %v", p.role, stopWithin)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.role, p.err)
	}
	return nil
}

// Kill ends the child at once, as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
