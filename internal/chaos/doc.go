/*
Package chaos does harm to processors, networks and brokers of a real Kafka while they work,
and checks from outside that nothing was lost, doubled or overtaken. Its checker reads the topics
with a client of its own. What it shares with the product is the store, with which it
reads the state directory to compare it with the logs, the topology that the processes run, and core's types of offsets, tasks and rows.

The tests need a real Kafka and take minutes:

	LIMPET_KAFKA=1 go test -run TestRealKafka -timeout 20m -v ./internal/chaos
	make chaos CHAOS=300

# The storm

TestRealKafkaStorm runs three brokers and three processes of one application, of two workers
each, which mails and counts orders by customer, and counts customers by city (ShopTopology),
with default settings for the rest. Each process has a door
of its own to the brokers (package kafkatest), by TLS, and a small disk of its own: a tmpfs in a mount namespace,
for which a user needs no more than to be allowed user namespaces. Seven rows of faults go on beside each other, drawn from the
seed: of each process (kill -9, SIGTERM, SIGSTOP past all timeouts, disk full, state deleted),
of each network (delayed, cut, reset, a black hole, or one in one direction only), and of the
brokers (kill -9, SIGSTOP past their session, restarts, leaders that move, partitions that are
added). Orders come in all the while, some in transactions, of which some are aborted; and
customers change, are deleted and come back.

Then everything is let be, and must have come out soon. Compared are, each order: once, in the
order of its customer, with the right content, count and sum, and a mail with a row that its customer
had, never with an older one than the mail before; the customers of each city with those that there
are; the group's offsets with the ends of the topics.

Product and check read the same topic, so what it lacks is a matter of its own. Feeding ends when no transaction is
open any more: what lies behind one neither of the two would see. Then the orders in the topic must be those that were acknowledged, where
they were acknowledged, but for those of transactions whose end was not answered. Those that are missing are told with what is in their place,
the ends of their partitions and the transactions that are open there: the client that feeds is not the product's, and
whether brokers, that client or the check are to blame shows in that. The storm fails in each case, as what came out cannot be
judged by a topic that is not whole. A reader of the check that may have passed something over ends it.

The rows on disk are compared with the logs three times: in the directories of all processes, as
they left them; in one that has taken over all tasks; in one that has restored all of them from
nothing. Each task must be in one of them where the group's offsets are, and with all rows of its
logs; what others have left of it before must be what the logs left up to there. Last, a joined topic
gets a partition, which all processes must refuse.

A process that ends by itself fails the test, unless what was done to it just then, its exit code and its last words
agree: no room on a disk that is full, no broker behind a network that is cut.

LIMPET_CHAOS_FAULTS is how many faults are done at least (40 by default); where it is set and no disks can be mounted,
the storm does not begin. Without it, it goes on with no full disks, and says so at the top of its
report. LIMPET_CHAOS_FOR is for how
long at least (such as 20m; 0 by default), LIMPET_CHAOS_RATE how many orders come a second (300).
LIMPET_CHAOS_REPORT names a file for the report, LIMPET_CHAOS_COMMIT what was tested. LIMPET_CHAOS_SEED
draws the same faults again; what they meet is never the same. With go test -artifacts the logs
of processes, brokers and the client that feeds are kept.

# The others

TestRealKafkaChaos kills the processes of two applications on one broker more often, and
restarts the broker; LIMPET_CHAOS_ORDERS sets how many orders go through (200 000).
TestRealKafkaChaosSees and TestRealKafkaChaosSeesLoss prove that the check can fail: at least
once must show doubles, offsets that are committed before the outputs must show losses.
TestJudge, TestJudgeRows, TestJudgeState, TestJudgeOffsets and TestJudgeCities prove the same of each
damage by itself, with no Kafka, TestMissing and TestRealKafkaMissing of orders that are missing, TestRealKafkaLeftOpen of open transactions, TestEnds of ends without an excuse, and TestDisks that disks get full.
*/
package chaos
