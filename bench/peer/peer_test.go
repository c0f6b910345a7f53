package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/examples/nexmark"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The test binary is the peer, too, so that the tests see a process with a signal and an
// exit status.
func TestMain(m *testing.M) {
	if os.Getenv("PEER_TEST_MAIN") == "1" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestParse(t *testing.T) {
	env := func(string) string { return "" }
	j, err := parse([]string{"join", "a:1,b:2", "orders,customers", "emails", "app"}, env)
	if err != nil || len(j.brokers) != 2 || len(j.in) != 2 || j.state != "state" || j.atLeastOnce || j.commitEvery != 0 {
		t.Errorf("%+v, %v", j, err)
	}
	set := func(name string) string {
		return map[string]string{"PEER_MODE": "alo", "PEER_STATE": "/s", "PEER_COMMIT_MS": "10", "PEER_EMIT": "commit"}[name]
	}
	if j, err = parse([]string{"count", "a:1", "in", "out", "app"}, set); err != nil || !j.atLeastOnce || !j.perCommit || j.state != "/s" || j.commitEvery != 10*time.Millisecond {
		t.Errorf("%+v, %v", j, err)
	}
	for _, wrong := range []string{"count a:1 in out", "join a:1 orders out app", "nothing a:1 in out app", "count a:1 a,b out app"} {
		if _, err := parse(strings.Fields(wrong), env); err == nil {
			t.Errorf("%s: no error", wrong)
		}
	}
	for name, value := range map[string]string{"PEER_MODE": "both", "PEER_EMIT": "never", "PEER_COMMIT_MS": "soon", "PEER_WORKERS": "0", "PEER_MEMORY_MB": "-1"} {
		if _, err := parse([]string{"count", "a:1", "in", "out", "app"}, func(n string) string {
			if n == name {
				return value
			}
			return ""
		}); err == nil {
			t.Errorf("%s=%s: no error", name, value)
		}
	}
}

func TestPeer(t *testing.T) {
	c, err := cluster.InProcess()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	testPeer(t, c)
}

func TestRealKafkaPeer(t *testing.T) {
	k := kafkatest.Start(t, kafkatest.Config{})
	testPeer(t, &cluster.Cluster{Brokers: k.Brokers()})
}

const (
	partitions = 3
	minute     = 60_000
)

// trial is what a workload is given and what it must make of it, by key.
type trial struct {
	workload string
	in       []input
	want     map[string][]string
}

type input struct {
	topic   string
	config  map[string]string
	records []*kgo.Record
}

// name tells the trials of a workload apart by where the last input comes from.
func (tr *trial) name() string { return tr.workload + "-" + tr.in[len(tr.in)-1].topic }

func testPeer(t *testing.T, c *cluster.Cluster) {
	for _, mode := range []string{"eos", "alo"} {
		for _, tr := range trials(t) {
			t.Run(tr.name()+"-"+mode, func(t *testing.T) {
				app := strings.ReplaceAll(t.Name(), "/", "-")
				var topics []string
				for _, in := range tr.in {
					topic := app + "-" + in.topic
					topics = append(topics, topic)
					fill(t, c, topic, in)
				}
				out := app + "-out"
				create(t, c, out, nil)
				args := []string{tr.workload, strings.Join(c.Brokers, ","), strings.Join(topics, ","), out, app}
				stop := start(t, mode, t.TempDir(), args)
				waitFor(t, c, out, tr.want)
				stop()
				// What was committed is not made again, with an empty folder neither.
				stop = start(t, mode, t.TempDir(), args)
				more := tr.in[0]
				last := *more.records[len(more.records)-1]
				more.records = []*kgo.Record{&last}
				fill(t, c, topics[0], more)
				want := map[string][]string{}
				for k, v := range tr.want {
					want[k] = v
				}
				key := string(last.Key)
				want[key] = append(slices.Clone(want[key]), again(tr.workload, want[key])...)
				waitFor(t, c, out, want)
				stop()
			})
		}
	}
}

// With PEER_EMIT=commit the last count of a key is right, whichever come before.
func TestPerCommit(t *testing.T) {
	for _, workload := range []string{"count", "window"} {
		j, err := parse([]string{workload, "a:1", "in", "out", "app"}, func(n string) string { return map[string]string{"PEER_EMIT": "commit"}[n] })
		if err != nil {
			t.Fatal(err)
		}
		for commit, plan := range map[bool]*topology.Plan{true: must(build(workload, j.in, j.out, nil, j.perCommit)), false: must(build(workload, j.in, j.out, nil, false))} {
			if got := strings.Contains(plan.Describe(topology.AsText), "emitPerCommit"); got != commit {
				t.Errorf("%s: described as\n%s", workload, plan.Describe(topology.AsText))
			}
		}
	}
}

func must(p *topology.Plan, err error) *topology.Plan {
	if err != nil {
		panic(err)
	}
	return p
}

// again is what the last record of the first input leads to, once more.
func again(workload string, before []string) []string {
	last := []byte(before[len(before)-1])
	switch workload {
	case "streamjoin": // both partners
		return before
	case "count", "window":
		last[len(last)-1]++
	}
	return []string{string(last)}
}

func trials(t *testing.T) []trial {
	rec := func(key, value string, at int64) *kgo.Record {
		return &kgo.Record{Key: []byte(key), Value: []byte(value), Timestamp: time.UnixMilli(minute*1000 + at)}
	}
	js := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	n := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	events := input{"in", nil, []*kgo.Record{rec("a", "1", 0), rec("b", "2", 1), rec("a", "3", 2), rec("a", "4", minute)}}
	ada := emailservice.Customer{ID: "a", Name: "Ada", Email: "ada@example.com", Locale: "en", OptIn: true}
	order := emailservice.Order{OrderID: "o1", CustomerID: "a", SKU: "book", Quantity: 2, Cents: 1990, Currency: "GBP"}
	orders := input{"orders", nil, []*kgo.Record{rec("nobody", js(order), 1), rec("a", js(order), 1)}}
	customers := []*kgo.Record{rec("a", js(ada), 0)}
	email := js(emailservice.Email{
		OrderID: "o1", CustomerID: "a", To: "ada@example.com", Locale: "en", Template: "order-confirmation",
		Subject: "Your order o1", Body: "Dear Ada, we received your order of 2 x book.", Cents: 1990, Currency: "GBP",
	})
	compacted := map[string]string{"cleanup.policy": "compact"}
	return []trial{
		{"passthrough", []input{events}, map[string][]string{"a": {"1", "3", "4"}, "b": {"2"}}},
		{"count", []input{events}, map[string][]string{"a": {n(1), n(2), n(3)}, "b": {n(1)}}},
		{"window", []input{events}, map[string][]string{
			"a": {n(1000*minute) + n(1), n(1000*minute) + n(2), n(1001*minute) + n(1)}, "b": {n(1000*minute) + n(1)},
		}},
		{"join", []input{orders, {"customers", compacted, customers}}, map[string][]string{"a": {email}}},
		{"join", []input{orders, {"customers-deleted", nil, customers}}, map[string][]string{"a": {email}}},
		{
			"streamjoin",
			[]input{
				{"left", nil, []*kgo.Record{rec("b", "left-b", 0), rec("a", "left-a", minute)}},
				{"right", nil, []*kgo.Record{rec("a", "right-a", 0), rec("b", "right-b", minute+1), rec("a", "more-a", minute+2)}},
			},
			map[string][]string{"a": {"leftrigh", "leftmore"}},
		},
		nexmark2(t), nexmark20(t),
	}
}

var (
	lot = nexmark.Auction{ID: 1230, ItemName: "clock", Category: 10, Seller: 7, DateTime: minute, Expires: 2 * minute}
	bid = nexmark.Bid{Auction: 1230, Bidder: 9, Price: 500, Channel: "web", DateTime: minute + 1}
)

// nexmark2 is a query with one input, nexmark20 one with a table.
func nexmark2(t *testing.T) trial {
	key, _, bids := bidsOf(t)
	return trial{"nexmark-q2", []input{{"bids", nil, bids}}, map[string][]string{key: {string(encode(t, codec.Int64, bid.Price))}}}
}

func nexmark20(t *testing.T) trial {
	key, value, bids := bidsOf(t)
	auction := encode(t, nexmark.AuctionCodec, lot)
	auctions := []*kgo.Record{{Key: []byte(key), Value: auction, Timestamp: time.UnixMilli(int64(lot.DateTime))}}
	return trial{"nexmark-q20", []input{{"bids", nil, bids}, {"auctions", map[string]string{"cleanup.policy": "compact"}, auctions}}, map[string][]string{key: {value + string(auction)}}}
}

func bidsOf(t *testing.T) (key, value string, records []*kgo.Record) {
	other := bid
	other.Auction = 1 // in no result
	for _, b := range []nexmark.Bid{other, bid} {
		key, value = string(encode(t, codec.Int64, b.Auction)), string(encode(t, nexmark.BidCodec, b))
		records = append(records, &kgo.Record{Key: []byte(key), Value: []byte(value), Timestamp: time.UnixMilli(int64(b.DateTime))})
	}
	return key, value, records
}

func encode[T any](t *testing.T, c topology.Codec[T], v T) []byte {
	t.Helper()
	b, err := c.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each workload is described, with as many topics as it says.
func TestBuild(t *testing.T) {
	for workload, n := range inputs {
		if _, err := build(workload, []string{"a", "b"}[:n], "out", nil, false); err != nil {
			t.Errorf("%s: %v", workload, err)
		}
		if _, err := build(workload, []string{"a", "b", "c"}[:n+1], "out", nil, false); err == nil {
			t.Errorf("%s with %d topics: no error", workload, n+1)
		}
	}
}

func create(t *testing.T, c *cluster.Cluster, topic string, config map[string]string) {
	t.Helper()
	all := map[string]string{"retention.ms": "-1"}
	for k, v := range config {
		all[k] = v
	}
	if err := c.Create(t.Context(), topic, partitions, all); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, c *cluster.Cluster, topic string, in input) {
	t.Helper()
	create(t, c, topic, in.config)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, r := range in.records {
		r := *r
		r.Topic = topic
		if err := cl.ProduceSync(t.Context(), &r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts the peer; stop sends SIGTERM and wants exit status 0.
func start(t *testing.T, mode, state string, args []string) (stop func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "PEER_TEST_MAIN=1", "PEER_MODE="+mode, "PEER_STATE="+state)
	if mode == "alo" {
		cmd.Env = append(cmd.Env, "PEER_FLUSHES="+state+"/flushes")
	}
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("the peer ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the peer does not stop")
		}
	}
}

// waitFor waits until the output is what it must be, and not more.
func waitFor(t *testing.T, c *cluster.Cluster, out string, want map[string][]string) {
	t.Helper()
	records := 0
	for _, v := range want {
		records += len(v)
	}
	var got map[string][]string
	for until := time.Now().Add(60 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		n := 0
		got = map[string][]string{}
		if err := c.Read(t.Context(), out, partitions, func(r *kgo.Record) error {
			got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
			n++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n < records {
			continue
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			break
		}
		return
	}
	t.Fatalf("got  %q\nwant %q", got, want)
}
