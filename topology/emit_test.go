package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	paced1 = topology.NewTopic("paced-in", codec.String, codec.String, topology.Partitions(1))
	paced2 = topology.NewTopic("paced-out", codec.String, codec.String, topology.Partitions(1))
)

// changesTo writes the changes of a table as text, "old>new".
func changesTo(t topology.Table[string, string], to topology.Topic[string, string]) {
	topology.Map(topology.Changes(t), func(c topology.Change[string]) string { return c.Old.Or("-") + ">" + c.New.Or("-") }).To(to)
}

// deletable is a value that deletes its row where it is "x".
func deletable(s string) bool { return s == "x" }

func TestEmitPerCommit(t *testing.T) {
	b := topology.New("per-commit")
	rows := topology.EmitPerCommit(paced1.Stream(b).ToTable("rows", topology.DeleteWhen(deletable)))
	changesTo(rows, paced2)
	d := topologytest.Config{CommitEvery: 5}.New(t, b)
	in, out := topologytest.Topic(d, paced1), topologytest.Topic(d, paced2)
	send := func(s string) { in.Send(s[:1], s[1:]) }
	send("b1")
	send("a1")
	at := d.Now()
	in.SendRecord(topology.Record[string, string]{Key: "b", Value: "2", Time: at, Headers: topology.Headers{}.With("h", "2")})
	send("c1") // comes and goes
	send("cx")
	send("b3")
	send("ax")
	rs := out.Records()
	var got []string
	for _, r := range rs {
		got = append(got, r.Key+" "+r.Value)
	}
	want := []string{"b ->2", "a ->1", "b 2>3", "a 1>-"} // commits after five records, and at rest
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if h, _ := rs[0].Headers.Get("h"); rs[0].Time != at || h != "2" {
		t.Errorf("time and headers are those of the last change: %v", rs[0])
	}
	topologytest.Table[string, string](d, "rows").Want(map[string]string{"b": "3"})
}

// What looks a row up finds it as it last went on, and all that a change leads to is in the
// same commit: so whatever the commits, a join holds what its sides hold, and each old row is
// the one that was passed on before.
func TestEmitPerCommitOfWhateverIsBehind(t *testing.T) {
	build := func(on bool) *topology.Builder {
		emitted := func(t topology.Table[string, string]) topology.Table[string, string] {
			if on {
				return topology.EmitPerCommit(t)
			}
			return t
		}
		b := topology.New("behind")
		join := func(a, b string) string { return a + "+" + b }
		left := emitted(Words.Stream(b).ToTable("left", topology.DeleteWhen(deletable)))
		right := emitted(Others.Stream(b).ToTable("right", topology.DeleteWhen(deletable)))
		joined := emitted(topology.JoinTables(left, topology.MapTable(right, upper), "joined", join))
		self := emitted(topology.LeftJoinTables(joined, left, "self", func(a string, b topology.Opt[string]) string { return a + "/" + b.Or("?") }))
		changesTo(self, Out)
		topology.Changes(self).ToTable("last")
		counts := topology.CountTable(self, "counts", func(s string) string { return s[:1] },
			topology.DeleteWhen(func(n int64) bool { return n == 0 })) // without the groups that came and went
		if on {
			counts = topology.EmitPerCommit(counts)
		}
		counts.To(Counts)
		topology.Join(Words.Stream(b), left, "seen", join).To(Out2)
		return b
	}
	rapid.Check(t, func(rt *rapid.T) {
		var steps []sent
		for range rapid.IntRange(1, 30).Draw(rt, "records") {
			steps = append(steps, sent{
				topic: rapid.SampledFrom([]string{"words", "others"}).Draw(rt, "topic"),
				key:   rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"), value: rapid.SampledFrom([]string{"1", "2", "x"}).Draw(rt, "value"),
			})
		}
		tables := func(d *driver) string {
			counts := topologytest.Table[string, int64](d, "counts").Rows()
			return fmt.Sprint(topologytest.Table[string, string](d, "left").Rows(), topologytest.Table[string, string](d, "right").Rows(),
				topologytest.Table[string, string](d, "self").Rows(), counts)
		}
		play := func(c topologytest.Config, on bool) *driver {
			d := c.New(t, build(on))
			for _, s := range steps {
				open(d, map[string]topology.Topic[string, string]{"words": Words, "others": Others}[s.topic]).Send(s.key, s.value)
			}
			return d
		}
		want := tables(play(topologytest.Config{}, false))
		for i, c := range []topologytest.Config{{}, {Batch: 100, CommitEvery: 100}, {CommitEvery: 3, CrashAfter: 4}, {Seed: 1 + rapid.Uint64Max(1e6).Draw(rt, "seed"), CrashAfter: 5}} {
			d := play(c, true)
			if got := tables(d); got != want {
				rt.Fatalf("%+v: %v: got %s, want %s", c, steps, got, want)
			}
			last := map[string]string{}
			for _, r := range open(d, Out).Records() {
				old, now, _ := strings.Cut(r.Value, ">")
				if was := last[r.Key]; was != old && (was != "" || old != "-") {
					rt.Fatalf("way %d: %v: change %v of a row that went on as %q", i, steps, r.Value, was)
				}
				last[r.Key] = now
			}
		}
	})
}

// A row as a stream finds it is the one of the last commit.
func TestEmitPerCommitIsLookedUpAsItWentOn(t *testing.T) {
	b := topology.New("looked-up")
	rows := topology.EmitPerCommit(Words.Stream(b).ToTable("rows"))
	rows.To(Out2)
	topology.LeftJoin(Words.Stream(b), rows, "with-row", orNobody).To(Out)
	d := topologytest.Config{CommitEvery: 2}.New(t, b)
	for _, w := range []string{"one", "two", "three", "four"} {
		open(d, Words).Send("k", w)
	}
	open(d, Out).Want("one+nobody", "two+nobody", "three+two", "four+two")
	open(d, Out2).Want("two", "four")
}

func TestEmitEvery(t *testing.T) {
	b := topology.New("paced")
	rows := topology.EmitEvery(paced1.Stream(b).ToTable("rows", topology.DeleteWhen(deletable)), "rows-every", 10*time.Millisecond)
	changesTo(rows, paced2)
	topology.LeftJoin(Views.Stream(b), rows, "with-row", orNobody).To(Out)
	topologytest.EveryWay(t, func(d *driver) {
		in, out, views := topologytest.Topic(d, paced1), topologytest.Topic(d, paced2), topologytest.Topic(d, Views)
		send := func(at topology.Time, key, value string, want ...string) {
			t.Helper()
			in.SendAt(at, key, value)
			out.Want(want...)
		}
		send(10, "a", "1", "->1") // the first at once
		send(12, "a", "2")
		send(13, "b", "1", "->1")
		send(15, "a", "3")
		d.Crash()
		send(20, "a", "4", "1>4") // d later: the last one, as if there had been no other
		send(21, "a", "5")
		send(23, "c", "1", "->1") // b is forgotten
		send(24, "b", "2", "1>2")
		send(30, "d", "1", "4>5", "->1")
		send(31, "d", "x")
		send(32, "d", "2")
		send(32, "e", "1", "->1")
		send(33, "e", "x")
		send(36, "c", "x", "1>-")
		send(40, "b", "3", "1>2", "2>3") // d of 31, b's interval was over at 34
		views.SendAt(41, "e", "sees")
		send(60, "z", "1", "1>-", "->1")
		views.SendAt(61, "e", "sees")
		open(d, Out).Want("sees+1", "sees+nobody")
	}, b)
}

// At most one change of a row in each d, the last one always comes, and the rows that it
// keeps go away.
func TestEmitEveryIsAsTheModel(t *testing.T) {
	type paced struct {
		since, at int64
		waits     bool
		old, now  string
	}
	rapid.Check(t, func(rt *rapid.T) {
		every := rapid.Int64Range(1, 12).Draw(rt, "every")
		build := func() *topology.Builder {
			b := topology.New("paced")
			rows := topology.EmitEvery(paced1.Stream(b).ToTable("rows", topology.DeleteWhen(deletable)), "rows-every", time.Duration(every)*time.Millisecond)
			changesTo(rows, paced2)
			return b
		}
		var steps []sent
		var want []string
		now, at, rows, lately := int64(0), int64(5), map[string]string{}, map[string]*paced{}
		emit := func(key, old, value string, at int64) {
			want = append(want, fmt.Sprintf("%s %s>%s @%d", key, old, value, at))
		}
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			at = max(0, at+rapid.Int64Range(-3, 5).Draw(rt, "step"))
			s := sent{"", rapid.SampledFrom([]string{"a", "b", "c", "ab"}).Draw(rt, "key"), rapid.SampledFrom([]string{"1", "2", "x"}).Draw(rt, "value"), at}
			steps = append(steps, s)
			now = max(now, at)
			old, value := rows[s.key], s.value
			if old == "" {
				old = "-"
			}
			if value == "x" {
				value = "-"
			}
			rows[s.key] = value
			p := lately[s.key]
			if p != nil {
				if !p.waits {
					p.old = old
				}
				p.waits, p.now, p.at = true, value, at
			}
			for {
				first := ""
				for k, q := range lately {
					if f := lately[first]; first == "" || q.since < f.since || q.since == f.since && k < first {
						first = k
					}
				}
				if first == "" || lately[first].since > now-every {
					break
				}
				q := lately[first]
				if delete(lately, first); q.waits && q.old+q.now != "--" {
					emit(first, q.old, q.now, q.at)
					lately[first] = &paced{since: now}
				}
			}
			if p == nil {
				emit(s.key, old, value, at)
				lately[s.key] = &paced{since: now}
			}
		}
		for _, way := range windowWays {
			d := way.New(t, build())
			for _, s := range steps {
				topologytest.Topic(d, paced1).SendAt(topology.Time(s.at), s.key, s.value)
			}
			var got []string
			for _, r := range topologytest.Topic(d, paced2).Records() {
				got = append(got, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time))
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("%+v, every %d, %v:\ngot  %v\nwant %v", way, every, steps, got, want)
			}
			if n := topologytest.Count(d, "rows-every"); n != len(lately) {
				rt.Fatalf("%d rows are kept, want %d", n, len(lately))
			}
		}
	})
}

func TestEmitMistakes(t *testing.T) {
	for want, build := range map[string]func(rows topology.Table[string, string]){
		"a millisecond or more": func(rows topology.Table[string, string]) { topology.EmitEvery(rows, "t", 0) },
		"has no name":           func(rows topology.Table[string, string]) { topology.EmitEvery(rows, "", time.Second) },
	} {
		b := topology.New("t")
		build(Words.Stream(b).ToTable("rows"))
		if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
