package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

// options are the command's flags.
type options struct {
	rounds      int
	phase       time.Duration
	rate        int
	updates     int
	customers   int
	commit      time.Duration
	ttl         time.Duration
	slow        time.Duration
	concurrency int
	batch       int
	only        string
	real        bool
}

func main() {
	child.Main(cluster.Role, cluster.Child)
	child.Main(serviceRole, serviceChild)
	child.Main(rpcRole, rpcChild)
	child.Main(tableRole, tableChild)

	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how often each variant runs")
	flag.DurationVar(&o.phase, "phase", 5*time.Second, "length of each phase: steady, slow, down, full load")
	flag.IntVar(&o.rate, "rate", 2000, "orders a second in all phases but full load")
	flag.IntVar(&o.updates, "updates", 200, "changes of customers a second")
	flag.IntVar(&o.customers, "customers", 50_000, "customers")
	flag.DurationVar(&o.commit, "commit", 20*time.Millisecond, "commit interval of all variants")
	flag.DurationVar(&o.ttl, "ttl", 2*time.Second, "time to live of the cache")
	flag.DurationVar(&o.slow, "slow", 250*time.Millisecond, "what the customer service takes longer in the slow phase")
	flag.IntVar(&o.concurrency, "concurrency", 64, "calls at a time")
	flag.IntVar(&o.batch, "batch", 100, "customers a call, at most, of the batched variant")
	flag.StringVar(&o.only, "only", "", "run this variant alone")
	flag.BoolVar(&o.real, "kafka", os.Getenv("LIMPET_KAFKA") == "1", "a real Apache Kafka in place of kfake")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.phase < time.Second || o.rate < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// variants are what is compared, in the order in which they are printed. The orders of
// table-keyed have the customer's id as key already; those of all others have the
// order's, so the table's must take the way through a repartition topic.
var variants = []string{"table", "table-keyed", "rpc", "rpc-batched", "rpc-cached"}

func run(ctx context.Context, o options) (err error) {
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
	fmt.Printf("%s\n%s; %d customers, %d orders and %d changes of customers a second, commit every %v; %d calls at a time, batches of %d, cache for %v; phases of %v, %d rounds\n\n",
		measure.Machine(), c.Kind, o.customers, o.rate, o.updates, o.commit, o.concurrency, o.batch, o.ttl, o.phase, o.rounds)
	all := map[string][]outcome{}
	for n := range o.rounds {
		for i := range variants {
			v := variants[(i+n)%len(variants)]
			if o.only != "" && o.only != v {
				continue
			}
			out, err := trial(ctx, o, c, v, n)
			if err != nil {
				return fmt.Errorf("%s: %w", v, err)
			}
			fmt.Printf("round %d %-12s %s\n", n+1, v, out.line())
			all[v] = append(all[v], out)
		}
	}
	printTables(os.Stdout, all)
	return nil
}
