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
	counts := make([]counter, f.Keys)
	want := make([]byte, 0, keyBytes+f.Value)
	n := 0
	err := c.Read(ctx, out, f.Partitions, func(r *kgo.Record) error {
		n++
		p := r.Partition
		i := at[p]
		if i == len(f.ids[p]) {
			return fmt.Errorf("more than the %d records that there should be", i)
		}
		at[p]++
		id, seq := f.ids[p][i], f.seqs[p][i]
		var err error
		if want, err = f.result(appendKey(want[:0], id), counts, id, seq); err != nil {
			return err
		}
		if !bytes.Equal(r.Key, want[:keyBytes]) || !bytes.Equal(r.Value, want[keyBytes:]) {
			return fmt.Errorf("record %d is %q: %x, want %q: %x", i, r.Key, r.Value, want[:keyBytes], want[keyBytes:])
		}
		return nil
	})
	if err == nil && n != f.Records {
		err = fmt.Errorf("%s has %d records, want %d", out, n, f.Records)
	}
	return err
}

// CheckLast is Check for counts and windows of a contender that may leave updates out: the counts of
// a key, and of each of its windows, go up, and the last one is there. It returns how many records
// there are.
func (f *Filled) CheckLast(ctx context.Context, c *cluster.Cluster, out string) (records int, err error) {
	seen := make(map[string]uint64)
	if err := c.Read(ctx, out, f.Partitions, func(r *kgo.Record) error {
		records++
		row, n, err := f.row(r.Key, r.Value)
		if err == nil && n <= seen[row] {
			err = fmt.Errorf("record %d of %q: count %d comes behind %d", records, row, n, seen[row])
		}
		seen[row] = n
		return err
	}); err != nil {
		return records, err
	}
	last := make(map[string]uint64, len(seen))
	counts := make([]counter, f.Keys)
	var want []byte
	for p := range f.ids {
		for i, id := range f.ids[p] {
			if want, err = f.result(appendKey(want[:0], id), counts, id, f.seqs[p][i]); err != nil {
				return records, err
			}
			row, n, err := f.row(want[:keyBytes], want[keyBytes:])
			if err != nil {
				return records, err
			}
			last[row] = n
		}
	}
	for row, n := range last {
		if seen[row] != n {
			return records, fmt.Errorf("%s: the last count of %q is %d, want %d", out, row, seen[row], n)
		}
	}
	if len(seen) > len(last) {
		return records, fmt.Errorf("%s has %d rows, want %d", out, len(seen), len(last))
	}
	return records, nil
}

// row is what an output is a count of: its key, and the start of its window.
func (f *Filled) row(key, value []byte) (row string, n uint64, err error) {
	start := len(value) - 8
	if f.Kind == Count && start != 0 || f.Kind == Window && start != 8 {
		return "", 0, fmt.Errorf("%q: %x is no count", key, value)
	}
	return string(key) + string(value[:start]), binary.BigEndian.Uint64(value[start:]), nil
}

// counter is what was made of a key so far.
type counter struct {
	start int64 // of its window
	n     uint64
}

// result appends what the record number seq leads to; counts has all that came before.
func (f *Filled) result(b []byte, counts []counter, id, seq uint32) ([]byte, error) {
	switch f.Kind {
	case Count:
		counts[id].n++
		return binary.BigEndian.AppendUint64(b, counts[id].n), nil
	case Window:
		c, ms := &counts[id], f.at(seq).UnixMilli()
		if start := ms - ms%60_000; c.start != start {
			*c = counter{start: start}
		}
		c.n++
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(c.start)), c.n), nil
	case Join:
		v, err := email(id, seq)
		return append(b, v...), err
	}
	return f.appendValue(b, id, seq), nil
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
