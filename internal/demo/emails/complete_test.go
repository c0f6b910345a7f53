package emails

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type (
	customerRecord = demo.Record[string, emailservice.Customer]
	orderRecord    = demo.Record[string, emailservice.Order]
	mailRecord     = demo.Record[string, emailservice.Email]
	noteRecord     = demo.Record[string, emailservice.Unsent]
)

// completeRun is what a run of the topology read and wrote, for tests to spoil.
type completeRun struct {
	customers []customerRecord
	orders    []orderRecord
	bounds    []int64
	mails     []mailRecord
	notes     []noteRecord
}

func runComplete(t *testing.T) *completeRun {
	d := topologytest.New(t, CompleteTopologies()...)
	customers, orders := topologytest.Topic(d, emailservice.VersionedCustomers), topologytest.Topic(d, emailservice.Orders)
	rng := rand.New(rand.NewPCG(5, 5))
	var c completeRun
	customer := func(id string, there bool) {
		at := d.Now()
		r := customerRecord{Key: id, Null: !there, Offset: int64(len(c.customers)), Time: time.UnixMilli(int64(at))}
		if there {
			r.Value = emailservice.Customer{ID: id, Name: "Ada", Email: fmt.Sprint(len(c.customers))}
			customers.SendAt(at, id, r.Value)
		} else {
			customers.SendRawAt(at, []byte(id), nil)
		}
		c.customers = append(c.customers, r)
	}
	for i := range 600 {
		d.Advance(time.Duration(1+rng.IntN(100)) * time.Millisecond)
		id := fmt.Sprint("c", rng.IntN(8))
		if rng.IntN(3) == 0 {
			customer(id, rng.IntN(2) == 0)
			continue
		}
		at := d.Now()
		o := emailservice.Order{OrderID: fmt.Sprint("o", i), CustomerID: id, SKU: "rope"}
		orders.SendAt(at, o.OrderID, o)
		c.orders = append(c.orders, orderRecord{Key: o.OrderID, Value: o, Offset: int64(len(c.orders)), Time: time.UnixMilli(int64(at))})
		c.bounds = append(c.bounds, int64(len(c.customers)))
	}
	d.Advance(2 * patience)
	customer("keeper", true)
	for i, r := range topologytest.Topic(d, emailservice.OrderMails).Records() {
		c.mails = append(c.mails, mailRecord{Key: r.Key, Value: r.Value, Offset: int64(i)})
	}
	for i, r := range topologytest.Topic(d, emailservice.OrdersWithoutCustomer).Records() {
		c.notes = append(c.notes, noteRecord{Key: r.Key, Value: r.Value, Offset: int64(i), Raw: new(kgo.Record)})
	}
	return &c
}

func (c *completeRun) judge(t *testing.T) *demo.Report {
	b := newBooks()
	for _, r := range c.customers {
		b.customer(r)
	}
	for i, r := range c.orders {
		if err := b.order(r, c.bounds[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.mails {
		b.mail(r)
	}
	for _, r := range c.notes {
		b.note(r)
	}
	return b.judge()
}

// The audit finds nothing in what the topology makes, and each fault that is put in.
func TestAuditComplete(t *testing.T) {
	run := runComplete(t)
	if r := run.judge(t); !r.Clean() {
		t.Fatal(r, r.Examples)
	}
	noteOf := func(m mailRecord) noteRecord {
		return noteRecord{Key: m.Key, Value: emailservice.Unsent{OrderID: m.Value.OrderID, CustomerID: m.Key}, Raw: new(kgo.Record)}
	}
	// One whose customer was there at once.
	prompt := slices.IndexFunc(run.mails, func(m mailRecord) bool {
		b := newBooks()
		for _, r := range run.customers {
			b.customer(r)
		}
		i := slices.IndexFunc(run.orders, func(o orderRecord) bool { return o.Key == m.Value.OrderID })
		return !absent(b.past[m.Key], placed{run.orders[i].Value, run.orders[i].Time, run.bounds[i]})
	})
	for what, spoil := range map[string]func(*completeRun){
		"mail lost":     func(c *completeRun) { c.mails = c.mails[1:] },
		"note lost":     func(c *completeRun) { c.notes = c.notes[1:] },
		"mail doubled":  func(c *completeRun) { c.mails = append(c.mails, c.mails[3]) },
		"note doubled":  func(c *completeRun) { c.notes = append(c.notes, c.notes[0]) },
		"mail and note": func(c *completeRun) { c.notes = append(c.notes, noteOf(c.mails[0])) },
		"note in place": func(c *completeRun) {
			c.notes = append(c.notes, noteOf(c.mails[prompt]))
			c.mails = slices.Delete(c.mails, prompt, prompt+1)
		},
		"note of somebody":     func(c *completeRun) { c.notes[0].Value.CustomerID = "c9" },
		"note of no order":     func(c *completeRun) { c.notes[0].Value.OrderID = "o9999" },
		"other data":           func(c *completeRun) { c.mails[0].Value.To = "nobody" },
		"data of another time": func(c *completeRun) { c.mails[len(c.mails)-1].Value.To = staleOf(c) },
	} {
		c := &completeRun{run.customers, run.orders, run.bounds, slices.Clone(run.mails), slices.Clone(run.notes)}
		if spoil(c); c.judge(t).Clean() {
			t.Errorf("%s: nothing was found", what)
		}
	}
}

// staleOf is the address that the customer of the last mail had at first.
func staleOf(c *completeRun) string {
	last := c.mails[len(c.mails)-1]
	i := slices.IndexFunc(c.customers, func(r customerRecord) bool { return r.Key == last.Key && !r.Null })
	return c.customers[i].Value.Email
}

func TestAbsent(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	order := func(ms, bound int64) placed { return placed{at: at(ms), bound: bound} }
	past := []moment{{2, at(100), true}, {5, at(5000), false}, {9, at(6500), true}}
	for _, c := range []struct {
		name  string
		past  []moment
		order placed
		want  bool
	}{
		{"never there", nil, order(0, 7), true},
		{"comes in time", past[:1], order(0, 0), false},
		{"comes at the last moment", []moment{{2, at(1000), true}}, order(0, 0), false},
		{"comes too late", []moment{{2, at(1001), true}}, order(0, 0), true},
		{"is there", past[:1], order(200, 3), false},
		{"may go before", past, order(4900, 3), true},
		{"is away, and in time", past, order(5600, 6), false},
		{"is away for too long", past, order(5100, 6), true},
		{"is back", past, order(7000, 10), false},
	} {
		if got := absent(c.past, c.order); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Each customer that the feeder makes up is read in the newest version, whichever wrote him.
func TestCustomersOfAllVersions(t *testing.T) {
	v1, err := demo.Encode(emailservice.VersionedCustomersV1, "c", emailservice.CustomerV1{ID: "c", FullName: "Ada", Mail: "a@b"})
	if err != nil {
		t.Fatal(err)
	}
	v2, err := demo.Encode(emailservice.VersionedCustomersV2, "c", emailservice.CustomerV2{ID: "c", Name: "Ada", Email: "a@b", Locale: "en"})
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []*kgo.Record{v1, v2} {
		r, err := demo.Decode(emailservice.VersionedCustomers, raw)
		if want := (emailservice.Customer{ID: "c", Name: "Ada", Email: "a@b", Locale: "en", Tier: "standard"}); err != nil || r.Value != want {
			t.Errorf("%s: %+v, %v", raw.Value, r.Value, err)
		}
	}
}
