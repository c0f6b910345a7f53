/*
Package codec has the codecs that topics are declared with:

	var Orders = topology.NewTopic("orders", codec.String, codec.JSON[Order]())

State and repartition topics need none: they take the codec that their stream carries,
or [Default] of the type.

# The contract

Append appends a value's bytes and Decode makes the same value of them. Both are pure,
safe for concurrent use, and keep neither the value nor the slice they are given: what was
fetched is written over once its records have run, in tests (topologytest) at once, so that a
codec which keeps it shows. A decoder that makes texts without a copy is such a one. Append
returns nil for Kafka's null only, which [Optional] alone has: the empty string is not
null. Errors of Decode are short and say what was wrong; whoever reports them says which
record it was.

A codec may say more of itself, by methods that are found when a topology is built:

	Schema() string  // what the bytes are: codecs with the same schema write the same
	Check() error    // why the codec would lose data, or nil
	Canonical()      // Decode accepts nothing for a value but what Append writes
	DecodesNull()    // Decode(nil) is a value: core.NullDecoder
	Borrowing() Codec[T] // for streams: its Decode may keep the slice (core.Borrower)

String, Int64, Float64 and Bytes write what Kafka's own serializers write: UTF-8 bytes,
and eight bytes, the most significant first.
*/
package codec
