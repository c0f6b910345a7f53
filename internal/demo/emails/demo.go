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
		Name:     "email-service",
		Short:    "orders joined with a table of customers that move house all the time",
		Topology: emailservice.Topology,
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
	_, e, err := decode(emailservice.Emails, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("to %s: %s. %s", e.To, e.Subject, e.Body)
}

// audit reads customers, orders and emails back.
func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	a := demo.NewJoinAudit("orders", "emails", emailservice.Compose)
	err := log.Read(ctx, emailservice.Customers.Name(), func(r *kgo.Record) error {
		id, c, err := decode(emailservice.Customers, r)
		row := &c
		if r.Value == nil {
			row = nil
		}
		a.Row(r.Partition, r.Offset, id, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = log.Read(ctx, emailservice.Orders.Name(), func(r *kgo.Record) error {
		id, o, err := decode(emailservice.Orders, r)
		if err != nil {
			return err
		}
		bound, err := boundOf(r)
		if err != nil {
			return err
		}
		return a.Input(r.Partition, r.Offset, id, o.CustomerID, o, bound)
	})
	if err != nil {
		return nil, err
	}
	err = log.Read(ctx, emailservice.Emails.Name(), func(r *kgo.Record) error {
		customer, e, err := decode(emailservice.Emails, r)
		a.Output(r.Partition, r.Offset, e.OrderID, customer, e)
		return err
	})
	return a.Report(), err
}

// decode reads a record as its topic says.
func decode[K comparable, V any](t topology.Topic[K, V], r *kgo.Record) (k K, v V, err error) {
	kc, vc := t.Codecs()
	if k, err = kc.Decode(r.Key); err == nil && r.Value != nil {
		v, err = vc.Decode(r.Value)
	}
	if err != nil {
		err = fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return k, v, err
}

// encode makes a record for a topic.
func encode[K comparable, V any](t topology.Topic[K, V], k K, v V) (*kgo.Record, error) {
	kc, vc := t.Codecs()
	r := &kgo.Record{Topic: t.Name()}
	var err error
	if r.Key, err = kc.Append(nil, k); err == nil {
		r.Value, err = vc.Append(nil, v)
	}
	return r, err
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
