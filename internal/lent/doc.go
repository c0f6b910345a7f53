// Package lent plays a shell that uses the memory of records again, for tests and the simulator:
// what a task was given it gets in memory of its own, which is written over once it has run, so that a
// codec or an operator that keeps some of it shows.
package lent
