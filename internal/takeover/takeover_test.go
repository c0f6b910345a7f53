package takeover

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/shell/kafka"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

const (
	partitions = 2
	opMax      = 3 * time.Minute // the machine may be busy
)

// base is when it all happens: lately, or brokers would delete records by their age.
var base = time.Now().Add(-10 * time.Minute).Truncate(time.Minute).UnixMilli()

func topicOf(app, name string) topology.Topic[string, string] {
	return topology.NewTopic(app+"-"+name, codec.String, codec.String)
}

// build is what streams/ says in Java.
func build(app string) *topology.Builder {
	b := topology.New("takeover")
	words := topicOf(app, "words").Stream(b)
	topology.Count(words, "counts").To(topology.NewTopic(app+"-counts-out", codec.String, codec.Int64))
	topology.Count(words.Window(topology.Tumbling(10*time.Second).Grace(30*time.Second)), "windows").
		To(topology.NewTopic(app+"-windows-out", codec.Windowed(codec.String, 10*time.Second), codec.Int64))
	topology.Count(words.Window(topology.Session(5*time.Second).Grace(30*time.Second)), "sessions").
		To(topology.NewTopic(app+"-sessions-out", codec.SessionWindowed(codec.String), codec.Int64))

	prices := topology.VersionedTable(b, topicOf(app, "prices"), time.Hour)
	orders := topicOf(app, "orders").Stream(b)
	topology.LeftJoin(orders, prices, "priced", func(order string, price topology.Opt[string]) string {
		return order + "+" + price.Or("null")
	}).To(topicOf(app, "orders-out"))
	topology.LeftJoin(orders, prices, "buffered", func(order string, price topology.Opt[string]) string {
		return order + "~" + price.Or("null")
	}, topology.Grace(5*time.Second)).To(topicOf(app, "buffered-out"))

	left, right := topicOf(app, "left").Stream(b), topicOf(app, "right").Stream(b)
	near := topology.Within(10 * time.Second).Grace(5 * time.Second)
	topology.LeftJoinStreams(left, right, "lefts", near, func(x string, y topology.Opt[string]) string {
		return x + "+" + y.Or("null")
	}).To(topicOf(app, "lefts-out"))
	topology.OuterJoinStreams(left, right, "outers", near, func(x, y topology.Opt[string]) string {
		return x.Or("null") + "+" + y.Or("null")
	}).To(topicOf(app, "outers-out"))
	return b
}

var (
	inputs  = []string{"words", "prices", "orders", "left", "right"}
	outputs = []string{"counts-out", "windows-out", "sessions-out", "orders-out", "buffered-out", "lefts-out", "outers-out"}
	// The stores as Kafka Streams names them.
	stores = []string{
		"counts", "windows", "sessions", "prices", "buffered-Buffer",
		"lefts-this-join-store", "lefts-outer-other-join-store", "lefts-left-shared-join-store",
		"outers-outer-this-join-store", "outers-outer-other-join-store", "outers-outer-shared-join-store",
	}
)

// changelog is a store's topic. That of a topic's table has the topic's name, which begins with the application's here.
func changelog(app, store string) string {
	if store == "prices" {
		store = app + "-" + store
	}
	return app + "-" + store + "-changelog"
}

// input is a record; at is in milliseconds behind base, value "" is null.
type input struct {
	topic, key, value string
	at                int64
}

// before is what the first one of the two applications takes. Nothing in it expires.
func before() (in []input) {
	for i, key := range []string{"a", "b", "a", "c", "d", "a", "b", "e", "a"} {
		in = append(in, input{"words", key, "w", int64(i) * 1500})
	}
	in = append(in, input{"words", "a", "late", 500})
	for i, key := range []string{"a", "b", "c", "d", "e"} {
		at := int64(i) * 1000
		in = append(in,
			input{"prices", key, "p1", at}, input{"prices", key, "p3", at + 4000}, input{"prices", key, "p2", at + 2000},
			input{"orders", key, "o1", at + 2500},
			input{"left", key, "l1", at}, input{"left", key, "l1b", at}, input{"right", key, "r1", at + 200})
	}
	return append(in,
		input{"prices", "a", "", 9000}, input{"prices", "b", "p4", 9500},
		input{"left", "alone", "l2", 6000}, input{"right", "single", "r2", 6100}, input{"left", "alone", "l2b", 6000},
		input{"left", "both", "l3", 7000}, input{"right", "single", "r2b", 8000})
}

// after goes on with all of that: counts, open windows, sessions that are merged, versions of before,
// records that wait for a partner, and those that find none.
func after() (in []input) {
	for i, key := range []string{"a", "b", "c", "d", "e"} {
		at := 13000 + int64(i)*1000
		in = append(in,
			input{"words", key, "w", at},
			input{"orders", key, "o2", at - 10500}, input{"orders", key, "o3", at},
			input{"prices", key, "p5", at + 100},
			input{"left", key, "l4", at - 5000}, input{"right", key, "r4", at - 6000})
	}
	in = append(in, input{"right", "both", "r5", 16000})
	// Unmatched ones come out when time has gone on, in each partition; Kafka Streams looks for them behind
	// an unmatched one of later.
	for _, key := range []string{"u", "v", "w", "x", "y", "z"} {
		for _, at := range []int64{40_000, 80_000, 120_000} {
			in = append(in, input{"left", key, "l", at}, input{"right", key + key, "r", at})
		}
	}
	return in
}

// cluster is a broker, a real one or one in this process, and what asks it.
type cluster struct {
	brokers
	client *kgo.Client
}

type brokers interface {
	Brokers() []string
	Client(t testing.TB, opts ...kgo.Opt) *kgo.Client
	CreateTopic(t testing.TB, topic string, partitions int, configs map[string]string)
}

// application is one of the two implementations: run runs it until stop is called.
type application struct {
	name string
	run  func(t *testing.T, c *cluster, app string) (stop func())
}

var limpet = application{"Limpet", func(t *testing.T, c *cluster, app string) (stop func()) {
	plan, err := build(app).Build()
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	go func() {
		broker, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers(), Logger: logger})
		if err == nil {
			err = errors.Join(shell.Run(ctx, plan, shell.Config{Broker: broker, AppID: app, StateDir: t.TempDir(), Logger: logger}), broker.Close())
		}
		ended <- err
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Fatalf("Limpet: %v", err)
		}
	}
}}

func kafkaStreams(command []string) application {
	return application{"Kafka Streams", func(t *testing.T, c *cluster, app string) (stop func()) {
		cmd := exec.Command(command[0], append(command[1:], strings.Join(c.Brokers(), ","), app, t.TempDir())...)
		var told bytes.Buffer
		cmd.Stderr = &told
		must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() {
			if _ = cmd.Process.Kill(); t.Failed() {
				t.Logf("Kafka Streams says:\n%s", told.String())
			}
		})
		return func() {
			must(t, cmd.Process.Signal(syscall.SIGTERM))
			if err := <-ended; err != nil && cmd.ProcessState.ExitCode() != 143 { // by the signal
				t.Fatalf("Kafka Streams: %v\n%s", err, told.Bytes())
			}
		}
	}}
}

// take lets an application take all that there is.
func (a application) take(t *testing.T, c *cluster, app string, n int64) {
	t.Helper()
	stop := a.run(t, c, app)
	a.await(t, c, app, stop, n)
	stop()
}

// await waits until an application that runs has taken n records.
func (a application) await(t *testing.T, c *cluster, app string, stop func(), n int64) {
	t.Helper()
	for until := time.Now().Add(opMax); ; time.Sleep(50 * time.Millisecond) {
		done := committed(t, c, app)
		if done >= n {
			return
		}
		if time.Now().After(until) {
			stop()
			t.Fatalf("%s has taken %d records of %d", a.name, done, n)
		}
	}
}

// TestRealKafkaTakeover has each implementation go on where the other one, or itself, has stopped.
func TestRealKafkaTakeover(t *testing.T) {
	kafkatest.Require(t)
	streams := kafkaStreams(maven(t))
	k := kafkatest.Start(t, kafkatest.Config{})
	c := &cluster{k, k.Client(t)}
	var changelogs, results []map[string][]string
	names := []string{}
	for _, pair := range [][2]application{{streams, streams}, {limpet, limpet}, {limpet, streams}, {streams, limpet}} {
		app := strings.ToLower(strings.ReplaceAll(pair[0].name+"-"+pair[1].name, " ", ""))
		t.Run(app, func(t *testing.T) {
			for _, name := range append(slices.Clone(inputs), outputs...) {
				c.CreateTopic(t, app+"-"+name, partitions, nil)
			}
			produce(t, c, app, before())
			pair[0].take(t, c, app, int64(len(before())))
			sameStores(t, c, app)
			logs := map[string][]string{}
			for _, name := range stores {
				logs[name] = folded(all(t, c, changelog(app, name)), name)
			}
			changelogs = append(changelogs, logs)
			if pair[0].name != limpet.name && pair[1].name == limpet.name {
				compact(t, c, app)
			}
			produce(t, c, app, after())
			pair[1].take(t, c, app, int64(len(before())+len(after())))
			out := map[string][]string{}
			for _, name := range outputs {
				for _, r := range all(t, c, app+"-"+name) {
					out[name] = append(out[name], text(r))
				}
				slices.Sort(out[name])
				if len(out[name]) == 0 {
					t.Errorf("%s: there is nothing in %s", app, name)
				}
			}
			results, names = append(results, out), append(names, app)
		})
	}
	for i := 1; i < len(results); i++ {
		for _, name := range stores {
			same(t, names[0]+" and "+names[i]+": changelog of "+name, changelogs[0][name], changelogs[i][name])
		}
		for _, name := range outputs {
			of := 0
			if name == forgets {
				of = i % 2 // whoever went on
			}
			same(t, names[of]+" and "+names[i]+": "+name, results[of][name], results[i][name])
		}
	}
	if lost := len(without(results[1][forgets], results[0][forgets])); lost == 0 {
		t.Errorf("%s: Kafka Streams goes on with what waits: then it is no exception", forgets)
	}
}

// forgets is the output of a join with grace: Kafka Streams 4.3.1 reads the keys of the buffer's changelog as those
// of another store, also where it wrote them itself. It finds none of the records that wait, and takes their
// keys for a time far ahead, so that none waits any more.
const forgets = "buffered-out"

// sameStores compares the names of the changelogs.
func sameStores(t *testing.T, c *cluster, app string) {
	t.Helper()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), c.client)
	must(t, err)
	var want, got []string
	for _, topic := range resp.Topics {
		name := *topic.Topic
		if strings.HasPrefix(name, app+"-") && strings.HasSuffix(name, "-changelog") {
			got = append(got, name)
		}
	}
	for _, name := range stores {
		want = append(want, changelog(app, name))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		same(t, app+": changelogs", want, got)
		t.FailNow()
	}
}

// compact is the one thing to be done before Limpet goes on: the changelogs of windows and joins lose no record
// by its age. It refuses to begin else, and says so.
func compact(t *testing.T, c *cluster, app string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, name := range stores {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, changelog(app, name)
		v := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		v.Name, v.Value = "cleanup.policy", kmsg.StringPtr("compact")
		r.Configs = append(r.Configs, v)
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(t.Context(), c.client)
	must(t, err)
	for _, r := range resp.Resources {
		if r.ErrorCode != 0 {
			t.Fatalf("%s: error %d", r.ResourceName, r.ErrorCode)
		}
	}
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	var b strings.Builder
	for _, s := range want {
		if !slices.Contains(got, s) {
			b.WriteString("\n\t- " + s)
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			b.WriteString("\n\t+ " + s)
		}
	}
	t.Errorf("%s: %d and %d%s", what, len(want), len(got), b.String())
}

func text(r *kgo.Record) string {
	if r.Value == nil {
		return fmt.Sprintf("partition %d: %q -> null @%d", r.Partition, r.Key, r.Timestamp.UnixMilli()-base)
	}
	return fmt.Sprintf("partition %d: %q -> %q @%d", r.Partition, r.Key, r.Value, r.Timestamp.UnixMilli()-base)
}

// folded is what a changelog leads to, but for what has no meaning. That of versions has a record for each
// time of a key. Records that joins keep are numbered: by key and time here, by store in Kafka Streams. The
// times of sessions' records are nowhere read, nor are those of a buffer's, which also say where each record was
// read: not here.
func folded(rs []*kgo.Record, store string) (rows []string) {
	last := map[string]string{}
	buffer := strings.HasSuffix(store, "-Buffer")
	numbered := buffer || strings.HasSuffix(store, "this-join-store") || strings.HasSuffix(store, "other-join-store")
	for _, r := range rs {
		k := fmt.Sprintf("%d %q", r.Partition, r.Key)
		if store == "prices" {
			k += fmt.Sprint(r.Timestamp)
		}
		if r.Value == nil && store != "prices" {
			delete(last, k)
			continue
		}
		plain := *r
		if buffer {
			plain.Timestamp, plain.Value = time.UnixMilli(base), nowhere(r.Value)
		}
		switch {
		case numbered:
			plain.Key = r.Key[:len(r.Key)-4]
		case store == "sessions":
			plain.Timestamp = time.UnixMilli(base)
		}
		last[k] = text(&plain)
	}
	for _, k := range slices.Sorted(maps.Keys(last)) { // those of a key and time by their numbers
		rows = append(rows, last[k])
	}
	if !numbered {
		slices.Sort(rows)
	}
	return rows
}

// nowhere is a row of a buffer without offset, topic and partition, which lie behind its time.
func nowhere(row []byte) []byte {
	topic := int(binary.BigEndian.Uint32(row[16:]))
	return slices.Concat(row[:8], row[16+4+topic+4:])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// produce writes records to the partitions of Kafka's own clients.
func produce(t *testing.T, c *cluster, app string, in []input) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	var rs []*kgo.Record
	for _, r := range in {
		rec := &kgo.Record{Topic: app + "-" + r.topic, Key: []byte(r.key), Timestamp: time.UnixMilli(base + r.at)}
		if r.value != "" {
			rec.Value = []byte(r.value)
		}
		rs = append(rs, rec)
	}
	must(t, c.client.ProduceSync(ctx, rs...).FirstErr())
}

// committed is how many records of its inputs an application has behind it.
func committed(t *testing.T, c *cluster, app string) (n int64) {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = app
	for _, name := range inputs {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic = app + "-" + name
		for p := range int32(partitions) {
			gt.Partitions = append(gt.Partitions, p)
		}
		g.Topics = append(g.Topics, gt)
	}
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(t.Context(), c.client)
	if kerr.IsRetriable(err) {
		return 0 // it has no coordinator yet
	}
	must(t, err)
	for _, g := range resp.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				n += max(0, p.Offset)
			}
		}
	}
	return n
}

// ends are the ends of topics.
func ends(ctx context.Context, t *testing.T, c *cluster, topics ...string) []kmsg.ListOffsetsResponseTopic {
	t.Helper()
	list := kmsg.NewPtrListOffsetsRequest()
	list.ReplicaID = -1
	for _, name := range topics {
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = name
		for p := range int32(partitions) {
			lp := kmsg.NewListOffsetsRequestTopicPartition()
			lp.Partition, lp.Timestamp = p, -1
			lt.Partitions = append(lt.Partitions, lp)
		}
		list.Topics = append(list.Topics, lt)
	}
	found, err := list.RequestWith(ctx, c.client)
	must(t, err)
	for _, lt := range found.Topics {
		for _, lp := range lt.Partitions {
			if lp.ErrorCode != 0 {
				t.Fatalf("%s: error %d", lt.Topic, lp.ErrorCode)
			}
		}
	}
	return found.Topics
}

// all reads what is committed in a topic. No application writes to it.
func all(t *testing.T, c *cluster, topic string) (rs []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), opMax)
	defer cancel()
	open := map[int32]int64{}
	for _, p := range ends(ctx, t, c, topic)[0].Partitions {
		if p.Offset > 0 {
			open[p.Partition] = p.Offset
		}
	}
	cl := c.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	for len(open) > 0 {
		fs := cl.PollFetches(ctx)
		must(t, errors.Join(fs.Err(), ctx.Err()))
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				rs = append(rs, r)
			}
			if r.Offset+1 >= open[r.Partition] { // that of a transaction's end, mostly
				delete(open, r.Partition)
			}
		})
	}
	return rs
}

// maven builds the Java application, unless it is there and its sources are older.
func maven(t *testing.T) (command []string) {
	t.Helper()
	classpath, err := kafkatest.Java(t.Context(), "streams", "../../.cache/takeover")
	must(t, err)
	return []string{"java", "-Xmx512m", "-cp", classpath, "takeover.Main"}
}
