package topology_test

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// The e-mail of an order goes out when its customer is known, or not at all.
func ExampleWait() {
	b := topology.New("example")
	customers := Rows.Table(b)
	compose := func(order, customer string) string { return order + " for " + customer }
	topology.Join(Words.Stream(b), customers, "with-customer", compose, topology.Wait(10*time.Millisecond)).To(Out)

	d := play(b, "words@1 c1 book", "words@2 c1 pen", "words@3 c2 cup", "rows@5 c1 Ann", "words@6 c1 ink",
		"rows@14 c2 Bob") // too late for the cup
	show(d, Out)
	// Output:
	// c1 book for Ann @1
	// c1 pen for Ann @2
	// c1 ink for Ann @6
}

// The orders of a moment see the price that was written a bit later.
func ExampleGrace() {
	b := topology.New("example")
	prices := Rows.Table(b)
	topology.Join(Words.Stream(b), prices, "with-price", plus, topology.Grace(10*time.Millisecond)).To(Out)

	d := play(b, "rows@1 book 9", "words@5 book o1", "rows@6 book 12", "words@8 book o2", "words@16 book o3")
	show(d, Out)
	// Output:
	// book o1+12 @5
}
