package statestore_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/statestore/storetest"
)

type memFactory struct{ db *statestore.Memory }

func (f memFactory) Open(testing.TB) statestore.DB {
	f.db.Reopen()
	return f.db
}
func (f memFactory) Crash(testing.TB, statestore.DB) { f.db.Crash() }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Factory { return memFactory{statestore.NewMemory()} })
}

type pebbleFactory struct {
	fs  *vfs.MemFS
	rng *rand.Rand
	cfg statestore.PebbleConfig
}

func (f *pebbleFactory) Open(t testing.TB) statestore.DB {
	t.Helper()
	cfg := f.cfg
	cfg.FS = f.fs
	db, err := statestore.OpenPebble(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func (f *pebbleFactory) Crash(t testing.TB, db statestore.DB) {
	clone := f.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: f.rng.IntN(101), RNG: f.rng})
	_ = db.Close() // of the life that goes on without us
	f.fs = clone
}

func TestPebble(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  statestore.PebbleConfig
	}{
		{"Default", statestore.PebbleConfig{}},
		{"Tiny", statestore.TinyForTest(statestore.PebbleConfig{MemoryBytes: 64 << 10, FlushRecords: 50})},
	} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Run(t, func(testing.TB) storetest.Factory {
				cfg := c.cfg
				cfg.Dir, cfg.App = "db", "test"
				return &pebbleFactory{fs: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(1, 2)), cfg: cfg}
			})
		})
	}
}

// TestOtherTopology: a store is that of the topology which wrote it.
func TestOtherTopology(t *testing.T) {
	dir := t.TempDir()
	open := func(topology string) error {
		db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: dir, App: "app", Topology: topology})
		if err != nil {
			return err
		}
		return db.Close()
	}
	for _, name := range []string{"orders", "orders", ""} {
		if err := open(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := open("payments"); !errors.Is(err, statestore.ErrApp) || !strings.Contains(err.Error(), `"orders"`) {
		t.Errorf("got %v", err)
	}
}
