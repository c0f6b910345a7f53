package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// suite is a package of tests.
type suite int

const (
	inCore suite = iota
	inConformance
	inTopology
)

var suites = []string{"core", "topology/conformance", "topology"}

func main() {
	sample := flag.Int("sample", 0, "how many, drawn by the seed; 0: all")
	seed := flag.Uint64("seed", uint64(time.Now().Unix()/86400), "of the sample; by default the day")
	only := flag.String("only", "", "a regular expression for rules")
	flag.Parse()
	if err := run(*sample, *seed, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(sample int, seed uint64, only string) error {
	which, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	all := mutants()
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	began := time.Now()
	if err := build(all, tmp); err != nil {
		return err
	}
	for s := range suites {
		if by, out, err := test(tmp, suite(s), 0); by != "" || err != nil {
			return errors.Join(fmt.Errorf("with nothing broken, %s fails:\n%s", by, out), err)
		}
	}
	fmt.Printf("tests are built, and pass, after %s\n", time.Since(began).Round(time.Second))

	var chosen []int // by number, from 1
	for i, m := range all {
		if which.MatchString(m.rule) {
			chosen = append(chosen, i+1)
		}
	}
	if sample > 0 {
		fmt.Printf("seed %d\n", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:min(sample, len(chosen))]
	}
	var table, bad []string
	for _, n := range chosen {
		m, began := all[n-1], time.Now()
		by, err := m.try(tmp, n)
		if err != nil {
			return err
		}
		if by == "" {
			by = "**nothing**"
			bad = append(bad, m.rule)
		}
		fmt.Printf("%5.1f s  %s: noticed by %s\n", time.Since(began).Seconds(), m.rule, by)
		table = append(table, fmt.Sprintf("| %s | %s | %s |", m.rule, strings.TrimSuffix(m.file, ".go"), by))
	}
	fmt.Printf("\n| rule | core/ | noticed by |\n|---|---|---|\n%s\n", strings.Join(table, "\n"))
	fmt.Printf("\n%d mutants, %d killed, %d survive, %s\n", len(chosen), len(chosen)-len(bad), len(bad), time.Since(began).Round(time.Second))
	if len(bad) > 0 {
		return fmt.Errorf("not noticed: %s", strings.Join(bad, "; "))
	}
	return nil
}

// build compiles the tests of all suites with all mutants.
func build(all []mutant, tmp string) error {
	overlay, err := overlayOf(all, ".", tmp)
	if err != nil {
		return err
	}
	for i, s := range suites {
		out, err := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-c", "-o", binary(tmp, suite(i)), "./"+s).CombinedOutput()
		if err != nil {
			return fmt.Errorf("the tests of %s do not compile: %w\n%s", s, err, out)
		}
	}
	return nil
}

func binary(tmp string, s suite) string {
	return filepath.Join(tmp, strings.ReplaceAll(suites[s], "/", "-")+".test")
}

// try runs suites until a test fails, and says which: "" is none.
func (m *mutant) try(tmp string, n int) (by string, err error) {
	order := []suite{m.in}
	for s := range suites {
		if suite(s) != m.in {
			order = append(order, suite(s))
		}
	}
	for _, s := range order {
		if by, _, err := test(tmp, s, n); by != "" || err != nil {
			return by, err
		}
	}
	return "", nil
}

// Tests that are about the mutants' means, not about rules: code that is there twice allocates
// otherwise.
var skipped = "Alloc"

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: ([^\s/]+)`)

// test runs the tests of a suite with one mutant, and says which failed, if any.
func test(tmp string, s suite, n int) (by, out string, err error) {
	args := []string{"-test.failfast", "-test.timeout=3m", "-test.skip=" + skipped}
	// A model that fails need not be made small, nor kept.
	args = append(args, "-rapid.nofailfile", "-rapid.shrinktime=1ms")
	cmd := exec.Command(binary(tmp, s), args...)
	cmd.Dir, cmd.Env = suites[s], append(os.Environ(), fmt.Sprintf("%s=%d", envMutant, n))
	b, err := cmd.CombinedOutput()
	if err == nil {
		return "", "", nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", "", err
	}
	out = string(b)
	switch f := failed.FindStringSubmatch(out); {
	case f != nil:
		return suites[s] + " " + f[1], out, nil
	case strings.Contains(out, "panic: test timed out"):
		return suites[s] + ", by a timeout", out, nil
	}
	return suites[s] + ", by a panic", out, nil
}
