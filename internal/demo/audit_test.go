package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// run is a made-up run of one partition of a join: rows and outputs as a correct
// topology leaves them, for tests to spoil.
type run struct {
	rows    []rowRec
	inputs  []inRec
	outputs []outRec
}

type (
	rowRec struct {
		key, val string
		deleted  bool
	}
	inRec struct {
		partition   int32
		offset      int64
		id, key, in string
		bound       int64
	}
	outRec struct{ id, key, out string }
)

func compose(in, row string) string { return in + " for " + row }

// correct merges rows and inputs at random, as a task would.
func correct(seed uint64, n int) *run {
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &run{}
	current := map[string]string{}
	key := func() string { return fmt.Sprintf("k%d", rng.IntN(5)) }
	next := [2]int64{}
	put := func(k string) {
		v := fmt.Sprintf("%s.v%d", k, len(r.rows))
		if rng.IntN(4) == 0 && current[k] != "" {
			v = current[k] // written again as it was
		}
		current[k] = v
		r.rows = append(r.rows, rowRec{key: k, val: v})
	}
	for k := range 5 {
		put(fmt.Sprintf("k%d", k))
	}
	for i := range n {
		if rng.IntN(3) == 0 {
			put(key())
		}
		p := int32(rng.IntN(2))
		in := inRec{partition: p, offset: next[p], id: fmt.Sprintf("o%d", i), key: key(), in: fmt.Sprintf("thing %d", i)}
		next[p]++
		in.bound = max(5, int64(len(r.rows))-int64(rng.IntN(4)))
		r.inputs = append(r.inputs, in)
		r.outputs = append(r.outputs, outRec{in.id, in.key, compose(in.in, current[in.key])})
	}
	return r
}

func (r *run) audit(t *testing.T) *Report {
	t.Helper()
	a := NewJoinAudit("orders", "emails", compose)
	for i, row := range r.rows {
		v := &r.rows[i].val
		if row.deleted {
			v = nil
		}
		a.Row(0, int64(i), row.key, v)
	}
	for _, in := range r.inputs {
		if err := a.Input(in.partition, in.offset, in.id, in.key, in.in, in.bound); err != nil {
			t.Fatal(err)
		}
	}
	for i, out := range r.outputs {
		a.Output(0, int64(i), out.id, out.key, out.out)
	}
	return a.Report()
}

func TestAuditOfACorrectRun(t *testing.T) {
	for seed := range uint64(200) {
		if r := correct(seed, 100).audit(t); !r.Clean() || r.String() != "orders=100 emails=100 missing=0 duplicated=0 out_of_order=0 wrong=0" {
			t.Fatalf("seed %d: %v\n%v", seed, r, r.Examples)
		}
	}
}

func TestAuditFindsPlantedFaults(t *testing.T) {
	// lastOf finds the last output of a key that has an earlier one in the same lane.
	pair := func(r *run) (i, j int) {
		for j = len(r.outputs) - 1; j > 0; j-- {
			for i = j - 1; i >= 0; i-- {
				if r.inputs[i].key == r.inputs[j].key && r.inputs[i].partition == r.inputs[j].partition {
					return i, j
				}
			}
		}
		panic("no pair")
	}
	tests := []struct {
		name  string
		spoil func(*run)
		check func(*Report) bool
	}{
		{"lost", func(r *run) { r.outputs = slices.Delete(r.outputs, 50, 51) }, func(r *Report) bool { return r.get("missing") == 1 && r.get("wrong") == 0 }},
		{"doubled at once", func(r *run) { r.outputs = slices.Insert(r.outputs, 50, r.outputs[50]) }, func(r *Report) bool {
			return r.get("duplicated") == 1 && r.get("wrong") == 0 && r.get("out_of_order") == 0
		}},
		{"doubled later", func(r *run) { r.outputs = append(r.outputs, r.outputs[50]) }, func(r *Report) bool {
			return r.get("duplicated") == 1 && r.get("wrong") == 0 && r.get("out_of_order") == 0
		}},
		{"swapped", func(r *run) {
			i, j := pair(r)
			r.outputs[i], r.outputs[j] = r.outputs[j], r.outputs[i]
		}, func(r *Report) bool { return r.get("out_of_order") >= 1 }},
		{"stale row", func(r *run) {
			// The key's row changes, everybody has seen the change, and then it is used as it was.
			old := r.rows[slices.IndexFunc(r.rows, func(x rowRec) bool { return x.key == "k1" })].val
			r.rows = append(r.rows, rowRec{key: "k1", val: "new"}, rowRec{key: "k2", val: "newer"})
			n := int64(len(r.inputs))
			r.inputs = append(r.inputs, inRec{0, n, "seen", "k2", "x", 0}, inRec{0, n + 1, "stale", "k1", "y", 0})
			r.outputs = append(r.outputs, outRec{"seen", "k2", compose("x", "newer")}, outRec{"stale", "k1", compose("y", old)})
		}, func(r *Report) bool {
			return r.get("wrong") == 1 && r.get("missing") == 0 && r.get("out_of_order") == 0
		}},
		{"stale row, though the update was acknowledged", func(r *run) {
			old := ""
			for _, x := range r.rows {
				if x.key == "k1" {
					old = x.val
				}
			}
			r.rows = append(r.rows, rowRec{key: "k1", val: "new"})
			r.inputs = append(r.inputs, inRec{0, int64(len(r.inputs)), "stale", "k1", "y", int64(len(r.rows))})
			r.outputs = append(r.outputs, outRec{"stale", "k1", compose("y", old)})
		}, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"row from the future", func(r *run) {
			r.rows = append(r.rows, rowRec{key: "k1", val: "new"})
			r.outputs[0].out = compose(r.inputs[0].in, "new")
			r.inputs[0].key, r.outputs[0].key = "k1", "k1"
		}, func(r *Report) bool { return r.get("wrong") > 0 }},
		{"deleted row", func(r *run) {
			r.rows = append(r.rows, rowRec{key: "k1", deleted: true})
			r.inputs = append(r.inputs, inRec{0, int64(len(r.inputs)), "gone", "k1", "y", int64(len(r.rows))})
			r.outputs = append(r.outputs, outRec{"gone", "k1", compose("y", "new")})
		}, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"another one's row", func(r *run) { r.outputs[50].out = compose(r.inputs[50].in, "somebody") }, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"another input", func(r *run) { r.outputs[50].out = compose("something", "somebody") }, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"another key", func(r *run) { r.outputs[50].key = "k9" }, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"of nothing", func(r *run) { r.outputs = append(r.outputs, outRec{"o9999", "k1", "x"}) }, func(r *Report) bool { return r.get("wrong") == 1 }},
		{"nothing at all", func(r *run) { r.inputs, r.outputs = nil, nil }, func(r *Report) bool { return r.get("orders") == 0 && !r.Clean() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := correct(seed, 100)
				tt.spoil(r)
				rep := r.audit(t)
				if rep.Clean() || !tt.check(rep) {
					t.Fatalf("seed %d: %v\n%v", seed, rep, rep.Examples)
				}
			}
		})
	}
}

func TestAuditFindsAnOtherPartition(t *testing.T) {
	a := NewJoinAudit("orders", "emails", compose)
	row := "r"
	a.Row(0, 0, "k", &row)
	for i, id := range []string{"a", "b"} {
		if err := a.Input(0, int64(i), id, "k", id, 0); err != nil {
			t.Fatal(err)
		}
		a.Output(int32(i), 0, id, "k", compose(id, row)) // the second one in partition 1
	}
	if r := a.Report(); r.get("out_of_order") != 1 || r.get("wrong") != 1 {
		t.Errorf("%v", r)
	}
	if err := a.Input(0, 9, "a", "k", "a", 0); err == nil {
		t.Error("an input of the same id was taken")
	}
}

// get is the count of a name.
func (r *Report) get(name string) int64 {
	for _, c := range r.counts {
		if c.name == name {
			return c.N
		}
	}
	panic(name)
}

func TestCompare(t *testing.T) {
	want := []int{1, 2, 2, 3}
	for _, c := range []struct {
		got  []int
		line string
	}{
		{[]int{1, 2, 2, 3}, "missing=0 duplicated=0 out_of_order=0 wrong=0"},
		{[]int{1, 2, 3}, "missing=1 duplicated=0 out_of_order=0 wrong=0"},
		{[]int{1, 2, 2, 2, 3}, "missing=0 duplicated=1 out_of_order=0 wrong=0"},
		{[]int{2, 1, 2, 3}, "missing=0 duplicated=0 out_of_order=2 wrong=0"},
		{[]int{1, 2, 2, 4}, "missing=1 duplicated=0 out_of_order=0 wrong=1"},
		{nil, "missing=4 duplicated=0 out_of_order=0 wrong=0"},
	} {
		var r Report
		if Compare(r.Faults(), "k", c.got, want); r.String() != c.line {
			t.Errorf("%v: got %v, want %v", c.got, &r, c.line)
		}
		if clean := strings.Count(c.line, "=0") == 4; r.Clean() != clean || clean != (r.Examples == nil) {
			t.Errorf("%v: clean %v, examples %q", c.got, r.Clean(), r.Examples)
		}
	}
}
