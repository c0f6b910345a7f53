/*
Package view answers queries from a topic: it keeps the latest row of each key in memory, up to
date, and knows how far it has read. That is the read side of a topology: what it writes with
Table.To, a service serves.

	summaries, err := view.Open(ctx, broker, cqrs.Summaries)
	if err != nil {
		return err
	}
	defer summaries.Close()
	row, ok := summaries.Get("customer-7")

Somebody who has written something reads his own write by what he knows of it: the
position behind it, which is offset + 1 of the record that was acknowledged to him.

	token := shell.Position{{Topic: "orders", ID: partition}: offset + 1}
	if err := summaries.Await(ctx, plan, plan.Name(), token); err != nil {
		return err // ctx ended first: the topology does not run, or lags
	}
	row, ok = summaries.Get("customer-7") // what came of the order is in it

The whole topic is in memory, in every process that opens it. A topic should be compacted,
else its rows are those of the records that are still there.

What has been read is read committed: no row of a transaction that was aborted is ever
seen. Rows of one transaction in several partitions do not appear at the same time.
*/
package view
