package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// feeder writes orders until it is stopped: most of them at once, some in transactions, of
// which it aborts the half. Customers change meanwhile, are deleted and come back. It goes on over
// whatever happens to the brokers.
type feeder struct {
	t    *testing.T
	c    *kafkatest.Cluster
	in   *input
	rng  *rand.Rand
	each int // orders of each batch
	tx   *kgo.Client
	stop chan struct{}
	wg   sync.WaitGroup

	changes int // of customers

	aborted int             // orders that were written and aborted
	unknown map[string]bool // ids of orders of transactions whose end was not answered

	mu    sync.Mutex // guards what follows
	acked []ack
}

const (
	feedPause = 20 * time.Millisecond
	openMax   = time.Minute // of a transaction that nobody goes on with: they expire after 10 s
)

func newFeeder(t *testing.T, c *kafkatest.Cluster, in *input, seed uint64, perSecond int) *feeder {
	return &feeder{t: t, c: c, in: in, rng: rand.New(rand.NewPCG(seed, 99)), stop: make(chan struct{}), each: max(1, int(time.Duration(perSecond)*feedPause/time.Second)), unknown: map[string]bool{}}
}

func (f *feeder) start() {
	f.t.Cleanup(f.halt)
	f.wg.Go(func() {
		for {
			select {
			case <-f.stop:
				return
			case <-time.After(feedPause):
			}
			if f.rng.IntN(40) == 0 {
				f.transaction(f.rng.IntN(2) == 0)
			} else {
				f.plain()
			}
		}
	})
}

// end stops feeding, when all is acknowledged and no transaction is open any more. Where the end of the last one
// was not answered it stays open until it expires: what is written behind it is acknowledged, and who reads what
// is committed, as product and check do, does not see it.
func (f *feeder) end(ck *checker) {
	f.t.Helper()
	f.halt()
	if open := ck.stillOpen(openMax, "orders", "customers"); len(open) > 0 {
		f.t.Errorf("transactions are open %v after the last record (has Kafka left out a marker, KAFKA-20734?): %q", openMax, open)
	}
	if f.aborted == 0 {
		f.t.Log("no orders were aborted in this run")
	}
}

// halt stops feeding, when all is acknowledged.
func (f *feeder) halt() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.wg.Wait()
	if err := f.in.cl.Flush(context.Background()); err != nil {
		f.t.Error(err)
	}
}

// last writes an order to each partition, so that none ends with a marker.
func (f *feeder) last(partitions int) error {
	cl := f.c.Client(f.t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	for p := range partitions {
		rs := f.batch("o")
		for _, r := range rs {
			r.Partition = int32(p)
		}
		if err := cl.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
			return err
		}
		f.note(rs...)
	}
	return nil
}

// plain writes some orders, and a customer now and then. It waits only where very many are
// not acknowledged yet.
func (f *feeder) plain() {
	for _, r := range f.batch("o") {
		f.in.cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil { // it is tried again without end
				f.t.Errorf("feeding: %v", err)
				return
			}
			f.note(r)
		})
	}
	if f.rng.IntN(2) == 0 {
		f.in.cl.Produce(context.Background(), f.change(), nil)
	}
}

// change is another row of a customer, or, of each third, his deletion.
func (f *feeder) change() *kgo.Record {
	f.changes++
	r := f.in.customer(f.rng.IntN(customers), f.changes)
	if f.rng.IntN(3) == 0 {
		r.Value = nil
	}
	return r
}

// transaction writes some orders in a transaction. When something goes wrong the orders
// may be there or not: what is in the topic says so.
func (f *feeder) transaction(commit bool) {
	if f.tx == nil {
		f.tx = f.c.Client(f.t, kgo.TransactionalID("feeder"), kgo.TransactionTimeout(10*time.Second), kgo.RetryTimeout(5*time.Second))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	prefix := "a"
	if commit {
		prefix = "t"
	}
	orders := f.batch(prefix)
	err := f.tx.BeginTransaction()
	if err == nil {
		if err = f.tx.ProduceSync(ctx, append(orders, f.change())...).FirstErr(); err == nil {
			err = f.tx.EndTransaction(ctx, kgo.TransactionEndTry(commit))
		}
	}
	switch {
	case err != nil:
		f.t.Logf("%s a transaction of orders has no known end: %v", time.Now().Format(time.TimeOnly), err)
		for _, r := range orders {
			f.unknown[string(r.Key)] = true
		}
		f.tx.Close()
		f.tx = nil
	case commit:
		f.note(orders...)
	default:
		f.aborted += len(orders)
	}
}

// note keeps where orders are that were acknowledged, or committed, just now.
func (f *feeder) note(rs ...*kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rs {
		f.acked = append(f.acked, ack{string(r.Key), r.Partition, r.Offset, time.Now()})
	}
}

func (f *feeder) batch(prefix string) (rs []*kgo.Record) {
	for range f.each {
		id := fmt.Sprintf("%s%016x", prefix, f.rng.Uint64())
		v := fmt.Sprintf(`{"orderId":%q,"customerId":%q,"sku":"s","quantity":1,"cents":%d}`, id, customerID(f.rng.IntN(customers)), 1+f.rng.IntN(1000))
		rs = append(rs, &kgo.Record{Topic: "orders", Key: []byte(id), Value: []byte(v)})
	}
	return rs
}

// check wants the orders of the topic to be those that were written. Where some are missing it says what there is
// in their place, as the brokers see it.
func (f *feeder) check(ck *checker, orders map[string]order) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if miss := missing(f.acked, orders); len(miss) > 0 {
		f.t.Errorf("%d of %d acknowledged orders are not in the topic, or not where they were: what is compared is not whole. %d more are of transactions whose end was not answered.\n%s",
			len(miss), len(f.acked), len(f.unknown), strings.Join(tellMissing(miss, ck.views("orders", miss)), "\n"))
	}
	if more := foreign(f.acked, f.unknown, orders); len(more) > 0 {
		f.t.Errorf("%d orders are in the topic that were not acknowledged there, and whose transactions were aborted if they had any: %v", len(more), more[:min(len(more), tellMax)])
	}
}
