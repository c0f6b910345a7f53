package quoting

import (
	"testing"

	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestPrice(t *testing.T) {
	if got := Price(Request{"r1", "c1"}, Risk{30, "Rome", 7}); got != (Quote{"r1", 18_000, 7}) {
		t.Error(got)
	}
	if got := Newer(Risk{Version: 2}, Risk{Version: 1}); got.Version != 2 {
		t.Error("an old answer won")
	}
}

// Each change costs a call; while the supplier is down, quotes wait or are stale.
func TestByNotification(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		changes, asks, answers := topologytest.Topic(d, Changes), topologytest.Topic(d, Asks), topologytest.Topic(d, Answers)
		requests, quotes := topologytest.Topic(d, Requests), topologytest.Topic(d, QuotesByNotification)

		changes.Send("c1", Changed{"c1"})
		asks.Want(Ask{"c1"})
		requests.Send("r1", Request{"r1", "c1"})
		quotes.WantNone() // the supplier is down

		answers.Send("c1", Risk{30, "Rome", 1})
		quotes.Want(Quote{"r1", 18_000, 1})

		changes.Send("c1", Changed{"c1"})
		changes.Send("c1", Changed{"c1"})
		asks.Want(Ask{"c1"}, Ask{"c1"})
		answers.Send("c1", Risk{31, "Pisa", 3})
		answers.Send("c1", Risk{31, "Rome", 2}) // overtaken
		requests.Send("r2", Request{"r2", "c1"})
		quotes.Want(Quote{"r2", 13_100, 3})
	}, ByNotification())
}

// No calls; the supplier may be down for ever.
func TestByStateTransfer(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		risks, requests := topologytest.Topic(d, Risks), topologytest.Topic(d, Requests)
		requests.Send("r0", Request{"r0", "c1"}) // before the customer
		risks.Send("c1", Risk{30, "Rome", 1})
		requests.Send("r1", Request{"r1", "c1"})
		risks.Send("c1", Risk{31, "Pisa", 2})
		requests.Send("r2", Request{"r2", "c1"})
		topologytest.Topic(d, QuotesByStateTransfer).Want(Quote{"r0", 18_000, 1}, Quote{"r1", 18_000, 1}, Quote{"r2", 13_100, 2})
	}, ByStateTransfer())
}
