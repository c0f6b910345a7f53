package emails

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// patience is how long an order waits for its customer: so short that the demo shows both ends
// of it.
const patience = time.Second

// Complete is the demo of the whole email service: customers come late, move house, are
// deleted and come back, in three versions of their schema.
func Complete() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "email-complete",
		Short:      "the email service where customers come late, change, are deleted and get new fields",
		Topologies: CompleteTopologies,
		Topics: []demo.Topic{
			{Name: emailservice.VersionedCustomers.Name(), Config: map[string]string{"cleanup.policy": "compact"}},
			{Name: emailservice.Orders.Name()},
			{Name: emailservice.OrderMails.Name()},
			{Name: emailservice.OrdersWithoutCustomer.Name()},
		},
		Input: emailservice.Orders.Name(), Output: emailservice.OrderMails.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder { return newCompleteFeeder(f) },
		Show:      show,
		Audit:     auditComplete,
	})
}

// CompleteTopologies is the whole email service.
func CompleteTopologies() []*topology.Builder {
	return []*topology.Builder{emailservice.Complete(patience)}
}

// books are what the audit has read back.
type books struct {
	join   *demo.JoinAudit[emailservice.Order, emailservice.Customer, emailservice.Email]
	past   map[string][]moment // of each customer
	orders map[string]placed
	notes  []note
}

// moment is from when on a customer was there, or not there.
type moment struct {
	offset int64
	at     time.Time
	there  bool
}

// placed is an order. All customers of its partition below bound come before it.
type placed struct {
	emailservice.Order
	at    time.Time
	bound int64
}

type note struct {
	where string
	key   string
	emailservice.Unsent
}

func newBooks() *books {
	return &books{join: demo.NewJoinAudit("orders", "mails", emailservice.Compose), past: map[string][]moment{}, orders: map[string]placed{}}
}

func auditComplete(ctx context.Context, log demo.Log) (*demo.Report, error) {
	b := newBooks()
	if err := demo.Read(ctx, log, emailservice.VersionedCustomers, b.customer); err != nil {
		return nil, err
	}
	err := log.Read(ctx, emailservice.Orders.Name(), func(raw *kgo.Record) error {
		r, err := demo.Decode(emailservice.Orders, raw)
		if err != nil {
			return err
		}
		bound, err := boundOf(raw)
		if err != nil {
			return err
		}
		return b.order(r, bound)
	})
	if err != nil {
		return nil, err
	}
	if err := demo.Read(ctx, log, emailservice.OrderMails, b.mail); err != nil {
		return nil, err
	}
	if err := demo.Read(ctx, log, emailservice.OrdersWithoutCustomer, b.note); err != nil {
		return nil, err
	}
	return b.judge(), nil
}

func (b *books) customer(r demo.Record[string, emailservice.Customer]) {
	row := &r.Value
	if r.Null {
		row = nil
	}
	b.join.Row(r.Partition, r.Offset, r.Key, row)
	b.past[r.Key] = append(b.past[r.Key], moment{r.Offset, r.Time, row != nil})
}

func (b *books) order(r demo.Record[string, emailservice.Order], bound int64) error {
	b.orders[r.Key] = placed{r.Value, r.Time, bound}
	return b.join.Input(r.Partition, r.Offset, r.Key, r.Value.CustomerID, r.Value, bound)
}

func (b *books) mail(r demo.Record[string, emailservice.Email]) {
	b.join.Output(r.Partition, r.Offset, r.Value.OrderID, r.Key, r.Value)
}

func (b *books) note(r demo.Record[string, emailservice.Unsent]) {
	b.notes = append(b.notes, note{fmt.Sprintf("%s/%d@%d", r.Raw.Topic, r.Partition, r.Offset), r.Key, r.Value})
}

// judge wants one mail or one note for each order: the mail made of the customer as he was when
// the order was taken, or when he came; a note only where nobody came in time.
func (b *books) judge() *demo.Report {
	for _, n := range b.notes {
		b.join.Unmatched(n.where, n.OrderID)
	}
	r := b.join.Report()
	notes, unfounded := r.Seen("notes"), r.Fault("unfounded")
	for _, n := range b.notes {
		notes.N++
		o, ok := b.orders[n.OrderID]
		if ok && (n.key != o.CustomerID || n.CustomerID != o.CustomerID) {
			unfounded.Found("%s: %s is not of %s", n.where, n.OrderID, n.CustomerID)
		} else if ok && !absent(b.past[o.CustomerID], o) {
			unfounded.Found("%s: %s was there for %s, or came in time", n.where, o.CustomerID, n.OrderID)
		}
	}
	return r
}

// absent reports whether an order can have found nobody: whether its customer was away at some
// point from its bound on, and did not come until its time was up.
func absent(past []moment, o placed) bool {
	there, until := false, o.at.Add(patience)
	for i := 0; i <= len(past); i++ { // before each moment, and behind the last one
		next := moment{offset: math.MaxInt64, at: until.Add(1)}
		for j := len(past) - 1; j >= i; j-- {
			if past[j].there {
				next.at = past[j].at
			}
		}
		if i < len(past) {
			next.offset = past[i].offset
		}
		if !there && next.offset >= o.bound && next.at.After(until) {
			return true
		}
		if i < len(past) {
			there = past[i].there
		}
	}
	return false
}
