package topology_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestJoinStreams(t *testing.T) {
	b := topology.New("streams")
	words, others := Words.Stream(b), Others.Stream(b)
	w := topology.Between(-time.Minute, 2*time.Minute).Grace(time.Minute)
	topology.JoinStreams(words, others, "inner", w, plus).To(Out)
	topology.LeftJoinStreams(words, others, "left", w, plusOr).To(Out2)
	topology.OuterJoinStreams(words, others, "outer", w, orNone).To(caseTopic("outer"))
	topologytest.EveryWay(t, func(d *driver) {
		words, others := open(d, Words), open(d, Others)
		at := topologytest.At
		words.SendAt(at("10:00"), "k", "a")
		others.SendAt(at("09:58"), "k", "early") // it waits: for words of 09:56 to 09:59
		others.SendAt(at("09:59"), "k", "x")     // the bounds belong to the window
		others.SendAt(at("10:02"), "k", "y")
		open(d, Out).Want("a+x", "a+y")
		others.SendAt(at("10:02:30"), "k", "z")
		words.SendAt(at("10:01"), "k", "b")
		open(d, Out).Want("b+y", "b+z")
		open(d, Out2).Want("a+x", "a+y", "b+y", "b+z")
		open(d, caseTopic("outer")).Want("-+early", "a+x", "a+y", "b+y", "b+z")
		words.SendAt(at("10:10"), "k", "c")
		others.SendAt(at("10:13"), "k", "late")
		open(d, Out2).WantNone() // c waits a minute longer
		others.SendAt(at("10:13:00.001"), "k", "later")
		open(d, Out).WantNone()
		open(d, Out2).Want("c+-")
		words.SendAt(at("09:00"), "k", "too late")
		open(d, Out2).Want("too late+-")
		open(d, caseTopic("outer")).Want("c+-", "too late+-")
	}, b)
}

// What cannot be matched any more is in no store, and in no changelog.
func TestJoinedRecordsExpire(t *testing.T) {
	b := topology.New("expire")
	topology.OuterJoinStreams(Words.Stream(b), Others.Stream(b), "join", topology.Within(time.Second), orNone).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		for i := range 20 {
			at := topologytest.At("10:00").Add(time.Duration(i) * time.Minute)
			open(d, Words).SendAt(at, "k", fmt.Sprint("w", i))
			open(d, Others).SendAt(at.Add(time.Millisecond), "k", fmt.Sprint("o", i%3))
		}
		for i := range 20 {
			open(d, Others).SendAt(topologytest.At("11:00").Add(time.Duration(i)*time.Minute), "k", "alone")
		}
		open(d, Words).SendAt(topologytest.At("12:00"), "k", "last")
		got := open(d, Out).Values()
		if len(got) != 40 || got[0] != "w0+o0" || got[39] != "-+alone" {
			t.Errorf("%d results: %v", len(got), got)
		}
		d.Crash()
		for name, want := range map[string]int{"join-outer-this-join-store": 1, "join-outer-other-join-store": 1, "join-outer-shared-join-store": 1} {
			if n := topologytest.Count(d, name); n != want {
				t.Errorf("store %s has %d rows, want %d", name, n, want)
			}
		}
	}, b)
}

func TestSelfJoin(t *testing.T) {
	b := topology.New("self")
	words := Words.Stream(b)
	topology.JoinStreams(words, words, "pairs", topology.Between(0, time.Minute), plus).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		words := open(d, Words)
		words.Send("k", "a")
		words.Send("k", "b")
		words.SendAt(topologytest.At("00:02"), "k", "c")
		open(d, Out).Want("a+a", "a+b", "b+b", "c+c")
	}, b)
}

// A record with no key meets nobody.
func TestJoinStreamsNullKeys(t *testing.T) {
	b := topology.New("keyless")
	words, others := Words.Stream(b), Others.Stream(b)
	topology.JoinStreams(words, others, "inner", topology.Within(time.Minute), plus).To(Out)
	topology.LeftJoinStreams(words, others, "left", topology.Within(time.Minute), plusOr).To(Out2)
	topologytest.EveryWay(t, func(d *driver) {
		open(d, Words).SendRaw(nil, []byte("a"))
		open(d, Others).SendRaw(nil, []byte("x"))
		open(d, Out).WantNone()
		open(d, Out2).Want("a+-")
		if n := d.Dropped("inner", topology.NullKey); n != 2 {
			t.Errorf("inner dropped %d, want 2", n)
		}
		if n := d.Dropped("left", topology.NullKey); n != 1 {
			t.Errorf("left dropped %d, want 1", n)
		}
	}, b)
}
