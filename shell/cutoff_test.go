package shell_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// A changelog loses its beginning while the application does not run. With its local state it goes on, commits, and would again;
// without it, it does not count from what is left, but says which task, which changelog, and how it began.
func TestChangelogIsCutOff(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at least once %v", atLeastOnce), func(t *testing.T) {
			t.Parallel()
			addrs, dir := newCluster(t), t.TempDir()
			b := openBroker(t, addrs)
			rng := rand.New(rand.NewPCG(4, 4))
			want := map[string]int64{}
			config := func(dir string) shell.Config {
				return shell.Config{Broker: b, StateDir: dir, CommitEvery: 20 * time.Millisecond, AtLeastOnce: atLeastOnce}
			}
			counts := func() {
				t.Helper()
				for w, n := range feed(t, addrs, 500, rng) {
					want[w] += n
				}
				stop := start(t, config(dir), wordCount(t))
				await(t, addrs, want, 30*time.Second)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			}
			counts()
			var logs []shell.Partition
			for p := range int32(partitions) {
				logs = append(logs, shell.Partition{Topic: "wordcount-count-changelog", ID: p})
			}
			bounds, err := b.Bounds(t.Context(), logs)
			if err != nil {
				t.Fatal(err)
			}
			cut := map[shell.Partition]core.Offset{}
			for p, at := range bounds {
				cut[p] = at.End / 2
			}
			if err := b.DeleteRecords(t.Context(), cut); err != nil {
				t.Fatal(err)
			}
			counts()
			counts()
			var be *shell.BeginError
			err = stopsWith(t, config(t.TempDir()), wordCount(t))
			if !errors.As(err, &be) || !errors.Is(err, shell.ErrTopic) || be.Had != 0 || be.Has != cut[be.Partition] {
				t.Fatalf("got %v", err)
			}
			for _, s := range []string{fmt.Sprintf("task 1_%d: ", be.ID), be.Partition.String(), fmt.Sprintf("begins at %d, and began at 0", be.Has), "reset the application"} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("no %q in: %v", s, err)
				}
			}
			counts() // nothing was harmed
		})
	}
}
