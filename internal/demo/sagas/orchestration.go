package sagas

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	so "github.com/seed-81380e12/limpet/examples/sagaorchestration"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Orchestration is the saga with an orchestrator at work.
func Orchestration() cli.Demo {
	var topics []demo.Topic
	for _, name := range []string{
		so.Orders.Name(), so.StockCommands.Name(), so.StockEvents.Name(), so.PaymentCommands.Name(), so.PaymentEvents.Name(),
		so.ShipCommands.Name(), so.ShippingEvents.Name(), so.Outcomes.Name(), so.Invoices.Name(), so.Mails.Name(),
	} {
		topics = append(topics, demo.Topic{Name: name})
	}
	return demo.New(demo.Spec{
		Name:       "saga-orchestration",
		Short:      "an order over three services, one orchestrator: all of it happens, or nothing",
		Topologies: OrchestrationTopologies,
		Topics:     topics,
		Input:      so.Orders.Name(), Output: so.Outcomes.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return newFeeder(f, so.Orders, func(id string, rng *rand.Rand) so.Order {
				return so.Order{OrderID: id, Item: item(rng, so.Unshippable), Cents: cents(rng, so.Limit)}
			})
		},
		Show: func(r *kgo.Record) string {
			o, err := demo.Decode(so.Outcomes, r)
			if err != nil {
				return err.Error()
			}
			return so.Write(o.Value)
		},
		Audit: auditOrchestration,
	})
}

// OrchestrationTopologies are the orchestrator and the services.
func OrchestrationTopologies() []*topology.Builder {
	return []*topology.Builder{so.Orchestrator(), so.Inventory(), so.Payment(), so.Shipping(), so.Billing()}
}

func auditOrchestration(ctx context.Context, log demo.Log) (*demo.Report, error) {
	b := books{}
	err := demo.InOrder(
		demo.Reading(ctx, log, so.Orders, func(r demo.Record[string, so.Order]) { b.of(r.Key).placed++ }),
		demo.Reading(ctx, log, so.StockEvents, func(r demo.Record[string, so.StockEvent]) {
			switch r.Value.(type) {
			case so.Reserved:
				b.of(r.Key).reserved = true
			case so.Released:
				b.of(r.Key).released = true
			}
		}),
		demo.Reading(ctx, log, so.PaymentEvents, func(r demo.Record[string, so.PaymentEvent]) {
			switch r.Value.(type) {
			case so.Paid:
				b.of(r.Key).paid = true
			case so.Refunded:
				b.of(r.Key).refunded = true
			}
		}),
		demo.Reading(ctx, log, so.ShippingEvents, func(r demo.Record[string, so.ShippingEvent]) {
			if _, ok := r.Value.(so.Sent); ok {
				b.of(r.Key).shipped = true
			}
		}),
		demo.Reading(ctx, log, so.Outcomes, func(r demo.Record[string, so.Outcome]) { b.of(r.Key).end(r.Value.Shipped) }),
		demo.Reading(ctx, log, so.Invoices, func(r demo.Record[string, string]) { b.of(r.Key).invoices++ }),
		demo.Reading(ctx, log, so.Mails, func(r demo.Record[string, string]) { b.of(r.Key).mail(r.Value) }),
	)
	if err != nil {
		return nil, err
	}
	return b.judge(), nil
}

func item(rng *rand.Rand, unshippable string) string {
	if rng.IntN(20) == 0 {
		return unshippable
	}
	return fmt.Sprintf("item-%04d", rng.IntN(5000))
}

func cents(rng *rand.Rand, limit int64) int64 {
	if rng.IntN(10) == 0 {
		return limit + 1
	}
	return 1 + rng.Int64N(limit)
}
