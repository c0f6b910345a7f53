package chaos

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

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
	stale                       int // with a row of the customer that was none, or not any more
	foreign                     int // of no order that was committed
}

func (r report) String() string {
	return fmt.Sprintf("orders=%d found=%d missing=%d doubled=%d unordered=%d wrong=%d stale=%d foreign=%d",
		r.orders, r.found, r.missing, r.doubled, r.unordered, r.wrong, r.stale, r.foreign)
}

func (r report) ok() bool {
	return r.orders > 0 && r.found == r.orders && r.missing+r.doubled+r.unordered+r.wrong+r.stale+r.foreign == 0
}

// judge compares what came out with what went in: one result for each order, and those of
// a customer, of orders of one partition, in the order of the orders. Results are given to
// it as they stand in each partition.
//
// Where it knows the rows that each customer has had, a mail must be of one of them, and none of a
// row before that of the mail before it: a table does not go back.
type judge struct {
	orders map[string]order
	seen   map[string]bool
	last   map[lane]int64
	counts map[string]Seen
	rows   history // nil: a customer has one row for ever
	at     map[string]int
	rep    report
}

// history has the names of the rows that customers have had, in their order; "": none was there.
type history map[string][]string

func (h history) add(r *kgo.Record) {
	var v struct{ Name string }
	if r.Value != nil {
		_ = json.Unmarshal(r.Value, &v) // the feeder wrote it
	}
	h[string(r.Key)] = append(h[string(r.Key)], v.Name)
}

// lane is within which results have an order.
type lane struct {
	partition int32
	customer  string
}

func newJudge(orders map[string]order) *judge {
	return &judge{orders: orders, seen: map[string]bool{}, last: map[lane]int64{}, counts: map[string]Seen{}, at: map[string]int{}}
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
		OrderID, CustomerID, To, Template string
		Cents                             int64
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		j.rep.wrong++
		return
	}
	o, ok := j.result(v.OrderID)
	to := v.CustomerID + "@example.com"
	if j.rows != nil {
		if j.went(v.CustomerID, v.Template); v.Template == "" {
			to = ""
		}
	}
	if ok && (o.customer != v.CustomerID || string(r.Key) != v.CustomerID || v.To != to || v.Cents != o.cents) {
		j.rep.wrong++
	}
}

// went looks for a customer's row, from the one of his last mail on.
func (j *judge) went(customer, name string) {
	rows := j.rows[customer]
	for i := j.at[customer]; i < len(rows); i++ {
		if rows[i] == name {
			j.at[customer] = i
			return
		}
	}
	j.rep.stale++
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

// judgeOffsets wants committed offsets to lie behind the last record of each partition, and at nothing
// that is not there: behind the last record may be markers.
func judgeOffsets(topic string, committed, last, ends map[int32]int64) (wrong []string) {
	for _, p := range slices.Sorted(maps.Keys(ends)) {
		switch next := max(committed[p], 0); {
		case next < last[p]:
			wrong = append(wrong, fmt.Sprintf("%s/%d: committed offset %d, the last record ends at %d", topic, p, next, last[p]))
		case next > ends[p]:
			wrong = append(wrong, fmt.Sprintf("%s/%d: committed offset %d, the topic ends at %d", topic, p, next, ends[p]))
		}
	}
	return wrong
}

// judgeCities wants the cities to have as many customers as there are.
func judgeCities(customers, byCity map[string]string) (wrong []string) {
	want := map[string]string{}
	n := map[string]uint64{}
	for id, row := range customers {
		var v struct{ City string }
		if err := json.Unmarshal([]byte(row), &v); err != nil {
			wrong = append(wrong, fmt.Sprintf("customer %s: %v", id, err))
		}
		n[v.City]++
	}
	for city, n := range n {
		want[city] = string(binary.BigEndian.AppendUint64(nil, n))
	}
	for _, city := range slices.Sorted(maps.Keys(byCity)) {
		if _, ok := want[city]; !ok {
			wrong = append(wrong, fmt.Sprintf("city %s: %d are counted, and there are none", city, counted(byCity[city])))
		}
	}
	for _, city := range slices.Sorted(maps.Keys(want)) {
		if got := byCity[city]; got != want[city] {
			wrong = append(wrong, fmt.Sprintf("city %s: %d are counted, and there are %d", city, counted(got), n[city]))
		}
	}
	return wrong
}

// counted is a count as it stands in its log; -1: it is none.
func counted(row string) int64 {
	switch len(row) {
	case 0:
		return 0
	case 8:
		return int64(binary.BigEndian.Uint64([]byte(row)))
	}
	return -1
}
