package workload

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

// Check sees each way in which an output may be wrong, and CheckLast all but those that leave updates out.
func TestCheck(t *testing.T) {
	c, err := cluster.InProcess()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, w := range []*Workload{
		{Kind: Count, Records: 2000, Keys: 20, Value: 10, Partitions: 2, Seed: 1},
		{Kind: Window, Records: 130_000, Keys: 6, Value: 10, PerMs: 1, Partitions: 2, Seed: 1}, // in three minutes
	} {
		f, err := w.Fill(t.Context(), c, w.Kind+"-in")
		if err != nil {
			t.Fatal(err)
		}
		if w.Kind == Window {
			f.sample(997)
		}
		up := func(r *kgo.Record, by uint64) { // another count
			at := r.Value[len(r.Value)-8:]
			binary.BigEndian.PutUint64(at, binary.BigEndian.Uint64(at)+by)
		}
		for _, trial := range []struct {
			name        string
			change      func(all []*kgo.Record) []*kgo.Record
			right, last bool // for whom it is
		}{
			{"as it is", func(all []*kgo.Record) []*kgo.Record { return all }, true, true},
			{"the last of each row", lastOfEach, false, true},
			{"nothing", func([]*kgo.Record) []*kgo.Record { return nil }, false, false},
			{"one is doubled", func(all []*kgo.Record) []*kgo.Record { return slices.Insert(all, 50, all[50]) }, false, false},
			{"the last is doubled", func(all []*kgo.Record) []*kgo.Record { return append(all, all[len(all)-1]) }, false, false},
			{"the last is missing", func(all []*kgo.Record) []*kgo.Record { return all[:len(all)-1] }, false, false},
			{"the last counts too far", func(all []*kgo.Record) []*kgo.Record { up(all[len(all)-1], 1); return all }, false, false},
			{"one counts too far", func(all []*kgo.Record) []*kgo.Record { up(all[0], 1000); return all }, false, false},
			{"another key", func(all []*kgo.Record) []*kgo.Record {
				return append(all, &kgo.Record{Key: []byte("nobody's key 0000"), Value: all[0].Value})
			}, false, false},
			{"no count", func(all []*kgo.Record) []*kgo.Record { all[0].Value = all[0].Value[1:]; return all }, false, false},
		} {
			out := w.Kind + "-" + strings.ReplaceAll(trial.name, " ", "-")
			write(t, c, out, w.Partitions, trial.change(f.outputs(t)))
			if err := f.Check(t.Context(), c, out); (err == nil) != trial.right {
				t.Errorf("%s: %s: Check: %v", w.Kind, trial.name, err)
			}
			if n, err := f.CheckLast(t.Context(), c, out); (err == nil) != trial.last {
				t.Errorf("%s: %s: CheckLast: %d records, %v", w.Kind, trial.name, n, err)
			}
		}
	}
}

// sample keeps one of so many records.
func (f *Filled) sample(one int) {
	f.Records = 0
	for p := range f.ids {
		var ids, seqs []uint32
		for i := 0; i < len(f.ids[p]); i += one {
			ids, seqs = append(ids, f.ids[p][i]), append(seqs, f.seqs[p][i])
		}
		f.ids[p], f.seqs[p] = ids, seqs
		f.Records += len(ids)
	}
}

// outputs are what the records lead to.
func (f *Filled) outputs(t *testing.T) (all []*kgo.Record) {
	counts := make([]counter, f.Keys)
	for p := range f.ids {
		for i, id := range f.ids[p] {
			key := appendKey(nil, id)
			value, err := f.result(nil, counts, id, f.seqs[p][i])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &kgo.Record{Partition: int32(p), Key: key, Value: value})
		}
	}
	return all
}

func lastOfEach(all []*kgo.Record) (last []*kgo.Record) {
	seen := map[string]bool{}
	for _, r := range slices.Backward(all) {
		if row := string(r.Key) + string(r.Value[:len(r.Value)-8]); !seen[row] {
			seen[row] = true
			last = append(last, r)
		}
	}
	slices.Reverse(last)
	return last
}

func write(t *testing.T, c *cluster.Cluster, topic string, partitions int32, all []*kgo.Record) {
	t.Helper()
	if err := c.Create(t.Context(), topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	cl, err := writer(c)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range all {
		r.Topic = topic
	}
	if err := cl.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
