package shell

import (
	"errors"
	"testing"
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
