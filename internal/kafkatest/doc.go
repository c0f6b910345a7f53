/*
Package kafkatest runs a real Apache Kafka 4.3.1 for tests: one node or three,
each a broker and a controller (KRaft) in a process of its own, on free ports
of 127.0.0.1 and with data folders of its own. It shows what an in-process fake
cannot: replication, sessions, fencing, transaction markers, TLS and SASL, and
a kill -9.

A test that needs it is named TestRealKafka... and starts its cluster itself;
what can share one is a subtest:

	func TestRealKafkaRestart(t *testing.T) {
		c := kafkatest.Start(t, kafkatest.Config{Nodes: 3})
		c.CreateTopic(t, "orders", 4, map[string]string{"cleanup.policy": "compact"})
		run(c.Brokers())

		if err := c.Node(2).Kill(); err != nil { // kill -9
			t.Fatal(err)
		}
		if err := c.Node(2).Start(); err != nil { // same ports, same data
			t.Fatal(err)
		}
		if err := c.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := drain(c.Client(t, kgo.ConsumeTopics("orders"))) // a reader that is not the code under test
		...
	}

# The contract

  - Plain `go test ./...` needs nothing and starts nothing: such tests are
    skipped unless LIMPET_KAFKA=1 or LIMPET_REQUIRE_KAFKA=1 is set. With the
    first they are skipped, by name, where Java or Maven are missing and in
    -short mode; with the second they fail instead of being skipped.
  - The jars come from Maven Central, once per user, into
    os.UserCacheDir()/limpet (LIMPET_KAFKA_CACHE names another folder). A
    lock lets many test binaries ask at once; a download that broke off leaves
    nothing that looks whole.
  - When Start returns, every node answers its clients, knows all the others,
    and every partition has its full ISR. The methods of Node do not wait for
    the cluster: WaitReady does.
  - With Config.Doors, clients that are given Cluster.Door(i) in place of
    Cluster.Brokers go through proxies of their own, which delay, hold back and
    cut (Proxy); brokers advertise the proxies to them, and let them in by the same
    Security. Brokers themselves, and Cluster.Client, do not meet them.
  - Nothing outlives the test. Processes are ended by their pid in t.Cleanup;
    where the test process itself is killed, Linux kills its brokers with it
    (elsewhere they are left behind).
  - When a test fails, the end of each node's log is printed. With
    LIMPET_KAFKA_KEEP=/some/folder the logs and data of its cluster stay there.

A Cluster and its Nodes may be used from many goroutines at once.
*/
package kafkatest
