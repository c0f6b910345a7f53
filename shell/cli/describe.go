package cli

import (
	"fmt"
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
		Use:   "describe [NAME]",
		Short: "Show a topology: its topics, operators and tables",
		Example: fmt.Sprintf(`  %[1]s topology describe %[2]s
  %[1]s topology describe %[2]s -o dot | dot -Tsvg > topology.svg
  %[1]s topology describe %[2]s -o mermaid`, s.Name, s.example()),
		Args:              oneName,
		ValidArgsFunction: complete(s.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := s.pick(args)
			if err != nil {
				return err
			}
			plan, err := b.Build()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), plan.Describe(describeAs[format]))
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
