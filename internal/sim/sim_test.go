package sim

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/internal/randomtopo"
)

var (
	first = flag.Uint64("first", 1, "the first seed")
	seeds = flag.Int("seeds", 500, "how many seeds")
)

var covered = Cover() // before any run

// TestMain sees that no test leaves a goroutine behind: neither do runs that are given up.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // runs are short and leave much behind
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// Seeds find nothing, and reach all that they must reach.
func TestSeeds(t *testing.T) {
	var next atomic.Uint64
	var wg sync.WaitGroup
	var mu sync.Mutex
	drawn := map[string]bool{}
	was := covered.Counts() // other tests, and runs with planted mistakes, have reached some
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < uint64(*seeds) && !t.Failed(); n = next.Add(1) - 1 {
				r := Run(Options{Seed: *first + n})
				if r.Err != nil {
					t.Errorf("seed %d, %s: %v\n%s\nagain: go run ./cmd/processor sim --seed %d", r.Seed, r.Scenario, r.Err, r.Trace, r.Seed)
				}
				mu.Lock()
				for _, name := range r.Operators {
					drawn[name] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	now := covered.Counts()
	missing := slices.DeleteFunc(slices.Clone(States), func(s string) bool { return now[s] > was[s] })
	if *seeds >= 500 && len(missing) > 0 && !t.Failed() {
		t.Errorf("%d seeds never reached:\n%s", *seeds, strings.Join(missing, "\n"))
	}
	for _, name := range randomtopo.Operators() {
		if *seeds >= 500 && !drawn[name] && !t.Failed() {
			t.Errorf("no random topology of %d seeds has %s", *seeds, name)
		}
	}
}

// The same seed is the same run, however many processors there are.
func TestSameSeedSameRun(t *testing.T) {
	hash := func(procs int) (hs []uint64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		for seed := range uint64(40) {
			hs = append(hs, Run(Options{Seed: seed}).Hash)
		}
		for seed := range uint64(12) { // Pebble's goroutines do not show
			hs = append(hs, Run(Options{Seed: seed, Pebble: true}).Hash)
		}
		return hs
	}
	one := hash(1)
	for _, procs := range []int{1, 2, 8} {
		for seed, h := range hash(procs) {
			if h != one[seed] {
				t.Errorf("seed %d on %d processors: %x and %x", seed, procs, h, one[seed])
			}
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(one[:40])))) != 40 {
		t.Error("different seeds are the same run")
	}
}

// With no faults there are no crashes, and everything comes out.
func TestCalm(t *testing.T) {
	for i := range scenarios {
		r := Run(Options{Seed: 1, Scenario: scenarios[i].name, Calm: true})
		if r.Err != nil || r.Crashes+r.Faults > 0 || r.Commits == 0 {
			t.Errorf("%s: %+v", scenarios[i].name, r)
		}
	}
}

// Every state that is named somewhere is one that must be reached.
func TestStatesAreListed(t *testing.T) {
	named := regexp.MustCompile(`(?:invariant\.S|\.s)ometimes\("([^"]+)"\)`)
	found := map[string]bool{}
	for _, dir := range []string{"core", "topology", "statestore", "shell", "internal/sim"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range named.FindAllSubmatch(b, -1) {
				found[string(m[1])] = true
				if !slices.Contains(States, string(m[1])) {
					t.Errorf("%s: %q is not in States", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range States {
		if !found[s] {
			t.Errorf("%q is named nowhere", s)
		}
	}
}
