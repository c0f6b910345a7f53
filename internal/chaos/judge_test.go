package chaos

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// order is what an order is, and where it stands in its topic.
type order struct {
	partition int32
	offset    int64
	customer  string
	cents     int64
}

// report is what a topic has that it should not have, and what it lacks.
type report struct {
	orders, found               int
	missing, doubled, unordered int
	wrong                       int // another content, count or sum than the order's
	foreign                     int // of no order that was committed
}

func (r report) String() string {
	return fmt.Sprintf("orders=%d found=%d missing=%d doubled=%d unordered=%d wrong=%d foreign=%d",
		r.orders, r.found, r.missing, r.doubled, r.unordered, r.wrong, r.foreign)
}

func (r report) ok() bool {
	return r.orders > 0 && r.found == r.orders && r.missing+r.doubled+r.unordered+r.wrong+r.foreign == 0
}

// judge compares what came out with what went in: one result for each order, and those of
// a customer, of orders of one partition, in the order of the orders. Results are given to
// it as they stand in each partition.
type judge struct {
	orders map[string]order
	seen   map[string]bool
	last   map[lane]int64
	counts map[string]Seen
	rep    report
}

// lane is within which results have an order.
type lane struct {
	partition int32
	customer  string
}

func newJudge(orders map[string]order) *judge {
	return &judge{orders: orders, seen: map[string]bool{}, last: map[lane]int64{}, counts: map[string]Seen{}}
}

// result takes the result of an order, and tells which order it is.
func (j *judge) result(id string) (o order, ok bool) {
	o, ok = j.orders[id]
	if !ok {
		j.rep.foreign++
		return o, false
	}
	if j.seen[id] {
		j.rep.doubled++
		return o, true
	}
	j.seen[id] = true
	l := lane{o.partition, o.customer}
	if at, ok := j.last[l]; ok && at > o.offset {
		j.rep.unordered++
	}
	j.last[l] = o.offset
	return o, true
}

func (j *judge) email(r *kgo.Record) {
	var v struct {
		OrderID, CustomerID, To string
		Cents                   int64
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		j.rep.wrong++
		return
	}
	o, ok := j.result(v.OrderID)
	if ok && (o.customer != v.CustomerID || string(r.Key) != v.CustomerID || v.To != v.CustomerID+"@example.com" || v.Cents != o.cents) {
		j.rep.wrong++
	}
}

func (j *judge) count(r *kgo.Record) {
	s, err := ParseSeen(r.Value)
	if err != nil {
		j.rep.wrong++
		return
	}
	was := j.counts[string(r.Key)]
	j.counts[string(r.Key)] = s
	o, ok := j.result(s.Order)
	if ok && (o.customer != string(r.Key) || s.N != was.N+1 || s.Cents != was.Cents+o.cents) {
		j.rep.wrong++
	}
}

// report is the judgement, once all was given.
func (j *judge) report() report {
	r := j.rep
	r.orders, r.found = len(j.orders), len(j.seen)
	r.missing = r.orders - r.found
	if len(j.counts) > 0 { // the last ones, against sums of the orders themselves
		want := map[string]Seen{}
		for _, o := range j.orders {
			s := want[o.customer]
			want[o.customer] = Seen{N: s.N + 1, Cents: s.Cents + o.cents}
		}
		for c, w := range want {
			if got := j.counts[c]; got.N != w.N || got.Cents != w.Cents {
				r.wrong++
			}
		}
	}
	return r
}

// fold is what a log leaves of its records: the rows of a table, by partition and key.
type fold map[string]string

func row(partition int32, key []byte) string { return fmt.Sprint(partition, " ", string(key)) }

func (f fold) add(r *kgo.Record) {
	if r.Value == nil {
		delete(f, row(r.Partition, r.Key))
	} else {
		f[row(r.Partition, r.Key)] = string(r.Value)
	}
}
