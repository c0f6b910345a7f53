/*
Mutate breaks the rules of package core one by one, and says whether the tests notice.

	make mutate                              all, with a table at the end
	go run ./internal/mutate -sample 8       eight of them, others each day
	go run ./internal/mutate -only 'session' those whose rule has that in its name

A mutant is a rule's name, a file, a text that is in it exactly once, and what stands there
instead. The tree is not touched: `go test -overlay` compiles core with all mutants at once, of which a
test binary runs with the one that LIMPET_MUTANT names. Tests are run until one fails: those of
package core, of topology/conformance and of topology. It ends with 1 if a mutant survives, is not found, or does
not compile, and if a test fails where nothing is broken.

Whoever changes a line that a mutant breaks gets a failed test here, and changes the mutant.
*/
package main
