/*
Package lint holds the rules of the house that no ready-made linter knows: who
may import whom, what the deterministic core must not touch, where goroutines
begin, how long a file is and what documents a package. `go test` runs it on
the whole repository, so that a rule cannot rot:

	findings, err := lint.Check("../..")
	for _, f := range findings {
		t.Error(f) // core/clock.go:12: pure: time.Now: only Duration and its units
	}

# The contract

rules.go is the table of the rooms; whoever adds a room adds a line there. Every
rule is proven by a planted offence: testdata/*.txtar are small houses in which
each line that breaks a rule says so (// want "..."), and a line that does not
say so must pass.

The rules hold for what is built, files for other systems included, and not for
tests: a test may use whatever helps it. The length of a file is the exception.
*/
package lint
