package conformance_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// conformanceCase is a case of any of the formats.
type conformanceCase struct {
	ID, Op string
	Params map[string]any
	Steps  []conformanceStep
	States map[string][]stateLine // at the end, by store
	// AllRows: States has the rows too that Kafka Streams' store hides.
	AllRows bool
	// Halves are the cases that it stands for, where one topology is not enough.
	Halves []*conformanceCase
	// ByWindow: there is no order between the results of different windows.
	ByWindow bool
}

// conformanceStep is records that come in, and what goes out then, by topic. nil says nothing.
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

func recordText(rs []conformanceRecord) (lines []string) {
	for _, r := range rs {
		lines = append(lines, r.String())
	}
	return lines
}

// stateLine is a row of a store as text, with its window, if it has one.
type stateLine struct {
	key, value string
	at         core.Time // 0 where the case does not tell it
	window     *topology.Windowed[string]
}

func stateText(rows []stateLine, times bool) (lines []string) {
	for _, r := range rows {
		if !times || r.at == 0 {
			lines = append(lines, r.key+" = "+r.value)
		} else {
			lines = append(lines, fmt.Sprintf("%s = %s @%d", r.key, r.value, r.at))
		}
	}
	slices.Sort(lines)
	return lines
}

func (c *conformanceCase) str(name string) string { s, _ := c.Params[name].(string); return s }

func (c *conformanceCase) is(name string) bool { b, _ := c.Params[name].(bool); return b }

func (c *conformanceCase) has(name string) bool { return c.Params[name] != nil }

func (c *conformanceCase) quirk() bool { return c.str("quirk") != "" }

func (c *conformanceCase) ms(name string) time.Duration {
	f, _ := c.Params[name].(float64)
	return time.Duration(f) * time.Millisecond
}

// with returns a copy of the case with other steps.
func (c *conformanceCase) with(steps []conformanceStep) *conformanceCase {
	d := *c
	d.Steps = steps
	return &d
}

// replay returns a copy of the case with what step makes of each record in place of what it says.
func (c *conformanceCase) replay(step func(in conformanceRecord) []conformanceRecord) *conformanceCase {
	var steps []conformanceStep
	for _, s := range c.Steps {
		var out []conformanceRecord
		for _, in := range s.In {
			out = append(out, step(in)...)
		}
		steps = append(steps, conformanceStep{s.In, map[string][]conformanceRecord{"out": out}})
	}
	return c.with(steps)
}

// compare compares what came of a case with what it says. Of rows in windows it compares those
// that Kafka Streams' store would show, unless the case has them all.
func (c *conformanceCase) compare(got *conformanceResult) error {
	for i, s := range c.Steps {
		if s.Want == nil {
			continue
		}
		want, have := s.Want, got.steps[i]
		if c.ByWindow {
			want, have = sorted(want), sorted(have)
		}
		if err := sameOutputs(want, have); err != nil {
			return fmt.Errorf("step %d, behind %v: %w", i, s.In, err)
		}
	}
	for store, rows := range c.States {
		have, ok := got.states[store]
		if !ok {
			return fmt.Errorf("store %s is not read", store)
		}
		if !c.AllRows {
			have = c.shown(have)
		}
		times := slices.ContainsFunc(rows, func(r stateLine) bool { return r.at != 0 })
		if err := sameLines("store "+store, stateText(have, times), stateText(rows, times)); err != nil {
			return err
		}
	}
	return nil
}

// result is what a case says that comes of it.
func (c *conformanceCase) result() *conformanceResult {
	r := &conformanceResult{states: c.States}
	for _, s := range c.Steps {
		r.steps = append(r.steps, s.Want)
	}
	return r
}

// sorted brings records into an order by key; those of a key keep theirs.
func sorted(in map[string][]conformanceRecord) map[string][]conformanceRecord {
	out := map[string][]conformanceRecord{}
	for topic, rs := range in {
		rs = slices.Clone(rs)
		slices.SortStableFunc(rs, func(a, b conformanceRecord) int { return strings.Compare(text(a.Key), text(b.Key)) })
		out[topic] = rs
	}
	return out
}

// readConformanceDir reads all case files of a folder and of those in it.
func readConformanceDir(dir string) (cases []*conformanceCase, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".json.gz") {
			return err
		}
		some, err := readConformance(path)
		cases = append(cases, some...)
		return err
	})
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("%s: there are no cases", dir)
	}
	return cases, err
}

func readConformance(path string) (cases []*conformanceCase, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var data struct {
		Format, Op string
		Cases      []map[string]any
	}
	if err := json.NewDecoder(in).Decode(&data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data.Cases) == 0 {
		return nil, fmt.Errorf("%s: there are no cases", path)
	}
	for _, m := range data.Cases {
		c := &conformanceCase{Params: m, States: map[string][]stateLine{}}
		c.ID, c.Op = c.str("id"), c.str("op")
		if err := checkCase(m); err != nil {
			return nil, fmt.Errorf("%s: case %q: %w", path, c.ID, err)
		}
		if c.Op == "" {
			c.Op = data.Op
		}
		if data.Format != "conformance/v1" { // of Kafka's own tests
			if c.Op, _, _ = strings.Cut(c.ID, "."); c.has("legacy_eager_outer") {
				c.Op = "KStreamKStreamJoin"
			}
		}
		for _, s := range list(m["steps"]) {
			c.read(s.(map[string]any))
		}
		if c.has("inputs") {
			c.readSets()
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func list(v any) []any { l, _ := v.([]any); return l }

// outTopics are the names that Kafka's tests have for the one topic that goes out.
var outTopics = map[string]string{"join": "out", "outputTopic": "out", "output": "out"}

// read adds one step as the file has it.
func (c *conformanceCase) read(s map[string]any) {
	last := func() *conformanceStep { return &c.Steps[len(c.Steps)-1] }
	if in, ok := s["in"].(map[string]any); ok {
		if len(c.Steps) == 0 || last().Want != nil {
			c.Steps = append(c.Steps, conformanceStep{})
		}
		last().In = append(last().In, recordOf(in))
	}
	want := map[string][]conformanceRecord{}
	add := func(topic string, rs []any) {
		if name, ok := outTopics[topic]; ok {
			topic = name
		}
		for _, r := range rs {
			rec := recordOf(r.(map[string]any))
			rec.Topic = topic
			want[topic] = append(want[topic], rec)
		}
	}
	if out, ok := s["out"].([]any); ok {
		add("out", out)
		last().Want = want
	}
	if out, ok := s["expect"].(map[string]any); ok {
		for topic, rs := range out {
			add(topic, rs.([]any))
		}
		if len(c.Steps) == 0 || last().Want != nil { // nothing came in since
			c.Steps = append(c.Steps, conformanceStep{})
		}
		last().Want = want
	}
	if st, ok := s["state"].(map[string]any); ok {
		rows := []stateLine{}
		for _, r := range list(st["rows"]) {
			rows = append(rows, stateOf(r.(map[string]any)))
		}
		c.States[fmt.Sprint(st["store"])] = rows
	}
}

// readSets reads a case that has all its inputs first, and what comes of them by window: at
// each change, and on close.
func (c *conformanceCase) readSets() {
	var in []conformanceRecord
	for _, r := range list(c.Params["inputs"]) {
		in = append(in, recordOf(r.(map[string]any)))
	}
	half := func(how, sets string) *conformanceCase {
		h := &conformanceCase{ID: c.ID, Op: c.Op, Params: map[string]any{"emit": how}, ByWindow: true}
		for k, v := range c.Params {
			h.Params[k] = v
		}
		want := map[string][]conformanceRecord{}
		add := func(key any, m map[string]any) {
			rec := recordOf(m)
			if key != nil {
				rec.Key = some(textOf(key))
			}
			rec.Topic = "out"
			want["out"] = append(want["out"], rec)
		}
		if by, ok := c.Params[sets].(map[string]any); ok {
			for start, rs := range by {
				n, _ := strconv.ParseFloat(start, 64)
				end := n + float64(number(c.str("topology"), "timeDifference").Milliseconds())
				for _, r := range list(rs) {
					add(map[string]any{"key": text(in[0].Key), "start": n, "end": end}, r.(map[string]any))
				}
			}
		} else {
			h.ByWindow = false
			for _, r := range list(c.Params[sets]) {
				add(nil, r.(map[string]any))
			}
		}
		h.Steps = []conformanceStep{{in, want}}
		return h
	}
	update, onClose := "expected_on_update", "expected_on_close"
	if c.has("expected") {
		update, onClose = "expected", "expected_emit_on_close"
	}
	c.Halves = []*conformanceCase{half("on update", update), half("on close", onClose)}
}

func recordOf(m map[string]any) conformanceRecord {
	opt := func(name string) *string {
		if m[name] == nil {
			return nil
		}
		return some(textOf(m[name]))
	}
	topic, _ := m["topic"].(string)
	at, _ := m["ts"].(float64)
	return conformanceRecord{topic, opt("key"), opt("value"), core.Time(at)}
}

func stateOf(m map[string]any) stateLine {
	at, _ := m["ts"].(float64)
	l := stateLine{key: textOf(m["key"]), value: textOf(m["value"]), at: core.Time(at)}
	if w, ok := m["key"].(map[string]any); ok {
		start, _ := w["start"].(float64)
		end, _ := w["end"].(float64)
		l.window = &topology.Windowed[string]{Key: textOf(w["key"]), Start: core.Time(start), End: core.Time(end)}
	}
	return l
}

// textOf is a value of a case as text. A windowed key is as a Windowed is printed.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any:
		key := v["key"]
		if key == nil {
			key = v["k"] // in Kafka's own tests
		}
		return fmt.Sprintf("%v@%v..%v", textOf(key), textOf(v["start"]), textOf(v["end"]))
	}
	return fmt.Sprint(v)
}
