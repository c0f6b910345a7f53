package bench

import (
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/nexmark"
	"github.com/seed-81380e12/limpet/topology"
)

// nexmarkRun feeds a query, piece by piece, with the events that it reads.
type nexmarkRun struct {
	*opRun
	events nexmark.Generator
	topics map[string]*opTopic
	next   int // event
}

func newNexmarkRun(tb testing.TB, query int) *nexmarkRun {
	tb.Helper()
	r := &nexmarkRun{events: nexmark.Generator{Seed: 1}, topics: map[string]*opTopic{}}
	feeds := map[string]*opFeed{}
	r.opRun = newRun(tb, nexmark.Topology(query), func(topic string) *opFeed {
		feeds[topic] = new(opFeed)
		return feeds[topic]
	})
	for topic, f := range feeds {
		r.topics[topic] = f.opTopic
	}
	return r
}

// feed makes the next events wait, and returns how many of them the query reads.
func (r *nexmarkRun) feed(events int) (n int) {
	for range events {
		e := r.events.Event(r.next)
		r.next++
		switch e.Kind {
		case nexmark.IsPerson:
			n += add(r, nexmark.PersonTopic, &e, e.Person)
		case nexmark.IsAuction:
			n += add(r, nexmark.AuctionTopic, &e, e.Auction)
		case nexmark.IsBid:
			n += add(r, nexmark.BidTopic, &e, e.Bid)
		}
	}
	return n
}

func add[V any](r *nexmarkRun, topic topology.Topic[int64, V], e *nexmark.Event, v V) int {
	to := r.topics[topic.Name()]
	if to == nil {
		return 0
	}
	kc, vc := topic.Codecs()
	to.add(core.RawRecord{Key: must(kc.Append(nil, e.Key())), Value: must(vc.Append(nil, v)), Time: e.Time})
	return 1
}

// BenchmarkNexmark is an event's way through each query, of those that the query reads: decode,
// operators, encode, and its share of a commit of 5 000 events. The global table of query 13 has the
// same row for each key.
func BenchmarkNexmark(b *testing.B) {
	for _, query := range nexmark.Queries {
		b.Run(fmt.Sprintf("q%d", query), func(b *testing.B) {
			r := newNexmarkRun(b, query)
			for range 20 {
				r.feed(opRecords)
				r.rest(b)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				b.StopTimer()
				n += r.feed(opRecords)
				b.StartTimer()
				r.rest(b)
			}
		})
	}
}

// What a query allocates is what its codecs and functions do: one string for each event that is
// decoded, one more where it goes through a topic; lists of bids, JSON of the few that it is for. The
// rest is what grows.
func TestNexmarkAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's pools allocate")
	}
	most := map[int]float64{
		0: 1.1, 1: 1.1, 2: 1.1, 3: 2, 4: 1.3, 5: 1.3, 7: 1.3, 8: 2.2, 9: 1.3,
		11: 2.8, 12: 2.4, 13: 1.3, 17: 1.3, 18: 2.3, 19: 2, 20: 1.3,
	}
	for _, query := range nexmark.Queries {
		t.Run(fmt.Sprintf("q%d", query), func(t *testing.T) {
			r := newNexmarkRun(t, query)
			for range 20 {
				r.feed(opRecords)
				r.rest(t)
			}
			n := r.feed(opRecords)
			each := allocations(func() { r.rest(t) }) / float64(n)
			t.Logf("%.3f allocations an event", each)
			if each > most[query] {
				t.Errorf("%.3f allocations an event, want %v at most", each, most[query])
			}
		})
	}
}

// allocations counts what one call of f allocates.
func allocations(f func()) float64 {
	did := false
	return testing.AllocsPerRun(1, func() { // it calls twice, and counts the second one
		if did {
			f()
		}
		did = true
	})
}
