package workload

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

// Outputs is what a contender made, for the comparison with what others made: the sum of the hashes
// of all records, whatever their order, and of the last one of each key.
type Outputs struct {
	Records   int
	all, last uint64
	keys      int
}

// seed makes the hashes of one process alike.
var seed = maphash.MakeSeed()

// Outputs reads a contender's output back, as a consumer sees it.
func (w *Workload) Outputs(ctx context.Context, c *cluster.Cluster, topic string) (Outputs, error) {
	var o Outputs
	last := map[uint64]uint64{}
	err := c.Read(ctx, topic, w.Partitions, func(r *kgo.Record) error {
		o.add(last, w.identity(r), r)
		return nil
	})
	o.fold(last)
	return o, err
}

func (o *Outputs) add(last map[uint64]uint64, identity []byte, r *kgo.Record) {
	h := maphash.Bytes(seed, r.Key)*3 ^ maphash.Bytes(seed, r.Value)
	o.Records++
	o.all += h
	id := maphash.Bytes(seed, identity)
	if r.Value == nil {
		delete(last, id)
		return
	}
	last[id] = h
}

func (o *Outputs) fold(last map[uint64]uint64) {
	o.keys = len(last)
	for id, h := range last {
		o.last += id*5 ^ h
	}
}

// identity is what a later record stands for an earlier one by: the key; of sessions the key and the
// start, since Kafka Streams' suppression may let one go a millisecond before it is over, and again
// when it has grown: see docs/semantics.md.
func (w *Workload) identity(r *kgo.Record) []byte {
	if w.query() != 11 || len(r.Key) != 24 {
		return r.Key
	}
	return append(append([]byte(nil), r.Key[:8]...), r.Key[16:]...)
}

// Same compares what two contenders made. Of queries whose rows change, and where a contender may
// leave changes out (skips), only the last one of each row must be the same; else all records, in any
// order.
func (w *Workload) Same(a, b Outputs, skips bool) error {
	switch w.query() {
	case 3, 5, 7, 11:
		skips = true
	}
	switch {
	case skips && a.keys != b.keys:
		return fmt.Errorf("%d rows in one output, %d in the other", a.keys, b.keys)
	case skips && a.last != b.last:
		return fmt.Errorf("both outputs have %d rows, but not the same", a.keys)
	case skips:
	case a.Records != b.Records:
		return fmt.Errorf("%d records in one output, %d in the other", a.Records, b.Records)
	case a.all != b.all:
		return fmt.Errorf("both outputs have %d records, but not the same", a.Records)
	}
	return nil
}
