package nexmark

import (
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/fold"
)

// Stats is an auction's day.
type Stats struct {
	Bids, Rank1, Rank2, Rank3 int64 // all; below 10,000; below 1,000,000; the rest
	Min, Max, Mean, Sum       int64 // of prices
}

// Add counts a bid.
func (s Stats) Add(b Bid) Stats {
	if s.Bids == 0 {
		s.Min = b.Price
	}
	s.Bids++
	switch {
	case b.Price < 10_000:
		s.Rank1++
	case b.Price < 1_000_000:
		s.Rank2++
	default:
		s.Rank3++
	}
	s.Min, s.Max, s.Sum = min(s.Min, b.Price), max(s.Max, b.Price), s.Sum+b.Price
	s.Mean = s.Sum / s.Bids
	return s
}

// Query17 is a report of each auction's day.
//
//	SELECT auction, DATE_FORMAT(dateTime, 'yyyy-MM-dd') AS day, COUNT(*),
//	  COUNT(*) FILTER (WHERE price < 10000), COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000),
//	  COUNT(*) FILTER (WHERE price >= 1000000), MIN(price), MAX(price), AVG(price), SUM(price)
//	FROM bid GROUP BY auction, day
//
// The key has the auction and the day, in UTC. Each bid makes a result; a day that has been over for
// an hour is final, and no more kept.
func Query17(bids Bids) topology.Stream[topology.Windowed[int64], Stats] {
	day := topology.Tumbling(24 * time.Hour).Grace(kept)
	return topology.Aggregate(bids.Window(day), "statistics", Stats.Add, topology.StateCodec(StatsCodec)).ToStream()
}

// BidderAuction is the key of who bids on what.
type BidderAuction = codec.Pair[int64, int64]

func bidderAuction(b Bid) BidderAuction { return BidderAuction{First: b.Bidder, Second: b.Auction} }

// Later is the younger bid; of equal times, the one that came last.
func Later(last, b Bid) Bid {
	if b.DateTime < last.DateTime {
		return last
	}
	return b
}

// Query18 finds the last bid of each bidder on each auction.
//
//	SELECT * FROM (
//	  SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC) AS n FROM bid)
//	WHERE n = 1
//
// Each bid makes a result, which is the last one as far as it is known.
func Query18(bids Bids) topology.Stream[BidderAuction, Bid] {
	byBoth := topology.KeyBy(bids, "by-bidder-and-auction", bidderAuction, topology.KeyCodec(bidderAuctionCodec))
	return topology.Reduce(byBoth, "last", Later).ToStream()
}

// Query19 is the ten best bids of each auction.
//
//	SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS n FROM bid)
//	WHERE n <= 10
//
// The auction is the key, and the value its whole list, whenever it changes; of equal prices the bid
// that came first stands first.
func Query19(bids Bids) topology.Stream[int64, []Bid] {
	top := topology.Aggregate(bids, "top-10", fold.TopOf(10, Bid.price), topology.StateCodec(bidsCodec))
	return topology.Map(topology.Changes(top).Filter(differs), newList)
}

func differs(c topology.Change[[]Bid]) bool  { return !slices.Equal(c.Old.Value, c.New.Value) }
func newList(c topology.Change[[]Bid]) []Bid { return c.New.Value }
