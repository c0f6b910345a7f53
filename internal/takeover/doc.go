/*
Package takeover holds the proof that an application can be taken over from Kafka Streams, and given
back: no code, tests only.

streams/ is a Kafka Streams application, takeover_test.go the same one as a topology: a count, windows, sessions, a versioned
table that is joined, at once and with grace, and joins of streams. On a real broker one of them begins, and the other one goes on with
the same application id, so with the same group, changelogs and internal names, and no local state. Both
must write what one of them alone would have written. What they write to their changelogs for the same input is
the same, byte for byte. testdata has what Kafka Streams wrote, so that this is tested with no Kafka at hand, too.
*/
package takeover
