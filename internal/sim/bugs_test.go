package sim

import (
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Each planted mistake is found. Those of the product are planted in builds with the tag
// limpetbugs only.
func TestBugsAreFound(t *testing.T) {
	for _, b := range Bugs {
		if b.Inside && !invariant.Planting {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			r, tries, ok := b.Find(1, 1000)
			if !ok {
				t.Fatalf("not found in %d seeds", tries)
			}
			text, _, _ := strings.Cut(r.Err.Error(), "\n")
			t.Logf("seed %d of %d, %s: %s", r.Seed, tries, r.Scenario, text)
		})
	}
}
