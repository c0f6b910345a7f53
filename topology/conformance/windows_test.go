package conformance_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func init() {
	for _, op := range []string{"window-time", "window-sliding", "window-session", "emit-on-close", "suppress-window", "suppress-time-limit", "cogroup", "stream-aggregate", "repartition"} {
		conformanceOps[op] = windowSpec
		conformanceRules[op] = []conformanceRule{{"retention", retention}}
	}
}

// windowCase is a case of aggregates of streams, mostly with windows.
type windowCase struct {
	ID, Op, Window, Aggregate, Source, Shape string

	SizeMs      int64 `json:"size_ms"`
	AdvanceMs   int64 `json:"advance_ms"`
	GraceMs     int64 `json:"grace_ms"`
	DiffMs      int64 `json:"time_difference_ms"`
	GapMs       int64 `json:"gap_ms"`
	RetentionMs int64 `json:"retention_ms"`
	WaitMs      int64 `json:"wait_ms"`
	MaxRecords  *int  `json:"max_records"`

	ins                        []windowIn
	late                       int      // in the last run
	lates                      []string // what came too late then
	hasRows, windowed, onClose bool
	keys, rowKeys              core.Codec[topology.Windowed[string]]
}

type windowIn struct {
	Topic string
	Key   *string
	Value any
	Ts    int64
}

// windowCaseOf reads the parameters of a case.
func windowCaseOf(c *conformanceCase) *windowCase {
	b, err := json.Marshal(c.Params)
	if err != nil {
		panic(err)
	}
	w := new(windowCase)
	if err := json.Unmarshal(b, w); err != nil {
		panic(err)
	}
	w.Op = c.Op
	if w.Window == "" {
		w.Window = "none"
	}
	for _, s := range c.Steps {
		for _, r := range s.In {
			in := windowIn{Topic: r.Topic, Key: r.Key, Ts: int64(r.At)}
			if r.Value != nil {
				in.Value = *r.Value
			}
			w.ins = append(w.ins, in)
		}
	}
	return w
}

// windowSpec is the topology of such a case.
func windowSpec(c *conformanceCase) *conformanceSpec {
	w := windowCaseOf(c)
	s := newSpec(w.build())
	out := wireText{plainText, plainText}
	if w.numbers() {
		out.value = decodedText(codec.Int64)
	}
	row := out
	if w.windowed {
		out.key, row.key = decodedText(w.keys), decodedText(w.rowKeys)
	}
	s.outs["out"] = out
	for store := range c.States {
		s.states[store] = func(d *topologytest.Driver) (lines []stateLine) {
			for _, r := range topologytest.RawRows(d, store) {
				l := stateLine{key: row.key(r.Key), value: row.value(r.Value), at: r.At}
				if w.windowed {
					k, err := w.rowKeys.Decode(r.Key)
					if err != nil {
						panic(err)
					}
					l.window = &k
				}
				lines = append(lines, l)
			}
			return lines
		}
	}
	return s
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
		w, c.keys, c.rowKeys = topology.Hopping(ms(c.SizeMs), ms(c.AdvanceMs)), codec.Windowed(codec.String, ms(c.SizeMs)), codec.WindowRows(codec.String, ms(c.SizeMs))
	case "sliding":
		w, c.keys, c.rowKeys = topology.Sliding(ms(c.DiffMs)), codec.Windowed(codec.String, ms(c.DiffMs)), codec.WindowRows(codec.String, ms(c.DiffMs))
	case "session":
		w, c.keys = topology.Session(ms(c.GapMs)), codec.SessionWindowed(codec.String)
		c.rowKeys = c.keys
	default:
		panic("window " + c.Window)
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
		finishCase(c, topology.Count(g, c.table(), opts...), keys, codec.Int64)
	case "sum":
		add := func(n int64, v nullable) int64 {
			x, _ := strconv.ParseInt(v.Or("0"), 10, 64)
			return n + x
		}
		finishCase(c, topology.Aggregate(g, c.table(), add, merging(topology.Merging(func(a, b int64) int64 { return a + b }))...), keys, codec.Int64)
	case "reduce":
		add := func(a, v nullable) nullable { return topology.Some(a.Or("null") + "+" + v.Or("null")) }
		none := topology.DeleteWhen(func(v nullable) bool { return !v.OK })
		rows := topology.StateCodec(codec.Optional(codec.String))
		finishCase(c, topology.Reduce(g, c.table(), add, append(opts, none, rows)...), keys, codec.Optional(codec.String))
	case "concat", "concat-reset":
		opts = append(opts, topology.DeleteWhen(func(s string) bool { return s == gone }))
		merge := topology.Merging(func(a, b string) string { return a + "&" + b })
		finishCase(c, topology.Aggregate(g, c.table(), c.concat("|"), merging(merge)...), keys, codec.String)
	default:
		panic("aggregate " + c.Aggregate)
	}
}

func finishCase[K comparable, A any](c *windowCase, t topology.Table[K, A], keys core.Codec[K], vc core.Codec[A]) {
	switch c.Op {
	case "suppress-window":
		t = topology.Suppress(t, "held", topology.UntilClosed())
	case "suppress-time-limit":
		var opts []topology.SuppressOption
		if c.MaxRecords != nil {
			opts = append(opts, topology.MaxRecords(*c.MaxRecords), topology.EmitEarly())
		}
		t = topology.Suppress(t, "held", topology.UntilTimeLimit(time.Duration(c.WaitMs)*time.Millisecond), opts...)
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
		c.Aggregate = "count"
		finishCase(c, topology.Count(notNull(inTopic("input").Stream(b)), "count"), codec.String, codec.Int64)
	case "window-count":
		c.windowed, c.Aggregate, c.keys, c.rowKeys = true, "count", codec.Windowed(codec.String, size), codec.WindowRows(codec.String, size)
		w := topology.Tumbling(size).Grace(time.Duration(c.GraceMs) * time.Millisecond)
		finishCase(c, topology.Count(inTopic("input").Stream(b).Window(w), "count"), c.keys, codec.Int64)
	default:
		panic("source " + c.Source)
	}
	return b
}

// build makes the topology of a case.
func (c *windowCase) build() *topology.Builder {
	if c.Op == "suppress-time-limit" {
		return c.timeLimit()
	}
	b := topology.New("case")
	c.windowed = c.Window != "none"
	c.onClose = c.Op == "emit-on-close"
	if c.Op == "cogroup" {
		c.cogroup(b)
		return b
	}
	in := c.rekeyed(inTopic("input").Stream(b))
	if c.Window == "sliding" || c.Window == "none" {
		in = notNull(in)
	}
	if c.windowed {
		w := in.Window(c.rule())
		aggregateCase(c, w, c.keys)
		w.Late().To(nullStrings("late"))
		return b
	}
	aggregateCase(c, in, codec.String)
	return b
}

func notNull(s topology.Stream[string, nullable]) topology.Stream[string, nullable] {
	return s.Filter(func(v nullable) bool { return v.OK })
}

// rekeyed gives records their new key, as a case of repartition says.
func (c *windowCase) rekeyed(in topology.Stream[string, nullable]) topology.Stream[string, nullable] {
	switch c.Shape {
	case "":
		return in
	case "repartition":
		return in.Repartition("again")
	case "selectKey", "groupBy", "map", "selectKey-window":
	default:
		panic("shape " + c.Shape)
	}
	in = in.Filter(func(v nullable) bool { k, _ := newKey(v); return k != "" })
	in = topology.KeyBy(in, "by", func(v nullable) string { k, _ := newKey(v); return k })
	if c.Shape == "map" {
		return topology.Map(in, func(v nullable) nullable { _, rest := newKey(v); return topology.Some(rest) })
	}
	return in
}

// newKey is what is before ':', and what is behind it; "" is no key.
func newKey(v nullable) (key, rest string) {
	if key, rest, _ = strings.Cut(v.Value, ":"); key == "-" || !v.OK {
		return "", rest
	}
	return key, rest
}

func (c *windowCase) cogroup(b *topology.Builder) {
	first, second := inTopic("first").Stream(b), inTopic("second").Stream(b)
	if c.Window == "none" || c.Window == "sliding" {
		first, second = notNull(first), notNull(second)
	}
	if c.Window == "none" {
		topology.Aggregate(first, "agg", c.concat("|"), topology.Also(second, c.concat("/"))).To(topology.NewTopic("out", codec.String, codec.String))
		return
	}
	w := c.rule()
	opts := []topology.AggregateOption{topology.Also(second.Window(w), c.concat("/"))}
	if c.Window == "session" {
		opts = append(opts, topology.Merging(func(a, b string) string { return a + "&" + b }))
	}
	topology.Aggregate(first.Window(w), "agg", c.concat("|"), opts...).To(topology.NewTopic("out", c.keys, codec.String))
}

// table is the name of the aggregate's table.
func (c *windowCase) table() string {
	if c.Op == "cogroup" || !c.windowed || c.Op == "repartition" {
		return "agg"
	}
	return "win"
}

// play runs a case and returns what went out for each input, or for all of them.
func (c *windowCase) play(t *testing.T, way topologytest.Config, each bool) (outs [][]string, rows map[topology.Windowed[string]]string) {
	d := way.New(t, c.build())
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
	c.late, c.lates = d.Dropped(c.table(), topology.Late), nil
	for _, r := range topologytest.Topic(d, nullStrings("late")).Records() {
		c.lates = append(c.lates, fmt.Sprintf("%s = %s @%d", r.Key, r.Value.Or("null"), r.Time))
	}
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
	name := c.table()
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

// retention is that of Kafka Streams' store of a case.
func (c *windowCase) retention() core.Time {
	least := c.SizeMs + c.GraceMs
	switch c.Window {
	case "sliding":
		least = 2*c.DiffMs + c.GraceMs
	case "session":
		least = c.GapMs + c.GraceMs
	}
	return core.Time(max(c.RetentionMs, least))
}

// shown are those of the rows of a store that Kafka Streams would show, which is what a case tells:
// it hides what is older than its retention, counted from the newest row.
func (c *conformanceCase) shown(rows []stateLine) (seen []stateLine) {
	w := windowCaseOf(c)
	base := func(r stateLine) core.Time {
		if w.Window == "session" {
			return r.window.End
		}
		return r.window.Start
	}
	var newest core.Time
	for _, r := range rows {
		if r.window != nil {
			newest = max(newest, base(r))
		}
	}
	for _, r := range rows {
		if r.window == nil || base(r) > newest-w.retention() {
			seen = append(seen, r)
		}
	}
	return seen
}

var windowWays = []topologytest.Config{
	{}, {Batch: 1000, CommitEvery: 1000}, {Seed: 1}, {Seed: 2}, {CommitEvery: 2, CrashAfter: 3}, {Seed: 4, CrashAfter: 5},
}

// retention is the rule of that name: no row is hidden, or begun anew, as long as a record can change it.
// Kafka Streams' model has a store that hides what is older than its retention; the other one keeps rows as
// docs/semantics.md says, and all of them must be there.
func retention(c *conformanceCase) (streams, limpet *conformanceCase) {
	if c.str("window") == "" && c.str("shape") != "selectKey-window" || c.str("window") == "none" || c.Op == "suppress-time-limit" {
		return nil, nil
	}
	w := windowCaseOf(c)
	w.build()
	play := func(strict bool) *conformanceCase {
		m := w.model()
		m.Strict, m.Retention = strict, w.retention()
		d := c.with(m.steps(w, c.Steps))
		d.States, d.AllRows = map[string][]stateLine{}, !strict
		for store := range c.States {
			d.States[store] = m.lines()
		}
		return d
	}
	return play(true), play(false)
}

// lines are the model's rows as a case has them. Those of sessions have no time.
func (m *windowModel) lines() (lines []stateLine) {
	for k, r := range m.Rows {
		k := windowed(k)
		l := stateLine{key: k.String(), value: r.Value, window: &k}
		if m.Kind != plain.Session {
			l.at = r.Time
		}
		lines = append(lines, l)
	}
	return lines
}
