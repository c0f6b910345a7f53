package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	_ "github.com/seed-81380e12/limpet/internal/onearena" // --memory is for all of the process
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
)

// The guarantees.
const (
	exactlyOnce = "exactly-once"
	atLeastOnce = "at-least-once"
)

// The stores.
const (
	storePebble = "pebble"
	storeMemory = "memory"
)

// runSettings are the settings of the run command.
type runSettings struct {
	kafka kafkaSettings
	log   logSettings

	appID          string
	stateDir       string
	store          string
	guarantee      string
	workers        int
	memory         size
	stateMax       size
	recordMax      size
	commitInterval time.Duration
	commitMin      time.Duration
	hangAfter      time.Duration
	checkMutation  bool
	pprof          string
}

func (r *runSettings) register(s *settings) {
	r.kafka.register(s)
	s.StringVar(&r.appID, "app-id", "", "`name` of the application: of its group, its internal topics and its state (default: the topology's)")
	s.StringVar(&r.stateDir, "state-dir", "", "`directory` of the local state; a folder of the application's name is made in it")
	s.enum(&r.store, "store", storePebble, "where the state is kept; memory is restored from Kafka at each start", storePebble, storeMemory)
	s.enum(&r.guarantee, "guarantee", exactlyOnce, "what a crash may do to results", exactlyOnce, atLeastOnce)
	s.IntVar(&r.workers, "workers", 1, "members of the group in this process, each with a processor of its own")
	r.memory = size(shell.Config{}.Memory())
	s.Var(&r.memory, "memory", "bounds what the process takes, about: decoded rows, rows of the store, its blocks, commits and what is fetched have their shares (docs/memory.md), and Go's heap its limit (GOMEMLIMIT). The rows of --store memory come on top")
	s.Var(&r.stateMax, "state-max", "the process stops where the rows in state-dir take more (default: what the disk has room for)")
	s.Var(&r.recordMax, "record-max", "bounds each record that is written; a larger one is an error of the record that led to it (default: what its topic takes)")
	s.DurationVar(&r.commitInterval, "commit-interval", 100*time.Millisecond, "time between two commits under load; results are visible after one")
	s.DurationVar(&r.commitMin, "commit-min", 0, "time between two commits when there is little to do; the same as commit-interval makes it fixed (default 10ms)")
	s.DurationVar(&r.hangAfter, "hang-after", 5*time.Minute, "how long a user function may take before the process gives its tasks up")
	s.BoolVar(&r.checkMutation, "check-mutation", false, "find user functions that change values in place; slow")
	s.StringVar(&r.pprof, "pprof", "", "loopback `address` that serves profiles of the process, such as localhost:6060")
	r.log.register(s, "info")
}

// check finds settings that do not go together.
func (r *runSettings) check() error {
	var errs []error
	if err := r.kafka.check(); err != nil {
		errs = append(errs, err)
	}
	if err := checkPprof(r.pprof); err != nil {
		errs = append(errs, err)
	}
	if r.workers < 1 {
		errs = append(errs, fmt.Errorf("%w: --workers %d: there must be one at least", errSettings, r.workers))
	}
	switch {
	case r.store == storePebble && r.stateDir == "":
		errs = append(errs, usagef("--state-dir is missing: the directory where the state lives, kept over restarts; or keep it in memory: --store memory"))
	case r.store == storeMemory && r.stateDir != "":
		errs = append(errs, fmt.Errorf("%w: --store memory has no use for --state-dir %s: leave one out", errSettings, r.stateDir))
	}
	return errors.Join(errs...)
}

func (r *runSettings) shell(b shell.Broker, log *slog.Logger) shell.Config {
	return shell.Config{
		Broker: b, AppID: r.appID, StateDir: r.stateDir, Workers: r.workers, MemoryBytes: int(r.memory), StateMaxBytes: int64(r.stateMax), RecordBytes: int(r.recordMax),
		AtLeastOnce: r.guarantee == atLeastOnce, CommitEvery: r.commitInterval, CommitMin: r.commitMin,
		HangAfter: r.hangAfter, CheckMutation: r.checkMutation,
		Logger: log, Events: events(log),
	}
}

// run connects, and runs the topology until ctx ends.
func (r *runSettings) run(ctx context.Context, plan *topology.Plan, kc kafka.Config, log *slog.Logger) error {
	if err := r.shell(nil, log).Validate(plan.Name()); err != nil {
		return err // before the time that an unreachable Kafka takes
	}
	if r.pprof != "" {
		stop, err := servePprof(r.pprof, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	if r.store == storePebble {
		defer limitHeap(r.shell(nil, log).GoMemory())()
	}
	broker, err := kafka.Open(ctx, kc)
	if err != nil {
		return err
	}
	err = shell.Run(ctx, plan, r.shell(broker, log))
	return errors.Join(err, broker.Close())
}

func (s *session) runCommand() *cobra.Command {
	flags, set, file := newSettings(), &runSettings{}, ""
	set.register(flags)
	cmd := &cobra.Command{
		Use:   "run [NAME]",
		Short: "Run a topology against Kafka",
		Long: `Runs a topology against Kafka until it gets SIGINT or SIGTERM. Then it fetches no more,
commits what it has done, flushes its state and leaves the group. A second signal aborts:
what is lost of the local state is restored from Kafka at the next start.

Source and result topics must exist; internal topics are created, or checked.

Each setting is a flag, an environment variable and a key of the YAML file: --app-id,
LIMPET_APP_ID, app-id. Flags win over the environment, and that over the file.`,
		Example: fmt.Sprintf(`  %[1]s run %[2]s --brokers localhost:9092 --state-dir /var/lib/limpet
  LIMPET_SASL_PASSWORD_FILE=/run/secrets/kafka %[1]s run %[2]s --config prod.yaml

  # prod.yaml
  brokers: [kafka-1:9093, kafka-2:9093]
  state-dir: /var/lib/limpet
  tls: true
  sasl-mechanism: scram-sha-512
  sasl-username: %[2]s`, s.Name, s.example()),
		Args:              oneName,
		ValidArgsFunction: complete(s.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := s.pick(args)
			if err != nil {
				return err
			}
			if file == "" {
				file = s.getenv(envName("config"))
			}
			if err := flags.resolve(s.env, file); err != nil {
				return err
			}
			if err := set.kafka.readPassword(flags); err != nil {
				return err
			}
			if err := set.check(); err != nil {
				return err
			}
			plan, err := b.Build()
			if err != nil {
				return err
			}
			log := set.log.logger(cmd.ErrOrStderr())
			for _, hint := range flags.typos(s.env) {
				log.Warn("environment variable ignored", "hint", hint)
			}
			kc, err := set.kafka.config(log)
			if err != nil {
				return err
			}
			log.Info("starting", append([]any{"topology", plan.Name(), "store", set.store, "guarantee", set.guarantee, "workers", set.workers}, set.kafka.attrs()...)...)
			if err := set.run(cmd.Context(), plan, kc, log); err != nil && !stopped(cmd.Context(), err) {
				s.reported = true
				log.Error("stopped", "err", err)
				return err
			}
			log.Info("stopped")
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&file, "config", "", "YAML `file` with settings; env LIMPET_CONFIG")
	cmd.Flags().AddFlagSet(flags.FlagSet)
	for _, name := range []string{"config", "sasl-password-file", "tls-ca", "tls-cert", "tls-key"} {
		_ = cmd.MarkFlagFilename(name)
	}
	_ = cmd.MarkFlagDirname("state-dir")
	completeEnums(cmd)
	return cmd
}
