package shop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/cqrs"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
)

// tally counts how often a customer looked for his own order.
type tally struct {
	asked        atomic.Int64
	staleWithout atomic.Int64 // and did not find it, when he looked at once
	staleWith    atomic.Int64 // and did not find it, when he had waited for his token
}

const askEvery = 200 * time.Millisecond

// ask is a customer of his own who places an order now and then, waits until it has
// happened, and looks into his summary: at once, and again behind the token.
func (t *tally) ask(ctx context.Context, addr string) error {
	background := context.WithoutCancel(ctx)
	b, err := kafka.Open(background, kafka.Config{Brokers: []string{addr}})
	if err != nil {
		return err
	}
	defer b.Close()
	plan, err := cqrs.Customers().Build()
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeTopics(cqrs.Events.Name(), cqrs.Summaries.Name()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	c := &customer{client: cl, broker: b, view: cqrs.View[cqrs.Summary]{}, at: shell.Position{}, happened: map[string]shell.Position{}}
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return nil
		}
		id := fmt.Sprintf("%d-asking-%05d", time.Now().UnixMilli(), n)
		// Each order is of another customer: whoever finds one, finds this one.
		me := "asking-" + id
		r, err := demo.Encode(cqrs.Commands, id, cqrs.Command(cqrs.PlaceOrder{CustomerID: me, Product: "thing", Cents: 1}))
		if err != nil {
			return err
		}
		if err := cl.ProduceSync(background, r).FirstErr(); err != nil {
			return err
		}
		// An ending demo lets the question come to its end.
		wait, cancel := context.WithTimeout(background, 30*time.Second)
		token, err := c.event(wait, id)
		if err == nil {
			t.asked.Add(1)
			if (cqrs.SummaryOf{CustomerID: me}).Answer(c.view).Orders == 0 {
				t.staleWithout.Add(1)
			}
			if err = c.readBehind(wait, plan, token); err == nil {
				if (cqrs.SummaryOf{CustomerID: me}).Answer(c.view).Orders != 1 {
					t.staleWith.Add(1)
				}
			}
		}
		cancel()
		if err != nil {
			return fmt.Errorf("a customer who asks: %w", err)
		}
	}
	return nil
}

// customer has a view of the summaries, and sees what happens.
type customer struct {
	client   *kgo.Client
	broker   shell.Broker
	view     cqrs.View[cqrs.Summary]
	at       shell.Position            // how far each partition is read
	happened map[string]shell.Position // by order: its event
}

// event waits for the event of an order: its position is the token.
func (c *customer) event(ctx context.Context, id string) (shell.Position, error) {
	for c.happened[id] == nil {
		if err := c.poll(ctx); err != nil {
			return nil, err
		}
	}
	return c.happened[id], nil
}

// readBehind waits until the projector has seen the token, and reads the summaries up to
// where they end then.
func (c *customer) readBehind(ctx context.Context, plan *topology.Plan, token shell.Position) error {
	if err := shell.Await(ctx, c.broker, plan, plan.Name(), token); err != nil {
		return err
	}
	topics, err := c.broker.Topics(ctx, cqrs.Summaries.Name())
	if err != nil {
		return err
	}
	var ps []shell.Partition
	for i := range topics[cqrs.Summaries.Name()].Partitions {
		ps = append(ps, shell.Partition{Topic: cqrs.Summaries.Name(), ID: i})
	}
	bounds, err := c.broker.Bounds(ctx, ps)
	if err != nil {
		return err
	}
	for p, end := range bounds {
		for c.at[p] < end.End {
			if err := c.poll(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// poll takes what is new, into the view and into what happened.
func (c *customer) poll(ctx context.Context) error {
	fetches := c.client.PollFetches(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("nothing came: %w", ctx.Err())
	}
	var errs []error
	fetches.EachError(func(_ string, _ int32, err error) { errs = append(errs, err) })
	fetches.EachRecord(func(raw *kgo.Record) {
		p := shell.Partition{Topic: raw.Topic, ID: raw.Partition}
		c.at[p] = core.Offset(raw.Offset + 1)
		switch {
		case raw.Attrs.IsControl():
		case raw.Topic == cqrs.Summaries.Name():
			r, err := demo.Decode(cqrs.Summaries, raw)
			errs = append(errs, err)
			c.view[r.Key] = r.Value
		case strings.Contains(string(raw.Key), "-asking-"):
			c.happened[string(raw.Key)] = shell.Position{p: c.at[p]}
		}
	})
	return errors.Join(errs...)
}
