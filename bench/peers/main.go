package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// options are the command's flags.
type options struct {
	runs      int
	records   int
	from      float64
	peers     []string
	workloads []string
	also      string
	commit    time.Duration
	dir       string
	profile   string
	restore   bool
	kill      bool
	recovery  bool
	scale     []string
	keys      int
	markdown  string

	latency        bool
	rate           int
	warmup, during time.Duration
}

func main() {
	var o options
	var peers, workloads, scale string
	flag.IntVar(&o.runs, "runs", 5, "how often each peer runs")
	flag.IntVar(&o.records, "records", 6_000_000, "records of each workload")
	flag.Float64Var(&o.from, "from", 0.6, "part of the records that is warm-up")
	flag.StringVar(&peers, "peers", strings.Join(peerNames(), ","), "which peers, comma-separated")
	flag.StringVar(&workloads, "workloads", strings.Join(workloadNames(), ","), "which workloads, comma-separated")
	flag.StringVar(&o.also, "also", "", "one more peer, name=path of a binary of bench/peer: that of another commit")
	flag.DurationVar(&o.commit, "commit", 100*time.Millisecond, "commit interval of those that have one; 0: their defaults")
	flag.StringVar(&o.dir, "dir", "", "folder for states; default: a temporary one")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the Go peers' first runs (whole runs; it costs some CPU)")
	flag.BoolVar(&o.restore, "restore", false, "measure the restore of counts and of the join, too")
	flag.BoolVar(&o.kill, "kill", false, "measure the recovery from kill -9, with state, of counts and of the join, too; needs -restore")
	flag.BoolVar(&o.recovery, "recovery", false, "measure recovery of three processes on three brokers, in place of throughput")
	flag.StringVar(&scale, "scale", "", "axes of growth to measure in place of workloads, comma-separated, or all: "+strings.Join(axisNames(), ","))
	flag.IntVar(&o.keys, "keys", 0, "keys of counts and customers of joins, in place of the workload's; of -scale, the most (30000000)")
	flag.StringVar(&o.markdown, "markdown", "", "file for the tables, with command and machine")
	flag.BoolVar(&o.latency, "latency", false, "measure latency alone, not behind throughput")
	flag.IntVar(&o.rate, "rate", 0, "records per second while latency is measured; 0: 70 % of what the slowest peer takes, with -latency 5000")
	flag.DurationVar(&o.warmup, "warmup", time.Minute, "time before latency counts")
	flag.DurationVar(&o.during, "for", 30*time.Second, "time for which it does; 0: latency is not measured")
	flag.Parse()
	o.peers, o.workloads = strings.Split(peers, ","), strings.Split(workloads, ",")
	switch scale {
	case "":
	case "all":
		o.scale = axisNames()
	default:
		o.scale = strings.Split(scale, ",")
	}
	if o.scale != nil && o.keys == 0 {
		o.keys = 30_000_000
	}
	err := o.check()
	if flag.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("what is %q? All arguments are flags", flag.Arg(0)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		flag.Usage()
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

func (o *options) check() error {
	var errs []error
	for _, p := range o.peers {
		if !slices.Contains(peerNames(), p) {
			errs = append(errs, fmt.Errorf("no peer is named %q: %v", p, peerNames()))
		}
	}
	for _, w := range o.workloads {
		if !slices.Contains(workloadNames(), w) {
			errs = append(errs, fmt.Errorf("no workload is named %q: %v", w, workloadNames()))
		}
	}
	for _, a := range o.scale {
		if !slices.Contains(axisNames(), a) {
			errs = append(errs, fmt.Errorf("nothing grows by %q: %v", a, axisNames()))
		}
	}
	if o.also != "" && !strings.Contains(o.also, "=") {
		errs = append(errs, fmt.Errorf("-also is %q, not name=path", o.also))
	}
	if o.runs < 1 || o.records < 10_000 || o.from < 0 || o.from >= 1 || o.rate < 0 || o.during < 0 || o.keys < 0 {
		errs = append(errs, errors.New("-runs is 1 or more, -records 10000 or more, -from in [0,1), -rate, -for and -keys 0 or more"))
	}
	return errors.Join(errs...)
}

const (
	partitions = 4
)

// workloads are what is compared; keys, if not 0, is how many keys counts have and joins have customers.
func workloads(records, keys int) []*workload.Workload {
	all := []*workload.Workload{
		{Name: "passthrough", Kind: workload.Passthrough, Records: records, Keys: 1_000_000, Value: 100, Partitions: partitions, Seed: 1},
		{Name: "count-uniform", Kind: workload.Count, Records: records, Keys: 1_000_000, Value: 184, Partitions: partitions, Seed: 2},
		{Name: "count-zipf", Kind: workload.Count, Records: records, Keys: 1_000_000, Zipf: 1.1, Value: 184, Partitions: partitions, Seed: 3},
		{Name: "join", Kind: workload.Join, Records: records, Keys: 200_000, Partitions: partitions, Seed: 4},
		// A window holds 600 000 records.
		{Name: "window", Kind: workload.Window, Records: records, Keys: 100_000, Value: 184, PerMs: 10, Partitions: partitions, Seed: 5},
	}
	for _, w := range all {
		if keys > 0 && (w.Kind == workload.Count || w.Kind == workload.Join) {
			w.Keys = keys
		}
	}
	// A record finds 1.2 partners: 120 000 of each side are a minute.
	all = append(all, &workload.Workload{Name: "streamjoin", Kind: workload.StreamJoin, Records: records, Keys: 200_000, Value: 100, PerMs: 2, Partitions: partitions, Seed: 6})
	for _, query := range []int{0, 1, 2, 3, 5, 7, 8, 11, 13, 17, 18, 20} {
		kind := fmt.Sprint(workload.Nexmark, query)
		all = append(all, &workload.Workload{Name: kind, Kind: kind, Records: records, Partitions: partitions, Seed: 7})
	}
	return all
}

func workloadNames() (names []string) {
	for _, w := range workloads(0, 0) {
		names = append(names, w.Name)
	}
	return names
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "limpet-peers-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	for _, dir := range []string{o.profile, o.dir} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
	}
	peers, err := build(ctx, o.peers)
	if err != nil {
		return err
	}
	if name, path, ok := strings.Cut(o.also, "="); ok {
		peers = append(peers, peer{name: name, bin: []string{path}, env: []string{"PEER_MODE=eos"}})
	}
	nodes := 1
	if o.recovery {
		nodes = 3
	}
	k, err := startKafka(ctx, nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	about := fmt.Sprintf("%s\n%s, %d partitions, commit every %v, %d runs\n", measure.Machine(), k.Kind, partitions, o.commit, o.runs)
	fmt.Print(about)
	if o.records < 6_000_000 && !o.latency && !o.recovery && slices.ContainsFunc(o.peers, func(p string) bool { return strings.HasPrefix(p, "streams") }) {
		fmt.Println("fewer than 6 million records: a JVM is still warming up, its figures are too high")
	}
	b := &bench{options: o, kafka: k, peers: peers, quiet: measure.Kernel()}
	for range 9 {
		b.quiet = min(b.quiet, measure.Kernel())
	}
	switch {
	case o.recovery:
		err = b.recoveries(ctx)
	case o.scale != nil:
		err = b.scales(ctx)
	default:
		err = b.workloads(ctx)
	}
	err = errors.Join(append(b.failed, err)...)
	b.print(os.Stdout) // after an error, too: hours lie in it
	if o.markdown == "" {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "    go run ./bench/peers %s\n\n%s", strings.Join(os.Args[1:], " "), about)
	if err != nil {
		fmt.Fprintf(&text, "\nIt ended early, or a peer failed: %v\n", err)
	}
	b.print(&text)
	return errors.Join(err, os.WriteFile(o.markdown, []byte(text.String()), 0o644))
}

// workloads runs all peers on each workload that was asked for.
func (b *bench) workloads(ctx context.Context) error {
	for _, w := range workloads(b.records, b.options.keys) {
		if !slices.Contains(b.options.workloads, w.Name) {
			continue
		}
		rate := b.rate
		if b.latency {
			rate = cmp.Or(rate, fixedRate)
		} else {
			if err := b.workload(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", w.Name, err)
			}
			rate = cmp.Or(rate, b.slowest(w))
		}
		if err := b.latencies(ctx, w, rate); err != nil {
			return fmt.Errorf("%s: latency: %w", w.Name, err)
		}
	}
	return nil
}

// bench is a run of the command.
type bench struct {
	options
	kafka     *kafka
	peers     []peer
	quiet     time.Duration // what measure.Kernel takes when nothing runs
	rows      []*figures
	lates     []*latency
	recovered []*recovery
	scaled    []*scaled
	apps      int
	first     *made   // of the workload in hand, what others' outputs are compared with
	failed    []error // of a peer in a run; the others went on
}

// app makes a name that no run had before, and its folder.
func (b *bench) app(p *peer, w *workload.Workload) (name, dir string) {
	b.apps++
	name = fmt.Sprintf("%s-%s-%d", w.Name, p.name, b.apps)
	return name, filepath.Join(b.dir, name)
}

// alternate calls f for each peer in each run; who begins is another one each time.
func (b *bench) alternate(f func(run int, p *peer) error) error {
	for run := range b.runs {
		for i := range b.peers {
			if err := f(run, &b.peers[(run+i)%len(b.peers)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// attempt calls f. What fails of a peer is noted and told at the end, and the others go on: hours
// lie before it.
func (b *bench) attempt(ctx context.Context, run int, p *peer, what string, f func() error) error {
	err := f()
	if err == nil || ctx.Err() != nil {
		return err
	}
	err = fmt.Errorf("%s: run %d: %s: %w", what, run+1, p.name, err)
	fmt.Printf("  %v\n", err)
	b.failed = append(b.failed, err)
	return nil
}
