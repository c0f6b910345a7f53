package topology_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The conformance cases are inputs and expected outputs of Kafka Streams, as data: see
// testdata/conformance/NOTICE. Each is run in several ways. One that differs does so by a
// rule that is named in docs/semantics.md, and that applies to all cases alike: the runner
// works out what the rule makes of the case and compares with that.

// conformanceCase is a case of any of the formats.
type conformanceCase struct {
	ID     string
	Op     string
	Params map[string]any
	Steps  []conformanceStep
}

// conformanceStep is records that come in, and what goes out then, by topic.
type conformanceStep struct {
	In   []conformanceRecord
	Want map[string][]conformanceRecord
}

// conformanceRecord is a record as text; nil is null.
type conformanceRecord struct {
	Topic      string
	Key, Value *string
	At         core.Time
}

func (r conformanceRecord) String() string {
	return fmt.Sprintf("%s -> %s @%d", text(r.Key), text(r.Value), r.At)
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (c *conformanceCase) str(name string) string { s, _ := c.Params[name].(string); return s }

// conformanceTopology makes the topology of a case. It returns nil for one that nothing
// here can express yet.
type conformanceTopology func(c *conformanceCase) *topology.Builder

// conformanceRule makes of a case what a named difference makes of it, or returns nil where
// the rule does not apply.
type conformanceRule struct {
	name  string
	apply func(c *conformanceCase) []conformanceStep
}

var (
	conformanceOps   = map[string]conformanceTopology{}
	conformanceRules = map[string][]conformanceRule{} // by operator
)

func TestConformance(t *testing.T) {
	dirs := []string{filepath.Join("testdata", "conformance")}
	if more := os.Getenv("LIMPET_CONFORMANCE"); more != "" {
		dirs = append(dirs, filepath.SplitList(more)...)
	}
	var cases, passed, differ, failed, left int
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.json*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, c := range readConformance(t, f) {
				cases++
				var b *topology.Builder
				if build := conformanceOps[c.Op]; build != nil {
					b = build(c)
				}
				if b == nil {
					left++
					continue
				}
				rule, err := runConformance(t, c, b)
				switch {
				case err != nil:
					failed++
					t.Errorf("%s: %v", c.ID, err)
				case rule != "":
					differ++
					t.Logf("differs %s %s", c.ID, rule)
				default:
					passed++
				}
			}
		}
	}
	if left > 0 {
		t.Logf("%d more cases are of operators that are not here yet", left)
	}
	t.Logf("%d cases, %d passed, %d differ by design, %d failed", cases-left, passed, differ, failed)
}

// conformanceWays are the ways to run a case. The first one looks at the outputs after each
// record, the others at the end.
var conformanceWays = []topologytest.Config{
	{},
	{Batch: 1000, CommitEvery: 1000},
	{Seed: 1},
	{CommitEvery: 2, CrashAfter: 3},
}

func runConformance(t *testing.T, c *conformanceCase, b *topology.Builder) (rule string, err error) {
	steps := c.Steps
	got := playConformance(t, c, b, conformanceWays[0])
	if err = compareConformance(steps, got, true); err != nil {
		for _, r := range conformanceRules[c.Op] {
			if by := r.apply(c); by != nil && compareConformance(by, got, true) == nil {
				rule, steps, err = r.name, by, nil
				break
			}
		}
	}
	if err != nil {
		return "", err
	}
	for i, way := range conformanceWays[1:] {
		if err := compareConformance(steps, playConformance(t, c, b, way), false); err != nil {
			return "", fmt.Errorf("way %d: %w", i+1, err)
		}
	}
	return rule, nil
}

var conformanceOuts = topology.NewTopic("out", codec.String, codec.Optional(codec.String))

// playConformance runs a case and returns what went out, by step in the first way, else as
// one step.
func playConformance(t *testing.T, c *conformanceCase, b *topology.Builder, way topologytest.Config) []conformanceStep {
	d := way.New(t, b)
	each := way == topologytest.Config{}
	var got []conformanceStep
	read := func() {
		s := conformanceStep{Want: map[string][]conformanceRecord{}}
		for _, r := range topologytest.Topic(d, conformanceOuts).Records() {
			rec := conformanceRecord{Key: &r.Key, At: r.Time}
			if r.Value.OK {
				rec.Value = &r.Value.Value
			}
			s.Want["out"] = append(s.Want["out"], rec)
		}
		got = append(got, s)
	}
	for _, s := range c.Steps {
		for _, r := range s.In {
			in := topologytest.Topic(d, topology.NewTopic(r.Topic, codec.String, codec.String))
			in.SendRawAt(r.At, rawText(r.Key), rawText(r.Value))
		}
		if each {
			read()
		}
	}
	if !each {
		read()
	}
	return got
}

func rawText(s *string) []byte {
	if s == nil {
		return nil
	}
	return append([]byte{}, *s...)
}

// compareConformance compares step by step, or all steps as one.
func compareConformance(want, got []conformanceStep, each bool) error {
	lines := func(s conformanceStep) (lines []string) {
		for _, r := range s.Want["out"] {
			if r.Key == nil {
				r.Key = new(string)
			}
			lines = append(lines, r.String())
		}
		return lines
	}
	if !each {
		want = []conformanceStep{{Want: map[string][]conformanceRecord{"out": allOf(want)}}}
	}
	for i := range want {
		if w, g := lines(want[i]), lines(got[i]); !slices.Equal(w, g) {
			return fmt.Errorf("step %d, behind %v: want\n\t%s\ngot\n\t%s", i, want[i].In, strings.Join(w, "\n\t"), strings.Join(g, "\n\t"))
		}
	}
	return nil
}

func allOf(steps []conformanceStep) (all []conformanceRecord) {
	for _, s := range steps {
		all = append(all, s.Want["out"]...)
	}
	return all
}

// readConformance reads a file of either format.
func readConformance(t *testing.T, file string) (cases []*conformanceCase) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var data struct{ Cases []map[string]any }
	if err := json.NewDecoder(in).Decode(&data); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, m := range data.Cases {
		c := &conformanceCase{Params: m}
		c.ID = c.str("id")
		if c.Op = c.str("op"); !strings.HasPrefix(c.ID, c.Op+"/") { // of Kafka's own tests
			c.Op, _, _ = strings.Cut(filepath.Base(file), ".")
		}
		for _, s := range m["steps"].([]any) {
			c.read(s.(map[string]any))
		}
		delete(m, "steps")
		cases = append(cases, c)
	}
	return cases
}

// read adds one step as the file has it.
func (c *conformanceCase) read(s map[string]any) {
	last := func() *conformanceStep { return &c.Steps[len(c.Steps)-1] }
	if in, ok := s["in"].(map[string]any); ok {
		if len(c.Steps) == 0 || last().Want != nil {
			c.Steps = append(c.Steps, conformanceStep{})
		}
		last().In = append(last().In, conformanceRecordOf(in))
	}
	if out, ok := s["out"].([]any); ok {
		last().Want = map[string][]conformanceRecord{"out": conformanceRecordsOf(out)}
	}
	if out, ok := s["expect"].(map[string]any); ok {
		if len(c.Steps) == 0 {
			return
		}
		want := map[string][]conformanceRecord{}
		for _, rs := range out {
			want["out"] = append(want["out"], conformanceRecordsOf(rs.([]any))...)
		}
		if last().Want != nil { // nothing came in since
			c.Steps = append(c.Steps, conformanceStep{})
		}
		last().Want = want
	}
}

func conformanceRecordsOf(list []any) (rs []conformanceRecord) {
	for _, r := range list {
		rs = append(rs, conformanceRecordOf(r.(map[string]any)))
	}
	return rs
}

func conformanceRecordOf(m map[string]any) conformanceRecord {
	opt := func(name string) *string {
		if m[name] == nil {
			return nil
		}
		s := fmt.Sprint(m[name])
		return &s
	}
	topic, _ := m["topic"].(string)
	at, _ := m["ts"].(float64)
	return conformanceRecord{topic, opt("key"), opt("value"), core.Time(at)}
}
