package main

import (
	"context"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
)

func TestMain(m *testing.M) {
	child.Main(cluster.Role, cluster.Child)
	child.Main(loopRole, loopChild)
	child.Main(limpetRole, limpetChild)
	goleak.VerifyTestMain(m)
}

// Both contenders do the work, and what they make is right: run checks every record.
func TestSmall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := run(ctx, options{rounds: 1, scale: 0.03, only: regexp.MustCompile("passthrough|zipf"), every: 10 * time.Millisecond, stateDir: t.TempDir(), flush: 10_000}); err != nil {
		t.Fatal(err)
	}
}
