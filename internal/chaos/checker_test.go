package chaos

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/statestore"
)

// checker compares what came out with what went in.
type checker struct {
	t  *testing.T
	c  *kafkatest.Cluster
	in *input
}

// read calls f with every committed record of a topic, by partition in offset order,
// until f has said done, or fails when nothing comes for a minute.
func (ck *checker) read(topic string, done func() bool, f func(*kgo.Record)) {
	ck.t.Helper()
	cl := ck.c.Client(ck.t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	last := time.Now()
	quiet := time.Second // after the end: what comes twice comes late
	for {
		ctx, cancel := context.WithTimeout(ck.t.Context(), quiet)
		fs := cl.PollFetches(ctx)
		cancel()
		n := 0
		fs.EachRecord(func(r *kgo.Record) {
			n++
			f(r)
		})
		if n > 0 {
			last = time.Now()
			continue
		}
		if done() {
			return
		}
		if time.Since(last) > time.Minute {
			ck.t.Errorf("%s: nothing came for a minute", topic)
			return
		}
	}
}

// order is where an order stands in its topic.
type order struct {
	partition int32
	offset    int64
	customer  string
}

func (ck *checker) orders(n int) map[string]order {
	all := map[string]order{}
	ck.read("orders", func() bool { return len(all) == n }, func(r *kgo.Record) {
		var v struct{ OrderID, CustomerID string }
		decode(ck.t, r.Value, &v)
		all[v.OrderID] = order{r.Partition, r.Offset, v.CustomerID}
	})
	return all
}

// report is what a topic has that it should not have, and what it lacks.
type report struct{ orders, found, missing, doubled, unordered, wrong int }

func (r report) String() string {
	return fmt.Sprintf("orders=%d found=%d missing=%d doubled=%d unordered=%d wrong=%d", r.orders, r.found, r.missing, r.doubled, r.unordered, r.wrong)
}

func (r report) ok() bool { return r.orders > 0 && r.missing+r.doubled+r.unordered+r.wrong == 0 }

// emails wants one for each order; those of a customer from one partition in the order
// of their orders.
func (ck *checker) emails(n int) report {
	orders := ck.orders(n)
	if len(orders) != n {
		ck.t.Fatalf("%d orders in the topic, %d were sent", len(orders), n)
	}
	type stream struct {
		partition int32
		customer  string
	}
	seen, last := map[string]int{}, map[stream]int64{}
	rep := report{orders: n}
	ck.read("emails", func() bool { return len(seen) == n }, func(r *kgo.Record) {
		var v struct{ OrderID, CustomerID, To string }
		decode(ck.t, r.Value, &v)
		o, ok := orders[v.OrderID]
		if !ok || o.customer != v.CustomerID || v.To != v.CustomerID+"@example.com" {
			rep.wrong++
		}
		if seen[v.OrderID]++; seen[v.OrderID] > 1 {
			rep.doubled++
		}
		s := stream{o.partition, o.customer}
		if at, ok := last[s]; ok && at >= o.offset {
			rep.unordered++
		}
		last[s] = o.offset
	})
	rep.found, rep.missing = len(seen), n-len(seen)
	return rep
}

// counts wants 1, 2, 3 ... for each customer, and each order counted once.
func (ck *checker) counts(n int) report {
	seen, last := map[string]int{}, map[string]int64{}
	rep := report{orders: n}
	ck.read("order-counts", func() bool { return len(seen) == n }, func(r *kgo.Record) {
		s, err := ParseSeen(r.Value)
		if err != nil || s.N != last[string(r.Key)]+1 {
			rep.wrong++
		}
		last[string(r.Key)] = s.N
		if seen[s.Order]++; seen[s.Order] > 1 {
			rep.doubled++
		}
	})
	rep.found, rep.missing = len(seen), n-len(seen)
	return rep
}

// state wants the rows on disk, after a clean stop, to be what the log folds to.
func (ck *checker) state(dir, app, table, log string) {
	ck.t.Helper()
	want := map[string]string{}
	ck.read(log, func() bool { return true }, func(r *kgo.Record) {
		k := fmt.Sprint(r.Partition, " ", string(r.Key))
		if r.Value == nil {
			delete(want, k)
		} else {
			want[k] = string(r.Value)
		}
	})
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: filepath.Join(dir, app, "db"), App: app})
	if err != nil {
		ck.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	specs := map[core.TaskID][]statestore.TableSpec{}
	for _, id := range db.Tasks() {
		specs[id] = tablesOf(ck.t, app, id)
	}
	got := 0
	for _, id := range db.Tasks() {
		st, err := db.Open(id, specs[id])
		if err != nil {
			ck.t.Fatal(err)
		}
		for i, s := range specs[id] {
			if s.Name != table {
				continue
			}
			err := st.Scan(core.TableID(i), nil, nil, func(k, v []byte, _ core.Time) bool {
				got++
				if w := want[fmt.Sprint(id.Partition, " ", string(k))]; w != string(v) {
					ck.t.Errorf("%s, task %v, %s: on disk %q, in the log %q", table, id, k, v, w)
				}
				return !ck.t.Failed()
			})
			if err != nil {
				ck.t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			ck.t.Fatal(err)
		}
	}
	ck.t.Logf("%s: %d rows on disk, %d in the log", table, got, len(want))
	if got != len(want) || got == 0 {
		ck.t.Errorf("%s: %d rows on disk, %d in the log", table, got, len(want))
	}
}
