package statestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/core"
)

// Where the rows on disk are as many as may be, Apply says so, and what was applied stays. With
// a higher limit it goes on.
func TestMaxBytes(t *testing.T) {
	fs := vfs.NewMem()
	cfg := smallConfig(fs)
	cfg.MaxBytes = 4 << 20
	db, err := openPebble(cfg)
	fatal(t, err)
	s, err := db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	n := 0
	apply := func(s Store) error {
		w := make([]core.Write, 20)
		for i := range w {
			v := make([]byte, 1000) // not to be compressed
			for j := range v {
				v[j] = byte(rng.Uint32())
			}
			w[i] = core.Write{Key: fmt.Appendf(nil, "%d/%d", n, i), Value: v}
		}
		err := s.Apply(w, numbered(n+1))
		if err == nil {
			n++
		}
		return err
	}
	for err == nil && n < 2000 {
		err = apply(s)
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "the limit is 4194304") || !strings.Contains(err.Error(), "db") {
		t.Fatalf("after %d commits: %v", n, err)
	}
	if got := db.Metrics().Disk; got < cfg.MaxBytes || got > 3*cfg.MaxBytes {
		t.Errorf("%d bytes on disk, at most %d may be", got, cfg.MaxBytes)
	}
	count := func(s Store) (rows int) {
		t.Helper()
		fatal(t, s.Scan(0, nil, nil, func([]byte, []byte, core.Time) bool { rows++; return true }))
		return rows
	}
	if got := count(s); got != 20*n {
		t.Errorf("%d rows after %d commits of 20", got, n)
	}
	if err := db.Close(); !errors.Is(err, ErrFull) {
		t.Fatalf("Close: %v", err)
	}
	cfg.MaxBytes *= 4
	db, err = openPebble(cfg)
	fatal(t, err)
	s, err = db.Open(core.TaskID{}, oneTable)
	fatal(t, err)
	cp, _ := s.Checkpoint()
	if n = int(cp.Input[0]); n == 0 || count(s) != 20*n {
		t.Errorf("%d rows at commit %d", count(s), n)
	}
	for range 50 {
		fatal(t, apply(s))
	}
	fatal(t, db.Close())
}
