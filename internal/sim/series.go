package sim

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Series says which seeds to run.
type Series struct {
	First    uint64
	Seeds    int // 0: no end
	For      time.Duration
	Scenario string
	Workers  int
	Trace    int
	// Repeat is the command line that runs one seed again, without the seed.
	Repeat string
}

// Run runs the seeds and prints to out, now and then, how far it is. It ends with the first
// seed that finds something, and returns that as an error, when all seeds are done, or when ctx ends.
func (s Series) Run(ctx context.Context, out io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	debug.SetGCPercent(400) // runs are short, and leave much behind
	cover := Cover()
	if s.For > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, s.For)
		defer done()
	}
	var (
		mu    sync.Mutex
		sum   = totals{began: time.Now()}
		next  = s.First
		found *Result
		wg    sync.WaitGroup
	)
	told := sum.began
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		ok = found == nil && ctx.Err() == nil && (s.Seeds == 0 || next-s.First < uint64(s.Seeds))
		seed = next
		next++
		return seed, ok
	}
	for range max(1, s.Workers) {
		wg.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				r := Run(Options{Seed: seed, Scenario: s.Scenario, Trace: s.Trace})
				mu.Lock()
				if sum.add(&r); r.Err != nil && (found == nil || r.Seed < found.Seed) {
					found = &r
				}
				if now := time.Now(); now.Sub(told) >= 10*time.Second {
					told = now
					fmt.Fprintln(out, &sum)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Fprintln(out, &sum)
	if s.Seeds == 1 && found == nil && s.Trace > traceLast {
		fmt.Fprint(out, Run(Options{Seed: s.First, Scenario: s.Scenario, Trace: s.Trace}).Trace)
	}
	if found != nil {
		fmt.Fprintf(out, "\nthe last events, with step, ms, what, whose, and numbers:\n%s\nseed %d, %s: %v\nagain: %s --seed %d\n",
			found.Trace, found.Seed, found.Scenario, found.Err, s.command(), found.Seed)
		text, _, _ := strings.Cut(found.Err.Error(), "\n")
		return fmt.Errorf("sim: seed %d found: %s", found.Seed, text)
	}
	// Seeds 1 to 500 are known to reach all (TestSeeds); others may miss what comes in few.
	if missing := cover.Missing(); sum.seeds >= 10_000 && s.Scenario == "" && len(missing) > 0 {
		return fmt.Errorf("sim: %d seeds never reached: %s", sum.seeds, strings.Join(missing, "; "))
	}
	return nil
}

// check looks whether there is such a scenario.
func (s Series) check() error {
	var names []string
	for _, sc := range scenarios {
		names = append(names, sc.name)
	}
	if s.Scenario != "" && !slices.Contains(names, s.Scenario) {
		return fmt.Errorf("sim: no scenario %q; there is: %s", s.Scenario, strings.Join(names, ", "))
	}
	return nil
}

func (s Series) command() string {
	if s.Scenario != "" {
		return s.Repeat + " --scenario " + s.Scenario
	}
	return s.Repeat
}

// totals add up runs.
type totals struct {
	began                                                time.Time
	seeds, steps, commits, crashes, faults, records, bad int
}

func (t *totals) add(r *Result) {
	t.seeds++
	t.steps += r.Steps
	t.commits += r.Commits
	t.crashes += r.Crashes
	t.faults += r.Faults
	t.records += r.Records
	if r.Err != nil {
		t.bad++
	}
}

func (t *totals) String() string {
	took := time.Since(t.began)
	return fmt.Sprintf("%d seeds in %v (%.0f a second): %d steps, %d records, %d transactions, %d faults, %d of them crashes; %d found something",
		t.seeds, took.Round(time.Second), float64(t.seeds)/max(took.Seconds(), 1e-3), t.steps, t.records, t.commits, t.faults, t.crashes, t.bad)
}

// seedsMost is within how many seeds a planted mistake must be found.
const seedsMost = 1000

// PrintBugs plants each mistake and prints how many seeds it takes until the check that it wants is the first to find
// it. It returns an error when that was not so within 1 000, or a mistake cannot be planted in this build.
func PrintBugs(ctx context.Context, first uint64, out io.Writer) error {
	missed, absent := 0, 0
	for _, b := range Bugs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h := b.Find(first, seedsMost)
		switch {
		case h.Seeds == 0:
			absent++
		case !h.Found:
			missed++
		}
		fmt.Fprintf(out, "%-62s %v\n", b.Name, &h)
	}
	if missed > 0 {
		return fmt.Errorf("sim: %d of %d planted mistakes were not found by the check that they want", missed, len(Bugs))
	}
	if absent > 0 {
		return fmt.Errorf("sim: %d of %d mistakes are those of the product, which are not in this build; with them: go run -tags limpetbugs ./cmd/processor sim --bugs", absent, len(Bugs))
	}
	return nil
}
