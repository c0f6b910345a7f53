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
	seedCustomers = 1000
	changeEvery   = 50 * time.Millisecond  // a customer moves house
	createEvery   = 500 * time.Millisecond // a new one comes
)

// feeder makes customers and orders up. The same seed makes the same ones, in the same
// order. An order is of a customer that is acknowledged as written.
type feeder struct {
	feed      *demo.Feed
	rng       *rand.Rand
	customers []customer
	known     map[string]int
	bounds    map[int32]int64 // by customers partition: next offset, as acknowledged
	written   int64           // greatest timestamp of an acknowledged customer, ms
	orders    int64           // number of the last order
	changed   time.Duration
	created   time.Duration
	err       error
}

type customer struct {
	row       emailservice.Customer
	partition int32
	moves     int
}

func newFeeder(f *demo.Feed) *feeder {
	return &feeder{feed: f, known: map[string]int{}, bounds: map[int32]int64{}}
}

// Prepare reads what earlier runs left, and writes the first customers.
func (f *feeder) Prepare(ctx context.Context) error {
	err := f.feed.Read(ctx, emailservice.Customers.Name(), func(r *kgo.Record) error {
		c, err := demo.Decode(emailservice.Customers, r)
		f.acknowledged(r, c.Value)
		return err
	})
	if err != nil {
		return err
	}
	// Orders are numbered, and a partition has them in order.
	last, err := f.feed.Last(ctx, emailservice.Orders.Name())
	if err != nil {
		return err
	}
	for _, r := range last {
		n, err := strconv.ParseInt(strings.TrimPrefix(string(r.Key), "order-"), 10, 64)
		if err != nil {
			return fmt.Errorf("%s/%d@%d: %q is no order of this demo", r.Topic, r.Partition, r.Offset, r.Key)
		}
		f.orders = max(f.orders, n)
	}
	f.rng = rand.New(rand.NewPCG(1, uint64(f.orders)))
	var fresh []emailservice.Customer
	for n := len(f.customers); n < seedCustomers; n++ {
		fresh = append(fresh, f.newCustomer(n))
	}
	return f.write(ctx, fresh...)
}

// Run sends orders, and now and then writes a customer, until ctx ends.
func (f *feeder) Run(ctx context.Context) error {
	err := f.feed.Pace(ctx, f.order, func(since time.Duration) error {
		if f.err != nil {
			return f.err
		}
		var rows []emailservice.Customer
		if since-f.changed >= changeEvery {
			f.changed = since
			rows = append(rows, f.moved())
		}
		if since-f.created >= createEvery {
			f.created = since
			rows = append(rows, f.newCustomer(len(f.customers)))
		}
		return f.write(context.WithoutCancel(ctx), rows...)
	})
	return err
}

// write writes customers and waits until they are there. Only then do orders refer to
// them as they are now.
func (f *feeder) write(ctx context.Context, rows ...emailservice.Customer) error {
	if len(rows) == 0 {
		return nil
	}
	rs := make([]*kgo.Record, len(rows))
	for i, row := range rows {
		r, err := demo.Encode(emailservice.Customers, row.ID, row)
		if err != nil {
			return err
		}
		r.Timestamp = f.feed.Now(0)
		rs[i] = r
	}
	if err := f.feed.Write(ctx, rs...); err != nil {
		return err
	}
	for i, r := range rs {
		f.acknowledged(r, rows[i])
	}
	return nil
}

func (f *feeder) acknowledged(r *kgo.Record, row emailservice.Customer) {
	f.bounds[r.Partition] = max(f.bounds[r.Partition], r.Offset+1)
	f.written = max(f.written, r.Timestamp.UnixMilli())
	i, ok := f.known[row.ID]
	if !ok {
		i = len(f.customers)
		f.known[row.ID] = i
		f.customers = append(f.customers, customer{})
	}
	c := &f.customers[i]
	c.row, c.partition = row, r.Partition
	c.moves++
}

// order sends one order.
func (f *feeder) order() {
	c := &f.customers[f.rng.IntN(len(f.customers))]
	f.orders++
	o := emailservice.Order{
		OrderID: fmt.Sprintf("order-%07d", f.orders), CustomerID: c.row.ID,
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
	setBound(r, f.bounds[c.partition])
	f.feed.Send(r)
}

func (f *feeder) newCustomer(n int) emailservice.Customer {
	c := emailservice.Customer{
		ID: fmt.Sprintf("customer-%05d", n), Name: first[f.rng.IntN(len(first))] + " " + family[f.rng.IntN(len(family))],
		Locale: "en", Tier: "silver", OptIn: true,
	}
	return f.settle(c, 0)
}

// moved is a customer who has moved house, and has a new address for mail, too: so each
// version of a customer makes other mails.
func (f *feeder) moved() emailservice.Customer {
	c := &f.customers[f.rng.IntN(len(f.customers))]
	return f.settle(c.row, c.moves)
}

func (f *feeder) settle(c emailservice.Customer, moves int) emailservice.Customer {
	town := towns[f.rng.IntN(len(towns))]
	c.City, c.Country = town.name, town.country
	c.Street = fmt.Sprintf("%d %s", 1+f.rng.IntN(200), streets[f.rng.IntN(len(streets))])
	c.Email = fmt.Sprintf("%s.%s.%d@%s.example", strings.ToLower(strings.ReplaceAll(c.Name, " ", ".")), c.ID[len("customer-"):], moves, strings.ToLower(town.name))
	return c
}

var (
	first   = []string{"Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "John", "Katherine", "Ken", "Leslie", "Margaret", "Radia"}
	family  = []string{"Allen", "Dijkstra", "Hamilton", "Hopper", "Johnson", "Lamport", "Liskov", "Lovelace", "McCarthy", "Perlman", "Thompson", "Turing"}
	streets = []string{"Harbour Road", "Lighthouse Lane", "Mill Street", "Station Road", "Strand", "Tide Walk"}
	skus    = []string{"anchor", "barnacle-brush", "compass", "fishing-net", "lantern", "oilskin", "pebble", "rope", "sextant", "tide-table"}
	towns   = []struct{ name, country string }{{"Bergen", "NO"}, {"Brest", "FR"}, {"Cork", "IE"}, {"Galway", "IE"}, {"Lisbon", "PT"}, {"Porto", "PT"}, {"Whitby", "GB"}}
)
