// Package loop is the workloads written by hand on franz-go, with the state in a Go map:
// no framework, but what a good engineer thinks that none can reach. Exactly once: a
// transaction each CommitEvery holds outputs, changelog and offsets. It restores its maps
// from the changelog. It is correct for one instance; a rebalance starts it anew.
//
// What it does not do, and a framework must: state larger than memory, a start that does
// not read the whole changelog, several instances, order of several inputs, errors that
// say which record.
package loop
