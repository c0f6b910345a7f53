package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// options are the command's flags.
type options struct {
	rounds    int
	scale     float64
	only      *regexp.Regexp
	every     time.Duration
	stateDir  string
	memory    int64
	flush     int
	profile   string
	real      bool
	norestore bool
}

func main() {
	child.Main(cluster.Role, cluster.Child)
	child.Main(loopRole, loopChild)
	child.Main(limpetRole, limpetChild)

	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each contender runs")
	flag.Float64Var(&o.scale, "scale", 1, "multiplies the number of records")
	only := flag.String("run", "", "workloads whose name matches this expression")
	flag.DurationVar(&o.every, "commit", 100*time.Millisecond, "commit interval of both")
	flag.StringVar(&o.stateDir, "state-dir", "", "where Limpet's state lies while it runs; default: a temporary folder")
	flag.Int64Var(&o.memory, "memory", 0, "bytes that Limpet's store may keep in memory; 0: its default")
	flag.IntVar(&o.flush, "flush-records", 250_000, "changelog records of a task after which Limpet's store writes to disk; 0: its default")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the measured part (it costs some CPU itself)")
	flag.BoolVar(&o.real, "kafka", os.Getenv("LIMPET_KAFKA") == "1", "a real Apache Kafka in place of kfake")
	flag.BoolVar(&o.norestore, "norestore", false, "leave the restore out")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// workloads are what is compared. Values are 100 bytes, keys 16.
func workloads(scale float64) []*workload.Workload {
	n := func(records int) int { return max(20_000, int(float64(records)*scale)) }
	return []*workload.Workload{
		{Name: "passthrough", Kind: workload.Passthrough, Records: n(6_000_000), Keys: 1_000_000, Value: 100, Partitions: 4, Seed: 1},
		{Name: "count-zipf", Kind: workload.Count, Records: n(10_000_000), Keys: 1_000_000, Zipf: 1.1, Value: 100, Partitions: 4, Seed: 2},
		{Name: "count-uniform", Kind: workload.Count, Records: n(4_000_000), Keys: 1_000_000, Value: 100, Partitions: 4, Seed: 3},
	}
}

func run(ctx context.Context, o options) (err error) {
	dir := o.stateDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "limpet-bench-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	var c *cluster.Cluster
	if o.real {
		c, err = cluster.Real(ctx)
	} else {
		c, err = cluster.Kfake()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	fmt.Printf("%s\n%s, commit every %v, %d rounds\n", measure.Machine(), c.Kind, o.every, o.rounds)

	quiet := measure.Kernel()
	for range 9 {
		quiet = min(quiet, measure.Kernel())
	}
	var table []row
	for _, w := range workloads(o.scale) {
		if !o.only.MatchString(w.Name) {
			continue
		}
		r := &rounds{options: o, cluster: c, workload: w, dir: dir, quiet: quiet}
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		table = append(table, r.rows()...)
	}
	printTable(os.Stdout, table)
	return nil
}
