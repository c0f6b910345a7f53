package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-81380e12/limpet/topology"
)

// Main runs the command line of a binary with these topologies, and exits.
func Main(topologies ...*topology.Builder) {
	Program{Topologies: topologies}.Main()
}

// Run is Main without the exit: it returns the exit code. It does not handle signals;
// ending ctx is a signal.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer, topologies ...*topology.Builder) int {
	return Program{Topologies: topologies}.Run(ctx, args, IO{in, out, errs})
}

// Program is a binary's command line.
type Program struct {
	// Name is the binary's name in help texts. Default: that of os.Args.
	Name       string
	Topologies []*topology.Builder
	// Demos show topologies at work. Without any there is no demo command.
	Demos []Demo
	// Sim runs the simulator. Without one there is no sim command.
	Sim Simulator
}

// IO is what a program reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the program on the arguments and streams of the process, and exits.
func (p Program) Main() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	code := p.Run(ctx, os.Args[1:], IO{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// Run runs the program and returns its exit code.
func (p Program) Run(ctx context.Context, args []string, streams IO) int {
	if p.Name == "" {
		p.Name = strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	}
	s := &session{Program: p, IO: streams, env: os.Environ()}
	root := s.root()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !s.started { // cobra's own errors are all about the command line
		err = usageError{err}
	}
	if stopped(ctx, err) {
		return exitOK
	}
	code := exitCode(err)
	if !s.reported {
		fmt.Fprintf(streams.Err, "%s: %v\n", p.Name, err)
	}
	if code == exitUsage {
		fmt.Fprintf(streams.Err, "See '%s --help'.\n", cmd.CommandPath())
	}
	return code
}

// stopped tells a stop that was asked for, before there was anything to stop, from a
// failure.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// session is one run of a program.
type session struct {
	Program
	IO
	env      []string
	started  bool // the command line was understood
	reported bool // the error is in the log
}

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:   s.Name,
		Short: "Run stream processing topologies over Kafka",
		Long: `Runs stream processing topologies over Kafka: records in, pure functions and local
tables in between, results out, all of it committed together, exactly once.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { s.started = true },
		Args:             cobra.ArbitraryArgs,
		RunE:             group,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(s.runCommand(), s.topologyCommand(), s.versionCommand())
	if len(s.Demos) > 0 {
		root.AddCommand(s.demoCommand())
	}
	if s.Sim != nil {
		root.AddCommand(s.simCommand())
	}
	return root
}

// group is the action of a command that only has others below it.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usagef("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
}

// pick finds the topology that the arguments name.
func (s *session) pick(args []string) (*topology.Builder, error) {
	if len(s.Topologies) == 0 {
		return nil, usagef("this binary has no topologies: pass some to cli.Main")
	}
	if len(args) == 0 {
		if len(s.Topologies) == 1 {
			return s.Topologies[0], nil
		}
		return nil, usagef("which topology? One of: %s", strings.Join(s.names(), ", "))
	}
	for _, t := range s.Topologies {
		if t.Name() == args[0] {
			return t, nil
		}
	}
	return nil, usagef("no topology %q; there is: %s", args[0], strings.Join(s.names(), ", "))
}

func (s *session) names() []string {
	var names []string
	for _, t := range s.Topologies {
		names = append(names, t.Name())
	}
	return names
}

// oneName is for commands that take the name of a topology or of a demo.
func oneName(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("one name, please: got %s", strings.Join(args, " "))
	}
	return nil
}

// noArgs is for commands that take none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments: got %s", cmd.CommandPath(), strings.Join(args, " "))
	}
	return nil
}

// complete offers the names to the shell.
func complete(names func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(), cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *session) getenv(name string) string {
	for _, e := range s.env {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v
		}
	}
	return ""
}
