/*
Package envelope gives every event an id, a type and a version, its producer, and what it
belongs to: the correlation id of the whole conversation, and the causation id, the event
that led to this one.

	b := topology.New("payment", envelope.Headers())

writes it into the headers of each record that the topology writes, with the names of
CloudEvents' Kafka binding (https://github.com/cloudevents/spec, binary mode). The
correlation id is taken from the record that led to it, through joins, windows, timers and
repartition topics, with no code of the user:

	ce_specversion    1.0
	ce_id             derived from the input: a replay makes the same
	ce_type           the value's EventType(), or the name of its Go type
	ce_eventversion   the value's EventVersion(), or 1
	ce_source         the application
	ce_time           the record's time, RFC 3339, UTC
	ce_correlationid  that of the cause; else the cause's id; else topic/partition@offset
	ce_causationid    the cause's id; else topic/partition@offset

Where an event carries its envelope in the value, JSON is the codec, and Unwrap and Wrap
move the envelope between value and headers:

	{"eventId":"...","eventType":"...","eventVersion":1,"timestamp":"...",
	 "correlationId":"...","causationId":"...","producer":"...","data":{...}}

The result of a window that has closed belongs to no one record: it begins a conversation,
and its cause is the record that moved the time.
*/
package envelope
