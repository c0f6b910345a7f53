package topologytest

import (
	"strconv"

	"github.com/seed-81380e12/limpet/core"
)

// DeadLetter is a record that a topology could not process, or that it dropped, as it came; or
// what an operator has let go and could not be processed, as the operator's table has it.
type DeadLetter struct {
	Key, Value []byte
	Headers    core.Headers // the record's own, and those that say why
	Reason     string       // a topology.Reason as text
	Node       string       // where in the topology
	Message    string       // the error
	Topic      string       // where it came from
	Partition  int
	Offset     core.Offset
	HeldBy     string // the operator that has held it and let it go, on the way of the record at Offset; or ""
}

// DeadLetters is what topologies wrote to a topic of dead letters since the last read:
// "<app>-dead-letter", or the one of DeadLetterTo.
func (d *Driver) DeadLetters(topic string) []DeadLetter {
	d.t.Helper()
	d.flush()
	tp := d.topics[topic]
	if tp == nil {
		d.t.Fatalf("no topology writes dead letters to topic %q", topic)
	}
	var letters []DeadLetter
	for _, e := range tp.log[tp.read:] {
		if e.sent {
			continue
		}
		raw := &tp.parts[e.part][e.at]
		l := DeadLetter{Key: raw.Key, Value: raw.Value, Headers: core.HeadersOf(raw.Headers)}
		text := func(header string) string {
			s, ok := l.Headers.Get(header)
			if !ok {
				d.t.Fatalf("topic %s: a record has no header %s: it is no dead letter", topic, header)
			}
			return s
		}
		l.Reason, l.Node, l.Message, l.Topic = text(core.HeaderReason), text(core.HeaderNode), text(core.HeaderMessage), text(core.HeaderTopic)
		l.Partition, _ = strconv.Atoi(text(core.HeaderPartition))
		at, _ := strconv.ParseInt(text(core.HeaderOffset), 10, 64)
		l.Offset = core.Offset(at)
		l.HeldBy, _ = l.Headers.Get(core.HeaderHeldBy)
		letters = append(letters, l)
	}
	tp.read = len(tp.log)
	return letters
}
