package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// outcome is what a storm's report says.
type outcome struct {
	seed   uint64
	asked  int           // faults, at least
	during time.Duration // and for so long
	lacks  string        // what could not be done here

	mu     sync.Mutex // guards what follows
	faults map[string]int
	notes  map[string]int
	stops  []time.Duration

	blew, drained, longest time.Duration
	orders, aborted        int
	changes, deletions     int // of customers
	cities                 int
	emails, counts         report
	states                 []namedState
	refused                bool
}

// namedState says which directories were compared, and how they compared.
type namedState struct {
	how string
	stateReport
}

func newOutcome(seed uint64, asked int, during time.Duration) *outcome {
	return &outcome{seed: seed, asked: asked, during: during, faults: map[string]int{}, notes: map[string]int{}}
}

func (o *outcome) fault(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults[name]++
}

func (o *outcome) note(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notes[what]++
}

func (o *outcome) stop(took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stops = append(o.stops, took)
}

// write logs the report, and writes it to a file if one is named.
func (o *outcome) write(t *testing.T, file string) {
	t.Helper()
	text := o.String()
	if t.Failed() {
		text = strings.Replace(text, "\n\n", "\n\n**The test failed**: its output says why.\n\n", 1)
	}
	t.Log(text)
	if file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func (o *outcome) String() string {
	var b strings.Builder
	p := func(f string, a ...any) { fmt.Fprintf(&b, f+"\n", a...) }
	p("# What the checker of internal/chaos reported")
	p("")
	p("Written by `make chaos CHAOS=%d CHAOS_FOR=%v` on %s, of commit %s, with LIMPET_CHAOS_SEED=%d: three nodes of Apache Kafka 4.3.1 (RF 3, min.isr 2),", o.asked, o.during, time.Now().Format(time.DateOnly), cmp.Or(os.Getenv("LIMPET_CHAOS_COMMIT"), "unknown"), o.seed)
	p("three processes of %d workers, with default settings for the rest, by TLS, each behind TCP proxies of its own. doc.go of internal/chaos says", workers)
	p("what is done and compared.")
	p("")
	if o.lacks != "" {
		p("**NOT COMPLETE: %s.**", o.lacks)
		p("")
	}
	p("| topic | orders | found | lost | doubled | out of order | wrong content, count or sum | of a customer's row that was none, or not any more | of aborted orders |")
	p("|---|---|---|---|---|---|---|---|---|")
	for _, r := range []struct {
		topic string
		report
	}{{"emails", o.emails}, {"order-counts", o.counts}} {
		p("| %s | %d | %d | **%d** | **%d** | **%d** | **%d** | **%d** | **%d** |", r.topic, r.orders, r.found, r.missing, r.doubled, r.unordered, r.wrong, r.stale, r.foreign)
	}
	p("")
	p("%d orders were written in transactions that were aborted. Customers were written %d times and deleted %d times; the counts of the %d", o.aborted, o.changes-o.deletions, o.deletions, o.cities)
	p("cities that have some are right. The group's offsets are the topics' ends.")
	p("")
	p("| state directories | directories | tasks | rows | older copies of tasks | their rows | rows that differ from the logs, and tasks that are missing |")
	p("|---|---|---|---|---|---|---|")
	for _, s := range o.states {
		p("| %s | %d | %d | %d | %d | %d | **%d** |", s.how, s.dirs, s.tasks, s.rows, s.older, s.olderRows, len(s.wrong))
	}
	p("")
	p("Growth of a joined topic was refused by all processes, with the reason: %v.", o.refused)
	p("")
	p("| fault | times |")
	p("|---|---|")
	for _, name := range faultNames() {
		p("| %s | %d |", name, o.faults[name])
	}
	all := 0
	for _, n := range o.faults {
		all += n
	}
	p("| **all** | **%d** |", all)
	p("")
	p("They took %v, several at a time. The longest time without any committed result was %v; %v after the last orders",
		o.blew.Round(time.Second), o.longest.Round(100*time.Millisecond), o.drained.Round(100*time.Millisecond))
	p("everything had come out.")
	if len(o.stops) > 0 {
		slices.Sort(o.stops)
		p("Of %d clean stops amid faults the median took %v, the longest %v.", len(o.stops), o.stops[len(o.stops)/2].Round(time.Millisecond), o.stops[len(o.stops)-1].Round(time.Millisecond))
	}
	for _, what := range slices.Sorted(maps.Keys(o.notes)) {
		p("Processes that %s: %d.", what, o.notes[what])
	}
	return b.String()
}

// faultNames are the kinds of faults there are, those too that did not come up.
func faultNames() []string {
	var names []string
	for _, f := range slices.Concat(clusterFaults, networkFaults, processFaults) {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// What could not be done is at the top of the report, and each kind of faults has its number there, if it is none.
func TestOutcome(t *testing.T) {
	o := newOutcome(1, 40, time.Minute)
	o.fault(processFaults[0].name)
	if text := o.String(); strings.Contains(text, "NOT COMPLETE") {
		t.Errorf("nothing lacks, and the report says:\n%s", text)
	}
	o.lacks = "no disk was ever full"
	text := o.String()
	if at := strings.Index(text, "**NOT COMPLETE: no disk was ever full.**"); at < 0 || at > strings.Index(text, "| topic |") {
		t.Errorf("the report does not begin with what lacks:\n%s", text)
	}
	for _, name := range faultNames() {
		want := fmt.Sprintf("\n| %s | %d |\n", name, o.faults[name])
		if !strings.Contains(text, want) {
			t.Errorf("the report does not have %q", want)
		}
	}
}
