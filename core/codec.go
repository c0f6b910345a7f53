package core

// Codec turns a type into bytes and back. It is used at the edges of a task only:
// sources, sinks and stored rows.
//
// Append appends v's bytes to dst and returns the longer slice. It must not keep v
// or dst. A nil result is Kafka's null: a tombstone, where it is a value.
// Decode must not keep src. Both must be pure, and Decode(Append(v)) must be v.
// A codec is used by many goroutines at a time.
type Codec[T any] interface {
	Append(dst []byte, v T) ([]byte, error)
	Decode(src []byte) (T, error)
}

// PartitionCodec is a codec of keys that are not partitioned by all their bytes, but by those
// that AppendPartition appends. It must be pure, and what it appends must not be nil.
type PartitionCodec[K any] interface {
	Codec[K]
	AppendPartition(dst []byte, k K) ([]byte, error)
}

// NullDecoder marks a codec whose Decode takes nil for a null value. Where a stream's
// codec is no NullDecoder, null values are dropped at the source and counted.
type NullDecoder interface{ DecodesNull() }
