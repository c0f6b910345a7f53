package workload

import (
	"maps"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

// The first topic of a workload gets as many records as it says, the others what belongs to them.
func TestFillAll(t *testing.T) {
	c, err := cluster.InProcess()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for kind, want := range map[string]map[string]int{
		StreamJoin:     {"in-": 460, "right-": 460},
		Nexmark + "2":  {"in-": 460},
		Nexmark + "3":  {"in-": 460, "persons-": 154},
		Nexmark + "13": {"in-": 460, "side-": 10_000},
		Nexmark + "20": {"in-": 460, "auctions-": 30},
	} {
		w := &Workload{Name: kind, Kind: kind, Records: 460, Keys: 10, Value: 20, Partitions: 2, Seed: 1}
		if !w.Compared() {
			t.Errorf("%s is not compared", kind)
		}
		if err := w.FillAll(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, topic := range w.Inputs() {
			if err := c.Read(t.Context(), topic, w.Partitions, func(*kgo.Record) error {
				got[topic[:len(topic)-len(kind)]]++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
		o, err := w.Outputs(t.Context(), c, w.Inputs()[0])
		if err != nil || o.Records != w.Records {
			t.Errorf("%s: %d records as outputs, %v", kind, o.Records, err)
		}
	}
}

// Each query that has windows gets later events, in each partition.
func TestClose(t *testing.T) {
	c, err := cluster.InProcess()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for query, closes := range map[int]bool{2: false, 5: true, 8: true, 18: false} {
		kind := Nexmark + strconv.Itoa(query)
		w := &Workload{Name: kind, Kind: kind, Records: 100, Partitions: 3, Seed: 1}
		if w.Closes() != closes {
			t.Errorf("query %d closes: %v", query, !closes)
		}
		if !closes {
			continue
		}
		if err := w.FillAll(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		last := map[int32]int64{}
		if err := c.Read(t.Context(), w.Inputs()[0], w.Partitions, func(r *kgo.Record) error {
			last[r.Partition] = r.Timestamp.Sub(epoch).Milliseconds()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for p := range w.Partitions {
			if last[p] < 60*60*1000 {
				t.Errorf("query %d: the last event of partition %d is %d ms behind the first one", query, p, last[p])
			}
		}
	}
}

// outputsOf are those of records with keys and values, in order; an empty value is null.
func outputsOf(w *Workload, records ...string) (o Outputs) {
	last := map[uint64]uint64{}
	for i := 0; i < len(records); i += 2 {
		r := &kgo.Record{Key: []byte(records[i])}
		if records[i+1] != "" {
			r.Value = []byte(records[i+1])
		}
		o.add(last, w.identity(r), r)
	}
	o.fold(last)
	return o
}

func TestSame(t *testing.T) {
	each, rows, sessions := &Workload{Kind: Nexmark + "0"}, &Workload{Kind: Nexmark + "3"}, &Workload{Kind: Nexmark + "11"}
	session := func(key, end, start string) string { return key + "-------" + end + "-------" + start + "-------" }
	for _, c := range []struct {
		name  string
		w     *Workload
		a, b  []string
		skips bool
		same  bool
	}{
		{"another order", each, []string{"a", "1", "b", "2"}, []string{"b", "2", "a", "1"}, false, true},
		{"one is missing", each, []string{"a", "1", "b", "2"}, []string{"a", "1"}, false, false},
		{"one comes twice", each, []string{"a", "1"}, []string{"a", "1", "a", "1"}, false, false},
		{"another value", each, []string{"a", "1"}, []string{"a", "2"}, false, false},
		{"values of others", each, []string{"a", "1", "b", "2"}, []string{"a", "2", "b", "1"}, false, false},
		{"a change is left out", each, []string{"a", "1", "a", "2"}, []string{"a", "2"}, true, true},
		{"the last change is left out", each, []string{"a", "1", "a", "2"}, []string{"a", "1"}, true, false},
		{"rows", rows, []string{"a", "1", "a", "2"}, []string{"a", "2"}, false, true},
		{"a row that is gone", rows, []string{"a", "1", "b", "1", "b", ""}, []string{"a", "1"}, false, true},
		{"another row", rows, []string{"a", "1"}, []string{"b", "1"}, false, false},
		{"a session that grew", sessions, []string{session("k", "2", "1"), "1", session("k", "3", "1"), "2"}, []string{session("k", "3", "1"), "2"}, false, true},
		{"another session", sessions, []string{session("k", "2", "1"), "1"}, []string{session("k", "2", "0"), "1"}, false, false},
	} {
		if err := c.w.Same(outputsOf(c.w, c.a...), outputsOf(c.w, c.b...), c.skips); (err == nil) != c.same {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
