package nexmark

import (
	"slices"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/fold"
)

// Final is the best price of an auction.
type Final struct{ Category, Price int64 }

func (f Final) category() int64    { return f.Category }
func (f Final) price() int64       { return f.Price }
func final(e Expanded) Final       { return Final{e.Auction.Category, e.Bid.Price} }
func mean(a fold.Avg[int64]) int64 { return a.Sum / max(a.Count, 1) }

// Query4 is the average price of a category: of the best bids of its auctions.
//
//	SELECT category, AVG(final) FROM (
//	  SELECT A.category, MAX(B.price) AS final FROM auction A JOIN bid B ON A.id = B.auction
//	  WHERE B.dateTime BETWEEN A.dateTime AND A.expires GROUP BY A.id, A.category)
//	GROUP BY category
//
// It is a table: each better bid takes its auction's last price out of the mean, and puts the new
// one in. A bid that comes more than a minute before its auction does not count.
func Query4(bids Bids, auctions AuctionTable) topology.Table[int64, int64] {
	valid := topology.Join(bids, auctions, "with-auction", Expand, topology.Wait(patience)).Filter(Expanded.inTime)
	finals := topology.Reduce(topology.Map(valid, final), "finals", fold.MaxBy(Final.price), topology.StateCodec(finalCodec))
	means := topology.AggregateTable(finals, "means", Final.category, fold.AvgOf(Final.price), fold.AvgLess(Final.price))
	return topology.MapTable(means, mean)
}

// Lot is what is known of an auction while it runs.
type Lot struct {
	Auction Auction
	Best    Bid   // none: its auction is 0
	Early   []Bid // came before the auction
}

// lotPorts are the effects of a Lot's steps.
type lotPorts struct {
	Won     topology.Out[Expanded]
	Expires topology.Timer
}

// onAuction begins the lot, and sets the hammer.
func onAuction(l Lot, a Auction, p *lotPorts) Lot {
	lot := Lot{Auction: a}
	for _, b := range l.Early {
		lot = lot.bid(b)
	}
	p.Expires.At(a.Expires.Add(grace))
	return lot
}

// onBid takes a bid. One that comes before its auction waits for it.
func onBid(l Lot, b Bid, p *lotPorts) Lot {
	if l.Auction.ID == 0 && len(l.Early) == 0 {
		p.Expires.In(patience)
	}
	return l.bid(b)
}

// onExpires is the hammer: whatever was best has won. There may be nothing but early bids.
func onExpires(l Lot, p *lotPorts) Lot {
	if l.Best.Auction != 0 {
		p.Won.Emit(Expanded{l.Best, l.Auction})
	}
	return Lot{Auction: Auction{ID: over}}
}

func (l Lot) bid(b Bid) Lot {
	switch {
	case l.Auction.ID == 0:
		l.Early = append(slices.Clip(l.Early), b)
	case !l.Auction.takes(b):
	case l.Best.Auction == 0:
		l.Best = b
	default:
		l.Best = Higher(l.Best, b)
	}
	return l
}

// over is the id of an auction that has ended.
const over = -1

func (l Lot) over() bool { return l.Auction.ID == over }

// Query9 is the winning bid of each auction: the highest in its time, of equal ones the earliest.
//
//	SELECT * FROM (
//	  SELECT A.*, B.*, ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.dateTime) AS n
//	  FROM auction A JOIN bid B ON A.id = B.auction WHERE B.dateTime BETWEEN A.dateTime AND A.expires)
//	WHERE n = 1
//
// It comes once, when the auction has been over for a minute; then its state is deleted.
// Bids that come later than that are taken for early ones of an auction that never comes: those
// are forgotten after a minute.
func Query9(bids Bids, auctions Auctions) topology.Stream[int64, Expanded] {
	p := topology.NewProcessor(auctions, "lots", onAuction, topology.DeleteWhen(Lot.over), topology.StateCodec(lotCodec))
	topology.On(p, bids, onBid)
	p.OnTimer(&p.Ports.Expires, onExpires)
	return topology.Output(p, &p.Ports.Won)
}
