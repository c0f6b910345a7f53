package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/encoding/json"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/loop"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "loop: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) != 5 {
		return errors.New("usage: loop <workload> <bootstrap> <input topics, comma-separated> <output topic> <app id>")
	}
	in := strings.Split(args[2], ",")
	cfg := loop.Config{
		Kind: args[0], Brokers: strings.Split(args[1], ","), In: in[0], Out: args[3], App: args[4],
		CommitEvery: 100 * time.Millisecond, AtLeastOnce: os.Getenv("PEER_MODE") == "alo",
		JSON: loop.JSON{
			// As json.Marshal of the standard library has it.
			Append:    func(b []byte, v any) ([]byte, error) { return json.Append(b, v, json.EscapeHTML|json.SortMapKeys) },
			Unmarshal: json.Unmarshal,
		},
	}
	switch two := len(in) == 2; cfg.Kind {
	case workload.Passthrough, workload.Count, workload.Window:
	case workload.Join, workload.StreamJoin:
		if !two {
			return fmt.Errorf("%s has two input topics", cfg.Kind)
		}
		if cfg.Kind == workload.Join {
			cfg.Customers = in[1]
		} else {
			cfg.Right = in[1]
		}
	default:
		return fmt.Errorf("no workload is named %q", cfg.Kind)
	}
	if ms, err := strconv.Atoi(os.Getenv("PEER_COMMIT_MS")); err == nil {
		cfg.CommitEvery = time.Duration(ms) * time.Millisecond
	}
	if cfg.Partitions, err = partitions(ctx, cfg.Brokers, cfg.In); err != nil {
		return err
	}
	if file := os.Getenv("PEER_CPUPROFILE"); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	return loop.Run(ctx, cfg)
}

func partitions(ctx context.Context, brokers []string, topic string) (int32, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	return cluster.Partitions(ctx, cl, topic)
}
