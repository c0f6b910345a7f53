package emails

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo"
)

func seeded() *feeder {
	f := newFeeder(nil)
	f.rng = rand.New(rand.NewPCG(1, 0))
	for n := range 20 {
		f.acknowledged(&kgo.Record{Partition: int32(n % 4), Offset: int64(n / 4)}, f.newCustomer(n))
	}
	return f
}

func TestTheSameSeedMakesTheSameCustomers(t *testing.T) {
	a, b := seeded(), seeded()
	for i := range a.customers {
		if a.customers[i].row != b.customers[i].row {
			t.Fatalf("customer %d: %v and %v", i, a.customers[i].row, b.customers[i].row)
		}
	}
	if a.bounds[0] != 5 || a.bounds[3] != 5 {
		t.Errorf("bounds %v", a.bounds)
	}
}

// The audit can tell versions of a customer apart only if they make different emails.
func TestEachVersionOfACustomerMakesAnotherEmail(t *testing.T) {
	f := seeded()
	seen := map[emailservice.Email]bool{}
	order := emailservice.Order{OrderID: "o", SKU: "rope"}
	for _, c := range f.customers {
		seen[emailservice.Compose(order, c.row)] = true
	}
	for range 500 {
		row := f.moved()
		if e := emailservice.Compose(order, row); seen[e] {
			t.Fatalf("%v was there before", e)
		} else {
			seen[e] = true
		}
		f.acknowledged(&kgo.Record{}, row)
	}
}

func TestRecords(t *testing.T) {
	want := emailservice.Order{OrderID: "order-0000001", CustomerID: "customer-00001", Quantity: 2}
	r, err := demo.Encode(emailservice.Orders, want.OrderID, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := demo.Decode(emailservice.Orders, r)
	if err != nil || got.Value != want || got.Key != want.OrderID {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := boundOf(r); err == nil {
		t.Error("an order with no bound was taken")
	}
	setBound(r, 42)
	if n, err := boundOf(r); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	r.Value = []byte("{")
	if _, err := demo.Decode(emailservice.Orders, r); err == nil {
		t.Error("nonsense was decoded")
	}
}
