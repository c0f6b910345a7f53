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
	topology.LeftJoin(Words.Stream(b), Rows.Table(b, topology.Versioned(time.Hour)), "join", orNobody).To(Out)
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
	Words.Stream(b, topology.Versioned(ttl)).ToTable("a", topology.Versioned(-1))
	topology.Count(Words.Stream(b), "b", topology.Versioned(ttl))
	rows := Rows.Table(b, topology.Versioned(ttl), topology.TTL(ttl))
	topology.CountTable(rows, "c", first, topology.Versioned(ttl))
	topology.JoinTables(rows, Plain.Table(b), "d", plus, topology.Versioned(ttl))
	_, err := b.Build()
	if err == nil {
		t.Fatal("it builds")
	}
	for _, want := range []string{
		`stream "words": Versioned is for`, `"a": Versioned(-1ns)`, `"b": Versioned is for`, `"rows": TTL(10ms): versions go`,
		`"c": Versioned is for`, `"d": Versioned is for`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
