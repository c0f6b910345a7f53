package subscribers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/pubsub"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is publish and subscribe at work.
func Demo() cli.Demo {
	compact := map[string]string{"cleanup.policy": "compact"}
	return demo.New(demo.Spec{
		Name:       "publish-subscribe",
		Short:      "three groups on one topic, one of them slow, and a fourth that comes late",
		Topologies: func() []*topology.Builder { return Topologies()[:3] },
		Late:       func() []*topology.Builder { return Topologies()[3:] },
		Topics: []demo.Topic{
			{Name: pubsub.Orders.Name()},
			{Name: pubsub.Mails.Name()},
			{Name: pubsub.Revenue.Name(), Config: compact},
			{Name: pubsub.Stock.Name(), Config: compact},
			{Name: pubsub.Archive.Name(), Config: map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}},
		},
		Input: pubsub.Orders.Name(), Output: pubsub.Mails.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return demo.Sending(f, 5, func(rng *rand.Rand, id string) error {
				return demo.Send(f, pubsub.Orders, id, pubsub.Order{
					OrderID: id, CustomerID: fmt.Sprintf("customer-%02d", rng.IntN(50)), Product: fmt.Sprintf("product-%02d", rng.IntN(20)), Cents: rng.Int64N(10_000),
				})
			})
		},
		Show:  func(r *kgo.Record) string { return string(r.Value) },
		Audit: audit,
	})
}

// Topologies are the subscribers.
func Topologies() []*topology.Builder {
	think := func(pubsub.Order) { time.Sleep(100 * time.Microsecond) }
	return []*topology.Builder{pubsub.Mailing(), pubsub.Inventory(), pubsub.Analytics(think), pubsub.Archiving()}
}

// books are what the audit reads back.
type books struct {
	orders, archive map[string][]pubsub.Order
	mails           map[string][]string
	revenue, stock  map[string][]int64
}

func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	var b books
	var err error
	if b.orders, err = demo.ByKey(ctx, log, pubsub.Orders); err != nil {
		return nil, err
	}
	if b.archive, err = demo.ByKey(ctx, log, pubsub.Archive); err != nil {
		return nil, err
	}
	if b.mails, err = demo.ByKey(ctx, log, pubsub.Mails); err != nil {
		return nil, err
	}
	if b.revenue, err = demo.ByKey(ctx, log, pubsub.Revenue); err != nil {
		return nil, err
	}
	if b.stock, err = demo.ByKey(ctx, log, pubsub.Stock); err != nil {
		return nil, err
	}
	return b.judge(), nil
}

// judge wants everything of every subscriber.
func (b *books) judge() *demo.Report {
	r := new(demo.Report)
	orders, mails, archived := r.Seen("orders"), r.Seen("mails"), r.Seen("archived_late")
	faults, diverged := r.Faults(), r.Fault("diverged")
	revenue, stock := map[string]int64{}, map[string]int64{}
	for id, os := range b.orders {
		orders.N += int64(len(os))
		var want []string
		for _, o := range os {
			want = append(want, pubsub.Mail(o))
			revenue[o.CustomerID] += o.Cents
			stock[o.Product]--
		}
		demo.Compare(faults, "mail of "+id, b.mails[id], want)
		demo.Compare(faults, "archive of "+id, b.archive[id], os)
	}
	for _, ms := range b.mails {
		mails.N += int64(len(ms))
	}
	for id, os := range b.archive {
		archived.N += int64(len(os))
		if b.orders[id] == nil {
			faults.Wrong.Found("archive: %s was never placed", id)
		}
	}
	for what, x := range map[string]struct {
		got  map[string][]int64
		want map[string]int64
	}{"revenue": {b.revenue, revenue}, "stock": {b.stock, stock}} {
		for key, want := range x.want {
			if rows := x.got[key]; len(rows) == 0 || rows[len(rows)-1] != want {
				diverged.Found("%s of %s: %v, not %d", what, key, rows[max(0, len(rows)-1):], want)
			}
		}
	}
	return r
}
