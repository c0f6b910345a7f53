package nexmark

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/seed-81380e12/limpet/topology"
)

// Of 50 events one is a person, three are auctions, the rest are bids.
const (
	cycle    = 50
	persons  = 1
	auctions = 3
)

const (
	firstID    = 1000 // of people and auctions
	firstCat   = 10
	categories = 5
	hot        = 100  // one of so many auctions, sellers and bidders is hot
	inFlight   = 100  // auctions that are bid for
	active     = 1000 // people who sell and bid
	lead       = 10   // people and auctions that do not exist yet, but are referred to
)

// SideInputs is how many rows the side input of Query13 has: keys from 0 on.
const SideInputs = 10_000

// SideInput is a row of the side input.
func SideInput(key int64) string { return fmt.Sprintf("side-%d", key) }

// Generator makes events. Each is a function of the fields and its number, so any part of the
// events can be made, in any order, by anyone.
type Generator struct {
	Seed      uint64
	Start     topology.Time // of event 0
	PerSecond int           // 0: 10 000
	// Shuffled, if above 1, says in groups of how many events they come in another order than that
	// of their times. It must have no divisor in common with 953, which is a prime.
	Shuffled int
	// Settled: bids are for auctions that are at least a millisecond older, so a join that does not
	// wait misses none. By default some are for one that comes a little later.
	Settled bool
}

// Kind is what an event is.
type Kind uint8

// The kinds of events.
const (
	IsPerson Kind = iota
	IsAuction
	IsBid
)

// KindOf is the kind of event n, where events come in the order of their times.
func KindOf(n int) Kind {
	switch in := n % cycle; {
	case in < persons:
		return IsPerson
	case in < persons+auctions:
		return IsAuction
	}
	return IsBid
}

// Event is a person, an auction or a bid.
type Event struct {
	Kind    Kind
	Time    topology.Time
	Person  Person
	Auction Auction
	Bid     Bid
}

// Key is the event's key in its topic.
func (e *Event) Key() int64 {
	switch e.Kind {
	case IsPerson:
		return e.Person.ID
	case IsAuction:
		return e.Auction.ID
	}
	return e.Bid.Auction
}

// Event makes event n in the order in which they come, from 0.
func (g *Generator) Event(n int) Event {
	if size := g.Shuffled; size > 1 {
		n = n/size*size + n%size*953%size
	}
	r := random{rand.New(rand.NewPCG(g.Seed, uint64(n)))}
	at := g.at(n)
	switch KindOf(n) {
	case IsPerson:
		return Event{Kind: IsPerson, Time: at, Person: g.person(r, n, at)}
	case IsAuction:
		return Event{Kind: IsAuction, Time: at, Auction: g.auction(r, n, at)}
	}
	return Event{Kind: IsBid, Time: at, Bid: g.bid(r, n, at)}
}

// at is the time of event n, in the order of times.
func (g *Generator) at(n int) topology.Time {
	per := g.PerSecond
	if per == 0 {
		per = 10_000
	}
	return g.Start + topology.Time(n)*1000/topology.Time(per)
}

// known is the event up to which event n may refer to others.
func (g *Generator) known(n int) int {
	if !g.Settled {
		return n
	}
	per := max(g.PerSecond, 0)
	if per == 0 {
		per = 10_000
	}
	return max(n-per/1000-1, 0)
}

// lastPerson and lastAuction are the last ones that exist at event n, counted from 0; -1: none.
func lastPerson(n int) int64 { return int64(n / cycle) }

func lastAuction(n int) int64 {
	return int64(n/cycle)*auctions + min(int64(n%cycle)-persons, auctions-1)
}

// nearby draws one of the last few, or of those that come next.
func (g *Generator) nearby(r random, last, few int64) int64 {
	least, ahead := max(last-few, 0), int64(lead)
	if g.Settled {
		ahead = 0
	}
	return least + r.Int64N(max(last-least+1+ahead, 1))
}

func (g *Generator) person(r random, n int, at topology.Time) Person {
	first := [...]string{"Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"}
	name := [...]string{"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"}
	city := [...]string{"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"}
	state := [...]string{"AZ", "CA", "ID", "OR", "WA", "WY"}
	return Person{
		ID:   lastPerson(n) + firstID,
		Name: first[r.IntN(len(first))] + " " + name[r.IntN(len(name))], Email: r.text(7) + "@" + r.text(5) + ".com",
		CreditCard: fmt.Sprintf("%04d %04d %04d %04d", r.IntN(10_000), r.IntN(10_000), r.IntN(10_000), r.IntN(10_000)),
		City:       city[r.IntN(len(city))], State: state[r.IntN(len(state))], DateTime: at, Extra: r.text(100),
	}
}

func (g *Generator) auction(r random, n int, at topology.Time) Auction {
	last := lastPerson(g.known(n))
	seller := last / hot * hot
	if r.IntN(4) == 0 {
		seller = g.nearby(r, last, active)
	}
	// Auctions end when as many others have begun as are bid for, on average.
	horizon := int64(g.at(n+inFlight*cycle/auctions) - at)
	initial := r.price()
	return Auction{
		ID: lastAuction(n) + firstID, ItemName: r.text(20), Description: r.text(100), InitialBid: initial, Reserve: initial + r.price(),
		DateTime: at, Expires: at + topology.Time(1+r.Int64N(max(2*horizon, 1))), Seller: seller + firstID, Category: firstCat + r.Int64N(categories), Extra: r.text(200),
	}
}

func (g *Generator) bid(r random, n int, at topology.Time) Bid {
	known := g.known(n)
	last := lastAuction(known)
	auction := last / hot * hot
	if r.IntN(2) == 0 {
		auction = g.nearby(r, last, inFlight)
	}
	if g.Settled && last < 0 {
		auction = last // which there never is
	}
	people := lastPerson(known)
	bidder := people/hot*hot + 1
	if r.IntN(4) == 0 {
		bidder = g.nearby(r, people, active)
	}
	channel := [...]string{"Google", "Facebook", "Baidu", "Apple"}[r.IntN(4)]
	if r.IntN(2) == 0 {
		channel = fmt.Sprintf("channel-%d", r.IntN(10_000))
	}
	return Bid{
		Auction: auction + firstID, Bidder: bidder + firstID, Price: r.price(), Channel: channel,
		URL: "https://www.nexmark.com/" + r.text(5) + "/item.htm?query=1", DateTime: at, Extra: r.text(20),
	}
}

// random draws what members are made of.
type random struct{ *rand.Rand }

// price is between a dollar and a million, each digit as likely.
func (r random) price() int64 { return int64(math.Round(math.Pow(10, r.Float64()*6) * 100)) }

func (r random) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.Uint64N(26))
	}
	return string(b)
}
