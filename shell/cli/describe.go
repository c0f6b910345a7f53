package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-81380e12/limpet/topology"
)

func (s *session) topologyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "List and describe the topologies of this binary",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(s.listCommand(), s.describeCommand())
	return cmd
}

func (s *session) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the topologies, one name a line",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range s.names() {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return nil
		},
	}
}

var describeAs = map[string]topology.Format{
	"text": topology.AsText, "dot": topology.AsDot, "mermaid": topology.AsMermaid, "json": topology.AsJSON,
}

func (s *session) describeCommand() *cobra.Command {
	flags, format := newSettings(), ""
	cmd := &cobra.Command{
		Use:   "describe [NAME ...]",
		Short: "Show topologies: their topics, operators and tables",
		Long: "Shows a topology: its topics, operators and tables. Of several, dot and mermaid make one picture,\n" +
			"in which they hang together by topics.",
		Example: fmt.Sprintf(`  %[1]s topology describe %[2]s
  %[1]s topology describe %[2]s -o dot | dot -Tsvg > topology.svg
  %[1]s topology describe %[2]s -o mermaid`, s.Name, s.example()),
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return slices.DeleteFunc(s.names(), func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var plans []*topology.Plan
			for i := range max(1, len(args)) {
				if i > 0 && slices.Contains(args[:i], args[i]) {
					return usagef("topology %q is named twice", args[i])
				}
				b, err := s.pick(args[min(i, len(args)):])
				if err != nil {
					return err
				}
				plan, err := b.Build()
				if err != nil {
					return err
				}
				plans = append(plans, plan)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), topology.Draw(describeAs[format], plans...))
			return err
		},
	}
	formats := []string{"text", "dot", "mermaid", "json"}
	format = formats[0]
	flags.VarP(&enum{&format, formats}, "output", "o", "form of the description: "+strings.Join(formats, ", "))
	cmd.Flags().AddFlagSet(flags.FlagSet)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// example is a name for help texts.
func (s *session) example() string {
	if names := s.names(); len(names) > 0 {
		return names[0]
	}
	return "NAME"
}
