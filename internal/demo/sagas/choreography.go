package sagas

import (
	"context"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	sc "github.com/seed-81380e12/limpet/examples/sagachoreography"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Choreography is the saga with nobody in charge at work.
func Choreography() cli.Demo {
	var topics []demo.Topic
	for _, name := range []string{
		sc.OrderEvents.Name(), sc.InventoryEvents.Name(), sc.PaymentEvents.Name(), sc.ShippingEvents.Name(), sc.Invoices.Name(), sc.Mails.Name(),
	} {
		topics = append(topics, demo.Topic{Name: name})
	}
	return demo.New(demo.Spec{
		Name:       "saga-choreography",
		Short:      "an order over services that react to each other: all of it happens, or nothing",
		Topologies: ChoreographyTopologies,
		Topics:     topics,
		Input:      sc.OrderEvents.Name(), Output: sc.Mails.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return newFeeder(f, sc.OrderEvents, func(id string, rng *rand.Rand) sc.Event {
				return sc.OrderCreated{OrderID: id, Item: item(rng, sc.Unshippable), Cents: cents(rng, sc.Limit)}
			})
		},
		Show:  func(r *kgo.Record) string { return string(r.Value) },
		Audit: auditChoreography,
	})
}

// ChoreographyTopologies are the services.
func ChoreographyTopologies() []*topology.Builder {
	return []*topology.Builder{sc.Orders(), sc.Inventory(), sc.Payment(), sc.Shipping(), sc.Billing(), sc.Notifications()}
}

func auditChoreography(ctx context.Context, log demo.Log) (*demo.Report, error) {
	b := books{}
	hear := func(t topology.Topic[string, sc.Event]) func() error {
		return demo.Reading(ctx, log, t, func(r demo.Record[string, sc.Event]) { b.hear(r.Value) })
	}
	err := demo.InOrder(hear(sc.OrderEvents), hear(sc.InventoryEvents), hear(sc.PaymentEvents), hear(sc.ShippingEvents),
		demo.Reading(ctx, log, sc.Invoices, func(r demo.Record[string, string]) { b.of(r.Key).invoices++ }),
		demo.Reading(ctx, log, sc.Mails, func(r demo.Record[string, string]) { b.of(r.Key).mail(r.Value) }),
	)
	if err != nil {
		return nil, err
	}
	return b.judge(), nil
}

func (b books) hear(e sc.Event) {
	o := b.of(e.Order())
	switch e.(type) {
	case sc.OrderCreated:
		o.placed++
	case sc.InventoryReserved:
		o.reserved = true
	case sc.InventoryReleased:
		o.released = true
	case sc.PaymentProcessed:
		o.paid = true
	case sc.PaymentRefunded:
		o.refunded = true
	case sc.OrderShipped:
		o.shipped = true
	case sc.OrderClosed:
		o.end(true)
	case sc.OrderCancelled:
		o.end(false)
	}
}
