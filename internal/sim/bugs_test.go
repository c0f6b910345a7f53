package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Each planted mistake is found, by the check that it wants. Those of the product are planted in builds with the tag
// limpetbugs only.
func TestBugsAreFound(t *testing.T) {
	for _, b := range Bugs {
		if b.Inside && !invariant.Planting {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			h := b.Find(1, seedsMost)
			if !h.Found {
				t.Fatalf("%s did not see it: %v", b.Wants, &h)
			}
			t.Log(&h)
		})
	}
}

// Each check is wanted by a planted mistake, and each planted mistake wants a check that there is.
func TestEachCheckIsProved(t *testing.T) {
	var checks, wanted []Check
	for _, c := range Checks() {
		if slices.Contains(checks, c.Check) || c.What == "" {
			t.Errorf("%q is there twice, or does not say what it looks at", c.Check)
		}
		checks = append(checks, c.Check)
	}
	var names []string
	for _, b := range Bugs {
		if slices.Contains(names, b.Name) {
			t.Errorf("%q is planted twice", b.Name)
		}
		names = append(names, b.Name)
		if wanted = append(wanted, b.Wants); !slices.Contains(checks, b.Wants) {
			t.Errorf("%q wants %q, and there is no such check", b.Name, b.Wants)
		}
	}
	for _, c := range checks {
		if !slices.Contains(wanted, c) {
			t.Errorf("no planted mistake proves that %q sees anything", c)
		}
	}
}

// docs/reliability.md has all checks, with the mistakes that prove them.
func TestChecksAreDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := "| check | what it looks at | planted mistakes that it must be the first to find |\n|---|---|---|\n"
	for _, c := range Checks() {
		var names []string
		for _, b := range Bugs {
			if b.Wants == c.Check {
				names = append(names, b.Name)
			}
		}
		want += fmt.Sprintf("| %s | %s | %s |\n", c.Check, c.What, strings.Join(names, "; "))
	}
	if !strings.Contains(string(b), "\n"+want+"\n") {
		t.Errorf("its table of checks is not:\n%s", want)
	}
	for _, n := range []string{"%d planted mistakes, each is found", "plants each of %d,"} {
		if n = fmt.Sprintf(n, len(Bugs)); !strings.Contains(string(b), n) {
			t.Errorf("it does not say %q", n)
		}
	}
}
