package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/examples/emailservice"
)

const serviceRole = "customer-service"

// service is the customer service: all customers in a map, so a read costs it no more
// than HTTP and JSON. One with a database behind it is slower.
//
//	GET  /customers/{id}     one customer
//	POST /customers/lookup   a JSON list of ids; a list of the customers that exist
//	PUT  /customers/{id}     change one
//	PUT  /fault              what goes wrong from now on
//	GET  /stats              what it has done
type service struct {
	mu    sync.RWMutex
	rows  map[string]emailservice.Customer
	fault atomic.Pointer[fault]
	stats struct{ calls, customers atomic.Int64 }
}

// fault is what goes wrong for readers.
type fault struct {
	Delay time.Duration
	Down  bool // connections are closed with no answer
}

// serviceStats is what the service has done.
type serviceStats struct {
	Calls, Customers int64
	CPU              time.Duration
}

func serviceChild(ctx context.Context, _ []string, say func(any) error) error {
	s := &service{rows: map[string]emailservice.Customer{}}
	s.fault.Store(new(fault))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /customers/{id}", s.faulty(s.get))
	mux.HandleFunc("POST /customers/lookup", s.faulty(s.lookup))
	mux.HandleFunc("PUT /customers/{id}", s.put)
	mux.HandleFunc("PUT /fault", func(w http.ResponseWriter, r *http.Request) {
		f := new(fault)
		if err := json.NewDecoder(r.Body).Decode(f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.fault.Store(f)
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, serviceStats{s.stats.calls.Load(), s.stats.customers.Load(), measure.CPU()})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close() // the parent wants no more
	}()
	if err := say("http://" + l.Addr().String()); err != nil {
		return err
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// faulty counts a call and does to it what the fault of the hour says.
func (s *service) faulty(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.stats.calls.Add(1)
		f := s.fault.Load()
		if f.Down {
			panic(http.ErrAbortHandler) // closes the connection
		}
		if f.Delay > 0 {
			time.Sleep(f.Delay)
		}
		h(w, r)
	}
}

func (s *service) get(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	c, ok := s.rows[r.PathValue("id")]
	s.mu.RUnlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.stats.customers.Add(1)
	answer(w, c)
}

func (s *service) lookup(w http.ResponseWriter, r *http.Request) {
	var ids []string
	if err := json.NewDecoder(r.Body).Decode(&ids); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found := make([]emailservice.Customer, 0, len(ids))
	s.mu.RLock()
	for _, id := range ids {
		if c, ok := s.rows[id]; ok {
			found = append(found, c)
		}
	}
	s.mu.RUnlock()
	s.stats.customers.Add(int64(len(found)))
	answer(w, found)
}

func (s *service) put(w http.ResponseWriter, r *http.Request) {
	var c emailservice.Customer
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.rows[r.PathValue("id")] = c
	s.mu.Unlock()
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone
}

// admin is the parent's hand on the service.
type admin struct {
	url  string
	http http.Client
}

func (a *admin) put(ctx context.Context, path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, a.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT %s: %s", path, resp.Status)
	}
	return nil
}

func (a *admin) stats(ctx context.Context) (s serviceStats, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/stats", nil)
	if err != nil {
		return s, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}
