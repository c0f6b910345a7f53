package cli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// SimOptions is how simulated runs are to go on. Every field is set by the command.
type SimOptions struct {
	Seed     uint64 // the first one
	Seeds    int    // how many; 0: as many as For allows
	For      time.Duration
	Scenario string // "": the seed chooses
	Workers  int    // runs at a time
	Trace    int    // events that are shown
	Bugs     bool   // plant mistakes and see that each is found

	Out io.Writer
}

func (s *session) simCommand() *cobra.Command {
	var o SimOptions
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run the shell on a simulated Kafka, with faults, seed after seed",
		Long: `Runs the real core and shell on a simulated Kafka, disk and clock. A seed decides all that
happens: records, faults, and what comes before what. What comes out is compared with a
second run that knows no faults, and with naive models. See docs/reliability.md.

It prints how many seeds a second it runs. When a seed finds something, it prints what,
the last events, and the command that repeats it; the exit code is then 1.`,
		Example: "  " + s.Name + ` sim --seeds 100000
  ` + s.Name + ` sim --for 1h
  ` + s.Name + ` sim --seed 4711 --trace 1000`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch f := cmd.Flags(); {
			case o.Seeds < 0 || o.For < 0 || o.Workers < 1 || o.Trace < 1:
				return usagef("--seeds, --for, --workers and --trace must not be negative, and the latter two not 0")
			case !f.Changed("seeds") && o.For > 0:
				o.Seeds = 0
			}
			o.Out = cmd.OutOrStdout()
			return s.Sim(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Uint64Var(&o.Seed, "seed", 1, "the first seed")
	f.IntVar(&o.Seeds, "seeds", 1, "how many seeds; 0: as many as --for allows")
	f.DurationVar(&o.For, "for", 0, "how long to run on (default: until the seeds are done)")
	f.StringVar(&o.Scenario, "scenario", "", "run this `topology` only; the seeds are then other runs")
	f.IntVar(&o.Workers, "workers", 2, "how many to run at a time")
	f.IntVar(&o.Trace, "trace", 120, "how many of the last events to show")
	f.BoolVar(&o.Bugs, "bugs", false, "plant mistakes, and show how many seeds it takes to find each; those of the product need a build with -tags limpetbugs")
	return cmd
}

// Simulator runs seeds until they are done, ctx ends, or one finds something: then it
// returns an error.
type Simulator func(ctx context.Context, o SimOptions) error
