/*
Package fold has functions for aggregates: sums, extremes, means, the greatest n, what is
distinct. They are plain functions, pure, and safe for concurrent use.

For Reduce, whose state is one value:

	topology.Reduce(amounts, "totals", fold.Sum)
	topology.Reduce(bids, "best", fold.MaxBy(Bid.Price))

For Aggregate, whose state begins with its zero; of says what counts of a value:

	topology.Aggregate(orders, "revenue", fold.SumOf(Order.Cents))
	topology.Aggregate(orders, "mean", fold.AvgOf(Order.Cents))
	topology.Aggregate(bids, "top-10", fold.TopOf(10, Bid.Price))
	topology.Aggregate(visits, "pages", fold.DistinctOf(100, Visit.Page))

For ReduceTable and AggregateTable there is one that takes a row out again, where the
state knows enough for that: Sum and Less, SumOf and SumLess, AvgOf and AvgLess, TallyOf
and TallyLess. A least or greatest value, the greatest n, and what came first cannot be
taken out: what would be next is not known any more.

	topology.AggregateTable(orders, "open", Order.Customer, fold.SumOf(Order.Cents), fold.SumLess(Order.Cents))

For session windows, Merging takes Sum, MergeAvg, MergeTop, MergeDistinct or MergeTally;
Reduce merges by itself.

First and Last, and ties elsewhere, go by arrival. To go by time, put Records in front:
fold.MinBy(func(r topology.Record[K, V]) topology.Time { return r.Time }).
*/
package fold
