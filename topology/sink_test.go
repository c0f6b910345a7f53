package topology_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

var (
	sinkA    = topology.NewTopic("sink-a", codec.String, codec.String)
	sinkB    = topology.NewTopic("sink-b", codec.String, codec.String)
	sinkWide = topology.NewTopic("sink-wide", codec.String, codec.String, topology.Partitions(3))
	sinkRows = topology.NewTopic("sink-rows", codec.String, codec.Optional(codec.String), topology.Partitions(3))
	sinkOpt  = topology.NewTopic("sink-opt", codec.String, codec.Optional(codec.String))
)

func byLetter(v string) topology.Topic[string, string] {
	switch v[:1] {
	case "a":
		return sinkA
	case "b":
		return sinkB
	}
	return polOther // which is not declared
}

func TestTopicFrom(t *testing.T) {
	b := topology.New("routes")
	in := polIn.Stream(b)
	in.To(sinkA, topology.TopicFrom(byLetter, sinkB), topology.OnError(topology.DeadLetter))
	topology.Map(in, upper).To(sinkWide, topology.PartitionBy(func(r topology.Record[string, string], n int) int {
		return int(r.Key[0]) % n
	}))
	topologytest.EveryWay(t, func(d *driver) {
		in, a, bb := open(d, polIn), open(d, sinkA), open(d, sinkB)
		for _, v := range []string{"a1", "b1", "c1", "a2"} {
			in.Send("k", v)
		}
		a.Want("a1", "a2")
		bb.Want("b1")
		open(d, sinkWide).Want("A1", "B1", "A2") // c1 failed, so nothing of it is anywhere
		if n := d.Dropped("route", topology.Misrouted); n != 1 {
			t.Errorf("%d misrouted", n)
		}
		if l := d.DeadLetters("routes-dead-letter"); len(l) != 1 || string(l[0].Value) != "c1" || l[0].Reason != "misrouted" {
			t.Errorf("%+v", l)
		}
	}, b)
}

// What a function chooses is where the record is; what it may not choose is an error.
func TestPartitionBy(t *testing.T) {
	b := topology.New("parts")
	polIn.Stream(b, topology.OnError(topology.Skip)).To(sinkWide, topology.PartitionBy(func(v string, n int) int { return len(v) - 1 }))
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	task := plan.Subtopologies()[0].NewTask(core.TaskConfig{Sink: func(core.SinkID) core.SinkInfo { return core.SinkInfo{Partitions: 3} }})
	batch := &core.Batch{CaughtUp: true}
	for i, v := range []string{"x", "xxx", "xxxx", "", "xx"} {
		batch.Records = append(batch.Records, core.RawRecord{Key: []byte("k"), Value: []byte(v), Offset: core.Offset(i)})
		batch.Next++
	}
	if err := task.Step(batch); err != nil {
		t.Fatal(err)
	}
	c, err := task.Ready()
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for _, o := range c.Outputs {
		got = append(got, o.Partition(core.TaskID{}, 3))
	}
	if !slices.Equal(got, []int32{0, 2, 1}) || c.Skipped != 2 || !errors.Is(c.LastSkip, core.ErrRoute) {
		t.Errorf("partitions %v, %d skipped, last: %v", got, c.Skipped, c.LastSkip)
	}
	if len(c.Drops) != 1 || c.Drops[0] != (core.Drop{Node: "sink-wide", Why: core.Misrouted, N: 2}) {
		t.Errorf("%+v", c.Drops)
	}
}

// A row that moves to another topic or partition is deleted where it was.
func TestRowsThatMove(t *testing.T) {
	b := topology.New("moves")
	rows := polIn.Stream(b).ToTable("rows", topology.DeleteWhen(func(v string) bool { return v == "gone" }))
	opt := topology.MapTable(rows, func(v string) topology.Opt[string] { return topology.Some(v) })
	toOpt := func(v topology.Opt[string]) topology.Topic[string, topology.Opt[string]] {
		if v.Value[0] == 'a' {
			return sinkRows
		}
		return sinkOpt
	}
	opt.To(sinkRows, topology.TopicFrom(toOpt, sinkOpt))
	topologytest.EveryWay(t, func(d *driver) {
		in := open(d, polIn)
		for _, v := range []string{"a1", "a2", "b3", "gone", "gone", "a4"} {
			in.Send("k", v)
		}
		topologytest.Topic(d, sinkRows).Want(topology.Some("a1"), topology.Some("a2"), topology.None[string](), topology.None[string](), topology.Some("a4"))
		topologytest.Topic(d, sinkOpt).Want(topology.Some("b3"), topology.None[string](), topology.None[string]())
	}, b)

	b = topology.New("moves-parts")
	rows = polIn.Stream(b).ToTable("rows", topology.DeleteWhen(func(v string) bool { return v == "gone" }))
	topology.MapTable(rows, func(v string) topology.Opt[string] { return topology.Some(v) }).
		To(sinkRows, topology.PartitionBy(func(v topology.Opt[string], _ int) int { return int(v.Value[0] - 'a') }))
	topologytest.EveryWay(t, func(d *driver) {
		in := open(d, polIn)
		for _, v := range []string{"a1", "b2", "b3", "gone"} {
			in.Send("k", v)
		}
		var got []string
		for _, r := range topologytest.Topic(d, sinkRows).Records() {
			got = append(got, r.Value.Or("-"))
		}
		if !slices.Equal(got, []string{"a1", "-", "b2", "b3", "-"}) {
			t.Errorf("%v", got)
		}
	}, b)
}

type stamped struct{ At, N int64 }

var (
	timesIn  = topology.NewTopic("times-in", codec.String, codec.JSON[stamped]())
	timesIn2 = topology.NewTopic("times-in-2", codec.String, codec.JSON[stamped]())
)

// Records are taken by the time that TimeFrom makes, and have it.
func TestTimeFrom(t *testing.T) {
	b := topology.New("times")
	at := func(s stamped) topology.Time { return topology.Time(s.At) }
	both := timesIn.Stream(b, topology.TimeFrom(at), topology.OnError(topology.DeadLetter)).
		Merge(timesIn2.Stream(b, topology.TimeFrom(func(r topology.Record[string, stamped]) topology.Time { return r.Time + 1 })))
	topology.Map(both, func(s stamped) string {
		return fmt.Sprint(s.N)
	}).To(sinkA)
	topologytest.EveryWay(t, func(d *driver) {
		in := topologytest.Topic(d, timesIn)
		in.SendAt(77, "k", stamped{5, 1})
		in.SendAt(78, "k", stamped{-1, 2})
		in.SendRaw([]byte("k"), []byte("no json"))
		in.SendAt(-80, "k", stamped{3, 3}) // its own time does not matter
		topologytest.Topic(d, timesIn2).SendAt(9, "k", stamped{0, 4})
		rs := open(d, sinkA).Records()
		if got := fmt.Sprint(texts(rs)); got != "[k: 1 @5 k: 3 @3 k: 4 @10]" {
			t.Errorf("%v", got)
		}
		var got []string
		for _, l := range d.DeadLetters("times-dead-letter") {
			got = append(got, l.Reason)
		}
		if !slices.Equal(got, []string{"invalid time", "undecodable"}) {
			t.Errorf("%v", got)
		}
	}, b)
}

// Of two sources the record with the lower time is next, where times are made of values too.
func TestTimeFromIsMergedBy(t *testing.T) {
	b := topology.New("times")
	at := topology.TimeFrom(func(s stamped) topology.Time { return topology.Time(s.At) })
	both := timesIn.Stream(b, at).Merge(timesIn2.Stream(b, at))
	topology.Map(both, func(s stamped) string { return fmt.Sprint(s.N) }).To(sinkA)
	d := topologytest.Config{Batch: 100, CommitEvery: 100}.New(t, b)
	d.Pause("times")
	one, two := topologytest.Topic(d, timesIn), topologytest.Topic(d, timesIn2)
	one.SendAt(1000, "k", stamped{10, 1})
	one.SendAt(2, "k", stamped{30, 3})
	two.SendAt(1, "k", stamped{20, 2})
	two.SendAt(3, "k", stamped{40, 4})
	d.Resume("times")
	open(d, sinkA).Want("1", "2", "3", "4")
}

// A table with times of its own has a changelog, which keeps them.
func TestTableTimes(t *testing.T) {
	rows := topology.NewTopic("times-rows", codec.String, codec.JSON[stamped](), topology.Compacted())
	b := topology.New("times")
	tb := rows.Table(b, topology.TimeFrom(func(s stamped) topology.Time { return topology.Time(s.At) }))
	topology.MapTable(tb, func(s stamped) topology.Opt[string] { return topology.Some(fmt.Sprint(s.N)) }).To(sinkOpt)
	topologytest.EveryWay(t, func(d *driver) {
		in := topologytest.Topic(d, rows)
		in.SendAt(77, "k", stamped{5, 1})
		in.Delete("j")
		if rs := topologytest.Topic(d, sinkOpt).Records(); len(rs) != 2 || rs[0].Time != 5 || rs[1].Time < 78 {
			t.Errorf("%v", texts(rs))
		}
	}, b)
}

// WallTime is when a record arrived, and is noted with the commit.
func TestWallTime(t *testing.T) {
	b := topology.New("wall")
	polIn.Stream(b, topology.WallTime()).To(sinkA)
	d := topologytest.New(t, b)
	open(d, polIn).SendAt(-5, "k", "v")
	d.Advance(time.Hour)
	open(d, polIn).SendAt(7, "k", "w")
	rs := open(d, sinkA).Records()
	if start := topologytest.At("00:00"); len(rs) != 2 || rs[0].Time != start || rs[1].Time != start+1+topology.Time(time.Hour/time.Millisecond) {
		t.Errorf("%v", texts(rs))
	}

	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	task := plan.Subtopologies()[0].NewTask(core.TaskConfig{})
	for i, arrived := range []core.Time{100, 100, 200} {
		at := core.Offset(i)
		if err := task.Step(&core.Batch{Next: at + 1, Arrived: arrived, Records: []core.RawRecord{{Value: []byte("v"), Offset: at}}}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := task.Ready()
	if err != nil {
		t.Fatal(err)
	}
	want := []core.Decision{{Source: core.ArrivalOf(0), N: 100}, {Source: 0, N: 2}, {Source: core.ArrivalOf(0), N: 200}, {Source: 0, N: 1}}
	if !slices.Equal(c.Decisions, want) || c.Outputs[2].Time != 200 {
		t.Errorf("%v", c)
	}
}

// OnDrop routes what is dropped, and its effects elsewhere stay.
func TestOnDrop(t *testing.T) {
	b := topology.New("drops")
	in := polIn.Stream(b, topology.OnDrop(topology.DeadLetter))
	in.To(polOther)
	rows := Rows.Table(b)
	topology.Join(in, rows, "joined", plus).To(polOut)
	topology.Join(in, rows, "quiet", plus, topology.OnDrop(topology.Skip)).To(polOut)
	w := in.Window(topology.Tumbling(10 * time.Millisecond))
	topology.Count(w, "windows", topology.OnDrop(topology.DeadLetterTo("late-ones")))
	topologytest.EveryWay(t, func(d *driver) {
		in, base := open(d, polIn), d.Now()
		open(d, Rows).Send("k", "row")
		in.SendAt(base+100, "k", "a")
		in.SendAt(base+100, "other", "b") // unmatched
		in.SendAt(base, "k", "c")         // late
		in.SendRaw(nil, []byte("d"))      // no key: twice, and once more in the window
		in.SendRaw([]byte("k"), nil)      // no value
		in.SendRawAt(-9, []byte("k"), []byte("e"))
		open(d, polOther).Want("a", "b", "c", "d")
		open(d, polOut).Want("a+row", "a+row", "c+row", "c+row")
		reasons := func(topic string) (got []string) {
			for _, l := range d.DeadLetters(topic) {
				got = append(got, string(l.Value)+": "+l.Reason+" at "+l.Node)
			}
			return got
		}
		if got, want := reasons("drops-dead-letter"), []string{"b: unmatched at joined", "d: null key at joined", ": null value at pol-in", "e: invalid time at pol-in"}; len(in.Records()) != 0 || !sameSet(got, want) {
			t.Errorf("%q", got)
		}
		if got, want := reasons("late-ones"), []string{"c: late at windows", "d: null key at windows"}; !sameSet(got, want) {
			t.Errorf("%q", got)
		}
		if d.Dropped("quiet", topology.Unmatched) != 1 || d.Dropped("joined", topology.Unmatched) != 1 {
			t.Error("not counted")
		}
	}, b)
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// The policy of a source goes along through the topology's own topics.
func TestPolicyGoesThroughRepartition(t *testing.T) {
	b := topology.New("along")
	in := polIn.Stream(b, topology.OnError(topology.DeadLetter))
	byValue := topology.KeyBy(in, "by-value", first)
	topology.FlatMap(topology.Count(byValue, "count").ToStream(), func(n int64, out *topology.Out[string]) {
		if n == 2 {
			panic("two")
		}
		out.Emit(fmt.Sprint(n))
	}, topology.Named("two")).To(polOut)
	topologytest.EveryWay(t, func(d *driver) {
		in := open(d, polIn)
		in.Send("k", "a")
		in.Send("k", "a") // the count stays 1, for this and all that follow
		in.Send("k", "b")
		open(d, polOut).Want("1", "1")
		if l := d.DeadLetters("along-dead-letter"); len(l) != 1 || l[0].Topic != "along-by-value-repartition" || l[0].Node != "two" || !strings.Contains(l[0].Message, "two") {
			t.Errorf("%+v", l)
		}
		topologytest.Table[string, int64](d, "count").Want(map[string]int64{"a": 1, "b": 1})
	}, b)
}

// Without a policy, and of what a record is not to blame for, the topology stops.
func TestPolicyStops(t *testing.T) {
	for name, opts := range map[string][]topology.SourceOption{
		"none": nil, "stop": {topology.OnError(topology.Stop)},
	} {
		b := topology.New("stops")
		topology.FlatMap(polIn.Stream(b, opts...), bad).To(polOut)
		d := topologytest.New(t, b)
		open(d, polIn).Send("k", "a")
		open(d, polIn).Send("k", "reject")
		if err := d.Stopped("stops"); !errors.Is(err, core.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
		open(d, polOut).Want("a!")
	}
	b := topology.New("operator")
	topology.FlatMap(polIn.Stream(b, topology.OnError(topology.Skip)), bad, topology.OnError(topology.Stop)).To(polOut)
	d := topologytest.New(t, b)
	open(d, polIn).Send("k", "panic")
	if err := d.Stopped("operator"); !errors.Is(err, core.ErrPanic) {
		t.Errorf("the operator's own policy: %v", err)
	}
}

func TestTooLargeForItsTopic(t *testing.T) {
	b := topology.New("large")
	in := polIn.Stream(b, topology.OnError(topology.DeadLetter))
	topology.Map(in, func(v string) string { return strings.Repeat(v, 100) }).To(polOut)
	d := topologytest.Config{RecordBytes: 3000}.New(t, b)
	open(d, polIn).Send("k", "small")
	open(d, polIn).Send("k", strings.Repeat("large", 10))
	open(d, polOut).Want(strings.Repeat("small", 100))
	if l := d.DeadLetters("large-dead-letter"); len(l) != 1 || l[0].Reason != "too large" {
		t.Errorf("%+v", l)
	}
}

func TestPolicyMistakes(t *testing.T) {
	for want, build := range map[string]func(*topology.Builder){
		"OnError of no policy": func(b *topology.Builder) { polIn.Stream(b, topology.OnError(topology.Policy{})).To(polOut) },
		"OnDrop(Stop)":         func(b *topology.Builder) { polIn.Stream(b, topology.OnDrop(topology.Stop)).To(polOut) },
		"come back for ever": func(b *topology.Builder) {
			polIn.Stream(b, topology.OnError(topology.DeadLetterTo("pol-in"))).To(polOut)
		},
		"topic name":  func(b *topology.Builder) { polIn.Stream(b, topology.OnError(topology.DeadLetterTo("a b"))).To(polOut) },
		"is reserved": func(b *topology.Builder) { polIn.Stream(b, topology.OnError(topology.DeadLetterTo(""))).To(polOut) },
		"TimeFrom is for int": func(b *topology.Builder) {
			polIn.Stream(b, topology.TimeFrom(func(int) topology.Time { return 0 })).To(polOut)
		},
		"exclude each other": func(b *topology.Builder) {
			polIn.Stream(b, topology.WallTime(), topology.TimeFrom(func(string) topology.Time { return 0 })).To(polOut)
		},
		"TimeFrom of nil": func(b *topology.Builder) { polIn.Stream(b, topology.TimeFrom[string](nil)).To(polOut) },
		"PartitionBy is for int": func(b *topology.Builder) {
			polIn.Stream(b).To(polOut, topology.PartitionBy(func(int, int) int { return 0 }))
		},
		"PartitionBy of nil": func(b *topology.Builder) { polIn.Stream(b).To(polOut, topology.PartitionBy[string](nil)) },
		"TopicFrom is for int": func(b *topology.Builder) {
			polIn.Stream(b).To(polOut, topology.TopicFrom(func(int) topology.Topic[string, string] { return polOut }))
		},
		"TopicFrom is for topology.Topic[string,int64]": func(b *topology.Builder) {
			polIn.Stream(b).To(polOut, topology.TopicFrom(func(string) topology.Topic[string, int64] { return polNums }))
		},
		`topic "pol-in" leads to another one in it`: func(b *topology.Builder) {
			topology.KeyBy(polIn.Stream(b), "same", func(s string) string { return s }).To(polIn)
		},
		`topic "pol-out" leads to another one in it`: func(b *topology.Builder) {
			topology.Map(polIn.Stream(b), upper).To(polOut)
			polOut.Stream(b).To(polIn)
		},
	} {
		b := topology.New("mistakes")
		build(b)
		if _, err := b.Build(); !errors.Is(err, topology.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A loop that a function can end is not refused; Describe says that there is one.
func TestLoopsAreTold(t *testing.T) {
	b := topology.New("loop")
	again := topology.FlatMap(polIn.Stream(b, topology.OnError(topology.Skip)), func(v string, out *topology.Out[string]) {
		if len(v) > 1 {
			out.Emit(v[1:])
		}
	}, topology.OnDrop(topology.DeadLetterTo("elsewhere")))
	again.To(polIn)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	text := plan.Describe(topology.AsText)
	for _, part := range []string{"* topic pol-in is read, and written by what comes of it", "(on error: skip)", "(on drop: dead letter to elsewhere)"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if d := plan.Description(); !slices.Equal(d.Loops, []string{"pol-in"}) {
		t.Errorf("loops %v", d.Loops)
	}
	d := topologytest.New(t, b)
	open(d, polIn).Send("k", "abc")
	open(d, polIn).Want("bc", "c")
}
