/*
Package topologytest runs topologies in memory: no Kafka, no clock, no goroutine. What it
runs are the tasks that run in production, with topics, changelogs and committed offsets
of its own around them.

	func TestTopology(t *testing.T) {
		topologytest.EveryWay(t, func(d *topologytest.Driver) {
			customers, orders := topologytest.Topic(d, Customers), topologytest.Topic(d, Orders)
			emails := topologytest.Topic(d, Emails)

			customers.Send("c1", ada)
			orders.Send("o1", Order{CustomerID: "c1"})
			emails.Want(Email{To: ada.Email})
			if d.Dropped("with-customer", topology.Unmatched) != 0 {
				d.T().Error("an order of nobody")
			}
		}, Topology())
	}

# What a Driver does

A Send moves the clock by a millisecond, so the order of records is clear, and runs all
topologies until they rest: everything is consumed, through repartition topics and from
one topology to another, and committed. What reads (Want, Get ...) therefore sees all
effects of what was sent. Sub-topologies run in the order of the data, each to its rest
before the next one begins.

A Driver starts at 2025-01-01 00:00 UTC. Its clock stands still until a Send, Advance, AdvanceTo or
Elapse moves it. Advance tells topologies the time,
as the shell does: wall timers go off. Stream time moves with records; Elapse moves it too, as a
record of that time would.

# What EveryWay does

It runs the scenario as subtests, each in another way, and each must pass: a batch and a
commit for each record; long batches and commits; random batches, with commits that are
sealed, overtaken by the next generation, and then advanced or aborted and fed again, at
random; four partitions; and a crash after every third record, which drops what was not
committed and all local state, and restores it. In all of them functions that change
what they are given are found, and codecs whose Decode keeps it: it is written over. Each subtest is a way; what the scenario itself finds wrong it
reports to Driver.T. What fails in several ways is printed once.

For the ways to be comparable, the order of records must be the same in all. So sends are
batched only as long as they go to the same topic with increasing times; a send to
another topic, or a look at anything, first lets all topologies come to rest. Where the
order would depend on the batches even so, there is no batching of sends: where
partitions are many, topologies feed each other in a circle, several sub-topologies
write to one topic, or one writes what is read as a global table. A result that depends
on more than the order of sends, EmitAt of a time in the future that meets other records,
say, can differ: as it can in production.

A global table moves when all is committed: a record meets all updates that were sent
before it, and none that were sent later.
*/
package topologytest
