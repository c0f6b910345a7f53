package topology_test

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
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

// The stream's records make results, the table's changes do not.
func ExampleJoin() {
	b := topology.New("example")
	topology.Join(Words.Stream(b), Rows.Table(b), "join", plus).To(Out)

	d := play(b, "words@1 a early", "rows@2 a row", "words@3 a word")
	show(d, Out)
	fmt.Println(d.Dropped("join", topology.Unmatched), "had no row")
	// Output:
	// a word+row @3
	// 1 had no row
}

func ExampleLeftJoin() {
	b := topology.New("example")
	topology.LeftJoin(Words.Stream(b), Rows.Table(b), "join", orNobody).To(Out)

	show(play(b, "words@1 a early", "rows@2 a row", "words@3 a word"), Out)
	// Output:
	// a early+nobody @1
	// a word+row @3
}

func ExampleJoinStreams() {
	b := topology.New("example")
	orders, payments := Words.Stream(b), Others.Stream(b)
	topology.JoinStreams(orders, payments, "paid", topology.Within(10*time.Millisecond), plus).To(Out)

	show(play(b, "words@1 o1 book", "others@8 o1 paid", "words@20 o2 pen", "others@31 o2 paid"), Out)
	// Output:
	// o1 book+paid @8
}

// A payment up to a second before the order, or ten behind it, is the order's.
func ExampleBetween() {
	b := topology.New("example")
	topology.JoinStreams(Words.Stream(b), Others.Stream(b), "paid", topology.Between(-time.Second, 10*time.Second), plus).To(Out)

	show(play(b, "others@1000 o1 before", "words@1500 o1 book", "words@2500 o1 pen", "others@12000 o1 behind"), Out)
	// Output:
	// o1 book+before @1500
	// o1 pen+behind @12000
}

// Which were not paid in time is known when no payment can come any more.
func ExampleLeftJoinStreams() {
	b := topology.New("example")
	orders, payments := Words.Stream(b), Others.Stream(b)
	topology.LeftJoinStreams(orders, payments, "paid", topology.Between(0, 10*time.Millisecond).Grace(5*time.Millisecond), orNobody).To(Out)

	show(play(b, "words@1 o1 book", "words@2 o2 pen", "others@8 o1 paid", "words@18 o3 cup"), Out)
	// Output:
	// o1 book+paid @8
	// o2 pen+nobody @2
}

func ExampleOuterJoinStreams() {
	b := topology.New("example")
	either := func(a, b topology.Opt[string]) string { return a.Or("nobody") + "+" + b.Or("nobody") }
	topology.OuterJoinStreams(Words.Stream(b), Others.Stream(b), "met", topology.Within(5*time.Millisecond), either).To(Out)

	show(play(b, "words@1 a left", "others@2 b right", "words@3 c left", "others@4 c right", "words@20 d later"), Out)
	// Output:
	// c left+right @4
	// a left+nobody @1
	// b nobody+right @2
}

func ExampleJoinTables() {
	b := topology.New("example")
	topology.JoinTables(Rows.Table(b), Plain.Table(b), "joined", plus).To(Out)

	show(play(b, "rows@1 a left", "plain-rows@2 a right", "rows@3 a other", "plain-rows@4 a -"), optional(Out))
	// Output:
	// a {left+right true} @2
	// a {other+right true} @3
	// a { false} @4
}

func ExampleLeftJoinTables() {
	b := topology.New("example")
	topology.LeftJoinTables(Rows.Table(b), Plain.Table(b), "joined", orNobody).To(Out)

	show(play(b, "rows@1 a left", "plain-rows@2 a right"), Out)
	// Output:
	// a left+nobody @1
	// a left+right @2
}

// A right join is a left join with the tables swapped.
func ExampleLeftJoinTables_right() {
	b := topology.New("example")
	left, right := Rows.Table(b), Plain.Table(b)
	topology.LeftJoinTables(right, left, "joined", func(r string, l topology.Opt[string]) string {
		return l.Or("nobody") + "+" + r
	}).To(Out)

	show(play(b, "plain-rows@1 a right", "rows@2 a left"), Out)
	// Output:
	// a nobody+right @1
	// a left+right @2
}

func ExampleOuterJoinTables() {
	b := topology.New("example")
	either := func(a, b topology.Opt[string]) string { return a.Or("nobody") + "+" + b.Or("nobody") }
	topology.OuterJoinTables(Rows.Table(b), Plain.Table(b), "joined", either).To(Out)

	show(play(b, "plain-rows@1 a right", "rows@2 a left", "plain-rows@3 a -"), Out)
	// Output:
	// a nobody+right @1
	// a left+right @2
	// a left+nobody @3
}

// Any number of tables, with no results in between.
func ExampleCombine() {
	type page struct{ Title, Text, Note string }
	b := topology.New("example")
	topology.Combine("pages",
		topology.Needs(Rows.Table(b), func(p page, title string) page { p.Title = title; return p }),
		topology.Needs(Plain.Table(b), func(p page, text string) page { p.Text = text; return p }),
		topology.MayHave(Words.Stream(b).ToTable("notes"), func(p page, note string) page { p.Note = note; return p }),
	).To(topology.NewTopic("pages", codec.String, codec.JSON[page]()))

	d := play(b, "rows@1 a Home", "plain-rows@2 a Hello", "words@3 a new")
	show(d, topology.NewTopic("pages", codec.String, codec.JSON[page]()))
	// Output:
	// a {Home Hello } @2
	// a {Home Hello new} @3
}

// Each order with the customer that it names, whichever side changes.
func ExampleJoinForeign() {
	b := topology.New("example")
	orders, customers := Rows.Table(b), Plain.Table(b)
	topology.JoinForeign(orders, customers, "with-customer", func(order string) string { return order[:2] }, plus).To(Out)

	show(play(b, "plain-rows@1 c1 Ann", "rows@2 o1 c1:book", "rows@3 o2 c1:pen", "plain-rows@4 c1 Anna"), Out)
	// Output:
	// o1 c1:book+Ann @2
	// o2 c1:pen+Ann @3
	// o1 c1:book+Anna @4
	// o2 c1:pen+Anna @4
}

func ExampleLeftJoinForeign() {
	b := topology.New("example")
	orders, customers := Rows.Table(b), Plain.Table(b)
	topology.LeftJoinForeign(orders, customers, "with-customer", func(order string) string { return order[:2] }, orNobody).To(Out)

	show(play(b, "rows@1 o1 c1:book", "plain-rows@2 c1 Ann"), Out)
	// Output:
	// o1 c1:book+nobody @1
	// o1 c1:book+Ann @2
}
