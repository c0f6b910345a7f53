package shell

import (
	"testing"
	"time"
)

// Commits follow the load: rare under load, frequent with little to do, and never so frequent
// that transactions take more than a third of the time.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		what          string
		size          int
		elapsed, took time.Duration
		every, least  time.Duration
		want          time.Duration
	}{
		{"nothing for long", 100, time.Hour, 2 * ms, 0, 0, 10 * ms},
		{"first of all", 100, 1<<63 - 1, 0, 0, 0, 10 * ms},
		{"full load", 2 << 20, 100 * ms, 3 * ms, 0, 0, 100 * ms},
		{"half of it", fullLoad / 20, 100 * ms, 3 * ms, 0, 0, 50 * ms},
		{"a burst", fullLoad, 10 * ms, 3 * ms, 0, 0, 100 * ms},
		{"slow brokers", 100, time.Hour, 9 * ms, 0, 0, 27 * ms},
		{"very slow brokers", 100, time.Hour, time.Second, 0, 0, 100 * ms},
		{"fixed", 100, time.Hour, 3 * ms, 50 * ms, 50 * ms, 50 * ms},
		{"as fast as allowed", 2 << 20, 10 * ms, 3 * ms, 10 * ms, 0, 10 * ms},
		{"at once", 2 << 20, 0, 0, 0, 0, 100 * ms},
	} {
		cfg := Config{CommitEvery: c.every, CommitMin: c.least}.withDefaults("app")
		w := &worker{cfg: &cfg, size: c.size, took: c.took}
		if got := w.pace(c.elapsed).Round(ms); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// A commit that was slow by chance delays those behind it by little; brokers that are slow, by
// what they take.
func TestPaceIsSteady(t *testing.T) {
	const ms = time.Millisecond
	cfg := Config{}.withDefaults("app")
	w := &worker{cfg: &cfg, size: 100}
	paced := func(took time.Duration) time.Duration {
		w.lasted(took)
		return w.pace(time.Hour)
	}
	if got := paced(4 * ms); got != 12*ms {
		t.Errorf("behind the first commit, of 4 ms: %v", got)
	}
	if got := paced(44 * ms); got != 27*ms {
		t.Errorf("behind one of 44 ms among those of 4: %v", got)
	}
	for range 16 {
		paced(4 * ms)
	}
	if got := paced(4 * ms); got > 14*ms {
		t.Errorf("when it has passed: %v", got)
	}
	for range 32 {
		paced(44 * ms)
	}
	if got := paced(44 * ms); got != 100*ms {
		t.Errorf("with slow brokers: %v", got)
	}
}

// A commit comes right behind a fetch that brought little, a tenth of the interval before it is due at most:
// the next one brings nothing until then.
func TestRest(t *testing.T) {
	const ms = time.Millisecond
	began := time.Unix(1e9, 0)
	for _, c := range []struct {
		what          string
		every, least  time.Duration
		fetched, want time.Duration // from began
		bytes         int
		rest          time.Duration
	}{
		{"shortly before", 0, 100 * ms, 93 * ms, 93 * ms, 100, 10 * ms},
		{"long before", 0, 100 * ms, 80 * ms, 100 * ms, 100, 10 * ms},
		{"behind it", 0, 100 * ms, 104 * ms, 100 * ms, 100, 10 * ms},
		{"much", 0, 100 * ms, 93 * ms, 100 * ms, RestBytes, 10 * ms},
		{"by load", 0, 0, 9999 * time.Microsecond, 10 * ms, 100, 0},
		{"a long interval", time.Minute, time.Minute, time.Minute - 20*ms, time.Minute, 100, 10 * ms},
	} {
		cfg := Config{CommitEvery: c.every, CommitMin: c.least}.withDefaults("app")
		w := &worker{cfg: &cfg, began: began, every: cfg.CommitMin, dirty: true, routes: map[Partition]route{}}
		w.fetched(began.Add(c.fetched), []Fetched{{Bytes: c.bytes}})
		if at, ok := w.due(); !ok || at.Sub(began) != c.want || cfg.rest() != c.rest {
			t.Errorf("%s: due at %v, %v, want %v; rest %v", c.what, at.Sub(began), ok, c.want, cfg.rest())
		}
	}
}

func TestCommitMin(t *testing.T) {
	for _, c := range []struct {
		every, least time.Duration
		ok           bool
	}{
		{0, 0, true},
		{10 * time.Millisecond, 0, true},
		{time.Second, time.Second, true},
		{50 * time.Millisecond, 60 * time.Millisecond, false},
		{50 * time.Millisecond, 5 * time.Millisecond, false},
	} {
		err := Config{CommitEvery: c.every, CommitMin: c.least}.Validate("app")
		if (err == nil) != c.ok {
			t.Errorf("%v, at least %v: %v", c.every, c.least, err)
		}
	}
}
