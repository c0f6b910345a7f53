package shop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed-81380e12/limpet/examples/cqrs"
	"github.com/seed-81380e12/limpet/internal/demo"
)

// feeder places orders and cancels some: with no knowledge of what became of them, so some
// commands do nothing, and some are refused.
type feeder struct {
	feed  *demo.Feed
	rng   *rand.Rand
	run   int64 // part of the orders' ids: a second run places others
	n     int
	asked *tally
	err   error
}

func newFeeder(f *demo.Feed, asked *tally) *feeder {
	return &feeder{feed: f, rng: rand.New(rand.NewPCG(1, 2)), run: time.Now().UnixMilli(), asked: asked}
}

func (f *feeder) Prepare(context.Context) error { return nil }

func (f *feeder) Run(ctx context.Context) error {
	asking := make(chan error, 1)
	go func() { asking <- f.asked.ask(ctx, f.feed.Addr()) }()
	err := f.feed.Pace(ctx, f.send, func(time.Duration) error { return f.err })
	if e := <-asking; err == nil {
		err = e
	}
	return err
}

func (f *feeder) send() {
	id := func(n int) string { return fmt.Sprintf("%d-%07d", f.run, n) }
	var err error
	switch n := f.rng.IntN(20); {
	case n == 0 && f.n > 0:
		err = demo.Send(f.feed, cqrs.Commands, id(f.rng.IntN(f.n)), cqrs.Command(cqrs.CancelOrder{}))
	case n == 1 && f.n > 0: // told twice, or too late
		err = demo.Send(f.feed, cqrs.Commands, id(f.rng.IntN(f.n)), f.place())
	default:
		err = demo.Send(f.feed, cqrs.Commands, id(f.n), f.place())
		f.n++
	}
	if err != nil {
		f.err = err
	}
}

func (f *feeder) place() cqrs.Command {
	return cqrs.PlaceOrder{
		CustomerID: fmt.Sprintf("customer-%03d", f.rng.IntN(500)), Product: fmt.Sprintf("product-%02d", f.rng.IntN(50)),
		Cents: f.rng.Int64N(10_000), // now and then for nothing
	}
}
