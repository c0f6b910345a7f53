package demo

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSweepRemovesDeadRunsOnly(t *testing.T) {
	dir := t.TempDir()
	living, remove, err := tempDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, tempPrefix+"dead")
	other := filepath.Join(dir, tempPrefix+"other")
	for _, d := range []string{dead, other} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	sweep(dir, time.Now().Add(-time.Hour))
	if !exists(dead) {
		t.Error("a young one was swept")
	}
	sweep(dir, time.Now().Add(time.Hour))
	if exists(dead) || !exists(living) || !exists(other) {
		t.Errorf("dead %v, living %v, other %v", exists(dead), exists(living), exists(other))
	}
	if remove(); exists(living) {
		t.Error("not removed")
	}
}
