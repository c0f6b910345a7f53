package cqrs

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
)

// Summary is one read model: what a customer has ordered.
type Summary struct {
	Orders int
	Cents  int64
}

// Project is the summary after an event.
func (s Summary) Project(e Event) Summary {
	switch e := e.(type) {
	case OrderPlaced:
		return Summary{s.Orders + 1, s.Cents + e.Cents}
	case OrderCancelled:
		return Summary{s.Orders - 1, s.Cents - e.Cents}
	}
	return s
}

// Total is the other one: what a product has sold.
type Total struct{ Sold, Cancelled int }

// Project is the total after an event.
func (t Total) Project(e Event) Total {
	switch e.(type) {
	case OrderPlaced:
		t.Sold++
	case OrderCancelled:
		t.Cancelled++
	}
	return t
}

// The read models' topics: each has the latest row of each key.
var (
	Summaries = topology.NewTopic("customer-summaries", codec.String, codec.JSON[Summary](), topology.Compacted())
	Totals    = topology.NewTopic("product-totals", codec.String, codec.JSON[Total](), topology.Compacted())
)

// Customers projects the events by customer.
func Customers() *topology.Builder {
	b := topology.New("customer-orders", envelope.Headers())
	byCustomer := topology.KeyBy(Events.Stream(b), "by-customer", Event.Customer)
	topology.Aggregate(byCustomer, "summaries", Summary.Project).To(Summaries)
	return b
}

// Products projects them by product.
func Products() *topology.Builder {
	b := topology.New("product-sales", envelope.Headers())
	byProduct := topology.KeyBy(Events.Stream(b), "by-product", Event.Item)
	topology.Aggregate(byProduct, "totals", Total.Project).To(Totals)
	return b
}

// Query asks, and changes nothing. A query of A is answered with an A.
type Query[R, A any] interface{ Answer(View[R]) A }

// View is a read model as somebody has it in memory, the latest row of each key of its topic: a
// View of package shell/view is one.
type View[R any] interface {
	Get(key string) (R, bool)
	All() iter.Seq2[string, R]
}

// The queries.
type (
	SummaryOf   struct{ CustomerID string }
	BestSellers struct{ N int }
)

// Answer is the customer's summary.
func (q SummaryOf) Answer(v View[Summary]) Summary {
	s, _ := v.Get(q.CustomerID)
	return s
}

// Answer is the products that have sold most, the best first.
func (q BestSellers) Answer(v View[Total]) []string {
	totals := maps.Collect(v.All())
	names := slices.Collect(maps.Keys(totals))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(totals[b].Sold, totals[a].Sold), cmp.Compare(a, b))
	})
	return names[:min(q.N, len(names))]
}
