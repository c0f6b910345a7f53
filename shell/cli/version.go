package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (s *session) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show what this binary was built from",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			printVersion(cmd.OutOrStdout(), s.Name, info)
			return nil
		},
	}
}

// printVersion writes two lines: the binary, and what it was made with.
func printVersion(w io.Writer, name string, info *debug.BuildInfo) {
	if info == nil {
		info = &debug.BuildInfo{}
	}
	version, revision, modified := info.Main.Version, "", ""
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = ", commit " + s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = ", modified"
			}
		}
	}
	fmt.Fprintf(w, "%s %s%s%s\n", name, version, revision, modified)
	fmt.Fprintf(w, "%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/seed-81380e12/limpet", "github.com/IBM/sarama", "github.com/cockroachdb/pebble/v2":
			fmt.Fprintf(w, ", %s %s", d.Path, d.Version)
		}
	}
	fmt.Fprintln(w)
}
