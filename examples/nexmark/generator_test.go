package nexmark

import (
	"bytes"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
)

func TestProportions(t *testing.T) {
	g := Generator{Seed: 1}
	counts := map[Kind]int{}
	for n := range 5000 {
		e := g.Event(n)
		counts[e.Kind]++
		if e.Time != topology.Time(n/10) {
			t.Fatalf("event %d is at %d", n, e.Time)
		}
	}
	if counts[IsPerson] != 100 || counts[IsAuction] != 300 || counts[IsBid] != 4600 {
		t.Errorf("%v", counts)
	}
}

// The same seed makes the same events, another one others, whoever asks for them in which order.
func TestDeterministic(t *testing.T) {
	a, b, other := Generator{Seed: 1}, Generator{Seed: 1}, Generator{Seed: 2}
	differ := 0
	for n := range 500 {
		if a.Event(n) != b.Event(n) || a.Event(499-n) != b.Event(499-n) {
			t.Fatalf("event %d is made in two ways", n)
		}
		if a.Event(n) != other.Event(n) {
			differ++
		}
	}
	if differ != 500 {
		t.Errorf("%d of 500 events differ with another seed", differ)
	}
}

// Groups come in another order, and nothing is lost.
func TestShuffled(t *testing.T) {
	plain, mixed := Generator{Seed: 1}, Generator{Seed: 1, Shuffled: 20}
	moved := 0
	for from := 0; from < 1000; from += 20 {
		seen := map[Event]bool{}
		for n := from; n < from+20; n++ {
			e := mixed.Event(n)
			seen[e] = true
			if e != plain.Event(n) {
				moved++
			}
		}
		for n := from; n < from+20; n++ {
			if !seen[plain.Event(n)] {
				t.Fatalf("event %d does not come in its group", n)
			}
		}
	}
	if moved < 500 {
		t.Errorf("%d of 1000 events are in another place", moved)
	}
}

// Ids follow each other, and bids are for auctions that there are: with Settled, a millisecond ago.
func TestIDs(t *testing.T) {
	for _, g := range []Generator{{Seed: 1}, {Seed: 1, Settled: true}, {Seed: 1, Settled: true, PerSecond: 20}} {
		began := map[int64]topology.Time{}
		ahead, nextAuction, nextPerson := 0, int64(firstID), int64(firstID)
		for n := range 10_000 {
			switch e := g.Event(n); e.Kind {
			case IsPerson:
				if e.Person.ID != nextPerson {
					t.Fatalf("person %d, want %d", e.Person.ID, nextPerson)
				}
				nextPerson++
			case IsAuction:
				if e.Auction.ID != nextAuction {
					t.Fatalf("auction %d, want %d", e.Auction.ID, nextAuction)
				}
				nextAuction++
				began[e.Auction.ID] = e.Time
			case IsBid:
				at, ok := began[e.Bid.Auction]
				if !ok && e.Bid.Auction >= firstID {
					ahead++
				}
				if g.Settled && ok && at >= e.Time {
					t.Fatalf("event %d is a bid at %d, for an auction of %d", n, e.Time, at)
				}
			}
		}
		if (ahead > 0) == g.Settled {
			t.Errorf("%+v: %d bids come before their auction", g, ahead)
		}
	}
}

// What a codec writes is read as it was, and nothing else is read: no less, and no more.
func TestCodecs(t *testing.T) {
	g := Generator{Seed: 5}
	person, auction, bid := g.Event(0).Person, g.Event(1).Auction, g.Event(10).Bid
	testCodec(t, PersonCodec, person)
	testCodec(t, AuctionCodec, auction)
	testCodec(t, BidCodec, bid)
	testCodec(t, ExpandedCodec, Expanded{bid, auction})
	testCodec(t, SideBidCodec, WithSide(bid, "s"))
	testCodec(t, StatsCodec, Stats{}.Add(bid))
	testCodec(t, finalCodec, Final{-1, 2})
	testCodec(t, lotCodec, Lot{Auction: auction, Best: bid, Early: []Bid{bid, bid}})
}

func testCodec[T any](t *testing.T, c topology.Codec[T], v T) {
	t.Helper()
	b, err := c.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Append(nil, got); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%v is read as %v, %v", v, got, err)
	}
	for n := range b {
		if v, err := c.Decode(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes are read as %v", n, len(b), v)
		}
	}
	if v, err := c.Decode(append(b, 0)); err == nil {
		t.Errorf("a byte too many is read as %v", v)
	}
}

// A winner is found, whichever bid comes first.
func TestHigher(t *testing.T) {
	bids := []Bid{{Price: 5, DateTime: 1}, {Price: 5, DateTime: 2}, {Price: 4}, {Price: 5, DateTime: 1, Auction: 1}, {Price: 5, DateTime: 1, Bidder: 1}}
	for _, a := range bids {
		for _, b := range bids {
			if x, y := Higher(a, b), Higher(b, a); x != y {
				t.Errorf("%v and %v: %v, or %v", a, b, x, y)
			}
		}
		if got := Higher(bids[0], a); got != bids[0] {
			t.Errorf("%v won over %v", got, bids[0])
		}
	}
}
