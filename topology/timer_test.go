package topology_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// bids are an auction's: it goes to the last bidder, a minute after the last bid.
var (
	bids  = topology.NewTopic("bids", codec.String, codec.String)
	sales = topology.NewTopic("sales", codec.String, codec.String)
)

type auctionPorts struct {
	Sold   topology.Out[string]
	Gone   topology.Timer
	Remind topology.WallTimer
}

func onBid(last, bid string, p *auctionPorts) string {
	if bid == "withdraw" {
		p.Gone.Cancel()
		p.Remind.Cancel()
		return ""
	}
	p.Gone.In(time.Minute)
	p.Remind.In(time.Hour)
	return bid
}

func onGone(last string, p *auctionPorts) string {
	p.Sold.Emit("sold to " + last)
	return ""
}

func onRemind(last string, p *auctionPorts) string {
	p.Sold.Emit("remind " + last)
	return last
}

func auction(opts ...topology.ProcessorOption) *topology.Builder {
	b := topology.New("auction")
	p := topology.NewProcessor(bids.Stream(b), "auctions", onBid, opts...)
	p.OnTimer(&p.Ports.Gone, onGone)
	p.OnTimer(&p.Ports.Remind, onRemind)
	topology.Output(p, &p.Ports.Sold).To(sales)
	return b
}

// No code of the user is needed for timers to survive: every way crashes and goes on.
func TestTimers(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		in.SendAt(topologytest.At("10:00"), "vase", "ada")
		in.SendAt(topologytest.At("10:00:30"), "lamp", "bob")
		in.SendAt(topologytest.At("10:00:40"), "vase", "eve")
		in.SendAt(topologytest.At("10:00:50"), "rug", "ada")
		in.SendAt(topologytest.At("10:00:55"), "rug", "withdraw")
		out.WantNone()
		d.Crash()
		d.Crash()
		d.Elapse(10*time.Hour + time.Minute + 30*time.Second) // from 00:00
		rs := out.Records()
		want := []topology.Record[string, string]{{Key: "lamp", Value: "sold to bob", Time: topologytest.At("10:01:30")}}
		// The clock that reminds stood at 00:00 when the bids came.
		reminded := slices.DeleteFunc(slices.Clone(rs), func(r topology.Record[string, string]) bool { return !strings.HasPrefix(r.Value, "remind") })
		if sold := slices.DeleteFunc(slices.Clone(rs), func(r topology.Record[string, string]) bool { return strings.HasPrefix(r.Value, "remind") }); !slices.Equal(sold, want) || len(reminded) != 2 {
			t.Errorf("got %v", rs)
		}
		d.Crash()
		d.Elapse(time.Minute)
		out.Want("sold to eve")
		d.Elapse(24 * time.Hour)
		out.WantNone()
		if n := topologytest.Count(d, "auctions-timers"); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	}, auction())
}

// Where several partitions have timers, each task's go off by its own time.
func TestTimersByRecords(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		for i := range 8 {
			in.SendRecord(topology.Record[string, string]{Key: fmt.Sprint(i), Value: "x", Time: core.Time(1000 * (i + 1)), Headers: core.HeadersOf(core.AppendHeader(nil, "trace", fmt.Sprint(i)))})
		}
		for i := range 8 { // of the same keys, so of the same partitions
			in.SendAt(core.Time(60_000+1000*(i+1)), fmt.Sprint(i), "y")
		}
		for i := range 8 {
			in.SendAt(core.Time(300_000+1000*(i+1)), fmt.Sprint(i), "withdraw")
		}
		for _, r := range out.Records() {
			var i int
			if _, err := fmt.Sscan(r.Key, &i); err != nil {
				t.Fatal(err)
			}
			// The second bid comes when the first minute is over, to the millisecond: the step
			// comes before the timer, which then is set anew.
			if r.Value != "sold to y" || r.Time != core.Time(120_000+1000*(i+1)) {
				t.Errorf("got %v", r)
			}
			if v, ok := r.Headers.Get("trace"); ok {
				t.Errorf("%v has the trace %q of another bid", r, v)
			}
		}
	}, auction())
}

func TestTimersKeepHeaders(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		in.SendRecord(topology.Record[string, string]{Key: "vase", Value: "ada", Time: 5, Headers: core.HeadersOf(core.AppendHeader(nil, "correlation", "c1"))})
		d.Crash()
		d.Elapse(time.Minute)
		rs := out.Records()
		if len(rs) != 1 || rs[0].Time != 60_005 {
			t.Fatalf("got %v", rs)
		}
		if v, _ := rs[0].Headers.Get("correlation"); v != "c1" {
			t.Errorf("the headers are %v", rs[0].Headers)
		}
	}, auction())
}

// Wall timers go by ticks, also by those that came while nothing ran.
func TestWallTimers(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		in.Send("vase", "ada")
		d.Advance(30 * time.Minute)
		in.Send("vase", "bob")
		d.Advance(59 * time.Minute)
		out.WantNone()
		d.Pause("auction")
		d.Advance(time.Hour)
		d.Crash()
		out.WantNone()
		d.Resume("auction")
		d.Advance(time.Millisecond)
		if rs := out.Records(); len(rs) != 1 || rs[0].Value != "remind bob" || rs[0].Time != topologytest.At("01:30").Add(time.Millisecond) {
			t.Errorf("got %v", rs)
		}
		d.Crash()
		d.Advance(time.Hour)
		out.WantNone() // once, however often it starts
	}, auction())
}

func TestMaxTimers(t *testing.T) {
	d := topologytest.New(t, auction(topology.MaxTimers(4)))
	in := topologytest.Topic(d, bids)
	for _, k := range []string{"a", "b", "a"} {
		in.Send(k, "x")
	}
	if err := d.Stopped("auction"); err != nil {
		t.Fatal(err)
	}
	in.Send("c", "x")
	if err := d.Stopped("auction"); !errors.Is(err, core.ErrFull) || !strings.Contains(err.Error(), "4 timers") {
		t.Errorf("got %v", err)
	}
}

// A timer that is taken out of the ports while it is set would never go off: its task stops.
func TestDroppedTimer(t *testing.T) {
	type before struct{ Old, New topology.Timer }
	type after struct{ New topology.Timer }
	view := map[string][]byte{}
	run := func(b *topology.Builder, records ...core.RawRecord) error {
		plan, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		task := plan.Subtopologies()[0].NewTask(core.TaskConfig{View: func(id core.TableID) core.View {
			if id == 1 {
				return rowsView(view)
			}
			return rowsView(nil)
		}})
		if err := task.Step(&core.Batch{Records: records, Next: core.Offset(len(records)), CaughtUp: true}); err != nil {
			return err
		}
		c, err := task.Ready()
		if err != nil {
			return err
		}
		for _, w := range c.Writes {
			if w.Table == 1 {
				view[string(w.Key)] = slices.Clone(w.Value)
			}
		}
		return nil
	}
	b1 := topology.New("t")
	p1 := topology.NewProcessor(bids.Stream(b1), "p", func(s, v string, p *before) string { p.Old.In(time.Hour); p.New.In(time.Hour); return v })
	p1.OnTimer(&p1.Ports.Old, func(s string, p *before) string { return s })
	p1.OnTimer(&p1.Ports.New, func(s string, p *before) string { return s })
	if err := run(b1, core.RawRecord{Key: []byte("k"), Value: []byte("v")}); err != nil || len(view) != 2 {
		t.Fatalf("%v, %v", err, view)
	}
	b2 := topology.New("t")
	p2 := topology.NewProcessor(bids.Stream(b2), "p", func(s, v string, p *after) string { return v })
	p2.OnTimer(&p2.Ports.New, func(s string, p *after) string { return s })
	if err := run(b2, core.RawRecord{Key: []byte("k"), Value: []byte("v")}); !errors.Is(err, core.ErrDecode) || !strings.Contains(err.Error(), `"Old"`) {
		t.Errorf("got %v", err)
	}
}

type rowsView map[string][]byte

func (v rowsView) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	r, ok := v[string(key)]
	return append(buf, r...), 0, ok, nil
}

func (v rowsView) Scan(_, _ []byte, f func(key, value []byte, at core.Time) bool) error {
	for k, r := range v {
		if !f([]byte(k), r, 0) {
			break
		}
	}
	return nil
}

// What a test of a step sees of its timers.
func TestTimerText(t *testing.T) {
	var p auctionPorts
	if onBid("", "ada", &p); p.Gone.String() != "in 1m0s" || p.Remind.String() != "in 1h0m0s" {
		t.Errorf("%v, %v", &p.Gone, &p.Remind)
	}
	if onBid("ada", "withdraw", &p); p.Gone.String() != "cancelled" {
		t.Errorf("%v", &p.Gone)
	}
	p.Gone.At(17)
	p.Remind.At(18)
	if p.Gone.String() != "at 17" || p.Remind.String() != "at 18" || (&auctionPorts{}).Gone.String() != "" {
		t.Errorf("%v, %v", &p.Gone, &p.Remind)
	}
}

// commands are "set N", "at N" and "cancel" for one of two timers: "a set 5".
type modelPorts struct {
	Log  topology.Out[string]
	A, B topology.Timer
}

// Against a model that looks through all alarms after each record.
func TestTimersModel(t *testing.T) {
	in := topology.NewTopic("in", codec.String, codec.String, topology.Partitions(1))
	out := topology.NewTopic("out", codec.String, codec.String)
	build := func() *topology.Builder {
		b := topology.New("model")
		p := topology.NewProcessor(in.Stream(b), "p", func(s, v string, p *modelPorts) string {
			var timer, what string
			var n int
			_, _ = fmt.Sscan(v, &timer, &what, &n)
			tm := &p.A
			if timer == "b" {
				tm = &p.B
			}
			switch what {
			case "set":
				tm.In(time.Duration(n) * time.Millisecond)
			case "at":
				tm.At(core.Time(n))
			case "cancel":
				tm.Cancel()
			}
			return s + timer
		})
		p.OnTimer(&p.Ports.A, func(s string, p *modelPorts) string { p.Log.Emit("A of " + s); return s })
		p.OnTimer(&p.Ports.B, func(s string, p *modelPorts) string {
			p.Log.Emit("B of " + s)
			p.A.In(3 * time.Millisecond)
			return s + "!"
		})
		topology.Output(p, &p.Ports.Log).To(out)
		return b
	}
	rapid.Check(t, func(rt *rapid.T) {
		type alarm struct {
			at         core.Time
			key, timer string
		}
		var alarms []alarm
		var want []topology.Record[string, string]
		states := map[string]string{}
		set := func(key, timer string, at core.Time) {
			alarms = slices.DeleteFunc(alarms, func(a alarm) bool { return a.key == key && a.timer == timer })
			if at >= 0 {
				alarms = append(alarms, alarm{at, key, timer})
			}
		}
		way := topologytest.Config{Seed: rapid.Uint64Range(1, 1000).Draw(rt, "seed"), CrashAfter: rapid.IntRange(0, 4).Draw(rt, "crash")}
		d := way.New(t, build())
		h := topologytest.Topic(d, in)
		clock := core.Time(0)
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			key := rapid.SampledFrom([]string{"a", "a\x00", "ab", ""}).Draw(rt, "key")
			timer := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "timer")
			what := rapid.SampledFrom([]string{"set", "set", "at", "cancel", "nothing"}).Draw(rt, "what")
			n := rapid.IntRange(0, 12).Draw(rt, "n")
			at := max(0, clock+core.Time(rapid.IntRange(-3, 6).Draw(rt, "by")))
			if what == "at" {
				n += int(clock) - 2
				n = max(n, 0)
			}
			h.SendAt(at, key, fmt.Sprintf("%s %s %d", timer, what, n))
			clock = max(clock, at)
			states[key] += timer
			switch name := strings.ToUpper(timer); what {
			case "set":
				set(key, name, at+core.Time(n))
			case "at":
				set(key, name, core.Time(n))
			case "cancel":
				set(key, name, -1)
			}
			for {
				slices.SortFunc(alarms, func(a, b alarm) int {
					if a.at != b.at {
						return int(a.at - b.at)
					}
					if a.key != b.key {
						return strings.Compare(a.key, b.key)
					}
					return strings.Compare(a.timer, b.timer)
				})
				if len(alarms) == 0 || alarms[0].at > clock {
					break
				}
				a := alarms[0]
				set(a.key, a.timer, -1)
				want = append(want, topology.Record[string, string]{Key: a.key, Value: a.timer + " of " + states[a.key], Time: a.at})
				if a.timer == "B" {
					states[a.key] += "!"
					set(a.key, "A", a.at+3)
				}
			}
		}
		if got := topologytest.Topic(d, out).Records(); !slices.Equal(got, want) {
			rt.Fatalf("got\n%v\nwant\n%v", got, want)
		}
		if n := topologytest.Count(d, "p-timers"); n != len(alarms) {
			rt.Fatalf("%d timers are set, want %d", n, len(alarms))
		}
	})
}

// With AdvanceIdle windows close without new input, operator by operator: what one emits is
// not late for the next one, in the same task or behind a topic.
func TestAdvanceIdle(t *testing.T) {
	idle := topology.NewTopic("idle-counts", codec.String, codec.Int64)
	b := topology.New("idle", topology.AdvanceIdle(time.Minute))
	tens := topology.Count(bids.Stream(b).Window(topology.Tumbling(10*time.Second)), "tens", topology.EmitOnClose()).ToStream()
	hours := topology.Count(tens.Window(topology.Tumbling(time.Hour)), "hours", topology.EmitOnClose()).ToStream()
	days := topology.Count(topology.KeyBy(hours, "by-count", func(int64) string { return "days" }).Window(topology.Tumbling(24*time.Hour)), "days", topology.EmitOnClose())
	topology.KeyBy(hours, "hour", func(int64) string { return "hour" }).To(idle)
	topology.KeyBy(days.ToStream(), "day", func(int64) string { return "day" }).To(idle)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, idle)
		for i := range 3 {
			in.SendAt(topologytest.At("00:00:05").Add(time.Duration(i)*20*time.Second), "k", "x")
		}
		out.WantNone()
		d.Advance(59 * time.Minute)
		out.WantNone()
		d.Advance(2*time.Minute - time.Second)
		out.WantNone() // the clock less a minute has not passed the hour
		d.Advance(time.Second)
		out.Want(1, 1, 1) // of each window of ten seconds
		if n := d.Dropped("hours", topology.Late); n != 0 {
			t.Errorf("%d were late", n)
		}
		d.Advance(24 * time.Hour)
		out.Want(3)
		in.SendAt(topologytest.At("00:10"), "k", "late")
		d.Advance(24 * time.Hour)
		out.WantNone()
		if n := d.Dropped("tens", topology.Late); n != 1 {
			t.Errorf("%d were late, want 1", n)
		}
	}, b)
}

// Without it nothing moves but by records, and Elapse stands for one.
func TestElapse(t *testing.T) {
	b := topology.New("elapse")
	held := topology.Suppress(bids.Table(b), "held", topology.UntilTimeLimit(time.Minute))
	held.To(sales)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		in.Send("k", "x")
		d.Advance(time.Hour)
		out.WantNone()
		d.Elapse(0)
		out.Want("x")
	}, b)
}

func TestElapseEndsJoins(t *testing.T) {
	b := topology.New("join")
	topology.OuterJoinStreams(bids.Stream(b), sales.Stream(b), "join", topology.Within(time.Minute), func(a, b topology.Opt[string]) string {
		return a.Or("-") + b.Or("-")
	}).To(topology.NewTopic("joined", codec.String, codec.String))
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		topologytest.Topic(d, bids).Send("k", "x")
		topologytest.Topic(d, sales).Send("l", "y")
		out := topologytest.Topic(d, topology.NewTopic("joined", codec.String, codec.String))
		out.WantNone()
		d.Elapse(time.Minute + time.Second)
		out.Want("x-", "-y")
	}, b)
}
