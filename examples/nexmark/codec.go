package nexmark

import (
	"encoding/binary"
	"errors"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The codecs of what comes with every bid. Numbers are 8 bytes, the most significant first; strings
// are their length in 4 bytes, then UTF-8; members follow each other as the struct has them. Any
// language reads that with what it has, in less than a third of the time of JSON. Results that are
// few are JSON.
var (
	PersonCodec   = codec.Func(appendPerson, whole(readPerson))
	AuctionCodec  = codec.Func(appendAuction, whole(readAuction))
	BidCodec      = codec.Func(appendBid, whole(readBid))
	ExpandedCodec = codec.Func(appendExpanded, whole(readExpanded))
	SideBidCodec  = codec.Func(appendSideBid, whole(readSideBid))
	StatsCodec    = codec.Func(appendStats, whole(readStats))

	finalCodec         = codec.Func(appendFinal, whole(readFinal))
	lotCodec           = codec.Func(appendLot, whole(readLot))
	bidsCodec          = codec.List(BidCodec)
	bidderAuctionCodec = codec.PairOf(codec.Int64, codec.Int64)
)

var errCut = errors.New("cut short, or too long")

// reader takes members from a value's bytes. Its strings share one copy of them.
type reader struct {
	src  []byte
	copy string
	at   int
	cut  bool
}

// whole makes the function of a codec from one that reads members.
func whole[T any](read func(*reader) T) func([]byte) (T, error) {
	return func(src []byte) (T, error) {
		r := reader{src: src, copy: string(src)}
		v := read(&r)
		if r.cut || r.at != len(src) {
			var none T
			return none, errCut
		}
		return v, nil
	}
}

// next is where the next n bytes are. Where there are not as many, nothing more is read.
func (r *reader) next(n int) (at int, ok bool) {
	if at = r.at; r.cut || n > len(r.src)-at {
		r.cut = true
		return 0, false
	}
	r.at += n
	return at, true
}

func (r *reader) number() int64 {
	at, ok := r.next(8)
	if !ok {
		return 0
	}
	return int64(binary.BigEndian.Uint64(r.src[at:]))
}

func (r *reader) text() string {
	at, ok := r.next(4)
	if !ok {
		return ""
	}
	n := int(binary.BigEndian.Uint32(r.src[at:]))
	if at, ok = r.next(n); !ok {
		return ""
	}
	return r.copy[at : at+n]
}

func (r *reader) time() topology.Time { return topology.Time(r.number()) }

func appendNumbers(dst []byte, ns ...int64) []byte {
	for _, n := range ns {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return dst
}

func appendTexts(dst []byte, ss ...string) []byte {
	for _, s := range ss {
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
	}
	return dst
}

func appendPerson(dst []byte, p Person) ([]byte, error) {
	dst = appendTexts(appendNumbers(dst, p.ID), p.Name, p.Email, p.CreditCard, p.City, p.State)
	return appendTexts(appendNumbers(dst, int64(p.DateTime)), p.Extra), nil
}

func readPerson(r *reader) (p Person) {
	p.ID, p.Name, p.Email, p.CreditCard, p.City, p.State = r.number(), r.text(), r.text(), r.text(), r.text(), r.text()
	p.DateTime, p.Extra = r.time(), r.text()
	return p
}

func appendAuction(dst []byte, a Auction) ([]byte, error) {
	dst = appendTexts(appendNumbers(dst, a.ID), a.ItemName, a.Description)
	dst = appendNumbers(dst, a.InitialBid, a.Reserve, int64(a.DateTime), int64(a.Expires), a.Seller, a.Category)
	return appendTexts(dst, a.Extra), nil
}

func readAuction(r *reader) (a Auction) {
	a.ID, a.ItemName, a.Description = r.number(), r.text(), r.text()
	a.InitialBid, a.Reserve, a.DateTime, a.Expires, a.Seller, a.Category = r.number(), r.number(), r.time(), r.time(), r.number(), r.number()
	a.Extra = r.text()
	return a
}

func appendBid(dst []byte, b Bid) ([]byte, error) {
	dst = appendTexts(appendNumbers(dst, b.Auction, b.Bidder, b.Price), b.Channel, b.URL)
	return appendTexts(appendNumbers(dst, int64(b.DateTime)), b.Extra), nil
}

func readBid(r *reader) (b Bid) {
	b.Auction, b.Bidder, b.Price, b.Channel, b.URL = r.number(), r.number(), r.number(), r.text(), r.text()
	b.DateTime, b.Extra = r.time(), r.text()
	return b
}

func appendExpanded(dst []byte, e Expanded) ([]byte, error) {
	dst, _ = appendBid(dst, e.Bid) // it has no errors
	return appendAuction(dst, e.Auction)
}

func readExpanded(r *reader) Expanded { return Expanded{readBid(r), readAuction(r)} }

func appendSideBid(dst []byte, s SideBid) ([]byte, error) {
	return appendTexts(appendNumbers(dst, s.Auction, s.Bidder, s.Price, int64(s.DateTime)), s.Value), nil
}

func readSideBid(r *reader) SideBid {
	return SideBid{r.number(), r.number(), r.number(), r.time(), r.text()}
}

func appendStats(dst []byte, s Stats) ([]byte, error) {
	return appendNumbers(dst, s.Bids, s.Rank1, s.Rank2, s.Rank3, s.Min, s.Max, s.Mean, s.Sum), nil
}

func readStats(r *reader) Stats {
	return Stats{r.number(), r.number(), r.number(), r.number(), r.number(), r.number(), r.number(), r.number()}
}

func appendFinal(dst []byte, f Final) ([]byte, error) {
	return appendNumbers(dst, f.Category, f.Price), nil
}

func readFinal(r *reader) Final { return Final{r.number(), r.number()} }

func appendLot(dst []byte, l Lot) ([]byte, error) {
	dst, _ = appendAuction(dst, l.Auction) // none of them has errors
	dst, _ = appendBid(dst, l.Best)
	dst = appendNumbers(dst, int64(len(l.Early)))
	for _, b := range l.Early {
		dst, _ = appendBid(dst, b)
	}
	return dst, nil
}

func readLot(r *reader) (l Lot) {
	l.Auction, l.Best = readAuction(r), readBid(r)
	for n := r.number(); n > 0 && !r.cut; n-- {
		l.Early = append(l.Early, readBid(r))
	}
	return l
}
