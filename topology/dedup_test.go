package topology_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

// The records of these tests are numbers, whose id is themselves.
var (
	numbersIn  = topology.NewTopic("numbers", codec.String, codec.Int64, topology.Partitions(1))
	numbersOut = topology.NewTopic("numbers-out", codec.String, codec.Int64, topology.Partitions(1))
	numbersToo = topology.NewTopic("numbers-too", codec.String, codec.Int64, topology.Partitions(1))
)

func self(n int64) int64 { return n }

type numbered = topology.Record[string, int64]

// drawNumbers sends records near each other in time, of few keys and numbers, to a topology
// that is run in a random way.
func drawNumbers(t *testing.T, rt *rapid.T, b *topology.Builder, send func(numbered)) *topologytest.Driver {
	way := topologytest.Config{Seed: rapid.Uint64Range(1, 1000).Draw(rt, "seed"), CrashAfter: rapid.IntRange(0, 4).Draw(rt, "crash")}
	d := way.New(t, b)
	in := topologytest.Topic(d, numbersIn)
	clock := core.Time(100)
	for range rapid.IntRange(1, 40).Draw(rt, "records") {
		r := numbered{
			Key: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"), Value: rapid.Int64Range(1, 6).Draw(rt, "number"),
			Time: clock + core.Time(rapid.IntRange(-15, 6).Draw(rt, "by")),
		}
		clock = max(clock, r.Time)
		in.SendRecord(r)
		send(r)
	}
	return d
}

func TestDeduplicateModel(t *testing.T) {
	const within = 10
	b := topology.New("dedup")
	topology.Deduplicate(numbersIn.Stream(b), "once", self, within*time.Millisecond).To(numbersOut)
	rapid.Check(t, func(rt *rapid.T) {
		var want []numbered
		seen := map[string]core.Time{} // the first one's time
		clock, late, twice := core.NoTime, 0, 0
		d := drawNumbers(t, rt, b, func(r numbered) {
			clock = max(clock, r.Time)
			id := fmt.Sprint(r.Key, r.Value)
			at, ok := seen[id]
			switch {
			case r.Time+within < clock:
				late++
			case ok && at+within >= clock:
				twice++
			default:
				seen[id] = r.Time
				want = append(want, r)
			}
		})
		if got := topologytest.Topic(d, numbersOut).Records(); !slices.Equal(got, want) {
			rt.Fatalf("got\n%v\nwant\n%v", got, want)
		}
		if l, n := d.Dropped("once", topology.Late), d.Dropped("once", topology.Duplicate); l != late || n != twice {
			rt.Fatalf("%d late, %d duplicates, want %d and %d", l, n, late, twice)
		}
		for _, at := range seen {
			if at+within >= clock {
				return
			}
		}
		if n := topologytest.Count(d, "once"); n != 0 {
			rt.Fatalf("%d ids are kept", n)
		}
	})
}

func TestThrottleModel(t *testing.T) {
	const most, per = 2, 8
	b := topology.New("throttle")
	passed, rest := topology.Throttle(numbersIn.Stream(b), "few", most, per*time.Millisecond)
	passed.To(numbersOut)
	rest.To(numbersToo)
	rapid.Check(t, func(rt *rapid.T) {
		var want, over []numbered
		type period struct {
			since core.Time
			n     int
		}
		periods := map[string]period{}
		clock := core.NoTime
		d := drawNumbers(t, rt, b, func(r numbered) {
			clock = max(clock, r.Time)
			p, ok := periods[r.Key]
			if !ok || clock >= p.since+per {
				p = period{since: clock}
			}
			if p.n == most {
				over = append(over, r)
				return
			}
			p.n++
			periods[r.Key] = p
			want = append(want, r)
		})
		if got := topologytest.Topic(d, numbersOut).Records(); !slices.Equal(got, want) {
			rt.Fatalf("got\n%v\nwant\n%v", got, want)
		}
		if got := topologytest.Topic(d, numbersToo).Records(); !slices.Equal(got, over) || d.Dropped("few", topology.Throttled) != len(over) {
			rt.Fatalf("got\n%v\nwant\n%v", got, over)
		}
	})
}

func TestReorderModel(t *testing.T) {
	const grace = 7
	b := topology.New("reorder")
	topology.Reorder(numbersIn.Stream(b), "in-order", self, grace*time.Millisecond).To(numbersOut)
	rapid.Check(t, func(rt *rapid.T) {
		var want, waiting []numbered
		next := map[string]int64{"a": 1, "b": 1}
		var late, twice, gaps int
		clock := core.NoTime
		// first takes the waiting record of a key with the least number.
		first := func(key string) int {
			best := -1
			for i, w := range waiting {
				if w.Key == key && (best < 0 || w.Value < waiting[best].Value) {
					best = i
				}
			}
			return best
		}
		emit := func(i int) {
			w := waiting[i]
			waiting = slices.Delete(waiting, i, i+1)
			gaps += int(w.Value - next[w.Key])
			next[w.Key] = w.Value + 1
			want = append(want, w)
		}
		follow := func(key string) {
			for i := first(key); i >= 0 && waiting[i].Value == next[key]; i = first(key) {
				emit(i)
			}
		}
		d := drawNumbers(t, rt, b, func(r numbered) {
			clock = max(clock, r.Time)
			switch {
			case r.Value < next[r.Key]:
				late++
			case slices.ContainsFunc(waiting, func(w numbered) bool { return w.Key == r.Key && w.Value == r.Value }):
				twice++
			default:
				waiting = append(waiting, r)
				follow(r.Key)
			}
			for {
				due := -1 // by time, then key, then number
				for i, w := range waiting {
					if w.Time+grace > clock {
						continue
					}
					if due < 0 || w.Time < waiting[due].Time || w.Time == waiting[due].Time && (w.Key < waiting[due].Key || w.Key == waiting[due].Key && w.Value < waiting[due].Value) {
						due = i
					}
				}
				if due < 0 {
					return
				}
				for upTo := waiting[due]; next[upTo.Key] <= upTo.Value; {
					emit(first(upTo.Key))
				}
				for _, key := range []string{"a", "b"} {
					follow(key)
				}
			}
		})
		if got := topologytest.Topic(d, numbersOut).Records(); !slices.Equal(got, want) {
			rt.Fatalf("got\n%v\nwant\n%v", got, want)
		}
		if l, n, g := d.Dropped("in-order", topology.Late), d.Dropped("in-order", topology.Duplicate), d.Dropped("in-order", topology.Gap); l != late || n != twice || g != gaps {
			rt.Fatalf("%d late, %d duplicates, %d missing, want %d, %d and %d", l, n, g, late, twice, gaps)
		}
		if n := topologytest.Count(d, "in-order-waiting"); n != len(waiting) {
			rt.Fatalf("%d wait, want %d", n, len(waiting))
		}
	})
}

// Each survives crashes and other batches, and time that is passed on.
func TestReorderEveryWay(t *testing.T) {
	b := topology.New("reorder")
	once := topology.Deduplicate(numbersIn.Stream(b), "once", self, time.Minute)
	few, _ := topology.Throttle(topology.Reorder(once, "in-order", self, time.Minute), "few", 4, time.Hour)
	few.To(numbersOut)
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, numbersIn), topologytest.Topic(d, numbersOut)
		for _, n := range []int64{2, 3, 1, 1, 5} {
			in.Send("k", n)
		}
		out.Want(1, 2, 3)
		d.Crash()
		d.Elapse(time.Minute)
		out.Want(5)
		in.Send("k", 6)
		out.WantNone()
		d.Elapse(2 * time.Hour)
		in.Send("k", 7)
		out.Want(7)
		if gaps, more := d.Dropped("in-order", topology.Gap), d.Dropped("few", topology.Throttled); gaps != 1 || more != 1 {
			t.Errorf("%d missing, %d too many", gaps, more)
		}
	}, b)
}
