package topology_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
