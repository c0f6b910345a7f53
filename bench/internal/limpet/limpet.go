package limpet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/workload"
	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Config says what the contender does.
type Config struct {
	Kind         string // of workload
	Brokers      []string
	In, Out      string
	App          string
	Partitions   int32
	CommitEvery  time.Duration
	StateDir     string
	Memory       int64                        // of the store; 0: its default
	FlushRecords int                          // of the store; 0: its default
	Committed    func(records, flushes int64) // called after each commit
	Restored     func()                       // called when all tasks run
}

// Topology is the workload's.
func Topology(kind, in, out string) (*topology.Plan, error) {
	b := topology.New(kind)
	input := topology.NewTopic(in, codec.String, codec.Bytes)
	switch kind {
	case workload.Passthrough:
		input.Stream(b).Filter(func(v []byte) bool { return v != nil }).To(topology.NewTopic(out, codec.String, codec.Bytes))
	case workload.Count:
		topology.Count(input.Stream(b), "counts").To(topology.NewTopic(out, codec.String, codec.Int64))
	default:
		return nil, fmt.Errorf("no workload is named %q", kind)
	}
	return b.Build()
}

// Run processes until ctx ends, then commits and leaves.
func Run(ctx context.Context, cfg Config) (err error) {
	plan, err := Topology(cfg.Kind, cfg.In, cfg.Out)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	broker, err := kafka.Open(ctx, kafka.Config{Brokers: cfg.Brokers, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	// The store is opened here, as shell.Run would from a StateDir, to read its metrics.
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: cfg.StateDir, App: cfg.App, MemoryBytes: cfg.Memory, FlushRecords: cfg.FlushRecords, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	running := int32(0)
	return shell.Run(ctx, plan, shell.Config{
		Broker: broker, AppID: cfg.App, Store: db, CommitEvery: cfg.CommitEvery, Logger: logger,
		Events: shell.Events{
			Committed: func(c shell.CommitInfo) { cfg.Committed(c.Records, db.Metrics().Flushes) },
			Running: func(core.TaskID) {
				if running++; running == cfg.Partitions {
					cfg.Restored()
				}
			},
		},
	})
}
