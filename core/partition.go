package core

// HashPartition is the partition that Kafka's Java clients put a key on: murmur2 of the
// key's bytes, its sign cut off, modulo the number of partitions. All writers of a topic
// must agree on it, or keys of joined topics do not meet. A nil key has no hash: the
// caller chooses a partition for it.
func HashPartition(key []byte, n int32) int32 { return (murmur2(key) & 0x7fffffff) % n }

// murmur2 is the hash of org.apache.kafka.common.utils.Utils, with its seed.
func murmur2(b []byte) int32 {
	const (
		m    = 0x5bd1e995
		r    = 24
		seed = 0x9747b28c
	)
	h := uint32(seed) ^ uint32(len(b))
	for len(b) >= 4 {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		b = b[4:]
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return int32(h)
}
