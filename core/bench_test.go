package core

import (
	"encoding/binary"
	"errors"
	"testing"
)

// The email service with codecs of fixed width: what the machine itself costs.

type benchOrder struct{ customer, sku, cents, placed int64 }

type benchCustomer struct{ id, tier, country int64 }

type benchEmail struct{ customer, tier, country, sku, cents int64 }

type i64 struct{}

func (i64) Append(b []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(b, uint64(v)), nil
}

func (i64) Decode(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, errBenchSize
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

var errBenchSize = errors.New("size")

type orderCodec struct{}

func (orderCodec) Append(b []byte, o benchOrder) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(o.customer))
	b = binary.BigEndian.AppendUint64(b, uint64(o.sku))
	b = binary.BigEndian.AppendUint64(b, uint64(o.cents))
	return binary.BigEndian.AppendUint64(b, uint64(o.placed)), nil
}

func (orderCodec) Decode(b []byte) (o benchOrder, err error) {
	if len(b) != 32 {
		return o, errBenchSize
	}
	be := binary.BigEndian
	return benchOrder{int64(be.Uint64(b)), int64(be.Uint64(b[8:])), int64(be.Uint64(b[16:])), int64(be.Uint64(b[24:]))}, nil
}

type customerCodec struct{}

func (customerCodec) Append(b []byte, c benchCustomer) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(c.id))
	b = binary.BigEndian.AppendUint64(b, uint64(c.tier))
	return binary.BigEndian.AppendUint64(b, uint64(c.country)), nil
}

func (customerCodec) Decode(b []byte) (c benchCustomer, err error) {
	if len(b) != 24 {
		return c, errBenchSize
	}
	be := binary.BigEndian
	return benchCustomer{int64(be.Uint64(b)), int64(be.Uint64(b[8:])), int64(be.Uint64(b[16:]))}, nil
}

type emailCodec struct{}

func (emailCodec) Append(b []byte, e benchEmail) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(e.customer))
	b = binary.BigEndian.AppendUint64(b, uint64(e.tier))
	b = binary.BigEndian.AppendUint64(b, uint64(e.country))
	b = binary.BigEndian.AppendUint64(b, uint64(e.sku))
	return binary.BigEndian.AppendUint64(b, uint64(e.cents)), nil
}

func (emailCodec) Decode([]byte) (e benchEmail, err error) { return e, errBenchSize }

// emptyView has no rows.
type emptyView struct{}

func (emptyView) Get([]byte, []byte) ([]byte, Time, bool, error) { return nil, 0, false, nil }

func (emptyView) Scan([]byte, []byte, func([]byte, []byte, Time) bool) error { return nil }

// benchTask is orders joined with customers to emails; with more, filtered before and
// counted per customer into another topic.
func benchTask(customers int, more bool) (*Task, *Batch) {
	t := NewTask(TaskConfig{App: "bench", View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 30})
	tb := NewTable(t, "customers", i64{}, customerCodec{})
	sink := Sink(t, 0, "emails", i64{}, emailCodec{}, nil)
	compose := func(o benchOrder, c benchCustomer) benchEmail {
		return benchEmail{o.customer, c.tier, c.country, o.sku, o.cents}
	}
	TableSource(t, "customers", tb, nil)
	chain := Join(t.Node("join", ""), tb.Get, compose, sink)
	if more {
		counts := NewTable(t, "count", i64{}, i64{})
		count := Aggregate(t.Node("count", ""), counts, nil, func(n int64, _ benchOrder) int64 { return n + 1 }, nil,
			ToStream(Sink(t, 1, "counts", i64{}, i64{}, nil)))
		chain = Filter(t.Node("filter", ""), func(o benchOrder) bool { return o.cents >= 0 }, Fan(chain, count))
	}
	Source(t, "orders", i64{}, orderCodec{}, chain)

	table := &Batch{Source: 0, Next: Offset(customers), CaughtUp: true}
	orders := &Batch{Source: 1, CaughtUp: true}
	for i := range customers {
		key, _ := i64{}.Append(nil, int64(i))
		row, _ := customerCodec{}.Append(nil, benchCustomer{int64(i), 1, 2})
		table.Records = append(table.Records, RawRecord{Key: key, Value: row, Offset: Offset(i)})
		order, _ := orderCodec{}.Append(nil, benchOrder{int64(i), 3, 4, 5})
		orders.Records = append(orders.Records, RawRecord{Key: key, Value: order, Time: Time(i + 1)})
	}
	if err := t.Step(table); err != nil {
		panic(err)
	}
	return t, orders
}

// stepAndCommit runs the batch as the next one of its source.
func stepAndCommit(t *Task, b *Batch) {
	at := t.sources[b.Source].tail
	for i := range b.Records {
		b.Records[i].Offset = at + Offset(i)
	}
	b.Next = at + Offset(len(b.Records))
	if err := t.Step(b); err != nil {
		panic(err)
	}
	if _, err := t.Ready(); err != nil {
		panic(err)
	}
	t.Advance()
}

func benchmarkStep(b *testing.B, customers int, more bool) {
	t, batch := benchTask(customers, more)
	for range 3 {
		stepAndCommit(t, batch)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(batch.Records) {
		stepAndCommit(t, batch)
	}
}

// BenchmarkStepJoin is decode, join, encode, and a commit each 500 records.
func BenchmarkStepJoin(b *testing.B) { benchmarkStep(b, 500, false) }

// BenchmarkStepJoinCount also filters, counts per key, and writes the counts.
func BenchmarkStepJoinCount(b *testing.B) { benchmarkStep(b, 500, true) }

func TestStepAllocatesNothing(t *testing.T) {
	task, batch := benchTask(500, true)
	for range 4 {
		stepAndCommit(task, batch) // both commits grow to their size
	}
	if n := testing.AllocsPerRun(20, func() { stepAndCommit(task, batch) }); n != 0 {
		t.Errorf("%v allocations for %d warm records, want none", n, len(batch.Records))
	}
}
