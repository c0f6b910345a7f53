package quotes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/quoting"
	"github.com/seed-81380e12/limpet/internal/demo"
)

const (
	customers   = 300
	changeEvery = 20 * time.Millisecond
	// The supplier is down for a third of the time.
	upFor, downFor = 2 * time.Second, time.Second
)

// feeder asks for quotes, and changes customers.
type feeder struct {
	feed     *demo.Feed
	rng      *rand.Rand
	supplier *supplier
	run      int64 // part of the requests' ids
	requests int
	changes  int
	changed  time.Duration
	err      error
}

func newFeeder(f *demo.Feed) *feeder {
	return &feeder{feed: f, rng: rand.New(rand.NewPCG(1, 3)), supplier: newSupplier(), run: time.Now().UnixMilli()}
}

func name(n int) string { return fmt.Sprintf("customer-%03d", n) }

// Prepare reads what earlier runs left, and writes the customers that there must be.
func (f *feeder) Prepare(ctx context.Context) error {
	err := f.feed.Read(ctx, quoting.Risks.Name(), func(raw *kgo.Record) error {
		r, err := demo.Decode(quoting.Risks, raw)
		f.supplier.set(r.Key, r.Value)
		return err
	})
	for n := range customers {
		if err == nil && f.supplier.risks[name(n)].Version == 0 {
			err = f.change(n)
		}
	}
	return err
}

func (f *feeder) Run(ctx context.Context) error {
	serving, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	served := make(chan error, 1)
	from := f.feed.Ends(quoting.Asks.Name())
	go func() { served <- f.supplier.serve(serving, f.feed.Addr(), from) }()
	err := f.feed.Pace(ctx, f.request, func(since time.Duration) error {
		f.supplier.switched(since%(upFor+downFor) > upFor)
		if since-f.changed >= changeEvery {
			f.changed = since
			if err := f.change(f.rng.IntN(customers)); err != nil {
				return err
			}
		}
		return f.err
	})
	f.supplier.switched(false)
	if err == nil { // what waits for an answer gets it
		wait, cancel := context.WithTimeout(serving, 20*time.Second)
		err = f.supplier.called(wait, f.changes)
		cancel()
	}
	quit()
	if e := <-served; err == nil {
		err = e
	}
	return err
}

// change changes a customer, and tells it both ways.
func (f *feeder) change(n int) error {
	id := name(n)
	f.supplier.mu.Lock()
	v := f.supplier.risks[id].Version
	f.supplier.mu.Unlock()
	r := quoting.Risk{Age: 18 + f.rng.IntN(70), City: []string{"Rome", "Pisa", "Bari"}[f.rng.IntN(3)], Version: v + 1}
	f.supplier.set(id, r)
	f.changes++
	if err := demo.Send(f.feed, quoting.Risks, id, r); err != nil {
		return err
	}
	return demo.Send(f.feed, quoting.Changes, id, quoting.Changed{CustomerID: id})
}

func (f *feeder) request() {
	id := fmt.Sprintf("%d-%07d", f.run, f.requests)
	f.requests++
	if err := demo.Send(f.feed, quoting.Requests, id, quoting.Request{RequestID: id, CustomerID: name(f.rng.IntN(customers))}); err != nil {
		f.err = err
	}
}
