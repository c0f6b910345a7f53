package statestore

import (
	"os"
	"os/exec"
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

// ownProcess runs the test in a process of its own, and gives its output; child: this is it.
func ownProcess(t *testing.T) (out []byte, child bool) {
	t.Helper()
	if os.Getenv(leaves) != "" {
		return nil, true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), leaves+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out, false
}

const leaves = "LIMPET_LEAVES_GOROUTINES"
