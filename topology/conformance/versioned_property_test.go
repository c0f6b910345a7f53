package conformance_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	putsTopic = topology.NewTopic("put", codec.String, codec.Optional(codec.String), topology.Partitions(1))
	delsTopic = topology.NewTopic("delete", codec.String, codec.Optional(codec.String), topology.Partitions(1))
	getsTopic = topology.NewTopic("get", codec.String, codec.Optional(codec.String), topology.Partitions(1))
	asOfTopic = topology.NewTopic("get-as-of", codec.String, codec.Optional(codec.String), topology.Partitions(1))
	Answers   = topology.NewTopic("answers", codec.String, codec.String, topology.Partitions(1))
)

// versionModel is a versioned table as lists that are looked through. A deletion is a version, too.
type versionModel struct {
	history, now core.Time
	rows         map[string][]valueFrom
}

func newVersionModel(history core.Time) *versionModel {
	return &versionModel{history: history, now: -1, rows: map[string][]valueFrom{}}
}

func (m *versionModel) put(k string, v *string, at core.Time) core.Time {
	if at < m.now-m.history {
		return notPut
	}
	m.now = max(m.now, at)
	rows := slices.DeleteFunc(m.rows[k], func(r valueFrom) bool { return r.at == at })
	rows = append(rows, valueFrom{v, at})
	slices.SortFunc(rows, func(a, b valueFrom) int { return cmp.Compare(a.at, b.at) })
	m.rows[k] = rows
	for _, r := range rows {
		if r.at > at {
			return r.at
		}
	}
	return stillValid
}

func (m *versionModel) latest(k string) (v valueFrom, ok bool) {
	if rows := m.rows[k]; len(rows) > 0 {
		v = rows[len(rows)-1]
	}
	return v, v.value != nil
}

func (m *versionModel) asOf(k string, at core.Time) (v valueFrom, ok bool) {
	rows := m.rows[k]
	for i := len(rows) - 1; i >= 0; i-- {
		if rows[i].at <= at {
			v = rows[i]
			return v, v.value != nil && (i == len(rows)-1 || at >= m.now-m.history)
		}
	}
	return v, false
}

// versionAsk is a topology that puts, deletes and asks; answers come as values.
func versionAsk(history time.Duration) *topology.Builder {
	type ports struct {
		Row topology.Row[topology.Opt[string]]
		Out topology.Out[string]
	}
	b := topology.New("versions")
	rows := topology.ToVersionedTable(putsTopic.Stream(b).Merge(delsTopic.Stream(b)), "vs", history,
		topology.DeleteWhen(func(v topology.Opt[string]) bool { return !v.OK }))
	answer := func(_ topology.Opt[string], row topology.Opt[topology.Opt[string]]) string {
		return row.Value.Or("none")
	}
	topology.LeftJoin(asOfTopic.Stream(b), rows, "as-of", answer).To(Answers)
	p := topology.NewProcessor(topology.Records(getsTopic.Stream(b)), "get", func(_ int64, r topology.Record[string, topology.Opt[string]], p *ports) int64 {
		latest, _ := p.Row.Get()
		before, _ := p.Row.AsOf(r.Time - 7)
		p.Out.Emit(latest.Or("none") + " " + before.Or("none"))
		return 0
	})
	topology.Read(p, &p.Ports.Row, rows)
	topology.Output(p, &p.Ports.Out).To(Answers)
	return b
}

type versionStep struct {
	do, k, v string
	at       topology.Time
}

// versionWays runs the steps in several ways and compares answers and rows with the model.
func versionWays(t testing.TB, history topology.Time, steps []versionStep) error {
	m := newVersionModel(history)
	or := func(v valueFrom, ok bool) string {
		if !ok {
			return "none"
		}
		return *v.value
	}
	var want []string
	late := 0
	for _, s := range steps {
		switch s.do {
		case "put", "delete":
			var v *string
			if s.v != "" {
				v = &s.v
			}
			if m.put(s.k, v, s.at) == notPut {
				late++
			}
		case "get":
			want = append(want, or(m.latest(s.k))+" "+or(m.asOf(s.k, s.at-7)))
		case "get-as-of":
			want = append(want, or(m.asOf(s.k, s.at)))
		}
	}
	for _, way := range []topologytest.Config{{}, {Batch: 1000, CommitEvery: 1000}, {Seed: 7}, {Seed: 8, CrashAfter: 5}, {CommitEvery: 2, CrashAfter: 3}} {
		d := way.New(t, versionAsk(time.Duration(history)*time.Millisecond))
		for _, s := range steps {
			var value []byte
			if s.v != "" {
				value = []byte(s.v)
			}
			topologytest.Topic(d, topology.NewTopic(s.do, codec.String, codec.String)).SendRawAt(s.at, []byte(s.k), value)
		}
		if got := topologytest.Topic(d, Answers).Values(); !slices.Equal(got, want) {
			return fmt.Errorf("%+v: answers\n%q, want\n%q", way, got, want)
		}
		rows := topologytest.Table[string, topology.Opt[string]](d, "vs").Rows()
		for k := range m.rows {
			if got, want := rows[k].Or("none"), or(m.latest(k)); got != want {
				return fmt.Errorf("%+v: row %s is %q, want %q", way, k, got, want)
			}
		}
		if n := d.Dropped("vs", topology.Late); n != late {
			return fmt.Errorf("%+v: %d were late, want %d", way, n, late)
		}
	}
	return nil
}

func TestVersionsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) versionStep {
			return versionStep{
				do: rapid.SampledFrom([]string{"put", "put", "delete", "get", "get-as-of"}).Draw(t, "do"),
				k:  rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(t, "key"),
				at: topology.Time(rapid.IntRange(0, 40).Draw(t, "at")),
			}
		}), 0, 40).Draw(rt, "steps")
		for i := range steps {
			if steps[i].do == "put" {
				steps[i].v = fmt.Sprint("v", i)
			}
			switch rapid.SampledFrom([]string{"as drawn", "later", "the last one's", "beyond all histories"}).Draw(rt, "time") {
			case "later":
				steps[i].at += topology.Time(i)
			case "the last one's": // a version that is written again
				if i > 0 {
					steps[i].k, steps[i].at = steps[i-1].k, steps[i-1].at
				}
			case "beyond all histories":
				if rapid.IntRange(0, 3).Draw(rt, "jump") == 0 {
					steps[i].at += topology.Time(100 * i)
				}
			}
		}
		if err := versionWays(t, topology.Time(rapid.SampledFrom([]int{0, 3, 10, 100}).Draw(rt, "history")), steps); err != nil {
			rt.Fatal(err)
		}
	})
}

// The model here says what Kafka Streams says, in all cases: its own rules are no guess.
func TestVersionsModelIsKafkaStreams(t *testing.T) {
	cases, err := readConformance("testdata/ks-random/versioned-store.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if err := c.compare(versionedSteps(c, ksVersionStore).result()); err != nil {
			t.Errorf("%s: the model says something else: %v", c.ID, err)
		}
	}
}

// forgottenCase is a case in which Kafka Streams forgets a deletion, if that is what it answers.
func forgottenCase(validTo, asOf string) *conformanceCase {
	step := func(topic, value, answer string, at core.Time) conformanceStep {
		in := conformanceRecord{Topic: topic, Key: some("k"), At: at}
		if value != "" {
			in.Value = &value
		}
		out := conformanceRecord{"out-" + topic, in.Key, &answer, at}
		return conformanceStep{[]conformanceRecord{in}, map[string][]conformanceRecord{out.Topic: {out}}}
	}
	return &conformanceCase{
		Op: "versioned-store", Params: map[string]any{"history_retention_ms": 100.0, "store": "vs"},
		Steps: []conformanceStep{
			step("put", "u", "latest", 5), step("delete", "", "u from 5", 5), step("put", "w", "latest", 10),
			step("put", "v", validTo, 3), step("get-as-of", "", asOf, 7),
		},
	}
}

// Where Kafka Streams forgets a deletion, its answers are explained by the rule, and no other ones are.
func TestTombstoneForgotten(t *testing.T) {
	for _, test := range []struct{ validTo, asOf, rule string }{
		{"valid to 10", "v from 3", "tombstone-forgotten"},
		{"valid to 5", "none", ""},
		{"valid to 5", "v from 3", "error"},
		{"valid to 10", "none", "error"},
	} {
		rule, err := runConformance(t, forgottenCase(test.validTo, test.asOf))
		if err != nil {
			rule = "error"
		}
		if rule != test.rule {
			t.Errorf("%v: %q, %v", test, rule, err)
		}
	}
}
