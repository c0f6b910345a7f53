package core

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios runs the scripts of testdata: commands in, effects out. -rewrite writes
// what comes out into them: read the diff before committing it.
//
//	task shape=<name> [cache=<bytes>] [check]   begins, with nothing committed
//	step source=<n> [next=<offset>] [caughtup]  a batch: lines of "key value @time [offset] [header=value]"
//	tick at=<time>, pass to=<time>
//	ready | advance | abort                     ready prints the commit
//	crash                                       a new task on what is committed
//	view | next | dropped
//	store table=<n>, broken-view                what the view has, and that it fails
//
// In records null is Kafka's null, and "" the empty string.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") || strings.Contains(path, "rapid") {
			t.Skip()
		}
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return scenario(t, &w, d)
		})
	})
}

func scenario(t *testing.T, w **world, d *datadriven.TestData) string {
	report := func(err error) string {
		if err != nil {
			var re *RecordError
			if errors.As(err, &re) && re.Stack != nil {
				text, place, ok := strings.Cut(err.Error(), ", at /")
				if !ok || !strings.Contains(place, ".go:") {
					return "error, with no place: " + err.Error() + "\n"
				}
				return "error, with the stack: " + text + "\n"
			}
			return "error: " + err.Error() + "\n"
		}
		return fmt.Sprintf("next %v, %d bytes pending\n", (*w).task.Next(nil), (*w).task.Pending())
	}
	switch d.Cmd {
	case "task":
		var shape string
		cfg := TaskConfig{CheckMutation: d.HasArg("check"), CacheBytes: 1 << 20}
		d.ScanArgs(t, "shape", &shape)
		d.MaybeScanArgs(t, "cache", &cfg.CacheBytes)
		if shapes[shape] == nil {
			d.Fatalf(t, "no shape %q", shape)
		}
		*w = newWorld(cfg, shapes[shape])
		return ""
	case "step":
		var source int
		d.ScanArgs(t, "source", &source)
		b := &Batch{Source: SourceID(source), CaughtUp: d.HasArg("caughtup")}
		if source < len((*w).task.sources) {
			b.Next = (*w).task.sources[source].tail
		}
		for _, line := range strings.Split(d.Input, "\n") {
			if line == "" {
				continue
			}
			r := parseRecord(t, d, line, b.Next)
			b.Records, b.Next = append(b.Records, r), r.Offset+1
		}
		var next int
		if d.HasArg("next") {
			d.ScanArgs(t, "next", &next)
			b.Next = Offset(next)
		}
		return report((*w).task.Step(b))
	case "tick":
		var at int
		d.ScanArgs(t, "at", &at)
		return report((*w).task.Tick(Time(at)))
	case "pass":
		var to int
		d.ScanArgs(t, "to", &to)
		return report((*w).task.Pass(Time(to)))
	case "ready":
		c, err := (*w).task.Ready()
		if err != nil {
			return report(err)
		}
		if c.Empty() {
			return "empty\n"
		}
		return c.String()
	case "advance":
		(*w).settle((*w).task.sealed)
		return ""
	case "abort":
		(*w).task.Abort()
		return fmt.Sprintf("next %v\n", (*w).task.Next(nil))
	case "crash":
		(*w).open()
		return fmt.Sprintf("next %v\n", (*w).task.Next(nil))
	case "broken-view":
		(*w).views[0].err = errors.New("disk on fire")
		return ""
	case "store":
		var table int
		d.ScanArgs(t, "table", &table)
		r := parseRecord(t, d, d.Input, 0)
		(*w).views[table].rows[string(r.Key)] = memRow{string(r.Value), r.Time}
		return ""
	case "view":
		var b strings.Builder
		for i, v := range (*w).views {
			fmt.Fprintf(&b, "table %d\n%v", i, v)
		}
		return b.String()
	case "next":
		return fmt.Sprintln((*w).task.Next(nil))
	case "dropped":
		var b strings.Builder
		(*w).task.Dropped(func(node string, why Reason, n int64) { fmt.Fprintf(&b, "%s: %d %v\n", node, n, why) })
		return b.String()
	}
	d.Fatalf(t, "no command %q", d.Cmd)
	return ""
}

func parseRecord(t *testing.T, d *datadriven.TestData, line string, offset Offset) RawRecord {
	r := RawRecord{Offset: offset}
	field := func(s string) []byte {
		switch s {
		case "null":
			return nil
		case `""`:
			return []byte{}
		}
		return []byte(strings.ReplaceAll(s, "_", " "))
	}
	for i, s := range strings.Fields(line) {
		k, v, isHeader := strings.Cut(s, "=")
		n, err := strconv.ParseInt(strings.TrimPrefix(s, "@"), 10, 64)
		switch {
		case i == 0:
			r.Key = field(s)
		case i == 1:
			r.Value = field(s)
		case isHeader:
			r.Headers = AppendHeader(r.Headers, k, v)
		case err != nil:
			d.Fatalf(t, "%q: %v", line, err)
		case s[0] == '@':
			r.Time = Time(n)
		default:
			r.Offset = Offset(n)
		}
	}
	return r
}

// shapes are the tasks of the scenarios.
var shapes = map[string]func(*Task){
	"chain": chain,
	"join": func(t *Task) {
		tb := NewTable(t, "customers", str{}, str{})
		TableSource(t, "customers", tb, nil)
		sink := Sink(t, 0, "out", str{}, str{}, nil)
		Source(t, "orders", str{}, str{}, Join(t.Node("with-customer", "compose"), tb.Get, func(v, c string) string { return v + "+" + c }, sink))
	},
	"left-join": func(t *Task) {
		tb := NewTable(t, "customers", str{}, str{})
		TableSource(t, "customers", tb, nil)
		view := MapLookup(t.Node("upper", ""), strings.ToUpper, FilterLookup(t.Node("short", ""), func(s string) bool { return len(s) < 4 }, tb.Get))
		sink := Sink(t, 0, "out", str{}, str{}, nil)
		Source(t, "orders", str{}, str{}, LeftJoin(t.Node("with-customer", ""), view, func(v string, c Opt[string]) string { return v + "+" + c.Or("?") }, sink))
	},
	"table": func(t *Task) {
		tb := NewTable(t, "rows", str{}, str{})
		short := func(s string) bool { return len(s) < 4 }
		TableSource(t, "rows", tb, Fan(
			TableSink(t, 0, "changes", str{}, str{}, nil),
			FilterTable(t.Node("short", ""), short, false, MapTable(t.Node("upper", ""), strings.ToUpper, Fan(
				TableSink(t, 1, "short", str{}, str{}, nil),
				ToStream(Sink(t, 2, "stream", str{}, str{}, nil)))))))
	},
	"to-table": func(t *Task) {
		tb := NewTable(t, "rows", str{}, str{})
		Source(t, "in", str{}, str{}, ToTable(t.Node("rows", ""), tb, func(s string) bool { return s == "gone" }, TableSink(t, 0, "changes", str{}, str{}, nil)))
	},
	"state": func(t *Task) {
		Source(t, "in", str{}, str{}, ToTable(t.Node("state", ""), NewTable(t, "state", str{}, str{}), nil, nil))
	},
	"aggregate": func(t *Task) {
		tb := NewTable(t, "sums", str{}, str{})
		Source(t, "in", str{}, str{}, Aggregate(t.Node("sums", "add"), tb, func(v string) string { return "(" + v }, func(a, v string) string { return a + v },
			func(a string) bool { return strings.HasSuffix(a, "end") }, TableSink(t, 0, "changes", str{}, str{}, nil)))
	},
	"stateless": func(t *Task) {
		a, b := Sink(t, 0, "a", str{}, str{}, nil), Sink(t, 1, "b", str{}, str{}, nil)
		words := FlatMap(t.Node("words", "split"), func(v string, out *Out[string]) {
			for i, w := range strings.Fields(v) {
				switch w {
				case "reject":
					out.Reject(errors.New("no such word"))
				case "panic":
					panic("at the " + w)
				case "past":
					out.EmitAt(-5, w)
				default:
					out.EmitAt(Time(100+i), w)
				}
			}
			out.Emit(out.ID())
		}, b)
		byValue := KeyBy[string](t.Node("by-first", ""), func(v string) string { return v[:1] }, WithHeader(t.Node("header", ""), "len", func(v string) string { return fmt.Sprint(len(v)) }, b))
		Source(t, "in", str{}, str{}, Split(t.Node("long", ""), func(v string) bool { return len(v) > 3 },
			Fan(a, words, byValue),
			Filter(t.Node("not-x", ""), func(v string) bool { return v != "x" }, Map(t.Node("bang", ""), func(v string) string { return v + "!" },
				Records(Values[string, string](a))))))
	},
	"nullable": func(t *Task) {
		Source(t, "in", str{}, optStr{}, Sink(t, 0, "out", str{}, optStr{}, nil))
	},
	"ports": func(t *Task) {
		customers := NewTable(t, "customers", str{}, str{})
		sagas := NewTable(t, "sagas", str{}, str{})
		ps := &Ports[string, sagaPorts]{User: new(sagaPorts)}
		AddOut(ps, &ps.User.A, Sink(t, 0, "a", str{}, str{}, nil))
		AddOut(ps, &ps.User.B, Sink(t, 1, "b", str{}, str{}, nil))
		AddRow(ps, &ps.User.Customer, customers.Get)
		done := func(s string) bool { return s == "" }
		TableSource(t, "customers", customers, nil)
		changed := TableSink(t, 2, "states", str{}, str{}, nil)
		Source(t, "orders", str{}, str{}, ProcessPorts(t.Node("saga", "OnOrder"), sagas, ps, onSaga, done, changed))
		Source(t, "stock", str{}, str{}, ProcessPorts(t.Node("saga", "OnStock"), sagas, ps, func(s, v string, p *sagaPorts) string {
			p.B.Emit("stock of " + s)
			return ""
		}, done, changed))
	},
	"timers": timersShape,
	"idle": func(t *Task) {
		timersShape(t)
		t.AdvanceIdle(100 * time.Millisecond)
	},
	"mutating": func(t *Task) {
		tb := NewTable(t, "lists", str{}, list{})
		Source(t, "in", str{}, str{}, Process(t.Node("lists", "addInPlace"), tb, func(l []string, v string, out *Out[int]) []string {
			if v == "change" && len(l) > 0 {
				l[0] = "changed"
			}
			return append(l[:len(l):len(l)], v)
		}, nil, func(*Tx, Record[string, int]) {}, nil))
		Source(t, "probe", str{}, str{}, Join(t.Node("probe", ""), tb.Get, func(v string, l []string) string {
			return v + strings.Join(l, ",")
		}, Map(t.Node("innocent", ""), func(v string) string { return v }, Fan(
			Peek(t.Node("peek", ""), func(string) {}, Sink(t, 0, "out", str{}, str{}, nil))))))
	},
}

type sagaPorts struct {
	A, B     Out[string]
	Customer Row[string]
}

func onSaga(s, v string, p *sagaPorts) string {
	row, ok := p.Customer.Get()
	switch {
	case v == "reject":
		p.A.Emit("never seen")
		p.B.Reject(errors.New("not this one"))
	case v == "panic":
		panic("in a step")
	case ok:
		p.B.Emit("for " + row)
	}
	p.A.Emit(s + ">" + v)
	return v
}

type timerPorts struct {
	Due  Timer
	Out  Out[string]
	Wall WallTimer
	Also Timer
}

// timersShape is a processor with timers, which does what it is told: "due 10" and "wall
// 10" set an alarm 10 ms from now, "at 10" for that time, "cancel" takes the first one back,
// "again 10" sets it again each time it goes off, and "two 10" sets two for one time.
func timersShape(t *Task) {
	states := NewTable(t, "states", str{}, str{})
	names := []string{"Also", "Due", "Wall"}
	alarms := NewTable[TimerKey[string], Alarm](t, "proc-timers", TimerKeyCodec[string]{names, str{}}, AlarmCodec{})
	ts := NewTimers(t, t.Node("proc-timers", ""), alarms, str{}, NewClock(t, "proc"), len(names), 3)
	ps := &Ports[string, timerPorts]{User: new(timerPorts)}
	node := func(f string) NodeID { return t.Node("proc", f) }
	AddTimer(t, node("OnDue"), ps, ts, 1, &ps.User.Due, states, func(s string, p *timerPorts) string {
		var n int
		if _, err := fmt.Sscanf(s, "again %d", &n); err == nil {
			p.Due.In(time.Duration(n) * time.Millisecond)
		}
		if s == "fail" {
			p.Out.Reject(errors.New("not now"))
		}
		p.Out.Emit("due of " + s + " " + p.Out.ID())
		return s
	}, nil, nil)
	AddOut(ps, &ps.User.Out, Sink(t, 0, "out", str{}, str{}, nil))
	AddTimer(t, node("OnWall"), ps, ts, 2, &ps.User.Wall, states, func(s string, p *timerPorts) string {
		p.Out.Emit("wall of " + s + " " + p.Out.ID())
		p.Due.In(0)
		return "after wall"
	}, nil, nil)
	AddTimer(t, node("OnAlso"), ps, ts, 0, &ps.User.Also, states, func(s string, p *timerPorts) string {
		p.Out.Emit("also of " + s)
		return s
	}, nil, nil)
	Source(t, "in", str{}, str{}, ProcessPorts(node("OnIn"), states, ps, func(s, v string, p *timerPorts) string {
		var n int
		_, _ = fmt.Sscanf(strings.TrimLeft(v, "abcdefghijklmnopqrstuvwxyz "), "%d", &n)
		d := time.Duration(n) * time.Millisecond
		switch what, _, _ := strings.Cut(v, " "); what {
		case "due", "again":
			p.Due.In(d)
		case "at":
			p.Due.At(Time(n))
		case "wall":
			p.Wall.In(d)
		case "two":
			p.Due.In(d)
			p.Also.In(d)
		case "cancel":
			p.Due.Cancel()
		case "fail":
			p.Due.In(0)
		default:
			return s
		}
		return v
	}, nil, nil))
}
