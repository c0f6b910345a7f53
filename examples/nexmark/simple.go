package nexmark

import "github.com/seed-81380e12/limpet/topology"

// The streams and tables of the events.
type (
	Bids         = topology.Stream[int64, Bid]
	Auctions     = topology.Stream[int64, Auction]
	Persons      = topology.Stream[int64, Person]
	AuctionTable = topology.Table[int64, Auction]
	PersonTable  = topology.Table[int64, Person]
)

// Query0 is pass-through: what it costs to decode and encode a bid.
//
//	SELECT * FROM bid
func Query0(bids Bids) Bids { return topology.Map(bids, same) }

// Query1 is currency conversion.
//
//	SELECT auction, bidder, 0.908 * price, dateTime, extra FROM bid
//
// Prices are whole cents; what is less than one is cut off.
func Query1(bids Bids) Bids { return topology.Map(bids, InEuro) }

// Query2 is selection: the prices of bids on some auctions.
//
//	SELECT auction, price FROM bid WHERE auction % 123 = 0
//
// The auction is the key.
func Query2(bids Bids) topology.Stream[int64, int64] {
	return topology.Map(bids.Filter(selected), Bid.price)
}

func same(b Bid) Bid { return b }

// InEuro is a bid with its price in euro, from dollars.
func InEuro(b Bid) Bid {
	b.Price = b.Price * 908 / 1000
	return b
}

func selected(b Bid) bool { return b.Auction%123 == 0 }
