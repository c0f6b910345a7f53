package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Demo is a topology at work: on a Kafka of its own, with input made up for it and an
// audit of what comes out. Run ends when ctx ends, at the latest, and returns an error
// when the audit found something.
type Demo struct {
	Name  string
	Short string // one line of help
	Run   func(context.Context, DemoOptions) error
}

// DemoOptions is how a demo is to run. Every field is set by the command.
type DemoOptions struct {
	For        time.Duration // 0: until ctx ends
	StateDir   string        // of the worker; "": temporary
	DataDir    string        // of the broker; "": temporary
	CrashEvery time.Duration // 0: never
	Rate       int           // records a second
	Partitions int
	Memory     bool   // state in memory
	Program    string // the binary, whose run command a worker in a process of its own uses
	LogLevel   string
	Logger     func(io.Writer) *slog.Logger // of the level and format that were asked for

	Out, Err io.Writer
	Live     bool       // Out is a terminal
	Width    func() int // of the terminal, as it is now
}

func (s *session) demoCommand() *cobra.Command {
	var (
		o     DemoOptions
		log   logSettings
		list  bool
		store string
	)
	flags := newSettings()
	flags.DurationVar(&o.For, "for", 0, "how long to run (default: until ^C)")
	flags.StringVar(&o.StateDir, "state-dir", "", "keep the worker's state in this `directory`; a second run goes on from it")
	flags.StringVar(&o.DataDir, "data-dir", "", "keep the broker's log in this `directory`; a second run goes on where the first stopped")
	flags.DurationVar(&o.CrashEvery, "crash-every", 0, "run the worker in a process of its own and kill it that often (default: never)")
	flags.IntVar(&o.Rate, "rate", 2000, "records to feed a second")
	flags.IntVar(&o.Partitions, "partitions", 4, "partitions of the topics, when they are created")
	flags.enum(&store, "store", storePebble, "where the worker keeps its state", storePebble, storeMemory)
	log.register(flags, "warn")

	cmd := &cobra.Command{
		Use:   "demo [NAME]",
		Short: "Show a topology at work, with a Kafka inside this process",
		Long: `Shows a topology at work and needs nothing else: an embedded broker, made-up input, the
topology on the real shell, exactly once. It ends with ^C or after --for, lets the
topology finish, and then reads everything back from the broker and counts what is
missing, doubled, out of order or wrong. The exit code is 0 when nothing is.

` + s.demoList(),
		Example: fmt.Sprintf(`  %[1]s demo
  %[1]s demo --for 10s --crash-every 2s
  %[1]s demo --state-dir /tmp/state --data-dir /tmp/log`, s.Name),
		Args:              oneName,
		ValidArgsFunction: complete(s.demoNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				for _, name := range s.demoNames() {
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
				return nil
			}
			d, err := s.pickDemo(args)
			if err != nil {
				return err
			}
			o.Memory, o.LogLevel, o.Logger = store == storeMemory, log.level, log.logger
			if err := checkDemo(&o); err != nil {
				return err
			}
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			o.Out, o.Err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if f, ok := o.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
				o.Live, o.Width = true, func() int {
					if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
						return w
					}
					return 80
				}
			}
			return d.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&list, "list", false, "list the demos, one name a line")
	cmd.Flags().AddFlagSet(flags.FlagSet)
	_ = cmd.MarkFlagDirname("state-dir")
	_ = cmd.MarkFlagDirname("data-dir")
	completeEnums(cmd)
	return cmd
}

func checkDemo(o *DemoOptions) error {
	for _, dir := range []*string{&o.StateDir, &o.DataDir} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	switch {
	case o.For < 0 || o.CrashEvery < 0:
		return usagef("--for and --crash-every are durations from now on, not negative")
	case o.CrashEvery > 0 && o.CrashEvery < 500*time.Millisecond:
		return usagef("--crash-every %v: a worker that never lives for 500ms gets nothing done", o.CrashEvery)
	case o.CrashEvery > 0 && o.Memory:
		return usagef("--crash-every goes with --store pebble: it shows that a crash costs no local state")
	case o.CrashEvery > 0 && runtime.GOOS == "windows":
		return usagef("--crash-every does not work on Windows")
	case o.StateDir != "" && o.Memory:
		return usagef("--store memory has no use for --state-dir: leave one out")
	case o.Rate < 1 || o.Rate > 1_000_000:
		return usagef("--rate %d: want 1 to 1000000 records a second", o.Rate)
	case o.Partitions < 1 || o.Partitions > 64:
		return usagef("--partitions %d: want 1 to 64", o.Partitions)
	}
	return nil
}

func (s *session) pickDemo(args []string) (Demo, error) {
	if len(args) == 0 {
		return s.Demos[0], nil
	}
	for _, d := range s.Demos {
		if d.Name == args[0] {
			return d, nil
		}
	}
	return Demo{}, usagef("no demo %q; there is: %s", args[0], strings.Join(s.demoNames(), ", "))
}

func (s *session) demoNames() []string {
	var names []string
	for _, d := range s.Demos {
		names = append(names, d.Name)
	}
	return names
}

func (s *session) demoList() string {
	var b strings.Builder
	b.WriteString("Demos; the first is the default:\n")
	for _, d := range s.Demos {
		fmt.Fprintf(&b, "  %-20s %s\n", d.Name, d.Short)
	}
	return strings.TrimRight(b.String(), "\n")
}
