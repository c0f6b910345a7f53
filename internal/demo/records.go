package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/topology"
)

// Record is a record as its topic's codecs say.
type Record[K comparable, V any] struct {
	Key       K
	Value     V
	Null      bool // it has no value
	Partition int32
	Offset    int64
	Time      time.Time
	Raw       *kgo.Record
}

// Decode reads a record as its topic says.
func Decode[K comparable, V any](t topology.Topic[K, V], raw *kgo.Record) (r Record[K, V], err error) {
	kc, vc := t.Codecs()
	r = Record[K, V]{Null: raw.Value == nil, Partition: raw.Partition, Offset: raw.Offset, Time: raw.Timestamp, Raw: raw}
	if r.Key, err = kc.Decode(raw.Key); err == nil && !r.Null {
		r.Value, err = vc.Decode(raw.Value)
	}
	if err != nil {
		err = fmt.Errorf("%s/%d@%d: %w", raw.Topic, raw.Partition, raw.Offset, err)
	}
	return r, err
}

// Encode makes a record for a topic.
func Encode[K comparable, V any](t topology.Topic[K, V], k K, v V) (*kgo.Record, error) {
	kc, vc := t.Codecs()
	r := &kgo.Record{Topic: t.Name()}
	var err error
	if r.Key, err = kc.Append(nil, k); err == nil {
		r.Value, err = vc.Append(nil, v)
	}
	return r, err
}

// Read calls each with all committed records of a topic, each partition in order.
func Read[K comparable, V any](ctx context.Context, log Log, t topology.Topic[K, V], each func(Record[K, V])) error {
	return log.Read(ctx, t.Name(), func(raw *kgo.Record) error {
		r, err := Decode(t, raw)
		if err == nil {
			each(r)
		}
		return err
	})
}

// ByKey reads a topic's values back, by key, in order.
func ByKey[K comparable, V any](ctx context.Context, log Log, t topology.Topic[K, V]) (map[K][]V, error) {
	m := map[K][]V{}
	err := Read(ctx, log, t, func(r Record[K, V]) { m[r.Key] = append(m[r.Key], r.Value) })
	return m, err
}

// Send writes a record with the time now, and does not wait. Records of a partition stay in
// order.
func Send[K comparable, V any](f *Feed, t topology.Topic[K, V], k K, v V) error {
	r, err := Encode(t, k, v)
	if err != nil {
		return err
	}
	r.Timestamp = f.Now(0)
	f.Send(r)
	return nil
}

// Reading is a Read for InOrder.
func Reading[K comparable, V any](ctx context.Context, log Log, t topology.Topic[K, V], each func(Record[K, V])) func() error {
	return func() error { return Read(ctx, log, t, each) }
}

// InOrder calls fs until one fails.
func InOrder(fs ...func() error) error {
	for _, f := range fs {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
