package nexmark

import (
	"fmt"
	"slices"
)

// The queries again, as loops over all events in the order in which they came. They know nothing of
// streams, and share no code with the queries but the types and the tests of single events. Each
// returns its results as text.

func only[T any](events []Event, kind Kind, of func(*Event) T) (all []T) {
	for i := range events {
		if events[i].Kind == kind {
			all = append(all, of(&events[i]))
		}
	}
	return all
}

func bidsOf(events []Event) []Bid { return only(events, IsBid, func(e *Event) Bid { return e.Bid }) }

func auctionsOf(events []Event) []Auction {
	return only(events, IsAuction, func(e *Event) Auction { return e.Auction })
}

func personsOf(events []Event) []Person {
	return only(events, IsPerson, func(e *Event) Person { return e.Person })
}

func line(key, value any) string { return fmt.Sprintf("%v: %v", key, value) }

func model0(events []Event) (all []string) {
	for _, b := range bidsOf(events) {
		all = append(all, line(b.Auction, b))
	}
	return all
}

func model1(events []Event) (all []string) {
	for _, b := range bidsOf(events) {
		b.Price = (b.Price*1000 - b.Price*92) / 1000
		all = append(all, line(b.Auction, b))
	}
	return all
}

func model2(events []Event) (all []string) {
	for _, b := range bidsOf(events) {
		if b.Auction/123*123 == b.Auction {
			all = append(all, line(b.Auction, b.Price))
		}
	}
	return all
}

func model3(events []Event) (all []string) {
	for _, a := range auctionsOf(events) {
		for _, p := range personsOf(events) {
			if a.Seller == p.ID && a.Category == 10 && slices.Contains([]string{"OR", "ID", "CA"}, p.State) {
				all = append(all, line(a.ID, Suggestion{p.Name, p.City, p.State, a.ID}))
			}
		}
	}
	return all
}

// valid are the bids of an auction that count, the winner first.
func valid(a Auction, bids []Bid) (all []Bid) {
	for _, b := range bids {
		if b.Auction == a.ID && b.DateTime >= a.DateTime && b.DateTime <= a.Expires {
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(x, y Bid) int {
		if x.Price != y.Price {
			return int(y.Price - x.Price)
		}
		return int(x.DateTime - y.DateTime)
	})
	return all
}

func model4(events []Event) (all []string) {
	for category := range int64(100) {
		sum, n := int64(0), int64(0)
		for _, a := range auctionsOf(events) {
			if bids := valid(a, bidsOf(events)); len(bids) > 0 && a.Category == category {
				sum, n = sum+bids[0].Price, n+1
			}
		}
		if n > 0 {
			all = append(all, line(category, sum/n))
		}
	}
	return all
}

// span is the time from the first event's to the last one's, in ms.
func span(events []Event) (from, to int64) {
	from, to = int64(events[0].Time), int64(events[0].Time)
	for i := range events {
		from, to = min(from, int64(events[i].Time)), max(to, int64(events[i].Time))
	}
	return from, to
}

func model5(events []Event) (all []string) {
	from, to := span(events)
	for start := from - 10_000; start <= to; start++ {
		if start%2000 != 0 || start < 0 {
			continue
		}
		counts := map[int64]int64{}
		for _, b := range bidsOf(events) {
			if int64(b.DateTime) >= start && int64(b.DateTime) < start+10_000 {
				counts[b.Auction]++
			}
		}
		most := int64(0)
		for _, n := range counts {
			most = max(most, n)
		}
		var hottest []int64
		for auction, n := range counts {
			if n == most {
				hottest = append(hottest, auction)
			}
		}
		if most > 0 {
			slices.Sort(hottest)
			all = append(all, fmt.Sprintf("%d: {%d %d %v}", start, start, most, hottest))
		}
	}
	return all
}

func model7(events []Event) (all []string) {
	from, to := span(events)
	for start := from / 10_000 * 10_000; start <= to; start += 10_000 {
		var best []Bid
		for _, b := range bidsOf(events) {
			if int64(b.DateTime)/10_000*10_000 == start {
				best = append(best, b)
			}
		}
		slices.SortStableFunc(best, func(x, y Bid) int {
			if x.Price != y.Price {
				return int(y.Price - x.Price)
			}
			return int(x.DateTime - y.DateTime)
		})
		if len(best) > 0 {
			all = append(all, line(start, best[0]))
		}
	}
	return all
}

func model8(events []Event) (all []string) {
	for _, p := range personsOf(events) {
		start := int64(p.DateTime) / 10_000 * 10_000
		if slices.ContainsFunc(auctionsOf(events), func(a Auction) bool {
			return a.Seller == p.ID && int64(a.DateTime)/10_000*10_000 == start
		}) {
			all = append(all, fmt.Sprintf("%d@%d..%d: %s", p.ID, start, start+10_000, p.Name))
		}
	}
	return all
}

func model9(events []Event) (all []string) {
	for _, a := range auctionsOf(events) {
		if bids := valid(a, bidsOf(events)); len(bids) > 0 {
			all = append(all, line(a.ID, Expanded{bids[0], a}))
		}
	}
	return all
}

func model11(events []Event) (all []string) {
	times := map[int64][]int64{}
	for _, b := range bidsOf(events) {
		times[b.Bidder] = append(times[b.Bidder], int64(b.DateTime))
	}
	for bidder, at := range times {
		slices.Sort(at)
		begin := 0
		for i := range at {
			if i+1 == len(at) || at[i+1]-at[i] > 10_000 {
				all = append(all, fmt.Sprintf("%d@%d..%d: %d", bidder, at[begin], at[i], i+1-begin))
				begin = i + 1
			}
		}
	}
	return all
}

// model12 is that of windows of the times at which the events came.
func model12(events []Event, came []int64) (all []string) {
	counts := map[string]int{}
	for i := range events {
		if start := came[i] / 10_000 * 10_000; events[i].Kind == IsBid {
			counts[fmt.Sprintf("%d@%d..%d", events[i].Bid.Bidder, start, start+10_000)]++
		}
	}
	for key, n := range counts {
		all = append(all, line(key, n))
	}
	return all
}

func model13(events []Event) (all []string) {
	for _, b := range bidsOf(events) {
		side := fmt.Sprintf("side-%d", b.Auction%10_000)
		all = append(all, line(b.Auction, SideBid{b.Auction, b.Bidder, b.Price, b.DateTime, side}))
	}
	return all
}

func model17(events []Event) (all []string) {
	const day = 24 * 60 * 60 * 1000
	prices := map[string][]int64{}
	for _, b := range bidsOf(events) {
		start := int64(b.DateTime) / day * day
		key := fmt.Sprintf("%d@%d..%d", b.Auction, start, start+day)
		prices[key] = append(prices[key], b.Price)
	}
	for key, ps := range prices {
		var sum, low, middle, high int64
		for _, p := range ps {
			sum += p
			switch {
			case p >= 1_000_000:
				high++
			case p >= 10_000:
				middle++
			default:
				low++
			}
		}
		n := int64(len(ps))
		all = append(all, line(key, Stats{n, low, middle, high, slices.Min(ps), slices.Max(ps), sum / n, sum}))
	}
	return all
}

func model18(events []Event) (all []string) {
	bids := bidsOf(events)
	slices.SortStableFunc(bids, func(a, b Bid) int { return int(a.DateTime - b.DateTime) })
	for i, b := range bids {
		if !slices.ContainsFunc(bids[i+1:], func(c Bid) bool { return c.Bidder == b.Bidder && c.Auction == b.Auction }) {
			all = append(all, fmt.Sprintf("{%d %d}: %v", b.Bidder, b.Auction, b))
		}
	}
	return all
}

func model19(events []Event) (all []string) {
	byAuction := map[int64][]Bid{}
	for _, b := range bidsOf(events) {
		byAuction[b.Auction] = append(byAuction[b.Auction], b)
	}
	for auction, bids := range byAuction {
		slices.SortStableFunc(bids, func(a, b Bid) int { return int(b.Price - a.Price) })
		all = append(all, line(auction, bids[:min(len(bids), 10)]))
	}
	return all
}

func model20(events []Event) (all []string) {
	for _, b := range bidsOf(events) {
		for _, a := range auctionsOf(events) {
			if a.ID == b.Auction && a.Category == 10 {
				all = append(all, line(b.Auction, Expanded{b, a}))
			}
		}
	}
	return all
}
