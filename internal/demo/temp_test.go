package demo

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSweepRemovesDeadRunsOnly(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	living, remove, err := tempDir()
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(os.TempDir(), tempPrefix+"dead")
	other := filepath.Join(os.TempDir(), tempPrefix+"other")
	for _, d := range []string{dead, other} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	exists := func(dir string) bool { _, err := os.Stat(dir); return err == nil }
	sweep(os.TempDir(), time.Now().Add(-time.Hour))
	if !exists(dead) {
		t.Error("a young one was swept")
	}
	sweep(os.TempDir(), time.Now().Add(time.Hour))
	if exists(dead) || !exists(living) || !exists(other) {
		t.Errorf("dead %v, living %v, other %v", exists(dead), exists(living), exists(other))
	}
	if remove(); exists(living) {
		t.Error("not removed")
	}
}
