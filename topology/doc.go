/*
Package topology describes a dataflow over Kafka topics with typed handles.

	var (
		Customers = topology.NewTopic("customers", codec.String, codec.JSON[Customer](), topology.Compacted())
		Orders    = topology.NewTopic("orders", codec.String, codec.JSON[Order]())
		Emails    = topology.NewTopic("emails", codec.String, codec.JSON[Email]())
	)

	b := topology.New("email-service")
	customers := Customers.Table(b)
	orders := topology.KeyBy(Orders.Stream(b), "by-customer", Order.Customer)
	topology.Join(orders, customers, "with-customer", Compose).To(Emails) // func(Order, Customer) Email
	plan, err := b.Build()

What keeps the types of its receiver is a method; what brings a type in is a function.
What keeps state, joins or rekeys has a name, right after its inputs; then come the
user's functions, and then options. Functions see values; one behind [Records] sees the
whole record: key, time and headers. Every key stays as it is, but through [KeyBy].

# The contract of user functions

They are pure: what they return follows from what they are given. A record can run
through them again, after an abort or a restart, and by many goroutines at a time for
different partitions. They must not change what they are given: a row that a function
gets is the row that the table keeps. A step may append to a slice of its state where the
longer one is its new state: nobody looks behind the old one's length. To set an element,
sort, insert or delete in place, or write to a map, it clones first (slices.Clone), and so it
does where what it emits has the longer slice and its state does not. Package topologytest
finds functions that change what they are given.

# Names

A name that is mandatory reaches the disk: it is part of a changelog's or repartition
topic's name, <app>-<name>-changelog and <app>-<name>-repartition. Another name is
another state. All names of a topology differ.

# From the description to tasks

[Builder.Build] checks everything and reports all mistakes at once. The [Plan] is
immutable. It has one or more sub-topologies, which are what repartition topics hold
together: each runs as one task for each partition of its sources. [Subtopology.NewTask]
composes the typed chains of a task, and whoever runs it (package shell, or topologytest
with no Kafka) finds in [Subtopology] which topics go where.

builder.go has the graph, stream.go table.go join.go joinwait.go jointable.go
joinstream.go joinforeign.go global.go aggregate.go window.go suppress.go emit.go
process.go timer.go dedup.go sink.go the typed doors to it, times.go policy.go what options say of times and
errors, loop.go topics that lead to themselves,
check.go what Build refuses, plan.go the sub-topologies, compile.go the way to a task,
describe.go pictures.
*/
package topology
