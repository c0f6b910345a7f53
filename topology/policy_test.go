package topology_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	polIn    = topology.NewTopic("pol-in", codec.String, codec.String)
	polOut   = topology.NewTopic("pol-out", codec.String, codec.String)
	polOther = topology.NewTopic("pol-other", codec.String, codec.String)
	polCount = topology.NewTopic("pol-count", codec.String, codec.Int64)
	polNums  = topology.NewTopic("pol-nums", codec.String, codec.Int64)
)

// bad panics, or rejects, on values that say so.
func bad(v string, out *topology.Out[string]) {
	switch {
	case strings.HasPrefix(v, "panic"):
		panic("on " + v)
	case strings.HasPrefix(v, "reject"):
		out.Reject(errors.New("not " + v))
	case strings.HasPrefix(v, "past"):
		out.EmitAt(-7, v)
	}
	out.Emit(v + "!")
}

// A record that fails behind effects that it had: an output and a row, of each kind of
// failure. Nothing of it is left, whatever came before it and however it was batched.
func TestNothingOfAFailedRecordIsLeft(t *testing.T) {
	b := topology.New("whole")
	in := polIn.Stream(b, topology.OnError(topology.DeadLetter))
	in.To(polOther)                          // an output
	topology.Count(in, "count").To(polCount) // a row
	topology.FlatMap(in, bad, topology.Named("bad")).To(polOut)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out, other := topologytest.Topic(d, polIn), topologytest.Topic(d, polOut), topologytest.Topic(d, polOther)
		in.Send("k", "a")
		in.Send("k", "panic 1")
		in.Send("k", "b")
		in.Send("k", "reject 2")
		in.Send("k", "reject 3")
		in.Send("k", "past 4")
		in.Send("k", "c")
		in.Send("k", "panic 5")
		out.Want("a!", "b!", "c!")
		other.Want("a", "b", "c")
		topologytest.Topic(d, polCount).Want(1, 2, 3)
		topologytest.Table[string, int64](d, "count").Want(map[string]int64{"k": 3})
		var got []string
		for _, l := range d.DeadLetters("whole-dead-letter") {
			if string(l.Key) != "k" || l.Node != "bad" || l.Topic != "pol-in" {
				t.Errorf("%+v", l)
			}
			got = append(got, string(l.Value)+": "+l.Reason)
		}
		if want := []string{"panic 1: panic", "reject 2: rejected", "reject 3: rejected", "past 4: invalid time", "panic 5: panic"}; !slices.Equal(got, want) {
			t.Errorf("dead letters %q, want %q", got, want)
		}
		for why, n := range map[topology.Reason]int{topology.Panicked: 2, topology.Rejected: 2, topology.InvalidTime: 1} {
			if got := d.Dropped("bad", why); got != n {
				t.Errorf("%d counted as %v, want %d", got, why, n)
			}
		}
	}, b)
}

// A step that emits nothing rejects by a port of its own, beside others.
func TestRejection(t *testing.T) {
	type ports struct {
		Row     topology.Row[string]
		Refused topology.Rejection
	}
	b := topology.New("refused")
	in := polIn.Stream(b, topology.OnError(topology.DeadLetter))
	p := topology.NewProcessor(in, "keep", func(n int64, v string, p *ports) int64 {
		if p.Refused.Rejected() != nil {
			panic("that of the record before")
		}
		if row, ok := p.Row.Get(); ok && row == v {
			p.Refused.Reject(nil)
		}
		return n + 1
	})
	topology.Read(p, &p.Ports.Row, Rows.Table(b))
	p.State().To(polCount)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		topologytest.Topic(d, Rows).Send("k", "bad")
		in := topologytest.Topic(d, polIn)
		in.Send("k", "a")
		in.Send("k", "bad")
		in.Send("k", "b")
		topologytest.Topic(d, polCount).Want(1, 2)
		if ls := d.DeadLetters("refused-dead-letter"); len(ls) != 1 || string(ls[0].Value) != "bad" || ls[0].Node != "keep" || ls[0].Reason != "rejected" {
			t.Errorf("dead letters %+v", ls)
		}
	}, b)
	var one ports // in a test of the step alone
	one.Refused.Reject(errors.New("why"))
	if err := one.Refused.Rejected(); err == nil || err.Error() != "why" {
		t.Errorf("got %v", err)
	}
}

// everything is a topology in which a record has effects of all kinds, and fails, if its value
// is bad, in front of branch `where` of them.
func everything(where int) *topology.Builder {
	b := topology.New("everything")
	in := polIn.Stream(b, topology.OnError(topology.Skip))
	other := polNums.Stream(b)
	fails := func(v string, out *topology.Out[string]) {
		if strings.HasPrefix(v, "bad") {
			bad("panic", out)
		}
		out.Emit(v)
	}
	concat := func(a, v string) string { return a + v }
	branches := []func(){
		func() { in.To(polOther) },
		func() {
			topology.Aggregate(in, "all", concat, topology.DeleteWhen(func(s string) bool { return len(s) > 40 })).To(polOut)
		},
		func() {
			w := in.Window(topology.Hopping(20*time.Millisecond, 10*time.Millisecond).Grace(5 * time.Millisecond))
			w.Late().To(polOther)
			topology.Map(topology.Aggregate(w, "windows", concat, topology.EmitOnClose()).ToStream(), func(s string) string { return "window " + s }).To(polByWindow)
		},
		func() {
			w := in.Window(topology.Session(5 * time.Millisecond))
			topology.Aggregate(w, "sessions", concat, topology.Merging(concat)).ToStream().To(polByWindow)
		},
		func() {
			topology.OuterJoinStreams(in, other, "joined", topology.Within(10*time.Millisecond), func(a topology.Opt[string], n topology.Opt[int64]) string {
				return fmt.Sprintf("%s/%d", a.Or("-"), n.Or(-1))
			}).To(polOut)
		},
		func() {
			t := in.ToTable("latest")
			topology.Suppress(t, "held", topology.UntilTimeLimit(15*time.Millisecond)).To(polOut)
		},
		func() { topology.EmitEvery(topology.Count(in, "counted"), "paced", 10*time.Millisecond).To(polCount) },
	}
	for i, branch := range branches {
		if i == where {
			topology.FlatMap(in, fails).To(polOut)
		}
		branch()
	}
	if where >= len(branches) {
		topology.FlatMap(in, fails).To(polOut)
	}
	return b
}

var polByWindow = topology.NewTopic("pol-windows", codec.Windowed(codec.String, 20*time.Millisecond), codec.String)

// A stream with records that fail and are skipped is the same as one without them, in all
// that comes of it: whatever they had done, in whatever state the task was.
func TestSkippedIsAsIfItWereNotThere(t *testing.T) {
	const rounds = 150
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 5))
		type record struct {
			key, value string
			at         topology.Time
			number     bool
		}
		var rs []record
		at := topology.Time(1000)
		for i := range 40 {
			r := record{key: string(rune('a' + rng.IntN(2))), value: fmt.Sprint(i, ","), at: at, number: rng.IntN(3) == 0}
			if !r.number && rng.IntN(3) == 0 {
				r.value = fmt.Sprint("bad ", i)
				r.at += max(0, topology.Time(rng.IntN(60)-30)) // it would close windows
			}
			rs = append(rs, r)
			at += topology.Time(rng.IntN(9) - 2)
		}
		where := rng.IntN(8)
		run := func(cfg topologytest.Config, withBad bool) (lines []string, d *topologytest.Driver) {
			d = cfg.New(t, everything(where))
			in, numbers := topologytest.Topic(d, polIn), topologytest.Topic(d, polNums)
			for i, r := range rs {
				switch {
				case r.number:
					numbers.SendAt(r.at, r.key, int64(i))
				case withBad || !strings.HasPrefix(r.value, "bad"):
					in.SendAt(r.at, r.key, r.value)
				}
			}
			note := func(rs []string) { lines = append(lines, rs...) }
			note(texts(topologytest.Topic(d, polOther).Records()))
			note(texts(topologytest.Topic(d, polOut).Records()))
			note(texts(topologytest.Topic(d, polCount).Records()))
			note(texts(topologytest.Topic(d, polByWindow).Records()))
			for _, table := range []string{"all", "latest"} {
				note([]string{fmt.Sprint(topologytest.Table[string, string](d, table).Rows())})
			}
			for _, table := range []string{"windows", "sessions", "joined-outer-this-join-store", "joined-outer-other-join-store", "joined-outer-shared-join-store"} {
				note([]string{fmt.Sprint(table, topologytest.Count(d, table))})
			}
			return lines, d
		}
		cfg := topologytest.Config{}
		want, _ := run(cfg, false)
		switch seed % 4 {
		case 1:
			cfg = topologytest.Config{CommitEvery: 1000}
		case 2:
			cfg = topologytest.Config{Seed: seed}
		case 3:
			cfg = topologytest.Config{Seed: seed, CrashAfter: 5}
		}
		if got, _ := run(cfg, true); !slices.Equal(got, want) {
			t.Fatalf("seed %d, failing at %d, %+v:\ngot  %s\nwant %s", seed, where, cfg, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

func texts[K comparable, V any](rs []topology.Record[K, V]) (lines []string) {
	for _, r := range rs {
		lines = append(lines, fmt.Sprintf("%v: %v @%d", r.Key, r.Value, r.Time))
	}
	return lines
}

// A table of a compacted topic does not have the rows of records that were skipped, where they did
// not decode or failed downstream, and must not have them after a restore either.
func TestSkippedRowsStayAway(t *testing.T) {
	rows := topology.NewTopic("pol-rows", codec.String, codec.Int64, topology.Compacted())
	for name, build := range map[string]func(b *topology.Builder) topology.Table[string, int64]{
		"source": func(b *topology.Builder) topology.Table[string, int64] {
			return rows.Table(b, topology.Named("rows"), topology.OnError(topology.Skip))
		},
		"downstream": func(b *topology.Builder) topology.Table[string, int64] {
			tb := rows.Table(b, topology.Named("rows"), topology.OnError(topology.DeadLetter))
			topology.FlatMap(tb.ToStream(), func(n int64, out *topology.Out[string]) {
				if n < 0 {
					out.Reject(errors.New("less than nothing"))
				}
			}, topology.Named("check")).To(polOther)
			return tb
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := topology.New("away")
			topology.Join(polIn.Stream(b), build(b), "join", func(v string, n int64) string { return v + fmt.Sprint(n) }).To(polOut)
			topologytest.EveryWay(t, func(d *topologytest.Driver) {
				in, table, out := topologytest.Topic(d, polIn), topologytest.Topic(d, rows), topologytest.Topic(d, polOut)
				table.Send("k", 1)
				if name == "source" {
					table.SendRaw([]byte("k"), []byte("no number"))
				} else {
					table.Send("k", -1)
				}
				in.Send("k", "a")
				out.Want("a1")
				d.Crash()
				in.Send("k", "b")
				out.Want("b1")
			}, b)
		})
	}
}
