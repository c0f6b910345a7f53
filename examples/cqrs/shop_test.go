package cqrs

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	_ Query[Summary, Summary] = SummaryOf{}
	_ Query[Total, []string]  = BestSellers{}

	book = PlaceOrder{"ada", "book", 900}
)

func TestDecide(t *testing.T) {
	placed := Order{OrderPlaced: OrderPlaced{"o1", "ada", "book", 900}}
	cancelled := placed
	cancelled.Cancelled = true
	for _, c := range []struct {
		name  string
		given Order
		when  Command
		then  Event
		err   error
	}{
		{"place", Order{}, book, placed.OrderPlaced, nil},
		{"place for nothing", Order{}, PlaceOrder{}, nil, errPrice},
		{"place twice", placed, book, nil, nil},
		{"place a cancelled one", cancelled, book, nil, errCancelled},
		{"cancel", placed, CancelOrder{}, OrderCancelled(placed.OrderPlaced), nil},
		{"cancel twice", cancelled, CancelOrder{}, nil, nil},
		{"cancel nothing", Order{}, CancelOrder{}, nil, errNoOrder},
	} {
		if got, err := Decide("o1", c.given, c.when); got != c.then || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.then, c.err)
		}
	}
}

func TestReadModels(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		commands := topologytest.Topic(d, Commands)
		commands.Send("o1", book)
		commands.Send("o2", PlaceOrder{"ada", "lamp", 100})
		commands.Send("o2", CancelOrder{})
		commands.Send("o3", PlaceOrder{})
		topologytest.Topic(d, Refusals).Want(Refusal{errPrice.Error()})
		topologytest.Table[string, Summary](d, "summaries").Want(map[string]Summary{"ada": {1, 900}})
		topologytest.Table[string, Total](d, "totals").Want(map[string]Total{"book": {1, 0}, "lamp": {1, 1}})
	}, Shop(), Customers(), Products())
}

// A projector may be slow. With the token of what he wrote, a reader knows whether the view
// has it; without, he may miss his own order.
func TestReadYourWrites(t *testing.T) {
	d := topologytest.New(t, Shop(), Customers(), Products())
	events := topologytest.Topic(d, Events)
	summaries, totals := topologytest.Topic(d, Summaries), topologytest.Topic(d, Totals)
	ask := func() Summary { return SummaryOf{"ada"}.Answer(viewOf(summaries)) }

	d.Pause("customer-orders")
	topologytest.Topic(d, Commands).Send("o1", book)
	token := events.Token()

	if d.Seen("customer-orders", token) || ask() != (Summary{}) {
		t.Error("a paused projector has read the event")
	}
	if !d.Seen("product-sales", token) || !slices.Equal((BestSellers{3}).Answer(viewOf(totals)), []string{"book"}) {
		t.Error("one slow projector held the other one up")
	}
	d.Resume("customer-orders")
	if !d.Seen("customer-orders", token) {
		t.Fatal("the projector did not catch up")
	}
	if got := ask(); got != (Summary{1, 900}) {
		t.Errorf("the token is seen, and the view has %v", got)
	}
}

// rows are a View for tests.
type rows[R any] map[string]R

func (v rows[R]) Get(key string) (R, bool)  { r, ok := v[key]; return r, ok }
func (v rows[R]) All() iter.Seq2[string, R] { return maps.All(v) }

func viewOf[R any](h *topologytest.TopicHandle[string, R]) View[R] {
	v := rows[R]{}
	for _, r := range h.Records() {
		v[r.Key] = r.Value
	}
	return v
}
