/*
Command compare runs the benchmarks of Step and of the operators, shows with benchstat how their
times and allocations differ from the results that were saved last, and fails where a record now
allocates more.

	go run ./bench/compare             # against bench/saved.txt; make bench-compare
	go run ./bench/compare -count 2    # as .ci/run does it: fewer runs, and times say nothing
	go run ./bench/compare -save       # saves new results, at a release; make bench-save

Times never fail it: machines differ, and are shared. It runs at the top of the repository.
*/
package main
