package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-81380e12/limpet/examples/emailservice"
)

// client calls the customer service as a careful engineer would: connections are kept
// and bounded, each try has a timeout, and what fails is tried again after a pause that
// grows, until it succeeds: an order must not be lost.
type client struct {
	url  string
	http *http.Client
	free chan struct{} // calls that may begin
}

const (
	tryTimeout = time.Second
	pauseFirst = 20 * time.Millisecond
	pauseMost  = time.Second
)

func newClient(url string, concurrency int) *client {
	return &client{
		url: url,
		http: &http.Client{Timeout: tryTimeout, Transport: &http.Transport{
			MaxIdleConns: concurrency, MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency,
			DialContext: (&net.Dialer{Timeout: tryTimeout, KeepAlive: 30 * time.Second}).DialContext, DisableCompression: true,
		}},
		free: make(chan struct{}, concurrency),
	}
}

// call makes one call, again and again until it is answered. found is false for a 404.
func (c *client) call(ctx context.Context, method, path string, body []byte, into any) (found bool, err error) {
	for pause := pauseFirst; ; pause = min(2*pause, pauseMost) {
		select {
		case c.free <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		found, err = c.try(ctx, method, path, body, into)
		<-c.free
		if err == nil {
			return found, nil
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return false, errors.Join(ctx.Err(), err)
		}
	}
}

func (c *client) try(ctx context.Context, method, path string, body []byte, into any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			return false, err
		}
	case http.StatusNotFound:
	default:
		err = fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // or the connection cannot be used again
	return resp.StatusCode == http.StatusOK, err
}

// lookup finds customers for orders. begin may be called while earlier ones are under way.
type lookup interface {
	// begin looks up whose order each is; the result is complete after wait.
	begin(ctx context.Context, wait *sync.WaitGroup, orders []order)
}

// order is an order in hand and what was found for it.
type order struct {
	emailservice.Order
	customer emailservice.Customer
	found    bool
	err      error
}

// each makes one call an order.
type each struct{ *client }

func (l each) begin(ctx context.Context, wait *sync.WaitGroup, orders []order) {
	for i := range orders {
		o := &orders[i]
		wait.Go(func() {
			o.found, o.err = l.call(ctx, http.MethodGet, "/customers/"+o.CustomerID, nil, &o.customer)
		})
	}
}

// batched asks for as many customers as have come together, each once.
type batched struct {
	*client
	size int
}

func (l batched) begin(ctx context.Context, wait *sync.WaitGroup, orders []order) {
	for len(orders) > 0 {
		part := orders[:min(l.size, len(orders))]
		orders = orders[len(part):]
		wait.Go(func() {
			ids, err := l.ask(ctx, part)
			for i := range part {
				o := &part[i]
				o.customer, o.found = ids[o.CustomerID]
				o.err = err
			}
		})
	}
}

func (l batched) ask(ctx context.Context, orders []order) (map[string]emailservice.Customer, error) {
	byID := make(map[string]emailservice.Customer, len(orders))
	ids := make([]string, 0, len(orders))
	for i := range orders {
		if id := orders[i].CustomerID; !has(byID, id) {
			byID[id] = emailservice.Customer{}
			ids = append(ids, id)
		}
	}
	body, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	var found []emailservice.Customer
	if _, err := l.call(ctx, http.MethodPost, "/customers/lookup", body, &found); err != nil {
		return nil, err
	}
	clear(byID)
	for _, c := range found {
		byID[c.ID] = c
	}
	return byID, nil
}

func has[K comparable, V any](m map[K]V, k K) bool { _, ok := m[k]; return ok }

// cached makes one call a customer that is not in the cache, or has been for too long.
// Orders of the same customer that miss together share a call.
type cached struct {
	*client
	ttl time.Duration

	mu   sync.Mutex
	rows map[string]*entry
}

// entry is what was answered, once ready is closed.
type entry struct {
	ready    chan struct{}
	customer emailservice.Customer
	found    bool
	err      error
	got      time.Time
}

func (e *entry) isReady() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

func (l *cached) begin(ctx context.Context, wait *sync.WaitGroup, orders []order) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range orders {
		o := &orders[i]
		e := l.rows[o.CustomerID]
		if e == nil || e.isReady() && now.Sub(e.got) > l.ttl {
			e = &entry{ready: make(chan struct{})}
			l.rows[o.CustomerID] = e
			wait.Go(func() {
				e.found, e.err = l.call(ctx, http.MethodGet, "/customers/"+o.CustomerID, nil, &e.customer)
				e.got = time.Now()
				close(e.ready)
				o.customer, o.found, o.err = e.customer, e.found, e.err
			})
			continue
		}
		if e.isReady() {
			o.customer, o.found, o.err = e.customer, e.found, e.err
			continue
		}
		wait.Go(func() {
			<-e.ready
			o.customer, o.found, o.err = e.customer, e.found, e.err
		})
	}
}
