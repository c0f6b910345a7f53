package sagas

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology"
)

// feeder places orders.
type feeder[V any] struct {
	feed  *demo.Feed
	topic topology.Topic[string, V]
	order func(id string, rng *rand.Rand) V
	rng   *rand.Rand
	run   int64 // part of the orders' ids
	n     int
	err   error
}

func newFeeder[V any](f *demo.Feed, t topology.Topic[string, V], order func(string, *rand.Rand) V) *feeder[V] {
	return &feeder[V]{feed: f, topic: t, order: order, rng: rand.New(rand.NewPCG(1, 6)), run: time.Now().UnixMilli()}
}

func (f *feeder[V]) Prepare(context.Context) error { return nil }

func (f *feeder[V]) Run(ctx context.Context) error {
	return f.feed.Pace(ctx, func() {
		id := fmt.Sprintf("%d-%07d", f.run, f.n)
		f.n++
		if err := demo.Send(f.feed, f.topic, id, f.order(id, f.rng)); err != nil {
			f.err = err
		}
	}, func(time.Duration) error { return f.err })
}

// story is what the topics say of one order.
type story struct {
	placed, ends, invoices int
	reserved, released     bool
	paid, refunded         bool
	shipped                bool
	told                   bool // the customer, that it is on its way
}

func (s *story) end(shipped bool) { s.ends, s.told = s.ends+1, shipped }

// books are the stories, by order.
type books map[string]*story

func (b books) of(id string) *story {
	s := b[id]
	if s == nil {
		s = new(story)
		b[id] = s
	}
	return s
}

// judge wants each order to end once; with everything done and nothing undone, or with all
// undone that was done; and as the customer was told. An invoice is written for each payment.
func (b books) judge() *demo.Report {
	r := new(demo.Report)
	orders, shipped, cancelled := r.Seen("orders"), r.Seen("shipped"), r.Seen("cancelled")
	missing, duplicated, half, wrong := r.Fault("missing"), r.Fault("duplicated"), r.Fault("half_done"), r.Fault("wrong")
	for id, s := range b {
		orders.N += int64(s.placed)
		reserved, paid := s.reserved && !s.released, s.paid && !s.refunded
		all, none := reserved && paid && s.shipped, !reserved && !paid && !s.shipped
		switch {
		case s.placed == 0:
			wrong.Found("%s was never placed: %+v", id, *s)
		case s.ends == 0:
			missing.Found("%s has not ended: %+v", id, *s)
		case s.ends > 1 || s.invoices > 1:
			duplicated.Found("%s: %+v", id, *s)
		case !all && !none:
			half.Found("%s: %+v", id, *s)
		case all != s.told || s.paid != (s.invoices == 1):
			wrong.Found("%s: %+v", id, *s)
		case all:
			shipped.N++
		default:
			cancelled.N++
		}
	}
	return r
}
