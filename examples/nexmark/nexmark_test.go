package nexmark

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type driver = topologytest.Driver

// every is all records of a topic as text; latest those that are the last of their key.
func every[K comparable, V any](t topology.Topic[K, V]) func(*driver) []string {
	return func(d *driver) (all []string) {
		for _, r := range topologytest.Topic(d, t).Records() {
			all = append(all, line(r.Key, r.Value))
		}
		return all
	}
}

func latest[K comparable, V any](t topology.Topic[K, V]) func(*driver) []string {
	return func(d *driver) (all []string) {
		last := map[K]string{}
		for _, r := range topologytest.Topic(d, t).Records() {
			last[r.Key] = line(r.Key, r.Value)
		}
		for _, s := range last {
			all = append(all, s)
		}
		return all
	}
}

var queries = []struct {
	query   int
	model   func([]Event) []string
	results func(*driver) []string
}{
	{0, model0, every(Results0)},
	{1, model1, every(Results1)},
	{2, model2, every(Results2)},
	{3, model3, every(Results3)},
	{4, model4, latest(Results4)},
	{5, model5, latest(Results5)},
	{7, model7, latest(Results7)},
	{8, model8, every(Results8)},
	{9, model9, every(Results9)},
	{11, model11, every(Results11)},
	{13, model13, every(Results13)},
	{17, model17, latest(Results17)},
	{18, model18, latest(Results18)},
	{19, model19, latest(Results19)},
	{20, model20, every(Results20)},
}

// send sends an event to its topic, if the query reads it.
func send(d *driver, query int, e *Event) {
	switch reads := Reads(query); {
	case e.Kind == IsPerson && reads.Persons:
		topologytest.Topic(d, PersonTopic).SendAt(e.Time, e.Key(), e.Person)
	case e.Kind == IsAuction && reads.Auctions:
		topologytest.Topic(d, AuctionTopic).SendAt(e.Time, e.Key(), e.Auction)
	case e.Kind == IsBid && reads.Bids:
		topologytest.Topic(d, BidTopic).SendAt(e.Time, e.Key(), e.Bid)
	}
}

// Each query has the results of its model, with events in the order of their times and out of it,
// when all windows have closed and all auctions are over.
func TestQueries(t *testing.T) {
	for _, shuffled := range []int{0, 30} {
		g := Generator{Seed: 7, Start: topologytest.At("00:00"), PerSecond: 20, Shuffled: shuffled} // 30 are 1.5 s, and cross the windows' borders
		all := make([]Event, 2500)
		for i := range all {
			all[i] = g.Event(i)
		}
		for _, q := range queries {
			events := all[:800]
			if q.query == 2 {
				events = all // one auction in 123
			}
			want := q.model(events)
			slices.Sort(want)
			if len(want) == 0 {
				t.Fatalf("query %d has no results: nothing would be tested", q.query)
			}
			t.Run(fmt.Sprintf("q%d-shuffled-%d", q.query, shuffled), func(t *testing.T) {
				topologytest.EveryWay(t, func(d *driver) {
					if q.query == 13 {
						side := topologytest.Topic(d, SideTopic)
						for key := range int64(2000) { // ids go no higher here
							side.Send(key, SideInput(key))
						}
					}
					for i := range events {
						send(d, q.query, &events[i])
					}
					d.Elapse(time.Hour)
					got := q.results(d)
					slices.Sort(got)
					compare(t, got, want)
				}, Topology(q.query))
			})
		}
	}
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d results, want %d", len(got), len(want))
	missing := func(of, in []string, what string) {
		n := 0
		for _, s := range of {
			if _, ok := slices.BinarySearch(in, s); !ok && n < 5 {
				n++
				t.Errorf("%s %s", what, s)
			}
		}
	}
	missing(got, want, "unexpected")
	missing(want, got, "missing")
}

// Query12 goes by the clock, whatever times the bids have.
func TestByTheClock(t *testing.T) {
	g := Generator{Seed: 3, PerSecond: 20}
	topologytest.EveryWay(t, func(d *driver) {
		var events []Event
		var came []int64
		for n := range 300 {
			if n%60 == 59 {
				d.Advance(7 * time.Second)
			}
			e := g.Event(n)
			events, came = append(events, e), append(came, int64(d.Now()))
			if e.Kind == IsBid {
				topologytest.Topic(d, BidTopic).Send(e.Key(), e.Bid)
			}
		}
		d.Elapse(time.Hour)
		got, want := every(Results12)(d), model12(events, came)
		slices.Sort(got)
		slices.Sort(want)
		compare(t, got, want)
	}, Topology(12))
}

// What is too late for its window is counted, and changes nothing.
func TestLate(t *testing.T) {
	bid := func(clock string, price int64) Bid {
		return Bid{Auction: 1, Bidder: 2, Price: price, DateTime: at(clock)}
	}
	session := func(clock string) string {
		return line(topology.Windowed[int64]{Key: 2, Start: at(clock), End: at(clock)}, 1)
	}
	for _, q := range []struct {
		query   int
		node    string
		results func(*driver) []string
		want    []string
	}{
		{7, "best-of-auction", latest(Results7), []string{
			line(int64(at("10:00")), bid("10:00:01", 5)), line(int64(at("10:00:10")), bid("10:00:12", 3)), line(int64(at("10:01:20")), bid("10:01:22.001", 1)),
		}},
		{11, "sessions", every(Results11), []string{session("10:00:01"), session("10:00:12"), session("10:01:22.001")}},
	} {
		t.Run(fmt.Sprintf("q%d", q.query), func(t *testing.T) {
			topologytest.EveryWay(t, func(d *driver) {
				bids := topologytest.Topic(d, BidTopic)
				for _, b := range []Bid{bid("10:00:01", 5), bid("10:00:12", 3), bid("10:01:22.001", 1), bid("10:00:01.500", 9)} {
					bids.SendAt(b.DateTime, b.Auction, b)
				}
				if n := d.Dropped(q.node, topology.Late); n != 1 {
					t.Errorf("%d were late, want 1", n)
				}
				d.Elapse(24 * time.Hour)
				got := q.results(d)
				slices.Sort(got)
				compare(t, got, q.want)
			}, Topology(q.query))
		})
	}
}

var at = topologytest.At

// A bid that no auction follows is forgotten after a minute, and a lot when it is over.
func TestLotsEnd(t *testing.T) {
	topologytest.EveryWay(t, func(d *driver) {
		bids, auctions := topologytest.Topic(d, BidTopic), topologytest.Topic(d, AuctionTopic)
		early := Bid{Auction: 1, Bidder: 7, Price: 10, DateTime: at("10:00")}
		bids.SendAt(early.DateTime, 1, early)
		never := Bid{Auction: 2, Bidder: 7, Price: 10, DateTime: at("10:00")}
		bids.SendAt(never.DateTime, 2, never)
		a := Auction{ID: 1, DateTime: at("09:59:59"), Expires: at("10:00:30")}
		auctions.SendAt(at("10:00:02"), 1, a)
		if n := topologytest.Count(d, "lots"); n != 2 {
			t.Errorf("%d lots, want 2", n)
		}
		d.Elapse(24 * time.Hour)
		topologytest.Topic(d, Results9).Want(Expanded{early, a})
		if n := topologytest.Count(d, "lots"); n != 0 {
			t.Errorf("%d lots are left", n)
		}
	}, Topology(9))
}
