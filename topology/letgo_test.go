package topology_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	letIn     = topology.NewTopic("let-in", codec.String, codec.String, topology.Partitions(1))
	letRows   = topology.NewTopic("let-rows", codec.String, codec.String, topology.Partitions(1))
	letCopies = topology.NewTopic("let-copies", codec.String, codec.String, topology.Partitions(1))
	letOut    = topology.NewTopic("let-out", codec.String, codec.String, topology.Partitions(1))
)

// held is a way to hold what comes of a stream, and to let it go later.
type held struct {
	name string
	op   string // the operator that lets it go
	at   string // the node where it fails; "": "fails"
	make func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string]
	in   []sentAt // of which the third record lets go what fails; nil: aSecondLater
	out  []string // nil: those of aSecondLater
	why  topology.Reason
	gaps int // in numbers
}

type sentAt struct {
	at         topology.Time
	key, value string
}

// aSecondLater are records of which each lets go what the one before has led to.
var aSecondLater = []sentAt{{1000, "k0", "a"}, {1011, "k1", "boom"}, {1022, "k2", "c"}, {1033, "k3", "d"}, {1044, "k4", "e"}}

// ofWindows are the values of a windowed table.
func ofWindows(t topology.Table[topology.Windowed[string], string]) topology.Stream[string, string] {
	return topology.Values(topology.KeyBy(topology.Records(t.ToStream()), "by-key",
		func(r topology.Record[topology.Windowed[string], string]) string { return r.Key.Key }))
}

// closing are the results of windows that close.
func closing(in topology.Stream[string, string]) topology.Stream[string, string] {
	return ofWindows(topology.Reduce(in.Window(topology.Tumbling(10*time.Millisecond)), "w", plus, topology.EmitOnClose()))
}

type letPorts struct {
	Out   topology.Out[string]
	Later topology.Timer
}

func number(v string) int64 { return int64(v[0] - '0') }

// whole are the ways to let something go behind the record that holds it.
var whole = []held{
	{name: "a window that closes", op: "w", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return closing(in)
	}},
	{name: "a session that closes", op: "w", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return ofWindows(topology.Reduce(in.Window(topology.Session(5*time.Millisecond)), "w", plus, topology.EmitOnClose()))
	}},
	{name: "a change held back until its window closes", op: "final", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		t := topology.Reduce(in.Window(topology.Tumbling(10*time.Millisecond)), "w", plus)
		return ofWindows(topology.Suppress(t, "final", topology.UntilClosed()))
	}},
	{name: "a change held back for a time", op: "held", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.Suppress(in.ToTable("t"), "held", topology.UntilTimeLimit(10*time.Millisecond)).ToStream()
	}},
	{name: "a change that there is no room for", op: "held", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.Suppress(in.ToTable("t"), "held", topology.UntilTimeLimit(time.Hour), topology.MaxRecords(1), topology.EmitEarly()).ToStream()
	}},
	{name: "an alarm", op: "p.Later", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		p := topology.NewProcessor(in, "p", func(_, v string, p *letPorts) string {
			p.Later.In(5 * time.Millisecond)
			return v
		})
		p.OnTimer(&p.Ports.Later, func(s string, p *letPorts) string {
			p.Out.Emit(s)
			return s
		})
		return topology.Output(p, &p.Ports.Out)
	}},
	{name: "an alarm whose step fails", op: "p.Later", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		p := topology.NewProcessor(in, "p", func(_, v string, p *letPorts) string {
			p.Later.In(5 * time.Millisecond)
			return v
		})
		p.OnTimer(&p.Ports.Later, func(s string, p *letPorts) string {
			if s == "boom" {
				p.Out.Reject(errors.New("boom"))
			}
			p.Out.Emit(s)
			return s
		})
		return topology.Output(p, &p.Ports.Out)
	}, at: "p.Later", why: topology.Rejected},
	{name: "a record that waits for a table to catch up", op: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.LeftJoin(in, letRows.Table(b), "j", keepLeft, topology.Grace(10*time.Millisecond))
	}},
	{name: "a record that waits for its row in vain", op: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.LeftJoin(in, letRows.Table(b), "j", keepLeft, topology.Wait(10*time.Millisecond))
	}},
	{name: "a function of a join of a record that waits", op: "j", at: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.LeftJoin(in, letRows.Table(b), "j", func(v string, _ topology.Opt[string]) string {
			if v == "boom" {
				panic(v)
			}
			return v
		}, topology.Wait(10*time.Millisecond))
	}},
	{name: "a left record with no partner", op: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.OuterJoinStreams(in, letRows.Stream(b), "j", topology.Within(5*time.Millisecond).Grace(5*time.Millisecond), eitherOf)
	}},
	{name: "a right record with no partner", op: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.OuterJoinStreams(letRows.Stream(b), in, "j", topology.Within(5*time.Millisecond).Grace(5*time.Millisecond), eitherOf)
	}},
	{name: "records of one time with no partner", op: "j", make: func(b *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.LeftJoinStreams(in, letRows.Stream(b), "j", topology.Within(5*time.Millisecond).Grace(5*time.Millisecond), keepLeft)
	}, in: []sentAt{{1000, "k", "a"}, {1000, "k", "boom"}, {1011, "m", "c"}, {1022, "m", "d"}}, out: []string{"a", "c"}},
	{name: "a row that expires", op: "t", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		changes := topology.Changes(in.ToTable("t", topology.TTL(10*time.Millisecond)))
		return topology.FlatMap(changes, func(c topology.Change[string], out *topology.Out[string]) {
			if !c.New.OK {
				out.Emit(c.Old.Value)
			}
		})
	}},
	{name: "a change in a pause", op: "e", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.EmitEvery(in.ToTable("t"), "e", 10*time.Millisecond).ToStream()
	}, in: []sentAt{{1000, "k", "a"}, {1003, "k", "boom"}, {1011, "m", "c"}, {1022, "k", "d"}}, out: []string{"a", "c", "d"}},
	{name: "a number that was waited for", op: "o", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.Reorder(in, "o", number, time.Hour)
	}, in: []sentAt{{1000, "k", "1a"}, {1001, "k", "3boom"}, {1002, "k", "2c"}, {1003, "k", "4d"}}, out: []string{"1a", "2c", "4d"}},
	{name: "a number behind one that never came", op: "o", make: func(_ *topology.Builder, in topology.Stream[string, string]) topology.Stream[string, string] {
		return topology.Reorder(in, "o", number, 10*time.Millisecond)
	}, in: []sentAt{{1000, "k", "1a"}, {1001, "k", "3boom"}, {1011, "m", "1c"}, {1012, "k", "4d"}}, out: []string{"1a", "1c", "4d"}, gaps: 1},
}

func keepLeft(v string, _ topology.Opt[string]) string { return v }
func eitherOf(a, b topology.Opt[string]) string        { return a.Or("") + b.Or("") }
func boom(in topology.Stream[string, string]) topology.Stream[string, string] {
	return topology.Map(in, func(v string) string {
		if strings.Contains(v, "boom") {
			panic(v)
		}
		return v
	}, topology.Named("fails"))
}

// What was let go and fails is left out alone: the record that let it go has its effects, later
// ones too, and the operator is rid of it. In whatever way it runs, the same is written.
func TestWhatIsLetGoAndFailsIsLeftOut(t *testing.T) {
	for _, h := range whole {
		for _, policy := range []topology.Policy{topology.Skip, topology.DeadLetter} {
			t.Run(fmt.Sprint(h.name, "/", policy), func(t *testing.T) {
				b := topology.New("let")
				in := letIn.Stream(b, topology.OnError(policy))
				in.To(letCopies)
				topology.Count(in, "count")
				boom(h.make(b, in)).To(letOut)
				sent, want := h.in, h.out
				if sent == nil {
					sent, want = aSecondLater, []string{"a", "c", "d"}
				}
				why, at := h.why, h.at
				if why == 0 {
					why = topology.Panicked
				}
				if at == "" {
					at = "fails"
				}
				var first []topologytest.DeadLetter
				topologytest.EveryWay(t, func(d *driver) {
					in := topologytest.Topic(d, letIn)
					var all []string
					counts := map[string]int64{}
					for _, r := range sent {
						in.SendAt(r.at, r.key, r.value)
						all = append(all, r.value)
						counts[r.key]++
					}
					topologytest.Topic(d, letOut).Want(want...)
					topologytest.Topic(d, letCopies).Want(all...)
					topologytest.Table[string, int64](d, "count").Want(counts)
					if n := d.Dropped(at, why); n != 1 {
						d.T().Errorf("%d are counted, want 1", n)
					}
					if n := d.Dropped(h.op, topology.Gap); n != h.gaps {
						d.T().Errorf("%d gaps, want %d", n, h.gaps)
					}
					if policy != topology.DeadLetter {
						return
					}
					ls := d.DeadLetters("let-dead-letter")
					if len(ls) != 1 || ls[0].HeldBy != h.op || ls[0].Topic != "let-in" || ls[0].Offset != 2 || ls[0].Reason != why.String() || !bytes.Contains(ls[0].Key, []byte("k")) || !bytes.Contains(ls[0].Value, []byte("boom")) && h.op != "p.Later" {
						d.T().Errorf("dead letters %+v", ls)
					}
					if first == nil {
						first = ls
					}
					sameLetters(d.T(), ls, first)
				}, b)
			})
		}
	}
}

// sameLetters compares dead letters byte for byte.
func sameLetters(t testing.TB, got, want []topologytest.DeadLetter) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b topologytest.DeadLetter) bool {
		return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Headers.Raw(), b.Headers.Raw())
	}) {
		t.Errorf("dead letters %+v, in another way %+v", got, want)
	}
}

// letWorld is a topology in which windows close behind what Suppress lets go, both may fail, and so
// may a record behind all that.
func letWorld() *topology.Builder {
	b := topology.New("let")
	in := letIn.Stream(b, topology.OnError(topology.DeadLetter))
	late := topology.Suppress(in.ToTable("t"), "held", topology.UntilTimeLimit(10*time.Millisecond)).ToStream()
	boom(closing(late)).To(letOut)
	fails := func(in topology.Stream[string, string], on string) topology.Stream[string, string] {
		return topology.FlatMap(in, func(v string, out *topology.Out[string]) {
			if strings.HasPrefix(v, on) {
				out.Reject(errors.New(v))
			}
			out.Emit(v + "'")
		}, topology.Named(on))
	}
	fails(late, "outer").To(letOut)
	fails(in, "own").To(letCopies)
	return b
}

// Several things that one record lets go, one within another, and those of a record that fails itself.
func TestSeveralThingsAreLeftOut(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      []sentAt
		out     []string
		letters []string // at which offset, who has let it go, and what it was
	}{
		{
			"two of three",
			[]sentAt{{1000, "k0", "outer1"}, {1001, "k1", "a"}, {1002, "k2", "outer2"}, {1022, "k3", "b"}, {1033, "k4", "c"}},
			[]string{"a'", "a", "b'"},
			[]string{"3 held outer1", "3 held outer2"},
		},
		{
			"one within another",
			[]sentAt{{1000, "k0", "boom"}, {1011, "k1", "x"}, {1022, "k2", "y"}, {1033, "k3", "z"}},
			[]string{"boom'", "x'", "x", "y'"},
			[]string{"2 w boom"},
		},
		{
			"one that fails behind one within it",
			[]sentAt{{1000, "k0", "boom"}, {1011, "k1", "outer"}, {1012, "k2", "q"}, {1023, "k3", "y"}, {1034, "k4", "z"}, {1045, "k5", "e"}},
			[]string{"boom'", "q'", "q", "y'", "y", "z'"},
			[]string{"3 held outer", "3 w boom"},
		},
		{
			"of a record that fails itself",
			[]sentAt{{1000, "k0", "outer"}, {1001, "k1", "a"}, {1022, "k2", "own"}, {1023, "k3", "b"}, {1034, "k4", "c"}},
			[]string{"a'", "a", "b'"},
			[]string{"2  own", "3 held outer"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var first []topologytest.DeadLetter
			topologytest.EveryWay(t, func(d *driver) {
				in := topologytest.Topic(d, letIn)
				var copies []string
				for _, r := range c.in {
					in.SendAt(r.at, r.key, r.value)
					if r.value != "own" {
						copies = append(copies, r.value+"'")
					}
				}
				topologytest.Topic(d, letOut).Want(c.out...)
				topologytest.Topic(d, letCopies).Want(copies...)
				ls := d.DeadLetters("let-dead-letter")
				if !slices.EqualFunc(ls, c.letters, func(l topologytest.DeadLetter, want string) bool {
					head := fmt.Sprintf("%d %s ", l.Offset, l.HeldBy)
					return strings.HasPrefix(want, head) && strings.Contains(l.Message, fmt.Sprintf("offset %d,", l.Offset)) && bytes.Contains(l.Value, []byte(want[len(head):]))
				}) {
					d.T().Errorf("dead letters %+v, want %q", ls, c.letters)
				}
				if first == nil {
					first = ls
				}
				sameLetters(d.T(), ls, first)
			}, letWorld())
		})
	}
}

// A row for which records wait: what fails of them is left out, and the row stays.
func TestWhatWaitsForARowIsLeftOut(t *testing.T) {
	b := topology.New("let")
	policy := topology.OnError(topology.DeadLetter)
	boom(topology.Join(letIn.Stream(b, policy), letRows.Table(b, policy), "j", plus, topology.Wait(time.Hour))).To(letOut)
	topologytest.EveryWay(t, func(d *driver) {
		in, rows := topologytest.Topic(d, letIn), topologytest.Topic(d, letRows)
		in.SendAt(1000, "k", "a")
		in.SendAt(1001, "k", "boom")
		in.SendAt(1002, "k", "c")
		rows.SendAt(1003, "k", "row")
		in.SendAt(1004, "k", "d")
		topologytest.Topic(d, letOut).Want("a+row", "c+row", "d+row")
		ls := d.DeadLetters("let-dead-letter")
		if len(ls) != 1 || ls[0].HeldBy != "j" || ls[0].Topic != "let-rows" || ls[0].Offset != 0 || !bytes.Contains(ls[0].Value, []byte("boom")) {
			d.T().Errorf("dead letters %+v", ls)
		}
	}, b)
}

// A record that has waited in vain for its row, or until a table has caught up, and is dropped: it is the dead letter,
// not the record that let it go.
func TestWhatWaitedInVainIsDropped(t *testing.T) {
	for name, option := range map[string]topology.JoinOption{"wait": topology.Wait(10 * time.Millisecond), "grace": topology.Grace(10 * time.Millisecond)} {
		b := topology.New("let")
		topology.Join(letIn.Stream(b, topology.OnDrop(topology.DeadLetter)), letRows.Table(b), "j", plus, option).To(letOut)
		topologytest.EveryWay(t, func(d *driver) {
			in := topologytest.Topic(d, letIn)
			topologytest.Topic(d, letRows).SendAt(999, "m", "row")
			in.SendAt(1000, "k", "a")
			in.SendAt(1100, "m", "b")
			in.SendAt(1200, "m", "c")
			ls := d.DeadLetters("let-dead-letter")
			if len(ls) != 1 || ls[0].HeldBy != "j" || ls[0].Reason != topology.Unmatched.String() || ls[0].Offset != 1 ||
				!bytes.Contains(ls[0].Key, []byte("k")) || !bytes.Contains(ls[0].Value, []byte("a")) {
				d.T().Errorf("%s: dead letters %+v", name, ls)
			}
			if n := d.Dropped("j", topology.Unmatched); n != 1 {
				d.T().Errorf("%s: %d are counted, want 1", name, n)
			}
		}, b)
	}
}

// The policy of the operator where it fails counts: with Stop the topology stops at the record that
// let it go. And what no record lets go stops it, whatever the policy.
func TestWhatIsLetGoStops(t *testing.T) {
	stops := topology.New("let")
	in := letIn.Stream(stops, topology.OnError(topology.Skip))
	topology.FlatMap(closing(in), bad, topology.OnError(topology.Stop)).To(letOut)

	wall := topology.New("let")
	type ports struct {
		Out  topology.Out[string]
		Wall topology.WallTimer
	}
	p := topology.NewProcessor(letIn.Stream(wall, topology.OnError(topology.Skip)), "p", func(_, v string, p *ports) string {
		p.Wall.In(time.Second)
		return v
	})
	p.OnTimer(&p.Ports.Wall, func(s string, p *ports) string {
		p.Out.Reject(errors.New(s))
		return s
	})
	topology.Output(p, &p.Ports.Out).To(letOut)

	idle := topology.New("let", topology.AdvanceIdle(time.Second))
	in = letIn.Stream(idle, topology.OnError(topology.Skip))
	topology.FlatMap(closing(in), bad).To(letOut)

	for name, b := range map[string]*topology.Builder{"policy": stops, "wall timer": wall, "idle": idle} {
		d := topologytest.New(t, b)
		h := topologytest.Topic(d, letIn)
		h.Send("k", "panic")
		if name == "policy" {
			h.SendAt(d.Now()+1000, "k", "b")
		} else {
			d.Advance(time.Minute)
		}
		if err := d.Stopped("let"); err == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
}
