/*
Package cli is the command line of a binary that runs topologies. A user's own binary is

	func main() { cli.Main(emailservice.Topology()) }

and has these commands:

	run [NAME]                 run a topology against Kafka
	topology list              list the topologies of the binary
	topology describe [NAME]   show some: as text, dot, mermaid or JSON
	demo [NAME]                show one at work, where the binary brings a demo
	version                    show what this binary was built from
	completion SHELL           make a completion script

NAME may be left out where there is one topology only.

# Settings

What run needs comes from flags, from environment variables (--commit-interval is
LIMPET_COMMIT_INTERVAL) and from a YAML file (--config FILE, key commit-interval), in
this order of precedence. Unknown keys of the file are refused. Passwords are never
printed: not by help, not in logs, not in errors.

# Exit codes

	0  done, or stopped as asked
	1  failure
	2  wrong usage: an unknown command, flag or topology, or one that is missing
	3  the topology or the configuration is invalid, or does not suit the cluster or the
	   state directory
	4  Kafka cannot be reached, or refuses us

The first SIGINT or SIGTERM ends a command in good order: run finishes the batch,
commits, flushes and leaves the group. The second ends the process at once, with 1.
*/
package cli
