package topology_test

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

func ExampleEmitPerCommit() {
	b := topology.New("example")
	topology.Count(Words.Stream(b), "counts", topology.EmitPerCommit()).To(Counts)

	d := playIn(4, b, "words@1 ann a", "words@2 bob b", "words@3 ann c", "words@4 ann d",
		"words@5 bob e")
	show(d, Counts)
	// Output:
	// ann 3 @4
	// bob 1 @2
	// bob 2 @5
}

func ExampleEmitEvery() {
	b := topology.New("example")
	topology.Count(Words.Stream(b), "counts", topology.EmitEvery(10*time.Millisecond)).To(Counts)

	d := play(b, "words@1 ann a", "words@2 ann b", "words@9 ann c", "words@11 bob d", "words@12 ann e")
	show(d, Counts)
	// Output:
	// ann 1 @1
	// ann 3 @9
	// bob 1 @11
}
