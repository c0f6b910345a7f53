package nexmark

import "github.com/seed-81380e12/limpet/topology"

// Suggestion is an item for sale nearby.
type Suggestion struct {
	Name    string `json:"name"`
	City    string `json:"city"`
	State   string `json:"state"`
	Auction int64  `json:"auction"`
}

// Suggest makes a suggestion of an auction and its seller.
func Suggest(a Auction, p Person) Suggestion { return Suggestion{p.Name, p.City, p.State, a.ID} }

// Query3 is local item suggestion: who sells in Oregon, Idaho or California in category 10?
//
//	SELECT P.name, P.city, P.state, A.id FROM auction A JOIN person P ON A.seller = P.id
//	WHERE A.category = 10 AND P.state IN ('OR', 'ID', 'CA')
//
// Whichever comes first waits for the other one, for ever; the auction is the key.
func Query3(auctions AuctionTable, persons PersonTable) topology.Table[int64, Suggestion] {
	return topology.JoinForeign(auctions.Filter(Auction.inCategory10), persons.Filter(inTheWest), "local-items", Auction.seller, Suggest)
}

func inTheWest(p Person) bool { return p.State == "OR" || p.State == "ID" || p.State == "CA" }

// Entry says that a person came, or sold.
type Entry struct {
	Person int64
	Name   string // of one who came
	Sales  int64
}

func came(p Person) Entry         { return Entry{p.ID, p.Name, 0} }
func sold(a Auction) Entry        { return Entry{a.Seller, "", 1} }
func (e Entry) person() int64     { return e.Person }
func (e Entry) cameAndSold() bool { return e.Name != "" && e.Sales > 0 }
func name(e Entry) string         { return e.Name }

// And is all that two entries say of a person.
func (e Entry) And(more Entry) Entry {
	e.Name += more.Name // only one has it: nobody comes twice
	e.Sales += more.Sales
	return e
}

// Query8 monitors new users: people who came and opened auctions in the same ten seconds.
//
//	SELECT P.id, P.name, P.starttime
//	FROM (SELECT id, name, starttime FROM TUMBLE(person, 10 s) GROUP BY ...) P
//	JOIN (SELECT seller, starttime FROM TUMBLE(auction, 10 s) GROUP BY ...) A
//	ON P.id = A.seller AND P.starttime = A.starttime
//
// The result comes once, when the window has closed; the key has the person and the window. Persons
// and auctions go to their windows in one stream, so that none is far ahead of the other.
func Query8(persons Persons, auctions Auctions) topology.Stream[topology.Windowed[int64], string] {
	entries := topology.Map(persons, came).Merge(topology.Map(auctions, sold))
	byPerson := topology.KeyBy(entries, "by-person", Entry.person)
	both := topology.Reduce(byPerson.Window(topology.Tumbling(period).Grace(grace)), "came-and-sold", Entry.And, topology.EmitOnClose())
	return topology.Map(both.ToStream().Filter(Entry.cameAndSold), name)
}

// SideBid is a bid with what the side input says of it.
type SideBid struct {
	Auction, Bidder, Price int64
	DateTime               topology.Time
	Value                  string
}

// SideKey is where a bid is found in the side input.
func SideKey(b Bid) int64 { return b.Auction % SideInputs }

// WithSide adds what the side input says.
func WithSide(b Bid, value string) SideBid {
	return SideBid{b.Auction, b.Bidder, b.Price, b.DateTime, value}
}

// Query13 joins with a bounded side input.
//
//	SELECT B.auction, B.bidder, B.price, B.dateTime, S.value
//	FROM bid B JOIN side_input S ON B.auction % 10000 = S.key
//
// The side input is a global table: whole in each process.
func Query13(bids Bids, side topology.GlobalTable[int64, string]) topology.Stream[int64, SideBid] {
	return topology.JoinGlobal(bids, side, "with-side-input", SideKey, WithSide)
}

// Query20 expands bids with their auctions, in category 10.
//
//	SELECT * FROM bid B JOIN auction A ON B.auction = A.id WHERE A.category = 10
//
// A bid that comes before its auction waits a minute for it; in SQL, for ever. Auctions are kept.
func Query20(bids Bids, auctions AuctionTable) topology.Stream[int64, Expanded] {
	return topology.Join(bids, auctions, "with-auction", Expand, topology.Wait(patience)).Filter(Expanded.inCategory10)
}
