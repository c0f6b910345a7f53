package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

const (
	memoryChild = "LIMPET_MEMORY_CHILD" // the arguments of the process under test
	memoryLimit = 160 << 20
	bigKey      = 16 << 10
)

func countTopology() *topology.Builder {
	b := topology.New("memory")
	in := topology.NewTopic("in", codec.String, codec.Int64)
	counts := topology.Count(in.Stream(b), "counts").ToStream()
	topology.KeyBy(counts, "small", func(n int64) int64 { return n }).To(topology.NewTopic("out", codec.Int64, codec.Int64))
	return b
}

// A count whose keys are ten times the memory that --memory allows stays below it: while it
// counts, with most rows on disk only, and when it has lost its disk and restores all rows from
// the changelog.
func TestMemoryIsBounded(t *testing.T) {
	if args := os.Getenv(memoryChild); args != "" {
		os.Exit(Run(context.Background(), strings.Fields(args), nil, os.Stdout, os.Stderr, countTopology()))
	}
	if os.Getenv("LIMPET_MEMORY") == "" || testing.Short() {
		t.Skip("set LIMPET_MEMORY=1: it takes minutes, and 4 GiB of disk")
	}
	const keys = 10*memoryLimit/bigKey + 1
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()), kfake.SeedTopics(2, "in", "out"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began, sent := time.Now(), 0
	send := func(from, to, step int) {
		t.Helper()
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.DefaultProduceTopic("in"))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for i := from; i < to; i += step {
			// Unlike others from the first byte on, and yet the brokers' log stays small.
			key := bytes.Repeat(fmt.Appendf(nil, "%016x", uint64(i)*0x9E3779B97F4A7C15), bigKey/16)
			cl.Produce(t.Context(), &kgo.Record{Key: key, Value: make([]byte, 8)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			sent++
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	results := consumer(t, c.ListenAddrs())
	state := t.TempDir()
	args := "run --log-level=warn --memory=" + strconv.Itoa(memoryLimit) +
		" --brokers=" + strings.Join(c.ListenAddrs(), ",") + " --state-dir="

	send(0, keys, 1)
	p := startMeasured(t, args+state)
	results.want(t, p, sent)
	send(0, keys, 10) // counted again: their rows are on disk
	results.want(t, p, sent)
	peak := p.stop(t)
	disk := dirBytes(t, state)
	t.Logf("%d records of %d bytes counted after %v: at most %d MiB resident of %d allowed; state on disk, compressed: %d MiB",
		sent, bigKey, time.Since(began).Round(time.Second), peak>>20, memoryLimit>>20, disk>>20)

	p = startMeasured(t, args+t.TempDir())
	send(0, keys, 1000)
	results.want(t, p, sent)
	restored := p.stop(t)
	t.Logf("restored from the changelog after %v: at most %d MiB resident", time.Since(began).Round(time.Second), restored>>20)
	if most := max(peak, restored); most > memoryLimit {
		t.Errorf("%d MiB resident", most>>20)
	}
	if results.twos < keys/10 {
		t.Errorf("%d keys were counted twice, want %d", results.twos, keys/10)
	}
}

// measured is a process under test.
type measured struct {
	cmd  *exec.Cmd
	done chan error
	err  bytes.Buffer
}

func startMeasured(t *testing.T, args string) *measured {
	t.Helper()
	p := &measured{cmd: exec.Command(os.Args[0], "-test.run=^TestMemoryIsBounded$"), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), memoryChild+"="+args)
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// stop ends it, and returns the most bytes that it had resident.
func (p *measured) stop(t *testing.T) (peak int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &peak); err != nil {
				t.Fatal(err)
			}
		}
	}
	if peak == 0 {
		t.Fatalf("no VmHWM in %s", b)
	}
	_ = p.cmd.Process.Kill()
	if err := <-p.done; err == nil {
		t.Error("it ended by itself")
	}
	return peak << 10
}

// outcome reads the results.
type outcome struct {
	*kgo.Client
	got, twos int
}

func consumer(t *testing.T, addrs []string) *outcome {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &outcome{Client: cl}
}

// want waits until there are n results.
func (o *outcome) want(t *testing.T, p *measured, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	for o.got < n {
		wait, next := context.WithTimeout(ctx, time.Second)
		fetched := o.PollFetches(wait)
		next()
		fetched.EachRecord(func(r *kgo.Record) {
			o.got++
			if v, err := codec.Int64.Decode(r.Value); err != nil || v > 1 {
				o.twos++
			}
		})
		select {
		case err := <-p.done:
			t.Fatalf("it ended: %v\n%s", err, p.err.String())
		default:
		}
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d results of %d: %v", o.got, n, err)
		}
		for _, e := range fetched.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				t.Fatal(e.Err)
			}
		}
	}
	if o.got != n {
		t.Fatalf("%d results, want %d", o.got, n)
	}
}

func dirBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := walkFiles(dir, func(size int64) { n += size })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func walkFiles(dir string, f func(size int64)) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, walkFiles(dir+"/"+e.Name(), f))
		} else if i, err2 := e.Info(); err2 == nil {
			f(i.Size())
		}
	}
	return err
}
