package workload

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

// Check reads a contender's output back, as a consumer sees it, and compares it record
// by record: everything once, in its order, with the right value.
func (f *Filled) Check(ctx context.Context, c *cluster.Cluster, out string) error {
	at := make([]int, f.Partitions)
	counts := make([]uint64, f.Keys)
	want := make([]byte, 0, keyBytes+f.Value)
	err := c.Read(ctx, out, f.Partitions, func(r *kgo.Record) error {
		p := r.Partition
		i := at[p]
		if i == len(f.ids[p]) {
			return fmt.Errorf("more than the %d records that there should be", i)
		}
		at[p]++
		id, seq := f.ids[p][i], f.seqs[p][i]
		want = appendKey(want[:0], id)
		if f.Kind == Count {
			counts[id]++
			want = binary.BigEndian.AppendUint64(want, counts[id])
		} else {
			want = f.appendValue(want, seq)
		}
		if !bytes.Equal(r.Key, want[:keyBytes]) || !bytes.Equal(r.Value, want[keyBytes:]) {
			return fmt.Errorf("record %d is %q: %x, want %q: %x", i, r.Key, r.Value, want[:keyBytes], want[keyBytes:])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for p := range at {
		if at[p] != len(f.ids[p]) {
			return fmt.Errorf("%s/%d has %d records, want %d", out, p, at[p], len(f.ids[p]))
		}
	}
	return nil
}

// CheckChangelog reads a count's changelog back: folded, it must hold every key's last
// count. It returns how many records the changelog has.
func (f *Filled) CheckChangelog(ctx context.Context, c *cluster.Cluster, topic string) (records int64, err error) {
	want := make([]uint64, f.Keys)
	for _, ids := range f.ids {
		for _, id := range ids {
			want[id]++
		}
	}
	got := make([]uint64, f.Keys)
	err = c.Read(ctx, topic, f.Partitions, func(r *kgo.Record) error {
		id, err := keyID(r.Key)
		if err != nil {
			return err
		}
		if len(r.Value) != 8 || int(id) >= len(got) {
			return fmt.Errorf("%q: %x is no count", r.Key, r.Value)
		}
		got[id] = binary.BigEndian.Uint64(r.Value)
		records++
		return nil
	})
	if err != nil {
		return records, err
	}
	for id := range want {
		if got[id] != want[id] {
			return records, fmt.Errorf("%s: key %d has count %d, want %d", topic, id, got[id], want[id])
		}
	}
	return records, nil
}
