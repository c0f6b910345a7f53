package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	saved     = "bench/saved.txt"
	benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"
	// each is how many records a benchmark runs at least: many, so that what is allocated once and
	// for all is less than one allocation a record.
	each = "100000x"
)

func main() {
	count := flag.Int("count", 6, "how often each benchmark runs")
	save := flag.Bool("save", false, "save the results as those to compare with")
	against := flag.String("against", saved, "the results to compare with")
	flag.Parse()
	if err := run(os.Stdout, *count, *save, *against); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, count int, save bool, against string) (err error) {
	var results bytes.Buffer
	bench := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark(Step|Operators)$", "-benchmem", "-benchtime", each, "-count", strconv.Itoa(count), "./bench")
	bench.Stdout, bench.Stderr = &results, os.Stderr
	if err := bench.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, &results)
	}
	if save {
		return os.WriteFile(against, results.Bytes(), 0o644)
	}
	old, err := os.ReadFile(against)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "limpet-compare-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	now := filepath.Join(dir, "now.txt")
	if err := os.WriteFile(now, results.Bytes(), 0o644); err != nil {
		return err
	}
	stat := exec.Command("go", "run", benchstat, "saved="+against, "now="+now)
	stat.Stdout, stat.Stderr = out, os.Stderr
	if err := stat.Run(); err != nil {
		return fmt.Errorf("benchstat: %w", err)
	}
	was, is := allocations(string(old)), allocations(results.String())
	if lost := gone(was, is); len(lost) > 0 {
		return fmt.Errorf("benchmarks that were saved have not run; save anew what is to be (make bench-save):\n%s", strings.Join(lost, "\n"))
	}
	if worse := more(was, is); len(worse) > 0 {
		return fmt.Errorf("a record allocates more than before:\n%s", strings.Join(worse, "\n"))
	}
	fmt.Fprintf(out, "\nno record allocates more than before, in %d benchmarks\n", len(is))
	return nil
}

// allocations finds the allocations per op of each benchmark: the least of its runs, since what
// the runtime allocates beside it can only add some.
func allocations(results string) map[string]int64 {
	least := map[string]int64{}
	for line := range strings.Lines(results) {
		words := strings.Fields(line)
		at := slices.Index(words, "allocs/op")
		if at < 2 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		n, err := strconv.ParseInt(words[at-1], 10, 64)
		if err != nil {
			continue
		}
		name := unsuffixed(words[0])
		if was, ok := least[name]; !ok || n < was {
			least[name] = n
		}
	}
	return least
}

// unsuffixed is a benchmark's name without the number of CPUs, which differs between machines.
func unsuffixed(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

// gone says which benchmarks have no results any more, sorted: what does not run allocates nothing.
func gone(old, now map[string]int64) (lost []string) {
	for name := range old {
		if _, ok := now[name]; !ok {
			lost = append(lost, "  "+name)
		}
	}
	slices.Sort(lost)
	return lost
}

// more says which benchmarks allocate more than they did, sorted. New ones may not allocate, unless
// those that are saved know better.
func more(old, now map[string]int64) (worse []string) {
	for name, n := range now {
		if was := old[name]; n > was {
			worse = append(worse, fmt.Sprintf("  %s: %d allocations, %d before", name, n, was))
		}
	}
	slices.SortFunc(worse, cmp.Compare[string])
	return worse
}
