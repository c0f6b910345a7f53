package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/examples/emailservice"
)

// order is the order number seq, of the customer id: 200 bytes or so in JSON.
func order(id, seq uint32) emailservice.Order {
	return emailservice.Order{
		OrderID: "o-" + strconv.Itoa(int(seq)), CustomerID: string(appendKey(nil, id)), SKU: "book-" + strconv.Itoa(int(seq%5000)),
		Quantity: int(seq%9) + 1, Cents: int64(seq%100_000) + 99, Currency: "EUR", PlacedAt: epoch.UnixMilli() + int64(seq), Channel: "web",
		Note: "please leave it at the door",
	}
}

// customer is the customer id, in 200 bytes or so.
func customer(id uint32) emailservice.Customer {
	n := strconv.Itoa(int(id))
	return emailservice.Customer{
		ID: string(appendKey(nil, id)), Name: "Ada Lovelace " + n, Email: "ada." + n + "@example.com", Locale: "en-GB", Tier: "gold",
		Street: n + " St James's Square", City: "London", Country: "GB", OptIn: id%2 == 0, Note: "since 2019",
	}
}

// appendOrder appends an order in JSON. It is written by hand, since filling a topic should
// not take longer than to process it.
func (w *Workload) appendOrder(b []byte, id, seq uint32) []byte {
	o := order(id, seq)
	b = append(append(b, `{"orderId":"`...), o.OrderID...)
	b = append(append(b, `","customerId":"`...), o.CustomerID...)
	b = append(append(b, `","sku":"`...), o.SKU...)
	b = strconv.AppendInt(append(b, `","quantity":`...), int64(o.Quantity), 10)
	b = strconv.AppendInt(append(b, `,"cents":`...), o.Cents, 10)
	b = append(append(b, `,"currency":"`...), o.Currency...)
	b = strconv.AppendInt(append(b, `","placedAt":`...), o.PlacedAt, 10)
	b = append(append(b, `,"channel":"`...), o.Channel...)
	b = append(append(b, `","note":"`...), o.Note...)
	return append(b, `"}`...)
}

// email is what must come of an order, in JSON.
func email(id, seq uint32) ([]byte, error) {
	return json.Marshal(emailservice.Compose(order(id, seq), customer(id)))
}

// FillCustomers creates the compacted topic of all customers, who are older than the first order.
func (w *Workload) FillCustomers(ctx context.Context, c *cluster.Cluster, topic string) error {
	if err := c.Create(ctx, topic, w.Partitions, map[string]string{"cleanup.policy": "compact"}); err != nil {
		return err
	}
	cl, err := writer(c)
	if err != nil {
		return err
	}
	defer cl.Close()
	var once sync.Once
	var failed error
	for id := range uint32(w.Keys) {
		key := appendKey(nil, id)
		value, err := json.Marshal(customer(id))
		if err != nil {
			return fmt.Errorf("customer %d: %w", id, err)
		}
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: Partition(key, w.Partitions), Key: key, Value: value, Timestamp: epoch.Add(-time.Hour)}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	return failed
}
