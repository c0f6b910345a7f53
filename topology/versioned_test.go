package topology_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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

// versionModel is a versioned table as lists that are looked through.
type versionModel struct {
	history, now topology.Time
	rows         map[string][]versionRow
}

type versionRow struct {
	at topology.Time
	v  string // "": no row from then on
}

// put reports whether the version was taken.
func (m *versionModel) put(k string, at topology.Time, v string) bool {
	if at < m.now-m.history {
		return false
	}
	m.now = max(m.now, at)
	rows := slices.DeleteFunc(m.rows[k], func(r versionRow) bool { return r.at == at })
	rows = append(rows, versionRow{at, v})
	slices.SortFunc(rows, func(a, b versionRow) int { return int(a.at - b.at) })
	m.rows[k] = rows
	return true
}

func (m *versionModel) latest(k string) string {
	if rows := m.rows[k]; len(rows) > 0 {
		return rows[len(rows)-1].v
	}
	return ""
}

func (m *versionModel) asOf(k string, at topology.Time) string {
	rows := m.rows[k]
	for i := len(rows) - 1; i >= 0; i-- {
		if rows[i].at <= at {
			if i < len(rows)-1 && at < m.now-m.history {
				return ""
			}
			return rows[i].v
		}
	}
	return ""
}

// versionAsk is a topology that puts, deletes and asks; answers come as values.
func versionAsk(history time.Duration) *topology.Builder {
	type ports struct {
		Row topology.Row[topology.Opt[string]]
		Out topology.Out[string]
	}
	b := topology.New("versions")
	rows := putsTopic.Stream(b).Merge(delsTopic.Stream(b)).ToTable("vs", topology.Versioned(history),
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
	m := &versionModel{history: history, rows: map[string][]versionRow{}, now: -1}
	or := func(v string) string {
		if v == "" {
			return "none"
		}
		return v
	}
	var want []string
	late := 0
	for _, s := range steps {
		switch s.do {
		case "put", "delete":
			if !m.put(s.k, s.at, s.v) {
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
			if got := rows[k].Or(""); got != m.latest(k) {
				return fmt.Errorf("%+v: row %s is %q, want %q", way, k, got, m.latest(k))
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
			if rapid.Bool().Draw(rt, "later") {
				steps[i].at += topology.Time(i)
			}
		}
		if err := versionWays(t, topology.Time(rapid.SampledFrom([]int{0, 3, 10, 100}).Draw(rt, "history")), steps); err != nil {
			rt.Fatal(err)
		}
	})
}

// versionCases reads a file of cases of Kafka Streams' versioned tables.
func versionCases(t *testing.T, op string, each func(c map[string]any, steps []versionStep, want [][]string)) {
	f, err := os.Open("testdata/conformance/ks-random/" + op + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	in, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []map[string]any }
	if err := json.NewDecoder(in).Decode(&file); err != nil {
		t.Fatal(err)
	}
	text := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	for _, c := range file.Cases {
		var steps []versionStep
		var want [][]string
		for _, s := range c["steps"].([]any) {
			s := s.(map[string]any)
			if in, ok := s["in"].(map[string]any); ok {
				steps = append(steps, versionStep{text(in["topic"]), text(in["key"]), text(in["value"]), topology.Time(in["ts"].(float64))})
				want = append(want, nil)
			}
			if out, ok := s["expect"].(map[string]any); ok {
				for _, rs := range out {
					for _, r := range rs.([]any) {
						want[len(want)-1] = append(want[len(want)-1], text(r.(map[string]any)["value"]))
					}
				}
			}
		}
		each(c, steps, want)
	}
}

// The model of the tests here says what Kafka Streams says; and the table says what the model
// does.
func TestVersionedStoreCases(t *testing.T) {
	cases := 0
	versionCases(t, "versioned-store", func(c map[string]any, steps []versionStep, want [][]string) {
		cases++
		history := topology.Time(c["history_retention_ms"].(float64))
		m := &versionModel{history: history, rows: map[string][]versionRow{}, now: -1}
		for i, s := range steps {
			var got string
			switch s.do {
			case "put":
				if got = "too old"; m.put(s.k, s.at, s.v) {
					got = "latest"
					for _, r := range m.rows[s.k] {
						if r.at > s.at {
							got = fmt.Sprint("valid to ", r.at)
							break
						}
					}
				}
			case "delete":
				m.put(s.k, s.at, "")
				continue // what it answers, the operator has no place for
			case "get":
				got = m.latest(s.k)
			default:
				got = m.asOf(s.k, s.at)
			}
			if got == "" {
				got = "none"
			}
			w, _, _ := strings.Cut(want[i][0], " from ")
			if got != w {
				t.Fatalf("%v, step %d, %+v: the model says %q, Kafka Streams %q", c["id"], i, s, got, w)
			}
		}
		if err := versionWays(t, history, steps); err != nil {
			t.Errorf("%v: %v", c["id"], err)
		}
	})
	if cases != 40 {
		t.Errorf("%d cases", cases)
	}
}

// Joins of streams with versioned tables, as Kafka Streams makes them.
func TestVersionedJoinCases(t *testing.T) {
	cases := 0
	versionCases(t, "join-stream-table-versioned", func(c map[string]any, steps []versionStep, want [][]string) {
		b := topology.New("versioned-join")
		in := topology.NewTopic("stream", codec.String, codec.String, topology.Partitions(1))
		history := topology.Time(c["history_retention_ms"].(float64)).Sub(0)
		rows := topology.NewTopic("table", codec.String, codec.String, topology.Partitions(1)).
			Table(b, topology.Versioned(history))
		rows = viewOf(rows, fmt.Sprint(c["table_view"]), true)
		s := in.Stream(b)
		if c["join"] == "left" {
			topology.LeftJoin(s, rows, "join", func(l string, r topology.Opt[string]) string { return l + "+" + r.Or("null") }).To(Answers)
		} else {
			topology.Join(s, rows, "join", plus).To(Answers)
		}
		cases++
		for _, way := range []topologytest.Config{{}, {Batch: 1000, CommitEvery: 1000}, {Seed: 7}, {CommitEvery: 2, CrashAfter: 3}} {
			d := way.New(t, b)
			var all []string
			for i, s := range steps {
				var key, value []byte
				if s.k != "" {
					key = []byte(s.k)
				}
				if s.v != "" {
					value = []byte(s.v)
				}
				topologytest.Topic(d, topology.NewTopic(s.do, codec.String, codec.String)).SendRawAt(s.at, key, value)
				all = append(all, want[i]...)
			}
			if got := topologytest.Topic(d, Answers).Values(); !slices.Equal(got, all) {
				t.Errorf("%v, %+v: %q, want %q", c["id"], way, got, all)
				return
			}
		}
	})
	if cases != 40 {
		t.Errorf("%d cases", cases)
	}
}

// A changelog has the records that Kafka Streams writes: the row's key, the version's time,
// null for a deletion; and of a late version, the latest one behind it, which compaction keeps.
func TestVersionedChangelog(t *testing.T) {
	b := topology.New("log")
	topology.LeftJoin(Words.Stream(b), Rows.Table(b, topology.Versioned(time.Hour)), "join", orNobody).To(Out)
	d := topologytest.New(t, b)
	rows := open(d, Rows)
	rows.SendRawAt(5, []byte("k"), []byte("a"))
	rows.SendRawAt(9, []byte("k"), nil)
	rows.SendRawAt(7, []byte("k"), []byte("late"))
	open(d, Words).SendAt(8, "k", "w")
	open(d, Words).SendAt(9, "k", "w")
	open(d, Out).Want("w+late", "w+nobody")
	var got []string
	for _, r := range topologytest.Topic(d, topology.NewTopic("log-rows-changelog", codec.String, codec.Optional(codec.String))).Records() {
		got = append(got, fmt.Sprintf("%s=%s@%d", r.Key, r.Value.Or("-"), r.Time))
	}
	if want := "[k=a@5 k=-@9 k=late@7 k=-@9]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestVersionedMistakes(t *testing.T) {
	b := topology.New("mistakes")
	Words.Stream(b, topology.Versioned(ttl)).ToTable("a", topology.Versioned(-1))
	topology.Count(Words.Stream(b), "b", topology.Versioned(ttl))
	rows := Rows.Table(b, topology.Versioned(ttl), topology.TTL(ttl))
	topology.CountTable(rows, "c", first, topology.Versioned(ttl))
	topology.JoinTables(rows, Plain.Table(b), "d", plus, topology.Versioned(ttl))
	_, err := b.Build()
	if err == nil {
		t.Fatal("it builds")
	}
	for _, want := range []string{
		`stream "words": Versioned is for`, `"a": Versioned(-1ns)`, `"b": Versioned is for`, `"rows": TTL(10ms): versions go`,
		`"c": Versioned is for`, `"d": Versioned is for`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
