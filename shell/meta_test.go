package shell

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	"github.com/seed-81380e12/limpet/internal/placed"
	"github.com/seed-81380e12/limpet/statestore"
)

func TestMeta(t *testing.T) {
	for _, m := range []meta{
		{},
		{times: []core.Time{core.NoTime, core.NoTime}},
		{partitions: 7, topics: []statestore.TopicMark{{Name: 1<<32 - 1, ID: 5}, {Name: 0, ID: 1<<32 - 1}}},
		{topics: []statestore.TopicMark{{Name: 3, ID: 5}}, begun: true},
		{topics: []statestore.TopicMark{{Name: 3, ID: 5}}, begun: true, begins: []logBegin{{3, 1}, {1<<32 - 1, 1<<63 - 1}}},
		{times: []core.Time{1_800_000_000_000, -1}, ends: []logEnd{{0, -1}, {1 << 31, 0}, {7, 1 << 62}}},
	} {
		got, err := decodeMeta(m.encode())
		if err != nil || !slices.Equal(got.times, m.times) || !slices.Equal(got.ends, m.ends) || got.partitions != m.partitions || !slices.Equal(got.topics, m.topics) ||
			got.begun != m.begun || !slices.Equal(got.begins, m.begins) {
			t.Errorf("%v became %v, %v", m, got, err)
		}
	}
	// A broker refuses more than 4096 bytes: a hundred tables must fit.
	big := meta{begun: true, times: make([]core.Time, 100), ends: make([]logEnd, 100), topics: make([]statestore.TopicMark, 100)}
	for i := range big.ends {
		big.times[i], big.ends[i] = 1_800_000_000_000, logEnd{1<<32 - 1, 1 << 62}
		big.topics[i] = statestore.TopicMark{Name: 1<<32 - 1, ID: 1<<32 - 1}
	}
	if n := len(big.encode()); n > 4096 {
		t.Errorf("%d bytes", n)
	}
}

// Metadata of others is none; what begins as ours must be whole.
func TestMetaOfOthers(t *testing.T) {
	for _, s := range []string{"", "AgAAAYvP5WgAAAAAAA==", "AQAAAYvP5WgA", "AQ", "noted by hand"} { // the first two as Kafka Streams writes them
		if m, err := decodeMeta(s); err != nil || m.times != nil || m.ends != nil || m.partitions != 0 {
			t.Errorf("%q: %+v, %v", s, m, err)
		}
	}
	for _, s := range []string{"limpet", "limpet1", "limpet2:", "limpet1:", "limpet1:!", "limpet1:BQ", "limpet1:AAAAAAE", "limpet1:AAAAAAEAAAAB", "limpet1:AAAAAAI"} {
		if m, err := decodeMeta(s); !errors.Is(err, errMeta) {
			t.Errorf("%q: %+v, %v", s, m, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(meta{times: []core.Time{5, -1}, ends: []logEnd{{3, -1}, {4, 7}}}.encode())
	f.Add("")
	f.Add(meta{partitions: 3, topics: []statestore.TopicMark{{Name: 1, ID: 2}}}.encode())
	f.Add(meta{topics: []statestore.TopicMark{{Name: 1, ID: 2}}, begun: true, begins: []logBegin{{1, 300}}}.encode())
	f.Add("limpet1:")
	f.Fuzz(func(t *testing.T, s string) {
		var m meta
		var err error
		allocated.Within(t, "decodeMeta", allocated.For(len(s)), func() { m, err = decodeMeta(s) })
		if err != nil {
			if placed.Error(t, err, len(s)); !errors.Is(err, errMeta) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := decodeMeta(m.encode())
		if err != nil || !slices.Equal(again.times, m.times) || !slices.Equal(again.ends, m.ends) || !slices.Equal(again.topics, m.topics) ||
			again.begun != m.begun || !slices.Equal(again.begins, m.begins) {
			t.Errorf("%q is %v, and then %v, %v", s, m, again, err)
		}
	})
}
