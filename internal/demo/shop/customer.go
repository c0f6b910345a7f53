package shop

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/cqrs"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/shell/view"
	"github.com/seed-81380e12/limpet/topology"
)

// tally counts how often a customer looked for his own order.
type tally struct {
	asked        atomic.Int64
	staleWithout atomic.Int64 // and did not find it, when he looked at once
	staleWith    atomic.Int64 // and did not find it, when he had waited for his token
}

const askEvery = 200 * time.Millisecond

// customer places orders of his own, and looks into a view of the summaries.
type customer struct {
	client          *kgo.Client
	broker          shell.Broker
	shop, projector *topology.Plan
	view            *view.View[string, cqrs.Summary]
}

// ask is a customer of his own who places an order now and then, waits until it has
// happened, and looks into his summary: at once, and again behind the token.
func (t *tally) ask(ctx context.Context, addr string) (err error) {
	background := context.WithoutCancel(ctx)
	var c customer
	if c.shop, err = cqrs.Shop().Build(); err != nil {
		return err
	}
	if c.projector, err = cqrs.Customers().Build(); err != nil {
		return err
	}
	b, err := kafka.Open(background, kafka.Config{Brokers: []string{addr}})
	if err != nil {
		return err
	}
	defer b.Close()
	c.broker = b
	if c.view, err = view.Open(background, b, cqrs.Summaries); err != nil {
		return err
	}
	defer c.view.Close()
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(addr)); err != nil {
		return err
	}
	defer c.client.Close()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return nil
		}
		// An ending demo lets the question come to its end.
		wait, cancel := context.WithTimeout(background, 30*time.Second)
		err := c.order(wait, t, fmt.Sprintf("%d-asking-%05d", time.Now().UnixMilli(), n))
		cancel()
		if err != nil {
			return fmt.Errorf("a customer who asks: %w", err)
		}
	}
	return nil
}

// order places an order and looks for it. Each one is of another customer: whoever finds one,
// finds this one.
func (c *customer) order(ctx context.Context, t *tally, id string) error {
	me := "asking-" + id
	r, err := demo.Encode(cqrs.Commands, id, cqrs.Command(cqrs.PlaceOrder{CustomerID: me, Product: "thing", Cents: 1}))
	if err != nil {
		return err
	}
	if err := c.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return err
	}
	placed := shell.Position{{Topic: r.Topic, ID: r.Partition}: core.Offset(r.Offset + 1)}
	if err := shell.Await(ctx, c.broker, c.shop, c.shop.Name(), placed); err != nil {
		return err
	}
	token, err := shell.Ends(ctx, c.broker, cqrs.Events.Name()) // its event is among them
	if err != nil {
		return err
	}
	orders := func() int { return (cqrs.SummaryOf{CustomerID: me}).Answer(c.view).Orders }
	t.asked.Add(1)
	if orders() == 0 {
		t.staleWithout.Add(1)
	}
	if err := c.view.Await(ctx, c.projector, c.projector.Name(), token); err != nil {
		return err
	}
	if orders() != 1 {
		t.staleWith.Add(1)
	}
	return nil
}
