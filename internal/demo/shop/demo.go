package shop

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/cqrs"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is CQRS at work.
func Demo() cli.Demo {
	compact := map[string]string{"cleanup.policy": "compact"}
	var asked tally
	return demo.New(demo.Spec{
		Name:       "cqrs",
		Short:      "commands, events and two read models; a customer who reads his own writes",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: cqrs.Commands.Name()},
			{Name: cqrs.Refusals.Name()},
			{Name: cqrs.Events.Name()},
			{Name: cqrs.Summaries.Name(), Config: compact},
			{Name: cqrs.Totals.Name(), Config: compact},
		},
		Input: cqrs.Commands.Name(), Output: cqrs.Summaries.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder { return newFeeder(f, &asked) },
		Show:      show,
		Audit: func(ctx context.Context, log demo.Log) (*demo.Report, error) {
			return audit(ctx, log, &asked)
		},
	})
}

// Topologies are the write side and both projectors.
func Topologies() []*topology.Builder {
	return []*topology.Builder{cqrs.Shop(), cqrs.Customers(), cqrs.Products()}
}

func show(r *kgo.Record) string {
	s, err := demo.Decode(cqrs.Summaries, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: %d orders, %d cents", s.Key, s.Value.Orders, s.Value.Cents)
}

// audit decides all commands again and compares the events; then it compares the read
// models with what the events make of them, in a way of its own.
func audit(ctx context.Context, log demo.Log, asked *tally) (*demo.Report, error) {
	commands, err := demo.ByKey(ctx, log, cqrs.Commands)
	if err != nil {
		return nil, err
	}
	events, err := demo.ByKey(ctx, log, cqrs.Events)
	if err != nil {
		return nil, err
	}
	refusals, err := demo.ByKey(ctx, log, cqrs.Refusals)
	if err != nil {
		return nil, err
	}
	summaries, err := demo.ByKey(ctx, log, cqrs.Summaries)
	if err != nil {
		return nil, err
	}
	totals, err := demo.ByKey(ctx, log, cqrs.Totals)
	if err != nil {
		return nil, err
	}
	return judge(commands, events, refusals, summaries, totals, asked), nil
}

func judge(commands map[string][]cqrs.Command, events map[string][]cqrs.Event, refusals map[string][]cqrs.Refusal,
	summaries map[string][]cqrs.Summary, totals map[string][]cqrs.Total, asked *tally,
) *demo.Report {
	r := new(demo.Report)
	in, happened, refused := r.Seen("commands"), r.Seen("events"), r.Seen("refusals")
	faults, diverged := r.Faults(), r.Fault("diverged")
	r.Told("asked").N, r.Told("stale_without_token").N = asked.asked.Load(), asked.staleWithout.Load()
	r.Fault("stale_with_token").N = asked.staleWith.Load()

	wantSummaries, wantTotals := map[string]cqrs.Summary{}, map[string]cqrs.Total{}
	changes := map[string]int64{} // of each row of a read model
	for id, cs := range commands {
		in.N += int64(len(cs))
		var order cqrs.Order
		var wantEvents []cqrs.Event
		var wantRefusals []cqrs.Refusal
		for _, c := range cs {
			e, err := cqrs.Decide(id, order, c)
			switch {
			case err != nil:
				wantRefusals = append(wantRefusals, cqrs.Refusal{Why: err.Error()})
			case e != nil:
				wantEvents = append(wantEvents, e)
				order = cqrs.Evolve(order, e)
			}
		}
		demo.Compare(faults, "event of "+id, events[id], wantEvents)
		demo.Compare(faults, "refusal of "+id, refusals[id], wantRefusals)
	}
	for id, es := range events {
		happened.N += int64(len(es))
		if _, ok := commands[id]; !ok {
			faults.Wrong.Found("order %s has events and no command", id)
		}
		for _, e := range es {
			s, t := wantSummaries[e.Customer()], wantTotals[e.Item()]
			switch e := e.(type) {
			case cqrs.OrderPlaced:
				s.Orders, s.Cents, t.Sold = s.Orders+1, s.Cents+e.Cents, t.Sold+1
			case cqrs.OrderCancelled:
				s.Orders, s.Cents, t.Cancelled = s.Orders-1, s.Cents-e.Cents, t.Cancelled+1
			}
			wantSummaries[e.Customer()], wantTotals[e.Item()] = s, t
			changes[e.Customer()]++
			changes[e.Item()]++
		}
	}
	for _, rs := range refusals {
		refused.N += int64(len(rs))
	}
	compareRows(diverged, changes, summaries, wantSummaries)
	compareRows(diverged, changes, totals, wantTotals)
	return r
}

// compareRows looks at the last row of each key, and at how often each was written: once
// for each event.
func compareRows[R comparable](diverged *demo.Count, changes map[string]int64, got map[string][]R, want map[string]R) {
	for key, row := range want {
		switch rs := got[key]; {
		case int64(len(rs)) != changes[key]:
			diverged.Found("%s: %d rows for %d events", key, len(rs), changes[key])
		case rs[len(rs)-1] != row:
			diverged.Found("%s: the last row is %v, the events make %v", key, rs[len(rs)-1], row)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			diverged.Found("%s: there is a row, and no event", key)
		}
	}
}
