package statestore

// TinyForTest gives Pebble a memtable so small that it flushes all the time.
func TinyForTest(c PebbleConfig) PebbleConfig {
	c.memTableBytes = 256 << 10
	return c
}
