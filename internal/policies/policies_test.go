package policies

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	in      = topology.NewTopic("in", codec.String, codec.Int64)
	copied  = topology.NewTopic("copied", codec.String, codec.Int64)
	out     = topology.NewTopic("out", codec.String, codec.String)
	number  = topology.NewTopic("number", codec.String, codec.JSON[float64]())
	windows = topology.NewTopic("windows", codec.Windowed(codec.String, time.Second), codec.Int64)
)

// The values that fail, each in its way.
const (
	good int64 = iota
	rejected
	panics
	past
	large
	unencodable
	misrouted
)

func step(v int64, o *topology.Out[string]) {
	switch v {
	case rejected:
		o.Emit("half")
		o.Reject(errors.New("no"))
	case panics:
		o.Emit("half")
		panic("no")
	case past:
		o.Emit("half")
		o.EmitAt(-7, "past")
	case large:
		o.Emit("half")
		o.Emit(strings.Repeat("x", 5000))
	case misrouted:
		o.Emit("astray")
	default:
		o.Emit("whole")
	}
}

// build is a topology in which a record has an output and a row before it can fail.
func build(source, operator []topology.Option) *topology.Builder {
	b := topology.New("app")
	var so []topology.SourceOption
	for _, o := range source {
		so = append(so, o)
	}
	s := in.Stream(b, so...)
	s.To(copied)
	topology.Count(s, "count")
	var sinks []topology.SinkOption
	for _, o := range operator {
		sinks = append(sinks, o)
	}
	topology.FlatMap(s, step, append(operator, topology.Named("step"))...).To(out, append(sinks, topology.PartitionBy(func(v string, n int) int {
		if v == "astray" {
			return n
		}
		return 0
	}))...)
	topology.Map(s, func(v int64) float64 {
		if v == unencodable {
			return math.NaN()
		}
		return 1
	}).To(number, sinks...)
	return b
}

type sent struct {
	name  string
	key   []byte
	value []byte
	why   topology.Reason
	place string // "": source and operator
}

func of(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

func TestErrors(t *testing.T) {
	for _, c := range []sent{
		{"undecodable", []byte("k"), []byte("abc"), topology.Undecodable, "source"},
		{"rejected", []byte("k"), of(rejected), topology.Rejected, ""},
		{"panic", []byte("k"), of(panics), topology.Panicked, ""},
		{"invalid time", []byte("k"), of(past), topology.InvalidTime, ""},
		{"too large", []byte("k"), of(large), topology.TooLarge, ""},
		{"unencodable", []byte("k"), of(unencodable), topology.Unencodable, ""},
		{"misrouted", []byte("k"), of(misrouted), topology.Misrouted, ""},
	} {
		for _, policy := range []topology.Policy{topology.Stop, topology.Skip, topology.DeadLetter, topology.DeadLetterTo("mine")} {
			for _, place := range []string{"source", "operator"} {
				if c.place != "" && c.place != place {
					continue
				}
				t.Run(fmt.Sprint(c.name, "/", policy, "/", place), func(t *testing.T) {
					// The one of the operator counts, whatever the source says.
					source, operator := []topology.Option{topology.OnError(policy)}, []topology.Option(nil)
					if place == "operator" {
						operator = source
						source = []topology.Option{topology.OnError(topology.Stop)}
						if policy == topology.Stop {
							source = []topology.Option{topology.OnError(topology.Skip)}
						}
					}
					check(t, c, policy, topologytest.Config{RecordBytes: 2000}.New(t, build(source, operator)))
				})
			}
		}
	}
}

func check(t *testing.T, c sent, policy topology.Policy, d *topologytest.Driver) {
	h := topologytest.Topic(d, in)
	h.Send("k", good)
	h.SendRaw(c.key, c.value)
	if policy == topology.Stop {
		err := d.Stopped("app")
		if err == nil || !strings.Contains(err.Error(), "topic in, partition 0, offset 1") {
			t.Fatalf("it goes on, or does not say where: %v", err)
		}
		topologytest.Topic(d, copied).Want(good)
		topologytest.Topic(d, out).Want("whole")
		return
	}
	h.Send("k", good)
	d.Crash()
	// Nothing of the record is left: not what it had done in other branches, nor its half.
	topologytest.Topic(d, copied).Want(good, good)
	topologytest.Topic(d, out).Want("whole", "whole")
	topologytest.Topic(d, number).Want(1, 1)
	topologytest.Table[string, int64](d, "count").Want(map[string]int64{"k": 2})
	topic := map[topology.Policy]string{topology.DeadLetter: "app-dead-letter", topology.DeadLetterTo("mine"): "mine"}[policy]
	if topic == "" {
		return
	}
	letters := d.DeadLetters(topic)
	if len(letters) != 1 || string(letters[0].Key) != string(c.key) || string(letters[0].Value) != string(c.value) || letters[0].Reason != c.why.String() || letters[0].Topic != "in" {
		t.Fatalf("dead letters %+v", letters)
	}
	for _, name := range []string{
		"__streams.errors.exception", "__streams.errors.message", "__streams.errors.stacktrace", "__streams.errors.topic", "__streams.errors.partition",
		"__streams.errors.offset", "limpet.errors.reason", "limpet.errors.node", "limpet.errors.task", "limpet.errors.time",
	} {
		if _, ok := letters[0].Headers.Get(name); !ok {
			t.Errorf("no header %s", name)
		}
	}
}

// What is dropped is counted with its reason, and sent to the dead letters where OnDrop says so;
// what it did elsewhere stays.
func TestDrops(t *testing.T) {
	for _, c := range []sent{
		{"null key", nil, of(5), topology.NullKey, ""},
		{"late", []byte("k"), of(5), topology.Late, ""},
	} {
		for _, policy := range []string{"none", "skip", "dead letter", "dead letter to mine"} {
			for _, place := range []string{"source", "operator"} {
				t.Run(fmt.Sprint(c.name, "/", policy, "/", place), func(t *testing.T) {
					b := topology.New("app")
					option := map[string][]topology.Option{
						"none": nil, "skip": {topology.OnDrop(topology.Skip)}, "dead letter": {topology.OnDrop(topology.DeadLetter)},
						"dead letter to mine": {topology.OnDrop(topology.DeadLetterTo("mine"))},
					}[policy]
					var so []topology.SourceOption
					var ao []topology.AggregateOption
					for _, o := range option {
						if place == "source" {
							so = append(so, o)
						} else {
							ao = append(ao, o)
						}
					}
					s := in.Stream(b, so...)
					s.To(copied)
					topology.Count(s.Window(topology.Tumbling(time.Second)), "count", ao...).To(windows)
					d := topologytest.New(t, b)
					h := topologytest.Topic(d, in)
					start := d.Now()
					h.SendRawAt(start, []byte("k"), of(1))
					h.SendRawAt(start+10_000, []byte("k"), of(2))
					at := start + 10_000
					if c.why == topology.Late {
						at = start
					}
					h.SendRawAt(at, c.key, c.value)
					h.SendRawAt(start+20_000, []byte("k"), of(3))
					d.Crash()
					topologytest.Topic(d, copied).Want(1, 2, 5, 3)
					topologytest.Topic(d, windows).Want(1, 1, 1)
					if n := d.Dropped("count", c.why); n != 1 {
						t.Errorf("%d are counted", n)
					}
					topic := map[string]string{"dead letter": "app-dead-letter", "dead letter to mine": "mine"}[policy]
					if topic == "" {
						return
					}
					letters := d.DeadLetters(topic)
					if len(letters) != 1 || string(letters[0].Value) != string(c.value) || letters[0].Reason != c.why.String() || letters[0].Node != "count" {
						t.Fatalf("dead letters %+v", letters)
					}
				})
			}
		}
	}
}
