package payments

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/examples/idempotent"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The audit finds nothing in what the topology makes, and each fault that is put in.
func TestAudit(t *testing.T) {
	d := topologytest.New(t, Topologies()...)
	in := topologytest.Topic(d, idempotent.Payments)
	rng := rand.New(rand.NewPCG(2, 8))
	var payments []sent
	numbers := map[string]int64{}
	for range 400 {
		d.Advance(time.Duration(rng.IntN(40)) * time.Millisecond)
		account := []string{"a", "b", "c"}[rng.IntN(3)]
		var p idempotent.Payment
		if rng.IntN(4) == 0 && len(payments) > 0 {
			p = payments[rng.IntN(len(payments))].Payment
		} else {
			numbers[account]++
			p = idempotent.Payment{EventID: fmt.Sprint(account, numbers[account]), Account: account, Number: numbers[account], Cents: rng.Int64N(100)}
		}
		at := d.Now()
		in.SendAt(at, p.Account, p)
		payments = append(payments, sent{p, 0, time.UnixMilli(int64(at))})
	}
	bookings, repeats := topologytest.Topic(d, idempotent.Bookings).ByKey(), topologytest.Topic(d, idempotent.Repeats).ByKey()
	check := func() *demo.Report { return judge(payments, bookings, repeats) }
	if r := check(); !r.Clean() || len(repeats) == 0 {
		t.Fatal(r, r.Examples)
	}
	was := bookings["a"]
	for what, spoil := range map[string]func([]idempotent.Booking) []idempotent.Booking{
		"lost":        func(b []idempotent.Booking) []idempotent.Booking { return b[1:] },
		"twice":       func(b []idempotent.Booking) []idempotent.Booking { return append(b, b[0]) },
		"not in turn": func(b []idempotent.Booking) []idempotent.Booking { b[0], b[1] = b[1], b[0]; return b },
		"balance":     func(b []idempotent.Booking) []idempotent.Booking { b[2].Balance++; return b },
	} {
		bookings["a"] = spoil(slices.Clone(was))
		if check().Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
	bookings["a"] = was
	repeats["b"] = repeats["b"][1:]
	if check().Clean() {
		t.Error("a repeat that was not seen was not found")
	}
}
