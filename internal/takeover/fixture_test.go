package takeover

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// What Kafka Streams has written, as a file: so that Limpet reads it with no Kafka at hand. It is made by
//
//	LIMPET_KAFKA=1 go test ./internal/takeover -run TestRealKafkaFixture -fixture
var makeFixture = flag.Bool("fixture", false, "have Kafka Streams write testdata anew")

const fixtureFile = "testdata/kafka-streams-4.3.1.txt"

// fixture is what Kafka Streams writes for before, and then for after, with no stop in between.
type fixture struct {
	base          int64
	logs          map[string][]*kgo.Record // changelogs behind before, by store
	before, after map[string][]string      // outputs, sorted
}

// embedded is a Kafka in this process, in which nothing expires.
type embedded struct{ *kfake.Cluster }

func (e embedded) Brokers() []string { return e.ListenAddrs() }

func (e embedded) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(e.Brokers()...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func (e embedded) CreateTopic(t testing.TB, topic string, partitions int, configs map[string]string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, int32(partitions), 1
	for k, v := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, kmsg.StringPtr(v)
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), e.Client(t))
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("topic %s: %v %v", topic, resp, err)
	}
}

func newEmbedded(t *testing.T) *cluster {
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(k.Close)
	e := embedded{k}
	return &cluster{e, e.Client(t)}
}

// topics makes the inputs and outputs of an application; at of a fixture, so nothing expires by its age.
func topics(t *testing.T, c *cluster, app string) {
	t.Helper()
	for _, name := range append(slices.Clone(inputs), outputs...) {
		c.CreateTopic(t, app+"-"+name, partitions, map[string]string{"retention.ms": "-1"})
	}
}

// setBase has the records of a test lie at a time.
func setBase(t *testing.T, at int64) {
	was := base
	base = at
	t.Cleanup(func() { base = was })
}

func TestRealKafkaFixture(t *testing.T) {
	if !*makeFixture {
		t.Skip("the fixture is made with -fixture")
	}
	kafkatest.Require(t)
	streams := kafkaStreams(maven(t))
	k := kafkatest.Start(t, kafkatest.Config{})
	c, app := &cluster{k, k.Client(t)}, "fixture"
	f := &fixture{base, map[string][]*kgo.Record{}, nil, nil}
	topics(t, c, app)
	produce(t, c, app, before())
	stop := streams.run(t, c, app)
	streams.await(t, c, app, stop, int64(len(before())))
	for _, name := range stores {
		f.logs[name] = all(t, c, changelog(app, name))
	}
	f.before = written(t, c, app)
	produce(t, c, app, after())
	streams.await(t, c, app, stop, int64(len(before())+len(after())))
	stop()
	f.after = written(t, c, app)
	for name, lines := range f.before {
		f.after[name] = without(f.after[name], lines)
	}
	must(t, os.MkdirAll("testdata", 0o755))
	must(t, os.WriteFile(fixtureFile, f.format(), 0o644))
}

// written is what an application has written to its outputs.
func written(t *testing.T, c *cluster, app string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, name := range outputs {
		for _, r := range all(t, c, app+"-"+name) {
			out[name] = append(out[name], text(r))
		}
		slices.Sort(out[name])
	}
	return out
}

// without is lines with each of those taken out once.
func without(lines, those []string) (rest []string) {
	those = slices.Clone(those)
	for _, s := range lines {
		if i := slices.Index(those, s); i >= 0 {
			those = slices.Delete(those, i, i+1)
		} else {
			rest = append(rest, s)
		}
	}
	return rest
}

func (f *fixture) format() []byte {
	var b bytes.Buffer
	b.WriteString(`# What Kafka Streams 4.3.1 (internal/takeover/streams) writes for the records of takeover_test.go:
# its changelogs behind those of before(), and what comes out for them and for those of after().
# A record of a changelog: partition, milliseconds behind base, key, value, headers. Made by
# LIMPET_KAFKA=1 go test ./internal/takeover -run TestRealKafkaFixture -fixture
`)
	fmt.Fprintf(&b, "base %d\n", f.base)
	for _, store := range stores {
		fmt.Fprintf(&b, "\nchangelog %s\n", store)
		rs := slices.Clone(f.logs[store])
		slices.SortStableFunc(rs, func(x, y *kgo.Record) int { return int(x.Partition - y.Partition) })
		for _, r := range rs {
			fmt.Fprintf(&b, "%d %d %q ", r.Partition, r.Timestamp.UnixMilli()-f.base, r.Key)
			if r.Value == nil {
				b.WriteString("null")
			} else {
				fmt.Fprintf(&b, "%q", r.Value)
			}
			for _, h := range r.Headers {
				fmt.Fprintf(&b, " %q %q", h.Key, h.Value)
			}
			b.WriteString("\n")
		}
	}
	for _, part := range []struct {
		name  string
		lines map[string][]string
	}{{"before", f.before}, {"after", f.after}} {
		for _, name := range outputs {
			fmt.Fprintf(&b, "\n%s %s\n%s", part.name, name, strings.Join(append(part.lines[name], ""), "\n"))
		}
	}
	return b.Bytes()
}

func readFixture(t *testing.T) *fixture {
	t.Helper()
	b, err := os.ReadFile(fixtureFile)
	must(t, err)
	f := &fixture{0, map[string][]*kgo.Record{}, map[string][]string{}, map[string][]string{}}
	var part, name string
	for n, line := range strings.Split(string(b), "\n") {
		words := strings.Fields(line)
		switch {
		case line == "" || line[0] == '#':
			part = ""
		case part == "" && words[0] == "base":
			f.base, err = strconv.ParseInt(words[1], 10, 64)
			must(t, err)
		case part == "":
			part, name = words[0], words[1]
		case part == "changelog":
			r := &kgo.Record{}
			var at int64
			_, err = fmt.Sscan(line, &r.Partition, &at)
			must(t, err)
			r.Timestamp = time.UnixMilli(f.base + at)
			var texts [][]byte
			for _, rest, _ := strings.Cut(line[strings.IndexByte(line, ' ')+1:], " "); rest != ""; rest = strings.TrimPrefix(rest, " ") {
				if after, ok := strings.CutPrefix(rest, "null"); ok {
					texts, rest = append(texts, nil), after
					continue
				}
				q, err := strconv.QuotedPrefix(rest)
				if err != nil {
					t.Fatalf("%s: line %d: %v", fixtureFile, n+1, err)
				}
				s, _ := strconv.Unquote(q)
				texts, rest = append(texts, []byte(s)), rest[len(q):]
			}
			r.Key, r.Value = texts[0], texts[1]
			for i := 2; i+1 < len(texts); i += 2 {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(texts[i]), Value: texts[i+1]})
			}
			f.logs[name] = append(f.logs[name], r)
		case part == "before":
			f.before[name] = append(f.before[name], line)
		default:
			f.after[name] = append(f.after[name], line)
		}
	}
	return f
}

// Limpet goes on from changelogs that Kafka Streams has written, and writes what Kafka Streams would have.
func TestGoesOnFromFixture(t *testing.T) {
	f, c, app := readFixture(t), newEmbedded(t), "fixture"
	setBase(t, f.base)
	topics(t, c, app)
	produce(t, c, app, before())
	commitEnds(t, c, app)
	for _, name := range stores {
		topic := changelog(app, name)
		configs := map[string]string{"cleanup.policy": "compact"}
		if name == "prices" {
			configs["min.compaction.lag.ms"] = "90000000" // as Kafka Streams has made it, by the history
		}
		c.CreateTopic(t, topic, partitions, configs)
		if len(f.logs[name]) == 0 {
			t.Fatalf("%s: nothing of %s", fixtureFile, name)
		}
		cl := c.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for _, r := range f.logs[name] {
			r.Topic = topic
		}
		must(t, cl.ProduceSync(t.Context(), f.logs[name]...).FirstErr())
	}
	produce(t, c, app, after())
	limpet.take(t, c, app, int64(len(before())+len(after())))
	got := written(t, c, app)
	for _, name := range outputs {
		if len(f.after[name]) == 0 {
			t.Errorf("%s: nothing of %s", fixtureFile, name)
		}
		same(t, "Kafka Streams and Limpet: "+name, f.after[name], got[name])
	}
}

// Limpet writes the changelogs that Kafka Streams writes.
func TestWritesFixture(t *testing.T) {
	f, c, app := readFixture(t), newEmbedded(t), "fixture"
	setBase(t, f.base)
	topics(t, c, app)
	produce(t, c, app, before())
	limpet.take(t, c, app, int64(len(before())))
	for _, name := range stores {
		same(t, "Kafka Streams and Limpet: changelog of "+name, folded(f.logs[name], name), folded(all(t, c, changelog(app, name)), name))
	}
	got := written(t, c, app)
	for _, name := range outputs {
		same(t, "Kafka Streams and Limpet: "+name, f.before[name], got[name])
	}
}

// commitEnds commits the ends of the inputs for an application, as a group of Kafka Streams has.
func commitEnds(t *testing.T, c *cluster, app string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	var topics []string
	for _, name := range inputs {
		topics = append(topics, app+"-"+name)
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = app, -1
	for _, lt := range ends(ctx, t, c, topics...) {
		ct := kmsg.NewOffsetCommitRequestTopic()
		ct.Topic = lt.Topic
		for _, lp := range lt.Partitions {
			cp := kmsg.NewOffsetCommitRequestTopicPartition()
			cp.Partition, cp.Offset = lp.Partition, lp.Offset
			ct.Partitions = append(ct.Partitions, cp)
		}
		commit.Topics = append(commit.Topics, ct)
	}
	// Later versions name topics by id.
	resp, err := commit.RequestWith(ctx, c.Client(t, kgo.MaxVersions(kversion.V3_9_0())))
	must(t, err)
	for _, ct := range resp.Topics {
		for _, cp := range ct.Partitions {
			if cp.ErrorCode != 0 {
				t.Fatalf("%s: error %d", ct.Topic, cp.ErrorCode)
			}
		}
	}
}
