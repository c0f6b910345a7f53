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
	seed uint64

	mu     sync.Mutex // guards what follows
	faults map[string]int
	notes  map[string]int
	stops  []time.Duration

	blew, drained, longest time.Duration
	orders, aborted, rows  int
	emails, counts         report
	refused                bool
}

func newOutcome(seed uint64) *outcome {
	return &outcome{seed: seed, faults: map[string]int{}, notes: map[string]int{}}
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
	t.Log(text)
	if file != "" && !t.Failed() {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func (o *outcome) String() string {
	var b strings.Builder
	p := func(f string, a ...any) { fmt.Fprintf(&b, f+"\n", a...) }
	all := 0
	for _, n := range o.faults {
		all += n
	}
	p("# What the checker of internal/chaos reported")
	p("")
	p("Written by `make chaos CHAOS=%d` on %s, of commit %s, with LIMPET_CHAOS_SEED=%d: three nodes of Apache Kafka 4.3.1 (RF 3, min.isr 2),", all, time.Now().Format(time.DateOnly), cmp.Or(os.Getenv("LIMPET_CHAOS_COMMIT"), "unknown"), o.seed)
	p("three processes with default settings, each behind TCP proxies of its own. doc.go of internal/chaos says what is done and compared.")
	p("")
	p("| topic | orders | found | lost | doubled | out of order | wrong content, count or sum | of aborted orders |")
	p("|---|---|---|---|---|---|---|---|")
	for _, r := range []struct {
		topic string
		report
	}{{"emails", o.emails}, {"order-counts", o.counts}} {
		p("| %s | %d | %d | **%d** | **%d** | **%d** | **%d** | **%d** |", r.topic, r.orders, r.found, r.missing, r.doubled, r.unordered, r.wrong, r.foreign)
	}
	p("")
	p("%d orders were written in transactions that were aborted. %d rows on disk are those of the logs; the group's offsets are the topics' ends.", o.aborted, o.rows)
	p("Growth of a joined topic was refused by all processes, with the reason: %v.", o.refused)
	p("")
	p("| fault | times |")
	p("|---|---|")
	for _, name := range slices.Sorted(maps.Keys(o.faults)) {
		p("| %s | %d |", name, o.faults[name])
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
