package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/workload"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// peer is one contender.
type peer struct {
	name  string
	build func(context.Context) (command []string, err error)
	env   []string
	skips bool     // an update may stand for several
	only  []string // kinds of workloads that it has; nil: all
	bin   []string
}

// What not all peers have.
var (
	simple = []string{workload.Passthrough, workload.Count, workload.Window, workload.Join}
	byHand = append(slices.Clone(simple), workload.StreamJoin)
)

// has reports whether the peer has a workload of that kind.
func (p *peer) has(kind string) bool { return p.only == nil || slices.Contains(p.only, kind) }

// known are all peers; the first ones of a list are built first.
var known = []peer{
	{name: "limpet", build: goBuild(".", "./bench/peer"), env: []string{"PEER_MODE=eos"}},
	{name: "loop", build: goBuild("bench/peers/loop", "."), env: []string{"PEER_MODE=eos"}, only: byHand},
	{name: "limpet-alo", build: goBuild(".", "./bench/peer"), env: []string{"PEER_MODE=alo"}},
	{name: "loop-alo", build: goBuild("bench/peers/loop", "."), env: []string{"PEER_MODE=alo"}, only: byHand},
	{name: "limpet-commit", build: goBuild(".", "./bench/peer"), env: []string{"PEER_MODE=eos", "PEER_EMIT=commit"}, skips: true, only: simple},
	{name: "streams-nocache", build: maven(), env: []string{"PEER_MODE=eos", "PEER_TUNE=tuned-nocache"}},
	{name: "streams-512m", build: maven("-Xmx512m"), env: []string{"PEER_MODE=eos", "PEER_TUNE=tuned-nocache"}},
	{name: "streams", build: maven(), env: []string{"PEER_MODE=eos", "PEER_TUNE=default"}, skips: true},
	{name: "streams-tuned", build: maven(), env: []string{"PEER_MODE=eos", "PEER_TUNE=tuned"}, skips: true},
	{name: "streams-alo", build: maven(), env: []string{"PEER_MODE=alo", "PEER_TUNE=tuned-nocache"}},
	{name: "goka", build: goBuild("bench/peers/goka", "."), env: []string{"PEER_TUNE=tuned", "PEER_JSON=segmentio"}, only: simple},
}

func peerNames() (names []string) {
	for _, p := range known {
		names = append(names, p.name)
	}
	return names
}

// cache is where the peers are built; the command runs at the top of the repository.
const cache = ".cache/peers"

// build builds the named peers.
func build(ctx context.Context, names []string) (peers []peer, err error) {
	if _, err := os.Stat("bench/peers/kafkastreams/pom.xml"); err != nil {
		return nil, fmt.Errorf("run it at the top of the repository: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	for _, p := range known {
		if !slices.Contains(names, p.name) {
			continue
		}
		if p.bin, err = p.build(ctx); err != nil {
			return nil, fmt.Errorf("build %s: %w", p.name, err)
		}
		peers = append(peers, p)
	}
	return peers, nil
}

func goBuild(dir, pkg string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		bin, err := filepath.Abs(filepath.Join(cache, filepath.Base(filepath.Join(dir, pkg))))
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, pkg)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
		return []string{bin}, nil
	}
}

// maven builds the Java peer, unless it is there and its sources are older. Without options its heap may become a quarter of
// the machine's memory, as Java has it.
func maven(options ...string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		classpath, err := kafkatest.Java(ctx, "bench/peers/kafkastreams", filepath.Join(cache, "kafkastreams"))
		return slices.Concat([]string{"java"}, options, []string{"-cp", classpath, "peers.Main"}), err
	}
}

// process is a peer at work.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
	err    error
}

// job is what a peer is to do.
type job struct {
	kind     string // of workload
	in       []string
	out, app string
	state    string // folder
	profile  string // file, or ""
}

// start starts the peer.
func (b *bench) start(p *peer, j job) (*process, error) {
	if err := os.MkdirAll(j.state, 0o755); err != nil {
		return nil, err
	}
	args := append(slices.Clone(p.bin[1:]), j.kind, strings.Join(b.kafka.Brokers, ","), strings.Join(j.in, ","), j.out, j.app)
	proc := &process{cmd: exec.Command(p.bin[0], args...), done: make(chan struct{})}
	proc.cmd.Env = append(append(os.Environ(), p.env...), "PEER_STATE="+j.state, "PEER_FLUSHES="+flushes(j))
	if b.commit > 0 {
		proc.cmd.Env = append(proc.cmd.Env, fmt.Sprintf("PEER_COMMIT_MS=%d", b.commit.Milliseconds()))
	}
	if j.profile != "" {
		proc.cmd.Env = append(proc.cmd.Env, "PEER_CPUPROFILE="+j.profile)
	}
	proc.cmd.Stdout, proc.cmd.Stderr = &proc.stderr, &proc.stderr
	if err := proc.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		proc.err = proc.cmd.Wait()
		close(proc.done)
	}()
	return proc, nil
}

// flushes is the file in which Limpet says when it wrote to disk.
func flushes(j job) string { return j.state + ".flushes" }

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended tells, without waiting, why the process is over; nil: it runs.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("ended early: %w\n%s", errors.Join(p.err, errors.New("it should run until SIGTERM")), p.stderr.Bytes())
	default:
		return nil
	}
}

// stop ends the peer with SIGTERM, which it must obey.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // nil, or it has ended
	select {
	case <-p.done:
	case <-time.After(90 * time.Second):
		p.kill()
		return fmt.Errorf("does not stop\n%s", p.stderr.Bytes())
	}
	// A JVM that ended because of the signal says so.
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() == 128+int(syscall.SIGTERM) {
		return nil
	}
	if p.err != nil {
		return fmt.Errorf("%w\n%s", p.err, p.stderr.Bytes())
	}
	return nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// diskUse is the size of a folder's files.
func diskUse(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // files come and go
		if err == nil && !d.IsDir() {
			if i, err := d.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}
