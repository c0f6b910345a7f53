package topologytest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
)

// WantRecords looks at keys and times, and several partitions have an order for each key.
func TestWantRecords(t *testing.T) {
	EveryWay(t, func(d *Driver) {
		h := Topic(d, in)
		h.SendAt(5, "a", value{"one", 1})
		h.SendAt(6, "b", value{"two", 2})
		h.SendAt(7, "a", value{"three", 3})
		Topic(d, out).WantRecords(RecordOf(5, "a", value{"one", 1}), RecordOf(6, "b", value{"two", 2}), RecordOf(7, "a", value{"three", 3}))
		Topic(d, out).WantRecords()
	}, pass())
}

func TestAdvanceTo(t *testing.T) {
	d := New(t, pass())
	noon := topology.TimeOf(time.Date(2025, 2, 1, 12, 0, 0, 0, time.UTC))
	d.AdvanceTo(noon)
	Topic(d, in).Send("a", value{"one", 1})
	Topic(d, out).WantRecords(RecordOf(noon, "a", value{"one", 1}))
	if d.Now().UTC().Month() != time.February {
		t.Errorf("now is %v", d.Now().UTC())
	}
}

// failing scenarios are run in a process of their own, to see what go test prints.
var failing = map[string]func(t *testing.T){
	"want": func(t *testing.T) {
		EveryWay(t, func(d *Driver) { Topic(d, out).Want(value{"none", 0}) }, pass())
	},
	"build": func(t *testing.T) { EveryWay(t, func(*Driver) {}, topology.New("empty")) },
	"own": func(t *testing.T) {
		EveryWay(t, func(d *Driver) {
			if d.cfg.CrashAfter > 0 {
				d.T().Errorf("own words")
			}
		}, pass())
	},
	"outside": func(t *testing.T) {
		EveryWay(t, func(d *Driver) {
			if d.cfg.Partitions == 4 {
				t.Errorf("of outside")
			}
		}, pass())
	},
}

func TestFailingScenario(t *testing.T) {
	if name := os.Getenv("FAILING_SCENARIO"); name != "" {
		failing[name](t)
		return
	}
	for name, want := range map[string]struct {
		once, ways string // what is printed once; the ways that fail
		same       int    // how many refer to the first
	}{
		"want":    {"topic out: 0 values, want 1", "one_by_one long_batches random_1 random_2 random_3 four_partitions crash_after_three random_crashes", 7},
		"build":   {`topology "empty" does not build`, "one_by_one long_batches random_1 random_2 random_3 four_partitions crash_after_three random_crashes", 7},
		"own":     {"own words", "crash_after_three random_crashes", 1},
		"outside": {"in this way the scenario has failed", "four_partitions", 0},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFailingScenario$")
		cmd.Env = append(os.Environ(), "FAILING_SCENARIO="+name)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: passes", name)
		}
		var ways []string
		for line := range strings.Lines(string(out)) {
			if way, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: TestFailingScenario/"); ok {
				way, _, _ = strings.Cut(way, " ")
				ways = append(ways, way)
			}
		}
		if strings.Count(string(out), want.once) != 1 || strings.Join(ways, " ") != want.ways || strings.Count(string(out), "fails as ") != want.same {
			t.Errorf("%s: ways %v\n%s", name, ways, out)
		}
		if !strings.Contains(string(out), "ways_test.go:") {
			t.Errorf("%s: no line of the scenario:\n%s", name, out)
		}
	}
}
