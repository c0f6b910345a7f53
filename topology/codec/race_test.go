//go:build race

package codec

// With the race detector a sync.Pool forgets at random.
const race = true
