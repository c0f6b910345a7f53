/*
Package nexmark has queries of Nexmark, the benchmark of stream processors, as topologies: an
auction house with people, auctions and bids.

	persons  -- by id -----+
	auctions -- by id -----+-> query n -> its results
	bids     -- by auction +

The definitions are those of Apache Flink's and Apache Beam's versions. Each query is a function
of its streams and tables; its comment says in SQL what it must answer, and where the answer is
another one on purpose. Topology wires it to the topics.

	q0  q1  q2              simple.go    pass-through, currency, selection
	q3  q8  q13 q20         joins.go     local items, new users, side input, bids with auctions
	q4  q9                  winners.go   mean price of a category, winning bids
	q5  q7  q11 q12         windows.go   hot items, highest bid, sessions, by the wall clock
	q17 q18 q19             tables.go    statistics, last bids, ten best bids

Generator makes events from a seed, one person and three auctions to 46 bids.

The tests ask each query in every way that package topologytest knows, and compare with loops over
all events. They are also the workloads of bench and bench/peers.
*/
package nexmark
