package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The email service with values of fixed width, whose codecs allocate nothing: what
// Step costs without JSON.
type (
	customerID    uint64
	fixedCustomer struct {
		Address      uint64 // an index into some book of addresses
		Locale, Tier uint32
	}
	fixedOrder struct {
		ID, Cents uint64
		Customer  customerID
		SKU       uint32
		Quantity  uint32
	}
	fixedEmail struct {
		Order, To, Cents uint64
		Locale, Template uint32
	}
)

func (o fixedOrder) customer() customerID { return o.Customer }

func composeFixed(o fixedOrder, c fixedCustomer) fixedEmail {
	return fixedEmail{Order: o.ID, To: c.Address, Cents: o.Cents, Locale: c.Locale, Template: 7 + c.Tier}
}

var errWidth = errors.New("wrong width")

type idCodec struct{}

func (idCodec) Append(b []byte, id customerID) ([]byte, error) {
	return binary.BigEndian.AppendUint64(b, uint64(id)), nil
}

func (idCodec) Decode(b []byte) (customerID, error) {
	if len(b) != 8 {
		return 0, errWidth
	}
	return customerID(binary.BigEndian.Uint64(b)), nil
}

type customerCodec struct{}

func (customerCodec) Append(b []byte, c fixedCustomer) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, c.Address)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, c.Locale), c.Tier), nil
}

func (customerCodec) Decode(b []byte) (c fixedCustomer, err error) {
	if len(b) != 16 {
		return c, errWidth
	}
	return fixedCustomer{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}, nil
}

type orderCodec struct{}

func (orderCodec) Append(b []byte, o fixedOrder) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, o.ID), o.Cents)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Customer))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, o.SKU), o.Quantity), nil
}

func (orderCodec) Decode(b []byte) (o fixedOrder, err error) {
	if len(b) != 32 {
		return o, errWidth
	}
	return fixedOrder{
		ID: binary.BigEndian.Uint64(b), Cents: binary.BigEndian.Uint64(b[8:]), Customer: customerID(binary.BigEndian.Uint64(b[16:])),
		SKU: binary.BigEndian.Uint32(b[24:]), Quantity: binary.BigEndian.Uint32(b[28:]),
	}, nil
}

type emailCodec struct{}

func (emailCodec) Append(b []byte, e fixedEmail) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, e.Order), e.To)
	b = binary.BigEndian.AppendUint64(b, e.Cents)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, e.Locale), e.Template), nil
}

func (emailCodec) Decode(b []byte) (e fixedEmail, err error) {
	if len(b) != 32 {
		return e, errWidth
	}
	return fixedEmail{
		Order: binary.BigEndian.Uint64(b), To: binary.BigEndian.Uint64(b[8:]), Cents: binary.BigEndian.Uint64(b[16:]),
		Locale: binary.BigEndian.Uint32(b[24:]), Template: binary.BigEndian.Uint32(b[28:]),
	}, nil
}

func fixedPlan(tb testing.TB) *topology.Plan {
	tb.Helper()
	b := topology.New("email-service")
	customers := topology.NewTopic("customers", core.Codec[customerID](idCodec{}), core.Codec[fixedCustomer](customerCodec{}), topology.Compacted()).Table(b)
	orders := topology.KeyBy(topology.NewTopic("orders", codec.String, core.Codec[fixedOrder](orderCodec{})).Stream(b), "by-customer", fixedOrder.customer, topology.KeyCodec[customerID](idCodec{}))
	topology.Join(orders, customers, "with-customer", composeFixed).To(topology.NewTopic("emails", core.Codec[customerID](idCodec{}), core.Codec[fixedEmail](emailCodec{})))
	return build(tb, b)
}

func jsonPlan(tb testing.TB) *topology.Plan {
	tb.Helper()
	return build(tb, emailservice.Topology())
}

func build(tb testing.TB, b *topology.Builder) *topology.Plan {
	tb.Helper()
	plan, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return plan
}

// content makes the bytes of the email topology's records.
type content struct {
	customerKey, customer func(n int) []byte
	order                 func(n, customer int) []byte
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

var fixedContent = content{
	customerKey: func(n int) []byte { return must(idCodec{}.Append(nil, customerID(n))) },
	customer: func(n int) []byte {
		return must(customerCodec{}.Append(nil, fixedCustomer{Address: uint64(n), Locale: 3, Tier: 1}))
	},
	order: func(n, c int) []byte {
		return must(orderCodec{}.Append(nil, fixedOrder{ID: uint64(n), Cents: 1999, Customer: customerID(c), SKU: 4711, Quantity: 2}))
	},
}

var jsonContent = content{
	customerKey: func(n int) []byte { return fmt.Appendf(nil, "c%07d", n) },
	customer: func(n int) []byte {
		return must(codec.JSON[emailservice.Customer]().Append(nil, exampleCustomer(n)))
	},
	order: func(n, c int) []byte {
		return must(codec.JSON[emailservice.Order]().Append(nil, exampleOrder(n, c)))
	},
}

func exampleCustomer(n int) emailservice.Customer {
	return emailservice.Customer{
		ID: fmt.Sprintf("c%07d", n), Name: "Ada Lovelace", Email: fmt.Sprintf("c%07d@example.com", n), Locale: "en-GB", Tier: "gold",
		Street: "12 St James's Square", City: "London", Country: "GB", OptIn: true, Note: "prefers mail in the morning",
	}
}

func exampleOrder(n, customer int) emailservice.Order {
	return emailservice.Order{
		OrderID: fmt.Sprintf("o%09d", n), CustomerID: fmt.Sprintf("c%07d", customer), SKU: "book-4711", Quantity: 2, Cents: 1999,
		Currency: "EUR", PlacedAt: 1_700_000_000_000, Channel: "web",
	}
}

// joinTask is a task of the sub-topology that joins, with all customers in its store, and
// a batch of orders for it.
type joinTask struct {
	*core.Task
	store  statestore.Store
	batch  core.Batch
	point  statestore.Checkpoint
	source core.SourceID
}

func newJoinTask(tb testing.TB, plan *topology.Plan, c content, customers, orders int) *joinTask {
	tb.Helper()
	var sub *topology.Subtopology
	for _, s := range plan.Subtopologies() {
		if len(s.Tables) > 0 {
			sub = s
		}
	}
	j := &joinTask{}
	var specs []statestore.TableSpec
	for _, t := range sub.Tables {
		specs = append(specs, statestore.TableSpec{Name: t.Name, Schema: t.Schema})
	}
	var err error
	if j.store, err = statestore.NewMemory().Open(core.TaskID{Sub: sub.ID}, specs); err != nil {
		tb.Fatal(err)
	}
	j.Task = sub.NewTask(core.TaskConfig{ID: core.TaskID{Sub: sub.ID}, View: j.store.View, CacheBytes: 128 << 20})
	table := core.Batch{CaughtUp: true}
	for s, src := range sub.Sources {
		if src.Table < 0 {
			j.source = core.SourceID(s)
		} else {
			table.Source = core.SourceID(s)
		}
	}
	for n := range customers {
		table.Records = append(table.Records, core.RawRecord{Key: c.customerKey(n), Value: c.customer(n), Time: 1, Offset: core.Offset(n)})
	}
	table.Next = core.Offset(customers)
	j.batch = core.Batch{Source: j.source, Records: make([]core.RawRecord, orders)}
	for n := range j.batch.Records {
		id := n * 7919 % customers
		j.batch.Records[n] = core.RawRecord{Key: c.customerKey(id), Value: c.order(n, id), Time: 2}
	}
	j.point = statestore.Checkpoint{Changelog: make([]core.Offset, len(specs))}
	if err := j.Step(&core.Batch{Source: j.source}); err != nil { // nothing, and not caught up
		tb.Fatal(err)
	}
	if err := j.Step(&table); err != nil {
		tb.Fatal(err)
	}
	j.step(tb)
	if got := j.commit(tb); got != orders {
		tb.Fatalf("%d emails for %d orders", got, orders)
	}
	return j
}

// step steps the batch once more, at the offsets where the source is.
func (j *joinTask) step(tb testing.TB) {
	at := j.batch.Next
	for i := range j.batch.Records {
		j.batch.Records[i].Offset = at
		at++
	}
	j.batch.Next = at
	if err := j.Step(&j.batch); err != nil {
		tb.Fatal(err)
	}
}

// commit seals, applies and advances. It returns how many emails the commit held.
func (j *joinTask) commit(tb testing.TB) int {
	c, err := j.Ready()
	if err != nil {
		tb.Fatal(err)
	}
	j.point.Input, j.point.Times = append(j.point.Input[:0], c.Next...), append(j.point.Times[:0], c.Times...)
	if len(c.Writes) > 0 { // else there is nothing that the task could read
		if err := j.store.Apply(c.Writes, j.point); err != nil {
			tb.Fatal(err)
		}
	}
	n := len(c.Outputs) // c is the task's again after Advance
	j.Advance()
	return n
}
