package core

// Codec turns a type into bytes and back. It is used at the edges of a task only:
// sources, sinks and stored rows.
//
// Append appends v's bytes to dst and returns the longer slice. It must not keep v
// or dst. A nil result is Kafka's null: a tombstone, where it is a value.
// Decode must not keep src, which is written over later. Both must be pure, and Decode(Append(v)) must be v.
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

// Borrower is a codec with another one for the records of streams, whose Decode may keep src:
// what was fetched is then not written over, but where nothing keeps its values for longer than
// a step (Task.PassesOn), and lives as long as something refers to it. Rows of
// tables are decoded by the codec itself, as src is the store's there.
type Borrower[T any] interface {
	Codec[T]
	Borrowing() Codec[T]
}

// borrows reports whether what the codec decodes of a stream's record may refer to its bytes.
func borrows[T any](c Codec[T]) bool {
	_, ok := c.(Borrower[T])
	return ok
}

// borrowing is the codec that decodes the records of a stream.
func borrowing[T any](c Codec[T]) Codec[T] {
	if b, ok := c.(Borrower[T]); ok {
		return b.Borrowing()
	}
	return c
}

// NullDecoder marks a codec whose Decode takes nil for a null value. Where a stream's
// codec is no NullDecoder, null values are dropped at the source and counted.
type NullDecoder interface{ DecodesNull() }
