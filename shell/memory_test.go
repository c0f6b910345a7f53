package shell

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The parts are less than the whole, whatever that is; and what is set stays.
func TestMemoryIsDivided(t *testing.T) {
	for _, total := range []int{0, 128 << 20, 200 << 20, 1 << 30, 64 << 30} {
		for _, workers := range []int{0, 1, 8} {
			c := Config{MemoryBytes: total, Workers: workers}.withDefaults("x")
			if err := c.Validate("x"); err != nil {
				t.Fatal(err)
			}
			rows, blocks := c.storeMemory()
			// As docs/memory.md has it.
			heap := c.BufferBytes + 2*c.CommitBytes*c.Workers + 2*c.CacheBytes + int(rows/2)
			store := int(blocks + rows + rows*3/4)
			if got := int(c.GoMemory()); heap >= got || got+store+programMemory > c.MemoryBytes {
				t.Errorf("%d, %d workers: %d on the heap, of which the limit is %d, %d of the store", total, workers, heap, got, store)
			}
			if total == 0 && c.MemoryBytes != defaultMemory {
				t.Errorf("the default is %d", c.MemoryBytes)
			}
		}
	}
	c := Config{MemoryBytes: 200 << 20, BufferBytes: 1, CommitBytes: 2, CacheBytes: 3}.withDefaults("x")
	if c.BufferBytes != 1 || c.CommitBytes != 2 || c.CacheBytes != 3 {
		t.Errorf("what was set became %d, %d, %d", c.BufferBytes, c.CommitBytes, c.CacheBytes)
	}
	for _, n := range []int{-1, 1, 127 << 20} {
		if err := (Config{MemoryBytes: n}).Validate("x"); !errors.Is(err, ErrConfig) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// CacheBytes is for the rows of all tables, and for the indexes of those that have some.
func TestIndexesAreCounted(t *testing.T) {
	in, out := topology.NewTopic("in", codec.String, codec.String), topology.NewTopic("out", codec.String, codec.Int64)
	for _, c := range []struct {
		name   string
		count  func(topology.Stream[string, string]) topology.Table[string, int64]
		shares int // of a partition
	}{
		{"rows", func(s topology.Stream[string, string]) topology.Table[string, int64] { return topology.Count(s, "n") }, 1},
		{"rows that expire", func(s topology.Stream[string, string]) topology.Table[string, int64] {
			return topology.Count(s, "n", topology.TTL(time.Hour))
		}, 3},
	} {
		b := topology.New("app")
		c.count(in.Stream(b)).To(out)
		plan, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		l, err := newLayout(t.Context(), cluster(topic("in", 4), topic("out", 4), topic("app-n-changelog", 4, "cleanup.policy=compact")), plan, "app")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{CacheBytes: 1200}.withDefaults("app")
		if got := newOpener(&cfg, l, statestore.NewMemory()).cache; got != 1200/4/c.shares {
			t.Errorf("%s: a table has %d bytes, want %d", c.name, got, 1200/4/c.shares)
		}
	}
}
