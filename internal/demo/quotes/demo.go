package quotes

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/quoting"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is both ways of quoting at work.
func Demo() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "quoting",
		Short:      "insurance quotes: thin events and calls back, against events that carry the state",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: quoting.Changes.Name()},
			{Name: quoting.Asks.Name()},
			{Name: quoting.Answers.Name()},
			{Name: quoting.Risks.Name(), Config: map[string]string{"cleanup.policy": "compact"}},
			{Name: quoting.Requests.Name()},
			{Name: quoting.QuotesByNotification.Name()},
			{Name: quoting.QuotesByStateTransfer.Name()},
		},
		Input: quoting.Requests.Name(), Output: quoting.QuotesByStateTransfer.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder { return newFeeder(f) },
		Show:      show,
		Audit:     audit,
	})
}

// Topologies are both ways of quoting.
func Topologies() []*topology.Builder {
	return []*topology.Builder{quoting.ByNotification(), quoting.ByStateTransfer()}
}

func show(r *kgo.Record) string {
	q, err := demo.Decode(quoting.QuotesByStateTransfer, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: %d cents for %s, as of version %d", q.Value.RequestID, q.Value.Cents, q.Key, q.Value.Version)
}

// version is a customer as he was from a time on.
type version struct {
	risk quoting.Risk
	from time.Time
}

// asked is a request for a quote.
type asked struct {
	quoting.Request
	at time.Time
}

// books are what the audit reads back.
type books struct {
	versions      map[string][]version // by customer, in order
	requests      map[string]asked
	changes, asks map[string]int // by customer
	quotes        [2][]quoting.Quote
}

func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	b := books{versions: map[string][]version{}, requests: map[string]asked{}, changes: map[string]int{}, asks: map[string]int{}}
	quotes := func(i int, t topology.Topic[string, quoting.Quote]) func() error {
		return demo.Reading(ctx, log, t, func(r demo.Record[string, quoting.Quote]) { b.quotes[i] = append(b.quotes[i], r.Value) })
	}
	err := demo.InOrder(
		demo.Reading(ctx, log, quoting.Risks, func(r demo.Record[string, quoting.Risk]) {
			b.versions[r.Key] = append(b.versions[r.Key], version{r.Value, r.Time})
		}),
		demo.Reading(ctx, log, quoting.Requests, func(r demo.Record[string, quoting.Request]) { b.requests[r.Key] = asked{r.Value, r.Time} }),
		demo.Reading(ctx, log, quoting.Changes, func(r demo.Record[string, quoting.Changed]) { b.changes[r.Key]++ }),
		demo.Reading(ctx, log, quoting.Asks, func(r demo.Record[string, quoting.Ask]) { b.asks[r.Key]++ }),
		quotes(0, quoting.QuotesByNotification), quotes(1, quoting.QuotesByStateTransfer),
	)
	if err != nil {
		return nil, err
	}
	return b.judge(), nil
}

// judge wants one quote for each request, made for a customer as he was at some time, and
// one call for each notification; and counts quotes for a customer who had changed before
// he asked.
func (b *books) judge() *demo.Report {
	r := new(demo.Report)
	requests, quotes := r.Seen("requests"), r.Seen("quotes")
	requests.N = int64(len(b.requests))
	missing, duplicated, wrong := r.Fault("missing"), r.Fault("duplicated"), r.Fault("wrong")
	calls := r.Seen("calls")
	stale := [2]*demo.Count{r.Told("stale_by_notification"), r.Told("stale_by_state_transfer")}
	for i, list := range b.quotes {
		seen := map[string]bool{}
		quotes.N += int64(len(list))
		for _, q := range list {
			in, ok := b.requests[q.RequestID]
			vs := b.versions[in.CustomerID]
			switch {
			case !ok:
				wrong.Found("%+v: nobody asked", q)
			case seen[q.RequestID]:
				duplicated.Found("%+v", q)
			case q.Version < 1 || q.Version > len(vs) || quoting.Price(in.Request, vs[q.Version-1].risk) != q:
				wrong.Found("%+v: %s never was so", q, in.CustomerID)
			case q.Version < len(vs) && vs[q.Version].from.Before(in.at):
				stale[i].N++
			}
			seen[q.RequestID] = true
		}
		for id := range b.requests {
			if !seen[id] {
				missing.Found("%s: no quote, %d", id, i)
			}
		}
	}
	for id, n := range b.changes {
		calls.N += int64(b.asks[id])
		switch {
		case b.asks[id] < n:
			missing.Found("%s: %d calls for %d notifications", id, b.asks[id], n)
		case b.asks[id] > n:
			duplicated.Found("%s: %d calls for %d notifications", id, b.asks[id], n)
		}
	}
	return r
}
