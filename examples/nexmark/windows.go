package nexmark

import (
	"slices"

	"github.com/seed-81380e12/limpet/topology"
)

// Hottest are the auctions with the most bids of a window.
type Hottest struct {
	Start    topology.Time `json:"start"` // of the window
	Bids     int64         `json:"bids"`
	Auctions []int64       `json:"auctions"` // in order
}

// Hotter is the one with more bids; with as many, both.
func Hotter(a, b Hottest) Hottest {
	switch {
	case a.Bids > b.Bids:
		return a
	case a.Bids < b.Bids:
		return b
	}
	a.Auctions = slices.Concat(a.Auctions, b.Auctions)
	slices.Sort(a.Auctions)
	return a
}

func (h Hottest) start() int64 { return int64(h.Start) }

// counted is one auction's count in a window.
func counted(r topology.Record[topology.Windowed[int64], int64]) Hottest {
	return Hottest{r.Key.Start, r.Value, []int64{r.Key.Key}}
}

// Query5 is hot items: which auctions had the most bids in the last ten seconds, each two seconds?
//
//	SELECT auction, num FROM (
//	  SELECT auction, COUNT(*) AS num, starttime FROM HOP(bid, 2 s, 10 s) GROUP BY auction, starttime) A
//	JOIN (SELECT MAX(num) AS maxn, starttime FROM (the same) GROUP BY starttime) M
//	ON A.starttime = M.starttime AND A.num >= M.maxn
//
// The key is the window's start. Counts are final, but those of one window come from each partition
// as it gets there: so the last result of a window is the answer.
func Query5(bids Bids) topology.Stream[int64, Hottest] {
	w := topology.Hopping(period, advance).Grace(grace)
	counts := topology.Count(bids.Window(w), "bids", topology.EmitOnClose())
	byWindow := topology.KeyBy(topology.Map(topology.Records(counts.ToStream()), counted), "by-window", Hottest.start)
	return topology.Reduce(byWindow, "hottest", Hotter, topology.TTL(kept)).ToStream()
}

// start is where the window of a bid begins.
func (b Bid) start() int64 {
	return int64(b.DateTime - b.DateTime%topology.Time(period.Milliseconds()))
}

// Query7 is the highest bid of each ten seconds.
//
//	SELECT B.* FROM bid B
//	JOIN (SELECT MAX(price) AS maxprice, window_end FROM TUMBLE(bid, 10 s) GROUP BY window_end) M
//	ON B.price = M.maxprice WHERE B.dateTime BETWEEN M.window_end - 10 s AND M.window_end
//
// The key is the window's start. Each auction's highest bid is final; the last result of a window is
// the answer, as in Query5. Of equal bids it is the one that Higher says; in SQL they all are.
func Query7(bids Bids) topology.Stream[int64, Bid] {
	w := topology.Tumbling(period).Grace(grace)
	best := topology.Reduce(bids.Window(w), "best-of-auction", Higher, topology.EmitOnClose())
	byWindow := topology.KeyBy(best.ToStream(), "by-window", Bid.start)
	return topology.Reduce(byWindow, "best", Higher, topology.TTL(kept)).ToStream()
}

// Query11 is user sessions: how many bids a user made in each, with gaps of ten seconds at most.
//
//	SELECT bidder, COUNT(*), SESSION_START(dateTime, 10 s), SESSION_END(dateTime, 10 s)
//	FROM bid GROUP BY bidder, SESSION(dateTime, 10 s)
//
// The key has the bidder and the session. It ends with its last bid; in SQL, ten seconds later.
func Query11(bids Bids) topology.Stream[topology.Windowed[int64], int64] {
	byBidder := topology.KeyBy(bids, "by-bidder", Bid.bidder)
	return topology.Count(byBidder.Window(topology.Session(period).Grace(grace)), "sessions", topology.EmitOnClose()).ToStream()
}

// Query12 is processing time windows: how many bids a user made in ten seconds of the wall clock.
//
//	SELECT bidder, COUNT(*), window_start, window_end
//	FROM TUMBLE(SELECT *, PROCTIME() AS p_time FROM bid, p_time, 10 s) GROUP BY bidder, window_start
//
// Bids must be a stream with WallTime.
func Query12(bids Bids) topology.Stream[topology.Windowed[int64], int64] {
	byBidder := topology.KeyBy(bids, "by-bidder", Bid.bidder)
	return topology.Count(byBidder.Window(topology.Tumbling(period)), "bids", topology.EmitOnClose()).ToStream()
}
