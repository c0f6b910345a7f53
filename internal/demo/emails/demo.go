package emails

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is the email service at work.
func Demo() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "email-service",
		Short:      "orders joined with a table of customers that move house all the time",
		Topologies: func() []*topology.Builder { return []*topology.Builder{emailservice.Topology()} },
		Topics: []demo.Topic{
			{Name: emailservice.Customers.Name(), Config: map[string]string{"cleanup.policy": "compact"}},
			{Name: emailservice.Orders.Name()},
			{Name: emailservice.Emails.Name()},
		},
		Input: emailservice.Orders.Name(), Output: emailservice.Emails.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder { return newFeeder(f) },
		Show:      show,
		Audit:     audit,
	})
}

func show(r *kgo.Record) string {
	e, err := demo.Decode(emailservice.Emails, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("to %s: %s. %s", e.Value.To, e.Value.Subject, e.Value.Body)
}

// audit reads customers, orders and emails back.
func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	a := demo.NewJoinAudit("orders", "emails", emailservice.Compose)
	err := demo.Read(ctx, log, emailservice.Customers, func(r demo.Record[string, emailservice.Customer]) {
		row := &r.Value
		if r.Null {
			row = nil
		}
		a.Row(r.Partition, r.Offset, r.Key, row)
	})
	if err != nil {
		return nil, err
	}
	err = log.Read(ctx, emailservice.Orders.Name(), func(raw *kgo.Record) error {
		r, err := demo.Decode(emailservice.Orders, raw)
		if err != nil {
			return err
		}
		bound, err := boundOf(raw)
		if err != nil {
			return err
		}
		return a.Input(r.Partition, r.Offset, r.Key, r.Value.CustomerID, r.Value, bound)
	})
	if err != nil {
		return nil, err
	}
	err = demo.Read(ctx, log, emailservice.Emails, func(r demo.Record[string, emailservice.Email]) {
		a.Output(r.Partition, r.Offset, r.Value.OrderID, r.Key, r.Value)
	})
	return a.Report(), err
}

// boundHeader says, in an order, the next offset of its customer's partition as it was
// known to be acknowledged when the order was made: all customers below have lower
// timestamps than the order. So they come first in the merged input.
const boundHeader = "demo-customers-acknowledged"

func setBound(r *kgo.Record, next int64) {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: boundHeader, Value: strconv.AppendInt(nil, next, 10)})
}

func boundOf(r *kgo.Record) (int64, error) {
	for _, h := range r.Headers {
		if h.Key == boundHeader {
			return strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s/%d@%d: has no header %s: is it another program's?", r.Topic, r.Partition, r.Offset, boundHeader)
}
