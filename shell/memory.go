package shell

import "fmt"

// How MemoryBytes is divided; docs/memory.md has the table. The program itself takes its part
// first. Of the rest everything below is a share; what is left over, nearly a half of it, is for
// what has a limit of its own kind (indexes, requests under way) and for the garbage that Go has
// not collected yet.
const (
	defaultMemory = 640 << 20
	minMemory     = 128 << 20
	programMemory = 96 << 20 // code, stacks, Go's own, what C's allocator keeps

	// In 64ths.
	bufferShare = 1  // BufferBytes
	commitShare = 2  // CommitBytes, of all workers together; there are two generations
	cacheShare  = 14 // CacheBytes: rows, and the indexes of those that expire
	rowShare    = 8  // the store's rows in memory: half to be written, half read lately
	blockShare  = 8  // the store's blocks
)

// divide gives each part that the caller has not set its share.
func (c *Config) divide() {
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemory
	}
	share := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	share(&c.BufferBytes, c.share(bufferShare))
	share(&c.CommitBytes, c.share(commitShare)/max(c.Workers, 1))
	share(&c.CacheBytes, c.share(cacheShare))
}

func (c *Config) share(of64 int) int {
	return max(c.MemoryBytes-programMemory, minMemory-programMemory) / 64 * of64
}

func (c *Config) checkMemory() error {
	if c.MemoryBytes < minMemory {
		return fmt.Errorf("MemoryBytes is %d: %d MiB at least", c.MemoryBytes, minMemory>>20)
	}
	return nil
}

// storeMemory is what a store that Run opens may take.
func (c *Config) storeMemory() (rows, blocks int64) {
	return int64(c.share(rowShare)), int64(c.share(blockShare))
}

// Memory is MemoryBytes, or its default.
func (c Config) Memory() int {
	c.divide()
	return c.MemoryBytes
}

// GoPercent is how much garbage there may be to what is alive (debug.SetGCPercent, GOGC) in the run
// command: little of it is made, since what was fetched is written over, so less than Go's 100 takes
// memory away and hardly adds to the collector's work.
const GoPercent = 40

// GoMemory is the soft limit for Go's heap (debug.SetMemoryLimit, GOMEMLIMIT) that goes with
// MemoryBytes where the state is on disk: MemoryBytes without what lies outside of the heap. Run
// does not set it, since a limit is the process's; the run command does.
func (c Config) GoMemory() int64 {
	c.divide()
	rows, blocks := c.storeMemory()
	// The store's rows lie outside of the heap on Linux. Pebble's own: blocks, and what it sets aside
	// for a batch that is written (half of rows) and two memtables (a quarter), where it keeps blocks
	// while there is none.
	return int64(c.MemoryBytes) - programMemory - blocks - rows - rows*3/4
}
