package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

// outcome is what a trial measured.
type outcome struct {
	start              time.Duration // until the first email, with all customers there
	steady, slow, down phase
	full               phase
	peak               int64 // bytes of memory that the email service took
}

// phase is a part of a trial.
type phase struct {
	length       time.Duration
	orders       int           // placed in it
	during       int           // of these, emails that came before it ended
	p50, p99     time.Duration // of all its orders, also of those that came later
	worst        time.Duration
	drain        time.Duration // until the last email, after it ended
	stale, newer int
	emails       int           // that came in it, whenever the order was placed
	calls        int64         // to the customer service
	cpu, service time.Duration // of the email service, of the customer service
}

// outstanding is how many orders are under way under full load.
const outstanding = 20_000

// trial runs one variant through all phases.
func trial(ctx context.Context, o options, c *cluster.Cluster, variant string, n int) (out outcome, err error) {
	name := fmt.Sprintf("%s-%d", variant, n)
	t := topics{"customers-" + name, "orders-" + name, "emails-" + name}
	defer func() { _ = c.Delete(context.WithoutCancel(ctx), t.Customers, t.Orders, t.Emails) }() // memory only
	if err := errors.Join(
		c.Create(ctx, t.Customers, partitions, map[string]string{"cleanup.policy": "compact"}),
		c.Create(ctx, t.Orders, partitions, nil), c.Create(ctx, t.Emails, partitions, nil)); err != nil {
		return out, err
	}
	service, err := child.Start(serviceRole)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, service.Stop()) }()
	w := &world{options: o, topics: t, keyed: variant == keyed, admin: new(admin), began: time.Now()}
	if err := service.Hear(&w.admin.url); err != nil {
		return out, err
	}
	prod, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return out, err
	}
	defer prod.Close()
	w.prod = prod
	if err := w.settle(ctx); err != nil {
		return out, err
	}

	dir, err := os.MkdirTemp("", "limpet-bench-*")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	role := rpcRole
	if variant == "table" || variant == keyed {
		role = tableRole
	}
	arg, err := json.Marshal(job{
		Variant: variant, Brokers: c.Brokers, Topics: t, Commit: o.commit, StateDir: dir,
		Service: w.admin.url, Concurrency: o.concurrency, Batch: o.batch, TTL: o.ttl,
	})
	if err != nil {
		return out, err
	}
	began := time.Now()
	mailer, err := child.Start(role, string(arg))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, mailer.Stop()) }()

	cons, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ConsumeTopics(t.Emails),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return out, err
	}
	defer cons.Close()
	reading, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	wait.Go(func() { w.read(reading, cons) })

	r := &runner{world: w, mailer: mailer.PID(), draw: popular(uint64(n)+1, o.customers), changes: popular(uint64(n)+100, o.customers)}
	if _, err := r.phase(ctx, fault{}, 100*time.Millisecond, true); err != nil { // the first orders
		return out, err
	}
	out.start = time.Since(began)
	if _, err := r.phase(ctx, fault{}, time.Second, true); err != nil { // warm-up
		return out, err
	}
	for _, p := range []struct {
		phase *phase
		fault fault
		flood bool
	}{{&out.steady, fault{}, false}, {&out.slow, fault{Delay: o.slow}, false}, {&out.down, fault{Down: true}, false}, {&out.full, fault{}, true}} {
		if *p.phase, err = r.phase(ctx, p.fault, o.phase, !p.flood); err != nil {
			return out, err
		}
	}
	out.peak = measure.ProcessPeakRSS(mailer.PID())
	return out, nil
}

// runner runs phases.
type runner struct {
	*world
	mailer        int // process id
	draw, changes func() int32
}

// phase has the customer service fail as told for a while, and then waits for all emails.
func (r *runner) phase(ctx context.Context, f fault, length time.Duration, open bool) (p phase, err error) {
	if err := r.admin.put(ctx, "/fault", f); err != nil {
		return p, err
	}
	before, err := r.admin.stats(ctx)
	if err != nil {
		return p, err
	}
	cpu, first, made, began := measure.ProcessCPU(r.mailer), len(r.orders), r.made, r.now()

	running, stop := context.WithTimeout(ctx, length)
	var wait sync.WaitGroup
	wait.Go(func() {
		if !f.Down && r.updates > 0 { // who is down changes nothing
			r.change(running, r.changes)
		}
	})
	if open {
		r.place(running, r.draw)
	} else {
		r.flood(running, r.draw, outstanding)
	}
	stop()
	wait.Wait()

	// Under full load what was under way at the end is not in the figures of the phase.
	ended := r.now()
	p.length, p.cpu = ended-began, measure.ProcessCPU(r.mailer)-cpu
	after, err := r.admin.stats(ctx)
	if err != nil {
		return p, err
	}
	r.mu.Lock()
	p.emails = r.made - made
	r.mu.Unlock()
	if err := r.admin.put(ctx, "/fault", fault{}); err != nil {
		return p, err
	}
	if p.drain, err = r.drained(ctx); err != nil {
		return p, err
	}
	if open { // calls of late orders belong to them
		if after, err = r.admin.stats(ctx); err != nil {
			return p, err
		}
	}
	p.calls, p.service = after.Calls-before.Calls, after.CPU-before.CPU

	r.mu.Lock()
	defer r.mu.Unlock()
	latencies := make(measure.Durations, 0, len(r.orders)-first)
	for i := first; i < len(r.orders); i++ {
		o := &r.orders[i]
		p.orders++
		if o.email <= ended {
			p.during++
		}
		latencies = append(latencies, o.email-o.due)
		switch r.age(o) {
		case -1:
			p.stale++
		case 1:
			p.newer++
		}
	}
	p.p50, p.p99, p.worst = latencies.Quantile(0.5), latencies.Quantile(0.99), latencies.Quantile(1)
	return p, nil
}
