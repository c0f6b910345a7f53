package topology_test

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

func ExampleJoinSelf() {
	b := topology.New("example")
	topology.JoinSelf(Words.Stream(b), "pairs", topology.Between(0, 5*time.Millisecond), plus).To(Out)

	d := play(b, "words@1 ann a", "words@4 ann b", "words@8 ann c")
	show(d, Out)
	// Output:
	// ann a+a @1
	// ann a+b @4
	// ann b+b @4
	// ann b+c @8
	// ann c+c @8
}

func ExampleStored() {
	b := topology.New("example")
	words, others := Words.Stream(b).ToTable("words-by-key"), Others.Stream(b).ToTable("others-by-key")
	topology.JoinTables(words, others, "both", plus, topology.Stored()).To(Out)

	d := play(b, "words@1 ann a", "others@2 ann x", "words@3 ann b")
	show(d, Out)
	// Output:
	// ann a+x @2
	// ann b+x @3
}

func ExampleEveryDeletion() {
	b := topology.New("example")
	short := func(s string) bool { return len(s) == 1 }
	Words.Stream(b).ToTable("by-key").Filter(short, topology.EveryDeletion()).To(Out)

	d := play(b, "words@1 ann long", "words@2 ann s", "words@3 ann long", "words@4 ann longer")
	show(d, nullStrings(Out.Name()))
	// Output:
	// ann { false} @1
	// ann {s true} @2
	// ann { false} @3
	// ann { false} @4
}
