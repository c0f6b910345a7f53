package shell

import (
	"cmp"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

func TestTooOld(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{{0, false}, {21 * time.Hour, false}, {21*time.Hour + 1, true}, {day, true}, {-3 * time.Hour, false}, {-3*time.Hour - 1, true}} {
		if tooOld(c.age, day) != c.want {
			t.Errorf("%v: %v", c.age, !c.want)
		}
	}
}

// Local state is of a time that the clock has not come to: it was written by a wrong clock, or this one is wrong. Nobody knows
// how old it is, so it is read again in full. A clock that was set back a little is no reason to.
func TestStateOfATimeToCome(t *testing.T) {
	for _, c := range []struct {
		back  time.Duration
		reads int
	}{{time.Hour, 6}, {72 * time.Hour, 10}} {
		b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
		l, err := newLayout(t.Context(), b, joined(t), "app")
		if err != nil {
			t.Fatal(err)
		}
		changelog := Partition{"app-count-changelog", 0}
		lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}}
		for i := range 10 {
			lb.logs[changelog] = append(lb.logs[changelog], core.RawRecord{Key: fmt.Append(nil, "k", i%4), Value: make([]byte, 8), Offset: core.Offset(i)})
		}
		now := time.UnixMilli(1_800_000_000_000)
		cfg := Config{Broker: lb, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
		op := newOpener(&cfg, l, statestore.NewMemory())
		o := &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
		op.run(t.Context(), o)
		cp, _ := o.store.Checkpoint()
		cp.Changelog[len(cp.Changelog)-1] = 4 // as if it had been interrupted there
		err = cmp.Or(o.err, o.store.Apply(nil, cp), o.store.Close())

		now, lb.reads = now.Add(-c.back), 0
		o = &opening{id: core.TaskID{Sub: 1}, sub: l.subs[1]}
		op.run(t.Context(), o)
		if err := cmp.Or(err, o.err); err != nil {
			t.Fatal(err)
		}
		if lb.reads != c.reads {
			t.Errorf("%v: %d records were read, want %d", c.back, lb.reads, c.reads)
		}
		if cp, _ := o.store.Checkpoint(); cp.Wall != core.Time(now.UnixMilli()) {
			t.Errorf("%v: checkpoint of %v", c.back, time.UnixMilli(int64(cp.Wall)))
		}
	}
}

// The clock is set back: what arrives has the time of the record before, until the clock is there again.
func TestArrivalNeverGoesBack(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	w := &worker{cfg: &Config{Now: func() time.Time { return now }}}
	at := w.arrives()
	for _, c := range []struct{ set, want time.Duration }{{-time.Hour, 0}, {time.Minute, 0}, {58*time.Minute + 59*time.Second, 0}, {time.Minute, 59 * time.Second}} {
		now = now.Add(c.set)
		if got := w.arrives().Sub(at); got != c.want {
			t.Errorf("%v: %v, want %v", c.set, got, c.want)
		}
	}
}
