package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/examples/emailservice"
)

func TestMain(m *testing.M) {
	child.Main(cluster.Role, cluster.Child)
	child.Main(serviceRole, serviceChild)
	child.Main(rpcRole, rpcChild)
	child.Main(tableRole, tableChild)
	goleak.VerifyTestMain(m)
}

// Every order has its email, also where the customer service was slow or down: run fails
// otherwise.
func TestSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("ten seconds")
	}
	for _, v := range []string{"table", "rpc-cached"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := run(ctx, options{
			rounds: 1, phase: 500 * time.Millisecond, rate: 500, updates: 50, customers: 1000, commit: 20 * time.Millisecond,
			ttl: time.Second, slow: 20 * time.Millisecond, concurrency: 16, batch: 10, only: v,
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestVersionOf(t *testing.T) {
	o := emailservice.Order{OrderID: orderID(4711), CustomerID: customerID(12)}
	e := emailservice.Compose(o, customer(12, 34))
	order, version, err := versionOf(fmt.Appendf(nil, `{"orderId":%q,"to":%q}`, e.OrderID, e.To))
	if order != 4711 || version != 34 || err != nil {
		t.Errorf("order %d, version %d, %v", order, version, err)
	}
	if _, _, err := versionOf([]byte("{}")); err == nil {
		t.Error("no email was read as one")
	}
}

func TestAge(t *testing.T) {
	at := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	w := &world{truth: [][]change{{{}, {at(100), at(105)}, {at(200), at(205)}}}}
	for _, c := range []struct{ placed, version, want int }{
		{50, 1, 0},
		{50, 2, 1},
		{50, 3, 1},
		{101, 1, 0},
		{101, 2, 0}, // while the change was under way either is right
		{150, 1, -1},
		{150, 2, 0},
		{150, 3, 1},
		{300, 1, -1},
		{300, 2, -1},
		{300, 3, 0},
	} {
		if got := w.age(&placed{at: at(c.placed), version: int32(c.version)}); got != c.want {
			t.Errorf("placed at %d ms with version %d: %d, want %d", c.placed, c.version, got, c.want)
		}
	}
}

// lookups find every customer, and the one that does not exist, in spite of failures.
func TestLookups(t *testing.T) {
	s := &service{rows: map[string]emailservice.Customer{}}
	s.fault.Store(new(fault))
	for n := range int32(10) {
		s.rows[customerID(n)] = customer(n, 1)
	}
	var failures atomic.Int64
	flaky := func(h http.HandlerFunc) http.HandlerFunc {
		return s.faulty(func(w http.ResponseWriter, r *http.Request) {
			if failures.Add(1)%3 == 0 {
				http.Error(w, "not now", http.StatusServiceUnavailable)
				return
			}
			h(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /customers/{id}", flaky(s.get))
	mux.HandleFunc("POST /customers/lookup", flaky(s.lookup))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := newClient(srv.URL, 4)
	for name, l := range map[string]lookup{
		"each":    each{c},
		"batched": batched{c, 4},
		"cached":  &cached{client: c, ttl: time.Minute, rows: map[string]*entry{}},
	} {
		t.Run(name, func(t *testing.T) {
			var wait sync.WaitGroup
			orders := make([]order, 33)
			for i := range orders {
				orders[i].CustomerID = customerID(int32(i % 11))
			}
			l.begin(t.Context(), &wait, orders)
			wait.Wait()
			for i := range orders {
				o := &orders[i]
				if want := i%11 != 10; o.err != nil || o.found != want || want && o.customer.ID != o.CustomerID {
					t.Errorf("order %d: found %v, %v: %+v", i, o.found, o.err, o.customer)
				}
			}
		})
	}
	before := s.stats.calls.Load()
	cached := &cached{client: c, ttl: time.Minute, rows: map[string]*entry{}}
	for range 3 {
		var wait sync.WaitGroup
		cached.begin(t.Context(), &wait, []order{{Order: emailservice.Order{CustomerID: customerID(1)}}})
		wait.Wait()
	}
	if n := s.stats.calls.Load() - before; n > 2 { // one, and another try
		t.Errorf("%d calls for one cached customer", n)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wait sync.WaitGroup
	orders := make([]order, 1)
	each{newClient(srv.URL, 1)}.begin(ctx, &wait, orders)
	wait.Wait()
	if !errors.Is(orders[0].err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline's", orders[0].err)
	}
}
