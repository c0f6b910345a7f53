package topology_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The examples play records through a topology, as topologytest does: what comes in is
// "topic@time key value", with - for null, and what goes out is shown as "key value @time".

// Numbers are written as text.
var (
	Amounts = topology.NewTopic("amounts", codec.String, codec.JSON[int](), topology.Partitions(1))
	Sums    = topology.NewTopic("sums", codec.String, codec.JSON[int](), topology.Partitions(1))
)

// exampleTB is a test to a Driver, where there is none.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                   {}
func (exampleTB) Failed() bool              { return false }
func (exampleTB) Cleanup(func())            {}
func (exampleTB) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleTB) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }

// play runs the topology on records, each in a commit of its own.
func play(b *topology.Builder, records ...string) *driver { return playIn(1, b, records...) }

// playIn commits after every so many records.
func playIn(commit int, b *topology.Builder, records ...string) *driver {
	d := topologytest.Config{CommitEvery: commit}.New(exampleTB{}, b)
	send(d, records...)
	return d
}

func send(d *driver, records ...string) {
	for _, r := range records {
		f := strings.Fields(r)
		topic, at, _ := strings.Cut(f[0], "@")
		t, err := strconv.ParseInt(at, 10, 64)
		if err != nil || len(f) != 3 {
			panic("no record: " + r)
		}
		h := topologytest.Topic(d, topology.NewTopic(topic, codec.String, codec.Bytes))
		h.SendRawAt(topology.Time(t), nullOr(f[1]), nullOr(f[2]))
	}
}

func nullOr(s string) []byte {
	if s == "-" {
		return nil
	}
	return []byte(s)
}

// show prints what the topology wrote to a topic since it was last asked.
func show[K comparable, V any](d *driver, t topology.Topic[K, V]) {
	for _, r := range topologytest.Topic(d, t).Records() {
		fmt.Println(r.Key, r.Value, "@"+strconv.FormatInt(int64(r.Time), 10))
	}
}

// optional is the topic with values that may be null: tombstones, of tables.
func optional[K comparable, V any](t topology.Topic[K, V]) topology.Topic[K, topology.Opt[V]] {
	kc, vc := t.Codecs()
	return topology.NewTopic(t.Name(), kc, codec.Optional(vc))
}

// docs/operators.md names examples: each must be there.
func TestExamplesOfTheDocs(t *testing.T) {
	docs, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\[(Example\w+)\]\(\.\./topology/([\w/]+\.go)\)`).FindAllStringSubmatch(string(docs), -1)
	if len(links) < 90 {
		t.Errorf("%d examples are named", len(links))
	}
	for _, l := range links {
		if src, err := os.ReadFile(l[2]); err != nil || !strings.Contains(string(src), "\nfunc "+l[1]+"() {") {
			t.Errorf("%s is not in %s: %v", l[1], l[2], err)
		}
	}
}
