package topology_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// textCase is a case of Kafka's own tests: its topology is told in words.
type textCase struct {
	ID, Topology string
	Steps        []windowStep
	Inputs       []windowIn
	Expected     []windowOut
	OnUpdate     map[string][]windowOut `json:"expected_on_update"`
	OnClose      map[string][]windowOut `json:"expected_on_close"`
}

func readTextCases(t *testing.T, name string) []*textCase {
	f, err := os.Open(filepath.Join("testdata", "conformance", "windows", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var data struct{ Cases []*textCase }
	if err := json.NewDecoder(z).Decode(&data); err != nil {
		t.Fatal(err)
	}
	return data.Cases
}

// number is the number that follows a word in the topology's text.
func (c *textCase) number(after string) time.Duration {
	m := regexp.MustCompile(after + ` (\d+)`).FindStringSubmatch(c.Topology)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return time.Duration(n) * time.Millisecond
}

// What goes out is text: the value, and for windows the key in brackets.
func asText[K comparable, V any](rs []core.Record[K, V], key func(K) string, value func(V) string) (lines []string) {
	for _, r := range rs {
		lines = append(lines, fmt.Sprintf("%s = %s @%d", key(r.Key), value(r.Value), r.Time))
	}
	return lines
}

func plain[T any](v T) string { return fmt.Sprint(v) }

func plainOpt[T any](v topology.Opt[T]) string {
	if !v.OK {
		return "null"
	}
	return fmt.Sprint(v.Value)
}

// suppressCase makes the topology of a case of SuppressScenarioTest, and what reads a topic.
func (c *textCase) suppressCase() (b *topology.Builder, read func(d *topologytest.Driver, topic string) []string) {
	b = topology.New("case")
	until := topology.UntilTimeLimit(c.number("time limit"))
	var opts []topology.SuppressOption
	if strings.Contains(c.Topology, "max time, max 1 record") {
		until, opts = topology.UntilTimeLimit(1000*time.Hour), []topology.SuppressOption{topology.MaxRecords(1), topology.EmitEarly()}
	}
	table := func(name string) topology.Table[string, string] {
		return topology.NewTopic(name, codec.String, codec.String).Table(b)
	}
	numbers := func(d *topologytest.Driver, topic string) []string {
		return asText(topologytest.Topic(d, topology.NewTopic(topic, codec.String, codec.Optional(codec.Int64))).Records(), plain[string], plainOpt[int64])
	}
	join := func(l, r topology.Table[string, string]) {
		topology.OuterJoinTables(l, r, "joined", func(a, b topology.Opt[string]) string {
			return "(" + plainOpt(a) + "," + plainOpt(b) + ")"
		}).To(topology.NewTopic("output", codec.String, codec.String))
		read = func(d *topologytest.Driver, topic string) []string {
			return asText(topologytest.Topic(d, topology.NewTopic(topic, codec.String, codec.Optional(codec.String))).Records(), plain[string], plainOpt[string])
		}
	}
	switch {
	case strings.HasPrefix(c.Topology, "table(input)"):
		counts := topology.CountTable(table("input"), "counts", func(v string) string { return v })
		counts.To(topology.NewTopic("output-raw", codec.String, codec.Int64))
		counts.Suppress("held", until, opts...).To(topology.NewTopic("output-suppressed", codec.String, codec.Int64))
		return b, numbers
	case strings.HasPrefix(c.Topology, "table(topic)"):
		// Keys are the values in capitals; a group is made of values.
		topology.CountTable(table("topic").Suppress("held", until), "counts", strings.ToUpper).To(topology.NewTopic("output", codec.String, codec.Int64))
		return b, numbers
	case strings.HasPrefix(c.Topology, "table(left)"):
		join(table("left"), table("right").Suppress("held", until))
		return b, read
	case strings.HasPrefix(c.Topology, "(table(left)"):
		join(table("left").Suppress("held", until), table("right"))
		return b, read
	}
	size := c.number("tumbling")
	w, keys := topology.Tumbling(size), codec.Windowed(codec.String, size)
	if strings.Contains(c.Topology, "session") {
		w, keys = topology.Session(c.number("gap")), codec.SessionWindowed(codec.String)
	}
	in := topology.NewTopic("input", codec.String, codec.String).Stream(b)
	counts := topology.Count(in.Window(w.Grace(c.number("grace"))), "counts")
	counts.To(topology.NewTopic("output-raw", keys, codec.Int64))
	counts.Suppress("held", topology.UntilClosed()).To(topology.NewTopic("output-suppressed", keys, codec.Int64))
	return b, func(d *topologytest.Driver, topic string) []string {
		key := func(k topology.Windowed[string]) string { return fmt.Sprintf("[%s@%d/%d]", k.Key, k.Start, k.End) }
		return asText(topologytest.Topic(d, topology.NewTopic(topic, keys, codec.Optional(codec.Int64))).Records(), key, plainOpt[int64])
	}
}

// The cases of KStreamWindowAggregateTest and KStreamSlidingWindowAggregateTest.
func TestConformanceWindowTests(t *testing.T) {
	for _, c := range slices.Concat(readTextCases(t, "KStreamWindowAggregateTest.testAggBasic"), readTextCases(t, "KStreamSlidingWindowAggregateTest.small")) {
		size := c.number("size")
		w := topology.Hopping(size, c.number("advance"))
		if strings.Contains(c.Topology, "sliding") {
			size = c.number("timeDifference")
			w = topology.Sliding(size)
		}
		for _, onClose := range []bool{false, true} {
			var opts []topology.AggregateOption
			if onClose {
				opts = append(opts, topology.EmitOnClose())
			}
			b := topology.New("case")
			topic := topology.NewTopic(c.Inputs[0].Topic, codec.String, codec.String)
			out := topology.NewTopic("out", codec.Windowed(codec.String, size), codec.String)
			in := topic.Stream(b).Window(w.Grace(c.number("grace")))
			if strings.Contains(c.Topology, "reduce") {
				topology.Reduce(in, "win", func(a, v string) string { return a + "+" + v }, opts...).To(out)
			} else {
				topology.Aggregate(in, "win", func(a, v string) string {
					if a == "" {
						a = "0"
					}
					return a + "+" + v
				}, opts...).To(out)
			}
			var want []string
			sets := c.OnUpdate
			if onClose {
				sets = c.OnClose
			}
			for start, outs := range sets { // by window
				for _, o := range outs {
					want = append(want, fmt.Sprintf("%s = %v @%d", start, o.Value, o.Ts))
				}
			}
			if !onClose {
				for _, o := range c.Expected {
					k := o.Key.(map[string]any)
					want = append(want, fmt.Sprintf("%v@%v = %v @%d", k["k"], textOf(k["start"]), o.Value, o.Ts))
				}
			}
			for _, way := range windowWays {
				d := way.New(t, b)
				for _, r := range c.Inputs {
					topologytest.Topic(d, topic).SendAt(core.Time(r.Ts), *r.Key, textOf(r.Value))
				}
				key := func(k topology.Windowed[string]) string { return fmt.Sprintf("%s@%d", k.Key, k.Start) }
				if sets != nil {
					key = func(k topology.Windowed[string]) string { return fmt.Sprint(k.Start) }
				}
				got := asText(topologytest.Topic(d, out).Records(), key, plain[string])
				if sets != nil { // there is no order between windows in these cases
					slices.Sort(got)
					slices.Sort(want)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, on close %v, %+v: got %v, want %v", c.ID, onClose, way, got, want)
				}
			}
		}
	}
}

func TestConformanceSuppressScenarios(t *testing.T) {
	for _, c := range readTextCases(t, "SuppressScenarioTest") {
		for _, way := range windowWays {
			b, read := c.suppressCase()
			d := way.New(t, b)
			for i, s := range c.Steps {
				if s.In != nil {
					in := topologytest.Topic(d, topology.NewTopic(s.In.Topic, codec.String, codec.Optional(codec.String)))
					v := topology.None[string]()
					if s.In.Value != nil {
						v = topology.Some(textOf(s.In.Value))
					}
					in.SendRecord(core.Record[string, nullable]{Key: *s.In.Key, Value: v, Time: core.Time(s.In.Ts)})
				}
				for topic, want := range s.Expect {
					var lines []string
					for _, o := range want {
						lines = append(lines, o.line())
					}
					if got := read(d, topic); !slices.Equal(got, lines) {
						t.Errorf("%s, %+v: %s\nstep %d, %s: got %v, want %v", c.ID, way, c.Topology, i, topic, got, lines)
					}
				}
			}
		}
	}
}
