/*
Package conformance holds the proof that operators do what docs/semantics.md says, and nothing
else: no code, tests only.

TestConformance runs the cases in testdata, which are inputs, outputs and final states of Kafka
Streams as data, and those in the folders that LIMPET_CONFORMANCE names:

	LIMPET_CONFORMANCE=dir go test ./topology/... -run Conformance -v

The other tests compare operators with dumb models on random inputs: nested loops over the whole
history, sort and scan, maps. They are a package of their own since all that they need compiles in
a fraction of the time that the tests of package topology take.
*/
package conformance
