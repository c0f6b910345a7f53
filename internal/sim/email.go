package sim

import (
	"encoding/json"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology"
)

// email is the email service: a table that is joined with a stream which comes by way of a
// repartition topic.
var email = scenario{
	name:  "email",
	build: func(*world) *topology.Builder { return emailservice.Topology() },
	topics: func(w *world) {
		w.makeCompacted("customers")
		w.make("orders", "emails")
	},
	next: func(w *world, n int, aborted bool) input {
		const customers = 5
		if n < customers || w.chance(4) { // each customer has a row before there is an order
			id := n
			if n >= customers {
				id = w.rng.IntN(customers)
			}
			c := emailservice.Customer{ID: fmt.Sprint("c", id), Name: "n", Email: fmt.Sprintf("v%d", n)}
			if aborted {
				c.Email = "aborted"
			}
			return input{"customers", []byte(c.ID), mustJSON(c), epoch + core.Time(n), -1}
		}
		who := fmt.Sprint("c", w.rng.IntN(customers))
		o := emailservice.Order{OrderID: fmt.Sprint("o", n), CustomerID: who, SKU: "s", Quantity: n}
		if aborted {
			o.SKU = "aborted"
		}
		w.floor[o.OrderID] = w.newest("customers", who)
		return input{"orders", []byte(o.OrderID), mustJSON(o), epoch + core.Time(n), -1}
	},
	model: func(w *world) error {
		type mail struct{ n, version int }
		mails := map[string]mail{}
		for _, r := range w.history("emails") {
			var e emailservice.Email
			if err := json.Unmarshal(r.Value, &e); err != nil {
				return err
			}
			m := mails[e.OrderID]
			m.n++
			if _, err := fmt.Sscanf(e.To, "v%d", &m.version); err != nil {
				return fmt.Errorf("%s goes to %s", e.OrderID, e.To)
			}
			mails[e.OrderID] = m
		}
		for _, r := range w.history("orders") {
			var o emailservice.Order
			if err := json.Unmarshal(r.Value, &o); err != nil {
				return err
			}
			m := mails[o.OrderID]
			delete(mails, o.OrderID)
			least := w.floor[o.OrderID]
			switch {
			case m.n > 1, m.n == 0 && least >= 0 && w.set.nodes == 1:
				return fmt.Errorf("order %s has %d mails", o.OrderID, m.n)
			case m.n == 1 && m.version < least && w.set.nodes == 1:
				// One broker leads all: what was committed before the order was written is read
				// with it.
				return fmt.Errorf("order %s goes to v%d, and was written when there was v%d", o.OrderID, m.version, least)
			}
		}
		if len(mails) > 0 {
			return fmt.Errorf("mails of orders that nobody placed: %v", mails)
		}
		return nil
	},
	says: "each order has one mail, to an address that is no older than what could be read when it was placed",
}

// newest is the version of a customer that any reader sees now; -1: none.
func (w *world) newest(topic, key string) int {
	t := w.kafka.topics[topic]
	p := t.parts[core.HashPartition([]byte(key), t.Partitions)]
	v := -1
	for o := range p.stable() {
		if e := &p.log[o]; e.committed() && string(e.rec.Key) == key {
			var c emailservice.Customer
			if json.Unmarshal(e.rec.Value, &c) == nil {
				_, _ = fmt.Sscanf(c.Email, "v%d", &v)
			}
		}
	}
	return v
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
