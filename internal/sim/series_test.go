package sim

import (
	"io"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// A scenario that is misspelled is not all of them.
func TestUnknownScenario(t *testing.T) {
	err := Series{Seeds: 1, Scenario: "nope"}.Run(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), `no scenario "nope"; there is: email, lookup, `) {
		t.Errorf("got %v", err)
	}
}

// Mistakes that cannot be planted are not found ones.
func TestBugsOfAnotherBuild(t *testing.T) {
	if invariant.Planting {
		t.Skip("this build has all")
	}
	defer func(all []Bug) { Bugs = all }(Bugs)
	Bugs = []Bug{{Name: "one of the product", Inside: true}}
	var out strings.Builder
	if err := PrintBugs(t.Context(), 1, &out); err == nil || !strings.Contains(err.Error(), "-tags limpetbugs") || !strings.Contains(out.String(), "not in this build") {
		t.Errorf("got %v and %s", err, &out)
	}
}
