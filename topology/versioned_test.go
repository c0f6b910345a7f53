package topology_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// A changelog has the records that Kafka Streams writes: the row's key, the version's time,
// null for a deletion; and of a late version, the latest one behind it, which compaction keeps.
func TestVersionedChangelog(t *testing.T) {
	b := topology.New("log")
	topology.LeftJoin(Words.Stream(b), topology.VersionedTable(b, Rows, time.Hour), "join", orNobody).To(Out)
	d := topologytest.New(t, b)
	rows := open(d, Rows)
	rows.SendRawAt(5, []byte("k"), []byte("a"))
	rows.SendRawAt(9, []byte("k"), nil)
	rows.SendRawAt(7, []byte("k"), []byte("late"))
	open(d, Words).SendAt(8, "k", "w")
	open(d, Words).SendAt(9, "k", "w")
	open(d, Out).Want("w+late", "w+nobody")
	var got []string
	for _, r := range topologytest.Topic(d, topology.NewTopic("log-rows-changelog", codec.String, codec.Optional(codec.String))).Records() {
		got = append(got, fmt.Sprintf("%s=%s@%d", r.Key, r.Value.Or("-"), r.Time))
	}
	if want := "[k=a@5 k=-@9 k=late@7 k=-@9]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// What is forgotten is not told again: the last record of a row in the changelog, which compaction
// keeps, is its latest version.
func TestVersionedChangelogEndsWithTheLatest(t *testing.T) {
	b := topology.New("log")
	topology.LeftJoin(Words.Stream(b), topology.VersionedTable(b, Rows, ttl), "join", orNobody).To(Out)
	for _, c := range []topologytest.Config{{Partitions: 1}, {Partitions: 1, CommitEvery: 2}, {Partitions: 1, CommitEvery: 100}} {
		d := c.New(t, b)
		rows := open(d, Rows)
		rows.SendRawAt(5, []byte("k"), []byte("a"))
		rows.SendRawAt(6, []byte("k"), nil)
		rows.SendRawAt(7, []byte("k"), []byte("b"))
		rows.SendRawAt(8, []byte("gone"), []byte("c"))
		rows.SendRawAt(9, []byte("gone"), nil)
		rows.SendRawAt(100, []byte("other"), []byte("c"))
		last := map[string]string{}
		for _, r := range topologytest.Topic(d, topology.NewTopic("log-rows-changelog", codec.String, codec.Optional(codec.String))).Records() {
			last[r.Key] = fmt.Sprintf("%s@%d", r.Value.Or("-"), r.Time)
		}
		if got, want := fmt.Sprint(last), "map[gone:-@9 k:b@7 other:c@100]"; got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}

// A deletion that is past the history says nothing any more: with none before it there is no row.
func TestVersionedDeletionIsForgotten(t *testing.T) {
	b := topology.New("forgotten")
	topology.LeftJoin(Words.Stream(b), topology.VersionedTable(b, Rows, ttl), "join", orNobody).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		rows := open(d, Rows)
		rows.SendRawAt(5, []byte("k"), []byte("a"))
		rows.SendRawAt(9, []byte("k"), nil)
		rows.SendRawAt(10, []byte("k2"), []byte("b"))
		for _, key := range []string{"k", "k2", "other"} { // in whichever partitions they are
			rows.SendRawAt(100, []byte(key+"x"), []byte("c"))
		}
		rows.SendRawAt(200, []byte("k"), nil)
		rows.SendRawAt(300, []byte("k"), []byte("d"))
		open(d, Words).SendAt(300, "k", "w")
		open(d, Out).Want("w+d")
		for _, r := range topologytest.RawRows(d, "rows") {
			if key, at, err := core.CutVersion(r.Key); err != nil || string(key) == "k" && at != 300 {
				t.Errorf("a version of %s @%d is kept, %v", key, at, err)
			}
		}
	}, b)
}

func TestVersionedMistakes(t *testing.T) {
	b := topology.New("mistakes")
	topology.ToVersionedTable(Words.Stream(b), "a", -1)
	topology.VersionedTable(b, Rows, ttl, topology.TTL(ttl))
	topology.VersionedTable(b, Plain, ttl, topology.WallTime())
	_, err := b.Build()
	if err == nil {
		t.Fatal("it builds")
	}
	for _, want := range []string{
		`"a": history of -1ns`, `"rows": TTL(10ms): versions go`, `has the records' own times`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// A version that was committed, and in the next commit becomes a deletion that is past the history
// at once: the changelog is told of the deletion, or a restore would find the row again.
func TestVersionedDeletionInTheNextCommit(t *testing.T) {
	for _, history := range []time.Duration{0, ttl} {
		for every := 1; every <= 4; every++ {
			b := topology.New("log")
			topology.LeftJoin(Words.Stream(b), topology.VersionedTable(b, Rows, history), "join", orNobody).To(Out)
			d := topologytest.Config{Partitions: 1, Batch: 1, CommitEvery: every}.New(t, b)
			rows := open(d, Rows)
			rows.SendRawAt(10, []byte("x"), []byte("x"))
			rows.SendRawAt(17, []byte("k"), []byte("a"))
			rows.SendRawAt(17, []byte("k"), nil)
			rows.SendRawAt(100, []byte("other"), []byte("b"))
			open(d, Words).SendAt(100, "k", "before")
			d.Crash()
			open(d, Words).SendAt(100, "k", "after")
			open(d, Out).Want("before+nobody", "after+nobody")
		}
	}
}
