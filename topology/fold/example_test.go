package fold_test

import (
	"fmt"

	"github.com/seed-81380e12/limpet/topology/fold"
)

type order struct {
	Item  string
	Cents int
}

func (o order) item() string { return o.Item }
func (o order) cents() int   { return o.Cents }

var orders = []order{{"pen", 150}, {"book", 1990}, {"cup", 800}, {"pen", 120}}

// each folds as Aggregate does: from the zero state.
func each[A, V any](f func(A, V) A, vs []V) (a A) {
	for _, v := range vs {
		a = f(a, v)
	}
	return a
}

// For topology.Reduce(amounts, "totals", fold.Sum).
func ExampleSum() {
	fmt.Println(fold.Sum(fold.Sum(150, 1990), 800))
	// Output: 2940
}

// For topology.AggregateTable: the second one takes out what the first one put in.
func ExampleSumOf() {
	add, remove := fold.SumOf(order.cents), fold.SumLess(order.cents)
	fmt.Println(remove(add(add(0, orders[0]), orders[1]), orders[0]))
	// Output: 1990
}

func ExampleMaxBy() {
	best := orders[0]
	for _, o := range orders[1:] {
		best = fold.MaxBy(order.cents)(best, o)
	}
	fmt.Println(best)
	// Output: {book 1990}
}

func ExampleAvgOf() {
	fmt.Println(each(fold.AvgOf(order.cents), orders).Mean())
	// Output: 765
}

func ExampleTopOf() {
	fmt.Println(each(fold.TopOf(2, order.cents), orders))
	// Output: [{book 1990} {cup 800}]
}

func ExampleDistinctOf() {
	fmt.Println(each(fold.DistinctOf(100, order.item), orders))
	// Output: [pen book cup]
}

func ExampleTallyOf() {
	all := each(fold.TallyOf(order.item), orders)
	fmt.Println(all)
	fmt.Println(fold.TallyLess(order.item)(all, order{Item: "cup"}))
	// Output:
	// [{pen 2} {book 1} {cup 1}]
	// [{pen 2} {book 1}]
}
