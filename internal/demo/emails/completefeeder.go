package emails

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo"
)

const (
	fewCustomers = 300
	actEvery     = 10 * time.Millisecond // something happens to a customer
	mostAway     = 20                    // deleted customers who will be back
	soon         = 6                     // how many of the next customers have orders already
)

// completeFeeder makes up what happens to customers, and their orders. What happens to a
// customer is acknowledged as written before the next order is sent.
type completeFeeder struct {
	feed      *demo.Feed
	rng       *rand.Rand
	run       int64 // part of the orders' ids
	orders    int
	customers []*client // the next one has the number that is its length
	away      []int     // deleted, the longest first
	bounds    map[int32]int64
	written   int64    // greatest timestamp of an acknowledged customer, ms
	keepers   []string // customers of whom each partition has one, to move time
	acted     time.Duration
	err       error
}

// client is a customer with his past.
type client struct {
	partition int32
	versions  int
	there     bool
}

func newCompleteFeeder(f *demo.Feed) *completeFeeder {
	return &completeFeeder{feed: f, rng: rand.New(rand.NewPCG(1, 7)), run: time.Now().UnixMilli(), bounds: map[int32]int64{}}
}

// Prepare reads what earlier runs left, and writes the first customers.
func (f *completeFeeder) Prepare(ctx context.Context) error {
	topic := emailservice.VersionedCustomers.Name()
	err := f.feed.Read(ctx, topic, func(r *kgo.Record) error {
		f.acknowledged(r)
		number, ok := strings.CutPrefix(string(r.Key), "customer-")
		if !ok { // a keeper
			return nil
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("%s/%d@%d: %q is no customer of this demo", r.Topic, r.Partition, r.Offset, r.Key)
		}
		for len(f.customers) <= n {
			f.customers = append(f.customers, &client{})
		}
		c := f.customers[n]
		c.partition, c.there = r.Partition, r.Value != nil
		c.versions++
		return nil
	})
	for n, c := range f.customers {
		if !c.there {
			f.away = append(f.away, n)
		}
	}
	for err == nil && len(f.customers) < fewCustomers {
		err = f.write(ctx, len(f.customers))
	}
	covered := map[int32]bool{}
	for i := 0; err == nil && len(covered) < len(f.feed.Ends(topic)); i++ {
		var r *kgo.Record
		id := fmt.Sprintf("keeper-%d", i)
		if r, err = demo.Encode(emailservice.VersionedCustomers, id, emailservice.Customer{ID: id}); err == nil {
			err = f.send(ctx, r, f.feed.Now(f.written+1))
		}
		if err == nil && !covered[r.Partition] {
			covered[r.Partition] = true
			f.keepers = append(f.keepers, id)
		}
	}
	return err
}

// Run sends orders, and lets something happen to a customer now and then, until ctx ends. Then
// it moves time so far that no order waits any more.
func (f *completeFeeder) Run(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	err := f.feed.Pace(ctx, f.order, func(since time.Duration) error {
		if f.err != nil || since-f.acted < actEvery {
			return f.err
		}
		f.acted = since
		return f.act(whole)
	})
	end := f.feed.Now(f.feed.Now(f.written).UnixMilli() + patience.Milliseconds() + 1)
	for _, id := range f.keepers {
		var r *kgo.Record
		if err == nil {
			r, err = demo.Encode(emailservice.VersionedCustomers, id, emailservice.Customer{ID: id})
		}
		if err == nil {
			err = f.send(whole, r, end)
		}
	}
	return err
}

// act changes a customer, deletes one, lets one come back, or a new one come.
func (f *completeFeeder) act(ctx context.Context) error {
	switch n := f.rng.IntN(10); {
	case n < 1:
		return f.write(ctx, len(f.customers))
	case n < 5 && len(f.away) > mostAway:
		back := f.away[0]
		f.away = f.away[1:]
		return f.write(ctx, back)
	}
	n := f.rng.IntN(len(f.customers))
	switch c := f.customers[n]; {
	case !c.there:
		return nil
	case len(f.away) <= mostAway:
		f.away = append(f.away, n)
		c.there = false
		c.versions++
		return f.send(ctx, &kgo.Record{Topic: emailservice.VersionedCustomers.Name(), Key: []byte(customerID(n))}, f.feed.Now(f.written+1))
	}
	return f.write(ctx, n)
}

// write writes a customer as nobody has seen him before, in any version of the schema, as
// services do that are brought up to date one by one.
func (f *completeFeeder) write(ctx context.Context, n int) error {
	id := customerID(n)
	if n == len(f.customers) {
		f.customers = append(f.customers, &client{})
	}
	c := f.customers[n]
	c.versions++
	name := first[f.rng.IntN(len(first))] + " " + family[f.rng.IntN(len(family))]
	mail := fmt.Sprintf("%s.%d.%d@mail.example", strings.ToLower(strings.ReplaceAll(name, " ", ".")), n, c.versions)
	var r *kgo.Record
	var err error
	switch f.rng.IntN(3) {
	case 0:
		r, err = demo.Encode(emailservice.VersionedCustomersV1, id, emailservice.CustomerV1{ID: id, FullName: name, Mail: mail})
	case 1:
		r, err = demo.Encode(emailservice.VersionedCustomersV2, id, emailservice.CustomerV2{ID: id, Name: name, Email: mail, Locale: "fr"})
	default:
		r, err = demo.Encode(emailservice.VersionedCustomers, id, emailservice.Customer{ID: id, Name: name, Email: mail, Locale: "de", Tier: "gold", OptIn: true})
	}
	if err == nil {
		err = f.send(ctx, r, f.feed.Now(f.written+1))
	}
	c.partition, c.there = r.Partition, true
	return err
}

func (f *completeFeeder) send(ctx context.Context, r *kgo.Record, at time.Time) error {
	r.Timestamp = at
	err := f.feed.Write(ctx, r)
	if err == nil {
		f.acknowledged(r)
	}
	return err
}

func (f *completeFeeder) acknowledged(r *kgo.Record) {
	f.bounds[r.Partition] = max(f.bounds[r.Partition], r.Offset+1)
	f.written = max(f.written, r.Timestamp.UnixMilli())
}

func customerID(n int) string { return fmt.Sprintf("customer-%05d", n) }

// order sends one order: of a customer that is there or was, of one who will come soon, or of
// nobody.
func (f *completeFeeder) order() {
	n, bound := f.rng.IntN(len(f.customers)), int64(0)
	switch f.rng.IntN(50) {
	case 0:
		n = 99_999
	case 1, 2, 3:
		n = len(f.customers) + f.rng.IntN(soon)
	default:
		bound = f.bounds[f.customers[n].partition]
	}
	f.orders++
	o := emailservice.Order{
		OrderID: fmt.Sprintf("order-%d-%07d", f.run, f.orders), CustomerID: customerID(n),
		SKU: skus[f.rng.IntN(len(skus))], Quantity: 1 + f.rng.IntN(4), Cents: 500 + f.rng.Int64N(20_000), Currency: "EUR", Channel: "web",
	}
	at := f.feed.Now(f.written + 1) // later than every customer that it counts on
	o.PlacedAt = at.UnixMilli()
	r, err := demo.Encode(emailservice.Orders, o.OrderID, o)
	if err != nil {
		f.err = err
		return
	}
	r.Timestamp = at
	setBound(r, bound)
	f.feed.Send(r)
}
