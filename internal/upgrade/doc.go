/*
Package upgrade tests that state which an earlier version has written is read by this one: the rows of every
operator that keeps some, in a store directory and in changelogs.

	go test ./internal/upgrade

A topology of all these operators takes records, is stopped, and goes on with the state in testdata in place of
its own, once with the directory and once with what the changelogs restore. What comes out, and all rows, must
be what they are where nothing was stopped.

	go test ./internal/upgrade -run TestFixture -fixture rows-2

writes such state with the code that is there, of that name. The last one by name is that of the present
formats: TestFixture holds what operators write against it, byte for byte, so that none changes by mistake. Who
changes one on purpose, as docs/format.md says, leaves the old fixtures, writes another one, and sees that
all of them are read.
*/
package upgrade
