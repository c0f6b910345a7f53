package statestore

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that no test leaves a goroutine behind, unless it runs in a process of its
// own because it does.
func TestMain(m *testing.M) {
	if os.Getenv(leaves) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

const leaves = "LIMPET_LEAVES_GOROUTINES"
