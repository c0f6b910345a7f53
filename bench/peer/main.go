package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/seed-81380e12/limpet/internal/onearena" // as the run command has it
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// job is a command line and its variables.
type job struct {
	workload    string
	brokers, in []string
	out, app    string
	state       string
	atLeastOnce bool
	perCommit   bool          // of counts, the last change of a commit goes on
	commitEvery time.Duration // fixed; 0: the default
	workers     int           // 0: the default
	memory      int           // bytes that the process takes, about; 0: the default
	cpu, mem    string        // files for profiles, or ""
	flushes     string        // file, or ""
}

const usage = "usage: peer <workload> <bootstrap> <input topics, comma-separated> <output topic> <app id>"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	j, err := parse(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintf(os.Stderr, "peer: %v\n%s\n", err, usage)
		os.Exit(2)
	}
	err = j.profiled(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "peer: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string, getenv func(string) string) (j job, err error) {
	if len(args) != 5 {
		return j, fmt.Errorf("%d arguments", len(args))
	}
	j = job{
		workload: args[0], brokers: strings.Split(args[1], ","), in: strings.Split(args[2], ","), out: args[3], app: args[4],
		state: getenv("PEER_STATE"), cpu: getenv("PEER_CPUPROFILE"), mem: getenv("PEER_MEMPROFILE"), flushes: getenv("PEER_FLUSHES"),
	}
	if j.state == "" {
		j.state = "state"
	}
	if n, ok := inputs[j.workload]; !ok {
		return j, fmt.Errorf("no workload is named %q", j.workload)
	} else if n != len(j.in) {
		return j, fmt.Errorf("%s has %d input topics, not %d", j.workload, n, len(j.in))
	}
	switch mode := getenv("PEER_MODE"); mode {
	case "", "eos":
	case "alo":
		j.atLeastOnce = true
	default:
		return j, fmt.Errorf("PEER_MODE is %q: eos or alo", mode)
	}
	switch emit := getenv("PEER_EMIT"); emit {
	case "", "every":
	case "commit":
		j.perCommit = true
	default:
		return j, fmt.Errorf("PEER_EMIT is %q: every or commit", emit)
	}
	var ms, memory int
	for name, n := range map[string]*int{"PEER_COMMIT_MS": &ms, "PEER_WORKERS": &j.workers, "PEER_MEMORY_MB": &memory} {
		s := getenv(name)
		if s == "" {
			continue
		}
		if *n, err = strconv.Atoi(s); err != nil || *n <= 0 {
			return j, fmt.Errorf("%s is %q", name, s)
		}
	}
	j.commitEvery = time.Duration(ms) * time.Millisecond
	j.memory = memory << 20
	return j, nil
}

// profiled runs the job and writes the profiles that were asked for.
func (j job) profiled(ctx context.Context) (err error) {
	if j.cpu != "" {
		f, err := os.Create(j.cpu)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(err, f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	if err := j.run(ctx); err != nil {
		return err
	}
	if j.mem == "" {
		return nil
	}
	f, err := os.Create(j.mem)
	if err != nil {
		return err
	}
	runtime.GC() // what is in use now, not at the last collection
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// run processes until ctx ends, then commits and leaves.
func (j job) run(ctx context.Context) (err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // it was told to stop before it had begun
		}
	}()
	broker, err := kafka.Open(ctx, kafka.Config{Brokers: j.brokers, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	var table []topology.TopicOption
	if len(j.in) > 1 { // where it is a table
		if table, err = describe(ctx, broker, j.in[1]); err != nil {
			return err
		}
	}
	plan, err := build(j.workload, j.in, j.out, table, j.perCommit)
	if err != nil {
		return err
	}
	cfg := shell.Config{
		Broker: broker, AppID: j.app, StateDir: j.state,
		AtLeastOnce: j.atLeastOnce, CommitEvery: j.commitEvery, CommitMin: j.commitEvery, Logger: logger,
		Workers: j.workers, MemoryBytes: j.memory,
	}
	if os.Getenv("GOMEMLIMIT") == "" { // as the run command has it
		debug.SetMemoryLimit(cfg.GoMemory())
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(shell.GoPercent)
	}
	if j.flushes != "" {
		// The store is opened here, as shell.Run would, to see when it writes to disk. The shares are
		// those of docs/memory.md.
		share := int64(cfg.Memory()-96<<20) / 8
		db, err2 := statestore.OpenPebble(statestore.PebbleConfig{
			Dir: filepath.Join(j.state, j.app, "db"), App: j.app, MemoryBytes: share, CacheBytes: share, Logger: logger,
		})
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		cfg.Store = db
		var f *os.File
		if f, err = os.Create(j.flushes); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		cfg.Events.Committed = tellFlushes(f, func() int64 { return db.Metrics().Flushes })
	}
	return shell.Run(ctx, plan, cfg)
}

// describe says of a table's topic that it is compacted, where it is.
func describe(ctx context.Context, broker shell.Broker, topic string) ([]topology.TopicOption, error) {
	topics, err := broker.Topics(ctx, topic)
	if err != nil {
		return nil, err
	}
	if topics[topic].Config["cleanup.policy"] == "compact" {
		return []topology.TopicOption{topology.Compacted()}, nil
	}
	return nil, nil
}

// tellFlushes writes a line for each time that the store wrote to disk.
func tellFlushes(w io.Writer, flushes func() int64) func(shell.CommitInfo) {
	var mu sync.Mutex // workers are callers
	told := int64(0)
	return func(shell.CommitInfo) {
		mu.Lock()
		defer mu.Unlock()
		for n := flushes(); told < n; told++ {
			_, _ = fmt.Fprintln(w, time.Now().UnixMilli()) // a figure is missing then
		}
	}
}
