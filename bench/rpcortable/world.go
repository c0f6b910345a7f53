package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/workload"
	"github.com/seed-81380e12/limpet/examples/emailservice"
)

// world is what the email service lives in: it places orders, changes customers, and
// knows the truth.
type world struct {
	options
	topics topics
	keyed  bool // orders have the customer's id as key
	admin  *admin
	prod   *kgo.Client
	began  time.Time

	mu     sync.Mutex
	truth  [][]change // by customer: its versions, oldest first
	orders []placed
	made   int // emails that have come
	failed error
}

// change is a version of a customer: it became true somewhere between begin and end.
type change struct{ begin, end time.Duration }

// placed is an order and, once it has come, its email.
type placed struct {
	customer int32
	version  int32         // in the email; -1: none has come
	due      time.Duration // when it should have been placed: latency counts from here
	at       time.Duration // when it was
	email    time.Duration // when its email could be read
}

func (w *world) now() time.Duration { return time.Since(w.began) }

func customerID(n int32) string { return fmt.Sprintf("c%07d", n) }

// customer is a version of a customer. The version shows in the email, in its address.
func customer(n int32, version int) emailservice.Customer {
	id := customerID(n)
	return emailservice.Customer{
		ID: id, Name: "Ada Lovelace", Email: fmt.Sprintf("%s.v%d@example.com", id, version), Locale: "en-GB", Tier: "gold",
		Street: "12 St James's Square", City: "London", Country: "GB", OptIn: true, Note: "prefers mail in the morning",
	}
}

func orderID(n int) string { return fmt.Sprintf("o%09d", n) }

// versionOf finds order and version in an email. What it looks for stands in every email
// of the example; it is not parsed as JSON, or the reader would be the slowest of all.
func versionOf(email []byte) (order, version int, err error) {
	if order, err = number(email, `"orderId":"o`, '"'); err != nil {
		return 0, 0, err
	}
	version, err = number(email, `.v`, '@')
	return order, version, err
}

func number(b []byte, after string, until byte) (int, error) {
	_, rest, ok := bytes.Cut(b, []byte(after))
	end := bytes.IndexByte(rest, until)
	if !ok || end < 0 {
		return 0, fmt.Errorf("no %q in email %s", after, b)
	}
	return strconv.Atoi(string(rest[:end]))
}

// settle makes the first version of all customers known to the service and to the topic.
func (w *world) settle(ctx context.Context) error {
	w.truth = make([][]change, w.customers)
	errs := make(chan error, 8)
	for part := range cap(errs) {
		go func() {
			for n := part; n < w.customers; n += cap(errs) {
				if err := w.admin.put(ctx, "/customers/"+customerID(int32(n)), customer(int32(n), 1)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var err error
	for range cap(errs) {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	for n := range w.customers {
		w.truth[n] = []change{{}}
		w.publish(ctx, int32(n), 1)
	}
	return errors.Join(w.prod.Flush(ctx), w.fault())
}

// publish writes a version of a customer to the topic.
func (w *world) publish(ctx context.Context, n int32, version int) {
	w.produce(ctx, w.topics.Customers, customerID(n), customer(n, version))
}

func (w *world) produce(ctx context.Context, topic, key string, v any) {
	value, err := json.Marshal(v)
	if err != nil {
		w.fail(err)
		return
	}
	k := []byte(key)
	w.prod.Produce(ctx, &kgo.Record{Topic: topic, Partition: workload.Partition(k, partitions), Key: k, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
			w.fail(err)
		}
	})
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

func (w *world) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// change changes customers at a steady rate until ctx ends: the service first, which is
// where the truth is, then the topic, as an outbox or change data capture would.
func (w *world) change(ctx context.Context, draw func() int32) {
	every := time.NewTicker(time.Second / time.Duration(w.updates))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		n := draw()
		version := len(w.truth[n]) + 1 // this goroutine alone appends
		begin := w.now()
		// Not ctx: what was begun must end, or the truth is not known.
		if err := w.admin.put(context.WithoutCancel(ctx), "/customers/"+customerID(n), customer(n, version)); err != nil {
			w.fail(err)
			return
		}
		w.mu.Lock()
		w.truth[n] = append(w.truth[n], change{begin, w.now()})
		w.mu.Unlock()
		w.publish(context.WithoutCancel(ctx), n, version)
	}
}

// place places orders at a steady rate until ctx ends. It is an open loop: how fast
// emails come does not change when orders are placed.
func (w *world) place(ctx context.Context, draw func() int32) {
	begin := w.now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		for now := w.now(); ; n++ {
			due := begin + time.Duration(float64(n)/float64(w.rate)*float64(time.Second))
			if due > now {
				break
			}
			w.order(ctx, draw(), due)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// flood places orders as fast as emails come, with so many under way.
func (w *world) flood(ctx context.Context, draw func() int32, outstanding int) {
	for ctx.Err() == nil {
		w.mu.Lock()
		room := outstanding - (len(w.orders) - w.made)
		w.mu.Unlock()
		if room <= 0 {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		for range min(room, 1000) {
			w.order(ctx, draw(), w.now())
		}
	}
}

func (w *world) order(ctx context.Context, n int32, due time.Duration) {
	w.mu.Lock()
	id := len(w.orders)
	at := w.now()
	w.orders = append(w.orders, placed{customer: n, version: -1, due: due, at: at})
	w.mu.Unlock()
	key := orderID(id)
	if w.keyed {
		key = customerID(n)
	}
	// Not ctx: an order that was placed must arrive, or it is counted as missing.
	w.produce(context.WithoutCancel(ctx), w.topics.Orders, key, emailservice.Order{
		OrderID: orderID(id), CustomerID: customerID(n), SKU: "book-4711", Quantity: 2, Cents: 1999, Currency: "EUR",
		PlacedAt: w.began.Add(at).UnixMilli(), Channel: "web",
	})
}

// read reads emails as a consumer does until ctx ends.
func (w *world) read(ctx context.Context, cl *kgo.Client) {
	for ctx.Err() == nil {
		fs := cl.PollFetches(ctx)
		now := w.now()
		if err := fatal(fs); err != nil {
			w.fail(err)
			return
		}
		w.mu.Lock()
		for it := fs.RecordIter(); !it.Done(); {
			id, version, err := versionOf(it.Next().Value)
			if err == nil && (id >= len(w.orders) || w.orders[id].version >= 0) {
				err = fmt.Errorf("a second email for order %d, or one for an order that was not placed", id)
			}
			if err != nil {
				w.failed = errors.Join(w.failed, err)
				break
			}
			w.orders[id].version, w.orders[id].email = int32(version), now
			w.made++
		}
		w.mu.Unlock()
	}
}

// drained waits until every order has its email, and tells how long that took.
func (w *world) drained(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		w.mu.Lock()
		left, err := len(w.orders)-w.made, w.failed
		w.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case left == 0:
			return time.Since(began), nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case time.Since(began) > 2*time.Minute:
			return 0, fmt.Errorf("%d orders have no email after two minutes", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// slack is how much times may differ that two clocks of a millisecond cannot tell apart.
const slack = 2 * time.Millisecond

// age tells how the customer data in an email compares with the truth at the moment the
// order was placed: -1 is older (stale), 1 newer, 0 the same.
func (w *world) age(p *placed) int {
	versions := w.truth[p.customer]
	if v := int(p.version); v < len(versions) && versions[v].end+slack < p.at {
		return -1 // the next version was already true
	}
	if v := int(p.version) - 1; versions[v].begin > p.at+slack {
		return 1
	}
	return 0
}

// popular draws customers: a few order often, most seldom.
func popular(seed uint64, customers int) func() int32 {
	r := rand.New(rand.NewPCG(seed, 4))
	z := rand.NewZipf(r, 1.1, 20, uint64(customers-1))
	return func() int32 { return int32(z.Uint64()) }
}
