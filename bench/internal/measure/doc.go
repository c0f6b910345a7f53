// Package measure is what the programs under bench measure with: the CPU time of a
// process, medians and spread, a table, and a line that says on what machine.
//
// The machines that this runs on are shared. So a figure of one run means little;
// what counts are ratios of contenders that took turns in one run, CPU time rather than
// time on the clock, and medians. [Kernel] shows how much a neighbour stretched it.
package measure
