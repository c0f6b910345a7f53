/*
Package kafka implements the ports of package shell on a Kafka cluster, from version 3.7
on (older brokers down to 2.8 may do; nobody tests them).

	b, err := kafka.Open(ctx, kafka.Config{Brokers: []string{"localhost:9092"}})
	if err != nil {
		return err // shell.ErrUnreachable, with what to look at
	}
	defer b.Close()

	// Once per worker: one transactional id, which is stable over restarts.
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: "app-1", Group: "app"})
	if err := p.Open(ctx); err != nil { // fences whoever had the id
		return err
	}
	g, err := b.Join(ctx, shell.GroupConfig{
		Group: "app", Instance: "1", TransactionalID: "app-1", Sources: [][]string{{"orders"}},
	})
	if err != nil {
		return err
	}
	f := b.NewFetcher(shell.FetchConfig{Name: "worker"})

	// Events of g: Assigned opens a task (Committed, Bounds, then f.Add); Revoked commits and
	// closes it, then Done. Beside that:
	for {
		fetched, err := f.Poll(ctx)
		... // step; for what was stepped: f.Release
		if err := p.Produce(ctx, batches); err != nil { ... }
		if err := p.SendOffsets(ctx, g, offsets); err != nil { ... } // even if nothing was produced
		if err := p.End(ctx); err != nil { ... }
		// Now it is committed, and only now local state may follow.
	}

What to do after an error is its sentinel's affair: shell.ErrAborted: Abort, and feed the
same input again. shell.ErrUnknown, shell.ErrFenced: Open, and the tasks at their
committed offsets. shell.ErrLost: Open, drop all tasks; the group joins anew by itself.
shell.ErrInstanceFenced and all others: stop.

# The contract

Everything that an outage may cause is retried for Config.RetryFor. No call outlives its
ctx by more than the time that closing a connection takes. No topic is ever made by
asking for it. Nothing is logged above level Debug but takeovers and what stops a group.

What is fetched is committed, decompressed, in offset order, and lies in memory of its
own: batch.go. In which order partitions are read is in fetch.go. How batches are sent
again is in produce.go, what ends a transaction in txn.go, when a task begins and ends in
group.go, which member gets it in plan.go, what is done where brokers leave out a transaction's
markers in marker.go.

# Who does what

IBM/sarama v1.61 connects and authenticates, encodes all requests but two, and holds the
membership. Fetch and Produce, and the records in them, are encoded and decoded here:
wire.go says why. Metadata and coordinators are looked up here too: cluster.go.

Connections of a worker: for each broker one to fetch and one to produce, one to the
transaction coordinator, one to the group coordinator for offsets, and sarama's own for
the membership. What blocks at the broker never shares a connection with what must not
wait.
*/
package kafka
