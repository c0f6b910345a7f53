package topology_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The cases of testdata/conformance/windows were made with Kafka Streams, see NOTICE there.
// Each is run in several ways. One that differs does so by a rule that is named in
// docs/semantics.md and applied to all cases alike: what the rule expects is worked out by
// a model, and compared.

type windowCase struct {
	ID, Op, Window, Aggregate, Source, Quirk string
	SizeMs                                   int64 `json:"size_ms"`
	AdvanceMs                                int64 `json:"advance_ms"`
	GraceMs                                  int64 `json:"grace_ms"`
	DiffMs                                   int64 `json:"time_difference_ms"`
	GapMs                                    int64 `json:"gap_ms"`
	RetentionMs                              int64 `json:"retention_ms"`
	WaitMs                                   int64 `json:"wait_ms"`
	MaxRecords                               *int  `json:"max_records"`
	Steps                                    []windowStep
	ins                                      []windowIn
	wants                                    [][]string // by input: what goes out
	rows                                     []string   // at the end
	late                                     int        // in the last run
	hasRows, windowed, onClose               bool
	keys                                     core.Codec[topology.Windowed[string]]
}

type windowStep struct {
	In     *windowIn
	Expect map[string][]windowOut
	State  *struct{ Rows []windowOut }
}

type windowIn struct {
	Topic string
	Key   *string
	Value any
	Ts    int64
}

type windowOut struct {
	Key   any
	Value any
	Ts    int64
}

func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatInt(int64(v), 10)
	case map[string]any:
		return fmt.Sprintf("%v@%v..%v", v["key"], textOf(v["start"]), textOf(v["end"]))
	}
	return fmt.Sprint(v)
}

func (o windowOut) row() string  { return textOf(o.Key) + " = " + textOf(o.Value) }
func (o windowOut) line() string { return fmt.Sprintf("%s @%d", o.row(), o.Ts) }

func readWindowCases(t *testing.T, file string) (cases []*windowCase) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var data struct{ Cases []*windowCase }
	if err := json.NewDecoder(z).Decode(&data); err != nil {
		t.Fatal(err)
	}
	for _, c := range data.Cases {
		for _, s := range c.Steps {
			switch {
			case s.In != nil:
				c.ins, c.wants = append(c.ins, *s.In), append(c.wants, nil)
			case s.Expect != nil:
				for _, o := range s.Expect["out"] {
					c.wants[len(c.wants)-1] = append(c.wants[len(c.wants)-1], o.line())
				}
			case s.State != nil:
				c.hasRows = true
				for _, o := range s.State.Rows {
					c.rows = append(c.rows, o.row())
				}
			}
		}
	}
	return data.Cases
}

type nullable = topology.Opt[string]

// The inputs take null keys and values.
func inTopic(name string) topology.Topic[string, nullable] {
	return topology.NewTopic(name, codec.String, codec.Optional(codec.String))
}

func (c *windowCase) rule() (w topology.Window) {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	switch c.Window {
	case "time":
		w, c.keys = topology.Hopping(ms(c.SizeMs), ms(c.AdvanceMs)), codec.Windowed(codec.String, ms(c.SizeMs))
	case "sliding":
		w, c.keys = topology.Sliding(ms(c.DiffMs)), codec.Windowed(codec.String, ms(c.DiffMs))
	case "session":
		w, c.keys = topology.Session(ms(c.GapMs)), codec.SessionWindowed(codec.String)
	}
	return w.Grace(ms(c.GraceMs))
}

// concat makes the function of "concat". A session is begun with the start value and
// merged with those that there are, by Kafka Streams; here nothing is merged with nothing.
func (c *windowCase) concat(sep string) func(a string, v nullable) string {
	return func(a string, v nullable) string {
		if c.Aggregate == "concat-reset" && v.Or("") == "x" {
			return gone
		}
		if c.Window == "session" && a != "" {
			a = "&" + a
		}
		return a + sep + v.Or("null")
	}
}

const gone = "<gone>"

// aggregateCase makes the aggregate of a case, and what follows it.
func aggregateCase[K comparable](c *windowCase, g topology.Grouped[K, nullable], keys core.Codec[K]) {
	var opts []topology.AggregateOption
	if c.onClose {
		opts = append(opts, topology.EmitOnClose())
	}
	if c.RetentionMs > 0 {
		opts = append(opts, topology.Retain(time.Duration(c.RetentionMs)*time.Millisecond))
	}
	merging := func(o topology.AggregateOption) []topology.AggregateOption {
		if c.Window == "session" {
			return append(opts, o)
		}
		return opts
	}
	switch c.Aggregate {
	case "count":
		finishCase(c, topology.Count(g, "win", opts...), keys, codec.Int64)
	case "sum":
		add := func(n int64, v nullable) int64 {
			x, _ := strconv.ParseInt(v.Or("0"), 10, 64)
			return n + x
		}
		finishCase(c, topology.Aggregate(g, "win", add, merging(topology.Merging(func(a, b int64) int64 { return a + b }))...), keys, codec.Int64)
	case "reduce":
		add := func(a, v nullable) nullable { return topology.Some(a.Or("null") + "+" + v.Or("null")) }
		none := topology.DeleteWhen(func(v nullable) bool { return !v.OK })
		finishCase(c, topology.Reduce(g, "win", add, append(opts, none)...), keys, codec.Optional(codec.String))
	default:
		opts = append(opts, topology.DeleteWhen(func(s string) bool { return s == gone }))
		merge := topology.Merging(func(a, b string) string { return a + "&" + b })
		finishCase(c, topology.Aggregate(g, "win", c.concat("|"), merging(merge)...), keys, codec.String)
	}
}

func finishCase[K comparable, A any](c *windowCase, t topology.Table[K, A], keys core.Codec[K], vc core.Codec[A]) {
	switch c.Op {
	case "suppress-window":
		t = t.Suppress("held", topology.UntilClosed())
	case "suppress-time-limit":
		var opts []topology.SuppressOption
		if c.MaxRecords != nil {
			opts = append(opts, topology.MaxRecords(*c.MaxRecords), topology.EmitEarly())
		}
		t = t.Suppress("held", topology.UntilTimeLimit(time.Duration(c.WaitMs)*time.Millisecond), opts...)
	}
	t.To(topology.NewTopic("out", keys, vc))
}

// timeLimit makes the topology of a case of suppress-time-limit.
func (c *windowCase) timeLimit() *topology.Builder {
	b := topology.New("case")
	size := time.Duration(c.SizeMs) * time.Millisecond
	switch c.Source {
	case "table":
		finishCase(c, topology.NewTopic("input", codec.String, codec.String).Table(b), codec.String, codec.String)
	case "count":
		in := inTopic("input").Stream(b).Filter(func(v nullable) bool { return v.OK })
		c.Aggregate = "count"
		finishCase(c, topology.Count(in, "count"), codec.String, codec.Int64)
	case "window-count":
		c.windowed, c.Aggregate, c.keys = true, "count", codec.Windowed(codec.String, size)
		w := topology.Tumbling(size).Grace(time.Duration(c.GraceMs) * time.Millisecond)
		finishCase(c, topology.Count(inTopic("input").Stream(b).Window(w), "count"), c.keys, codec.Int64)
	}
	return b
}

// build makes the topology of a case.
func (c *windowCase) build() *topology.Builder {
	b := topology.New("case")
	c.windowed = true
	c.onClose = c.Op == "emit-on-close"
	notNull := func(s topology.Stream[string, nullable]) topology.Stream[string, nullable] {
		return s.Filter(func(v nullable) bool { return v.OK })
	}
	if c.Op == "cogroup" {
		first, second := inTopic("first").Stream(b), inTopic("second").Stream(b)
		if c.Window == "none" || c.Window == "sliding" {
			first, second = notNull(first), notNull(second)
		}
		c.windowed = c.Window != "none"
		if c.Window == "none" {
			topology.Aggregate(first, "agg", c.concat("|"), topology.Also(second, c.concat("/"))).To(topology.NewTopic("out", codec.String, codec.String))
			return b
		}
		w := c.rule()
		opts := []topology.AggregateOption{topology.Also(second.Window(w), c.concat("/"))}
		if c.Window == "session" {
			opts = append(opts, topology.Merging(func(a, b string) string { return a + "&" + b }))
		}
		topology.Aggregate(first.Window(w), "agg", c.concat("|"), opts...).To(topology.NewTopic("out", c.keys, codec.String))
		return b
	}
	in := inTopic("input").Stream(b)
	if c.Window == "sliding" {
		in = notNull(in)
	}
	w := c.rule()
	aggregateCase(c, in.Window(w), c.keys)
	return b
}

// play runs a case and returns what went out for each input, or for all of them.
func (c *windowCase) play(t *testing.T, way topologytest.Config, each bool) (outs [][]string, rows map[topology.Windowed[string]]string) {
	build := windowOps[c.Op]
	if build == nil {
		build = (*windowCase).build
	}
	d := way.New(t, build(c))
	ins := map[string]*topologytest.TopicHandle[nullable, nullable]{}
	var all []string
	for _, in := range c.ins {
		if ins[in.Topic] == nil {
			ins[in.Topic] = topologytest.Topic(d, topology.NewTopic(in.Topic, codec.Optional(codec.String), codec.Optional(codec.String)))
		}
		r := core.Record[nullable, nullable]{Time: core.Time(in.Ts)}
		if in.Key != nil {
			r.Key = topology.Some(*in.Key)
		}
		if in.Value != nil {
			r.Value = topology.Some(textOf(in.Value))
		}
		ins[in.Topic].SendRecord(r)
		if each {
			outs = append(outs, c.read(d))
		}
	}
	if !each {
		all = c.read(d)
		outs = [][]string{all}
	}
	if c.windowed && c.hasRows {
		rows = c.state(d)
	}
	c.late = d.Dropped("win", topology.Late)
	return outs, rows
}

// read returns what went out since the last read.
func (c *windowCase) read(d *topologytest.Driver) (lines []string) {
	line := func(key any, v topology.Opt[[]byte], at core.Time) {
		value := "null"
		if v.OK {
			value = string(v.Value)
			if c.numbers() {
				n, _ := codec.Int64.Decode(v.Value)
				value = strconv.FormatInt(n, 10)
			}
		}
		lines = append(lines, fmt.Sprintf("%v = %s @%d", key, value, at))
	}
	vc := codec.Optional(codec.Bytes)
	if c.windowed {
		for _, r := range topologytest.Topic(d, topology.NewTopic("out", c.keys, vc)).Records() {
			line(r.Key, r.Value, r.Time)
		}
		return lines
	}
	for _, r := range topologytest.Topic(d, topology.NewTopic("out", codec.String, vc)).Records() {
		line(r.Key, r.Value, r.Time)
	}
	return lines
}

func (c *windowCase) numbers() bool { return c.Aggregate == "count" || c.Aggregate == "sum" }

// state returns the rows of the windows at the end.
func (c *windowCase) state(d *topologytest.Driver) map[topology.Windowed[string]]string {
	name := "win"
	if c.Op == "cogroup" {
		name = "agg"
	}
	switch {
	case c.numbers():
		return textRows(topologytest.Table[topology.Windowed[string], int64](d, name).Rows())
	case c.Aggregate == "reduce":
		rows := map[topology.Windowed[string]]string{}
		for k, v := range topologytest.Table[topology.Windowed[string], nullable](d, name).Rows() {
			rows[k] = v.Value
		}
		return rows
	}
	return textRows(topologytest.Table[topology.Windowed[string], string](d, name).Rows())
}

func textRows[K comparable, V any](in map[K]V) map[K]string {
	rows := map[K]string{}
	for k, v := range in {
		rows[k] = fmt.Sprint(v)
	}
	return rows
}

// visible are the rows that Kafka Streams' store would show: it hides what is older than
// its retention, counted from the newest row.
func (c *windowCase) visible(rows map[topology.Windowed[string]]string) (lines []string) {
	keep := core.Time(c.RetentionMs)
	var newest core.Time
	for k := range rows {
		if c.Window == "session" {
			newest = max(newest, k.End)
		} else {
			newest = max(newest, k.Start)
		}
	}
	for k, v := range rows {
		at := k.Start
		least := core.Time(0)
		switch c.Window {
		case "time":
			least = core.Time(c.SizeMs + c.GraceMs)
		case "sliding":
			least = core.Time(2*c.DiffMs + c.GraceMs)
		case "session":
			at, least = k.End, core.Time(c.GapMs+c.GraceMs)
		}
		if at > newest-max(keep, least) {
			lines = append(lines, fmt.Sprintf("%v = %s", k, v))
		}
	}
	slices.Sort(lines)
	return lines
}

var windowWays = []topologytest.Config{
	{}, {Batch: 1000, CommitEvery: 1000}, {Seed: 1}, {Seed: 2}, {CommitEvery: 2, CrashAfter: 3}, {Seed: 4, CrashAfter: 5},
}

func TestConformanceWindows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "conformance", "windows", "*.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var cases, passed, differ, failed int
	for _, f := range files {
		for _, c := range readWindowCases(t, f) {
			if windowOps[c.Op] == nil {
				continue
			}
			cases++
			switch rule, err := c.run(t); {
			case err != nil:
				failed++
				t.Errorf("%s (quirk %q): %v", c.ID, c.Quirk, err)
			case rule != "":
				differ++
				t.Logf("differs %s %s", c.ID, rule)
			default:
				passed++
			}
		}
	}
	t.Logf("%d cases, %d passed, %d differ by design, %d failed", cases, passed, differ, failed)
}

var windowOps = map[string]func(*windowCase) *topology.Builder{
	"window-time": (*windowCase).build, "window-sliding": (*windowCase).build, "window-session": (*windowCase).build,
	"emit-on-close": (*windowCase).build, "cogroup": (*windowCase).build, "suppress-window": (*windowCase).build,
}

func init() { windowOps["suppress-time-limit"] = (*windowCase).timeLimit }

// run runs the case in each way, and says by which rule it differs, if it does.
func (c *windowCase) run(t *testing.T) (rule string, err error) {
	got, rows := c.play(t, windowWays[0], true)
	want, m := c.wants, c.model()
	slices.Sort(c.rows)
	if c.windowed && c.Window != "" {
		want, rule = m.play(c), c.differs(m)
	}
	for i, in := range c.ins {
		if !slices.Equal(got[i], want[i]) {
			return "", fmt.Errorf("%s: input %d, %+v: got\n\t%s\nwant\n\t%s", c.Op, i, in, strings.Join(got[i], "\n\t"), strings.Join(want[i], "\n\t"))
		}
	}
	if c.windowed && c.hasRows && !slices.Equal(c.visible(rows), c.visible(m.text())) {
		return "", fmt.Errorf("rows: got\n\t%s\nwant\n\t%s", strings.Join(c.visible(rows), "\n\t"), strings.Join(c.visible(m.text()), "\n\t"))
	}
	if rule == "retention" && c.Quirk != rule {
		return "", fmt.Errorf("differs by no rule: got %v, want %v", got, c.wants)
	}
	all := slices.Concat(got...)
	for _, way := range windowWays[1:] {
		got, again := c.play(t, way, false)
		if !slices.Equal(got[0], all) {
			return "", fmt.Errorf("%+v: got\n\t%s\nwant\n\t%s", way, strings.Join(got[0], "\n\t"), strings.Join(all, "\n\t"))
		}
		if !maps.Equal(again, rows) {
			return "", fmt.Errorf("%+v: rows %v, want %v", way, again, rows)
		}
	}
	return rule, nil
}

func equalLines(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal) }

// differs names the rule by which the model, which has the rules as they are said, differs
// from what Kafka Streams did; "" where it does not. The first two are rules of the model
// that can be turned off, and then it does as Kafka Streams did. The third is what remains: a
// row that Kafka Streams' store hid, though a record could still come for it.
func (c *windowCase) differs(m *windowModel) string {
	same := func(m *windowModel, outs [][]string) bool {
		return equalLines(outs, c.wants) && (!c.hasRows || slices.Equal(c.visible(m.text()), c.rows))
	}
	again := c.model()
	if same(m, again.play(c)) {
		return ""
	}
	clocks, merges, border := c.model(), c.model(), c.model()
	clocks.clocks, merges.merges, border.border = true, true, true
	switch {
	case c.Op == "suppress-window" && same(border, border.play(c)):
		return "suppress-border"
	case same(clocks, clocks.play(c)):
		return "cogroup-time"
	case same(merges, merges.play(c)):
		return "closed-session"
	}
	return "retention"
}
