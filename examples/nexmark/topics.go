package nexmark

import (
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The topics of events. Persons and auctions never change, so they may be compacted: their tables
// need no changelog then.
var (
	PersonTopic  = topology.NewTopic("persons", codec.Int64, PersonCodec, topology.Compacted())
	AuctionTopic = topology.NewTopic("auctions", codec.Int64, AuctionCodec, topology.Compacted())
	BidTopic     = topology.NewTopic("bids", codec.Int64, BidCodec) // keyed by auction
	SideTopic    = topology.NewTopic("side-input", codec.Int64, codec.String, topology.Compacted())
)

// The topics of results.
var (
	Results0  = topology.NewTopic("q0", codec.Int64, BidCodec)
	Results1  = topology.NewTopic("q1", codec.Int64, BidCodec)
	Results2  = topology.NewTopic("q2", codec.Int64, codec.Int64)
	Results3  = topology.NewTopic("q3", codec.Int64, codec.JSON[Suggestion]())
	Results4  = topology.NewTopic("q4", codec.Int64, codec.Int64)
	Results5  = topology.NewTopic("q5", codec.Int64, codec.JSON[Hottest]())
	Results7  = topology.NewTopic("q7", codec.Int64, BidCodec)
	Results8  = topology.NewTopic("q8", codec.Windowed(codec.Int64, period), codec.String)
	Results9  = topology.NewTopic("q9", codec.Int64, ExpandedCodec)
	Results11 = topology.NewTopic("q11", codec.SessionWindowed(codec.Int64), codec.Int64)
	Results12 = topology.NewTopic("q12", codec.Windowed(codec.Int64, period), codec.Int64)
	Results13 = topology.NewTopic("q13", codec.Int64, SideBidCodec)
	Results17 = topology.NewTopic("q17", codec.Windowed(codec.Int64, 24*time.Hour), StatsCodec)
	Results18 = topology.NewTopic("q18", bidderAuctionCodec, BidCodec)
	Results19 = topology.NewTopic("q19", codec.Int64, bidsCodec)
	Results20 = topology.NewTopic("q20", codec.Int64, ExpandedCodec)
)

// Queries are the numbers of the queries.
var Queries = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 17, 18, 19, 20}

// Inputs says which events a query reads.
type Inputs struct{ Persons, Auctions, Bids, Side bool }

// Reads is what a query of Queries reads.
func Reads(query int) Inputs {
	switch query {
	case 3, 8:
		return Inputs{Persons: true, Auctions: true}
	case 4, 9, 20:
		return Inputs{Auctions: true, Bids: true}
	case 13:
		return Inputs{Bids: true, Side: true}
	}
	return Inputs{Bids: true}
}

// Topology wires a query of Queries to its topics, as an application nexmark-q<n>.
func Topology(query int) *topology.Builder {
	b := topology.New(fmt.Sprintf("nexmark-q%d", query))
	switch query {
	case 0:
		Query0(BidTopic.Stream(b)).To(Results0)
	case 1:
		Query1(BidTopic.Stream(b)).To(Results1)
	case 2:
		Query2(BidTopic.Stream(b)).To(Results2)
	case 3:
		Query3(AuctionTopic.Table(b), PersonTopic.Table(b)).To(Results3)
	case 4:
		Query4(BidTopic.Stream(b), AuctionTopic.Table(b)).To(Results4)
	case 5:
		Query5(BidTopic.Stream(b)).To(Results5)
	case 7:
		Query7(BidTopic.Stream(b)).To(Results7)
	case 8:
		Query8(PersonTopic.Stream(b), AuctionTopic.Stream(b)).To(Results8)
	case 9:
		Query9(BidTopic.Stream(b), AuctionTopic.Stream(b)).To(Results9)
	case 11:
		Query11(BidTopic.Stream(b)).To(Results11)
	case 12:
		Query12(BidTopic.Stream(b, topology.WallTime())).To(Results12)
	case 13:
		Query13(BidTopic.Stream(b), SideTopic.GlobalTable(b)).To(Results13)
	case 17:
		Query17(BidTopic.Stream(b)).To(Results17)
	case 18:
		Query18(BidTopic.Stream(b)).To(Results18)
	case 19:
		Query19(BidTopic.Stream(b)).To(Results19)
	case 20:
		Query20(BidTopic.Stream(b), AuctionTopic.Table(b)).To(Results20)
	}
	return b
}
