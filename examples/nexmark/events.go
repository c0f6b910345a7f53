package nexmark

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// Person is somebody who sells or bids.
type Person struct {
	ID                            int64
	Name, Email, CreditCard, City string
	State                         string // of the USA: OR, ID ...
	DateTime                      topology.Time
	Extra                         string
}

// Auction is a thing for sale. Bids count from DateTime to Expires, both included.
type Auction struct {
	ID                    int64
	ItemName, Description string
	InitialBid, Reserve   int64 // cents
	DateTime, Expires     topology.Time
	Seller, Category      int64
	Extra                 string
}

// Bid is what somebody offers.
type Bid struct {
	Auction, Bidder, Price int64 // cents
	Channel, URL           string
	DateTime               topology.Time
	Extra                  string
}

func (a Auction) seller() int64      { return a.Seller }
func (a Auction) inCategory10() bool { return a.Category == 10 }
func (b Bid) bidder() int64          { return b.Bidder }
func (b Bid) price() int64           { return b.Price }

// Expanded is a bid with its auction.
type Expanded struct {
	Bid     Bid
	Auction Auction
}

// Expand puts a bid and its auction together.
func Expand(b Bid, a Auction) Expanded { return Expanded{b, a} }

func (e Expanded) inTime() bool       { return e.Auction.takes(e.Bid) }
func (e Expanded) inCategory10() bool { return e.Auction.inCategory10() }

// takes reports whether a bid came while the auction ran.
func (a Auction) takes(b Bid) bool { return a.DateTime <= b.DateTime && b.DateTime <= a.Expires }

// Higher is the bid that wins. Of equal prices the earlier one does; the rest makes it an order,
// so that the answer does not depend on which bid came first.
func Higher(a, b Bid) Bid {
	switch {
	case a.Price != b.Price:
		return either(a.Price > b.Price, a, b)
	case a.DateTime != b.DateTime:
		return either(a.DateTime < b.DateTime, a, b)
	case a.Auction != b.Auction:
		return either(a.Auction < b.Auction, a, b)
	}
	return either(a.Bidder <= b.Bidder, a, b)
}

func either(first bool, a, b Bid) Bid {
	if first {
		return a
	}
	return b
}

// The lengths of time that the queries name. The original ones are hours; these are the short
// ones that Flink's and Beam's versions have.
const (
	period  = 10 * time.Second // of windows, and the gap of sessions
	advance = 2 * time.Second  // of the hopping window
	// grace is for events that come late; and for partitions that are read at different speeds, so
	// that what was rekeyed is not in order. That counts where a backlog is worked off.
	grace    = time.Minute
	patience = time.Minute // of bids that come before their auction
	kept     = time.Hour   // of what is known of a window that is over
)
