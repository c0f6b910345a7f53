package topology

import "github.com/seed-81380e12/limpet/core"

// Policy says what becomes of a record that cannot be processed, or that is dropped.
type Policy struct {
	action core.Action
	topic  string // of dead letters; "": the application's own
}

// The policies.
var (
	// Stop stops the topology at the record. What came before it is committed, nothing of the
	// record is. It is the default for errors.
	Stop = Policy{action: core.Stop}
	// Skip counts the record and goes on behind it. It is the default for drops.
	Skip = Policy{action: core.Skip}
	// DeadLetter counts the record, writes it as it came to the topic <app>-dead-letter, with
	// headers that say why, in the same transaction, and goes on behind it. The topic is made
	// at the start.
	DeadLetter = Policy{action: core.DeadLetter}
)

// DeadLetterTo is DeadLetter with a topic of the user's, which must exist.
func DeadLetterTo(topic string) Policy {
	if topic == "" {
		topic = "." // a name that Build refuses: "" is the application's own
	}
	return Policy{core.DeadLetter, topic}
}

func (p Policy) String() string {
	switch {
	case p.action == core.Stop:
		return "stop"
	case p.action == core.Skip:
		return "skip"
	case p.action == core.DeadLetter && p.topic == "":
		return "dead letter"
	case p.action == core.DeadLetter:
		return "dead letter to " + p.topic
	}
	return "no policy"
}

// OnError says what becomes of records that fail: that do not decode or whose time is
// negative, that a function rejects or panics on, or that lead to something which does not
// encode, is too large for its topic, or has no place there. All effects of such a record are
// taken back, wherever it had them. What an operator has held and lets go, such as the result of a
// window that closes or an alarm, and that fails, is left out by itself.
//
// Of a source it holds for all that becomes of its records, up to the next topic of the
// topology's own and behind it, unless an operator says otherwise.
func OnError(p Policy) Option {
	return anyOption(func(s *settings) { s.policies.onError = &p })
}

// OnDrop says what becomes of records that an operator drops: those with a null key or value,
// late and unmatched ones. They are counted in any case; DeadLetter sends them to a topic
// too. A record that is dropped in one place keeps its effects elsewhere. Of a source it
// holds as OnError does, and, if OnError is not given, for negative times.
func OnDrop(p Policy) Option {
	return anyOption(func(s *settings) { s.policies.onDrop = &p })
}

// skips reports whether records are skipped by it.
func (p *Policy) skips() bool {
	return p != nil && (p.action == core.Skip || p.action == core.DeadLetter)
}

// policies are those of a node; nil is not said.
type policies struct{ onError, onDrop *Policy }

// skip reports whether records may be skipped by one of them: OnDrop, too, which holds for times that are none.
func (p policies) skip() bool { return p.onError.skips() || p.onDrop.skips() }

// or is p, and what it does not say of other.
func (p policies) or(other policies) policies {
	if p.onError == nil {
		p.onError = other.onError
	}
	if p.onDrop == nil {
		p.onDrop = other.onDrop
	}
	return p
}

// agree is what both say; nil where they differ.
func (p policies) agree(other policies) policies {
	same := func(a, b *Policy) *Policy {
		if a == nil || b == nil || *a != *b {
			return nil
		}
		return a
	}
	return policies{same(p.onError, other.onError), same(p.onDrop, other.onDrop)}
}

// topics calls f with the dead letters' topics.
func (p policies) topics(f func(topic string)) {
	for _, x := range []*Policy{p.onError, p.onDrop} {
		if x != nil && x.action == core.DeadLetter {
			f(x.topic)
		}
	}
}

// String is a text for Describe, with a space in front, or "".
func (p policies) String() (s string) {
	if p.onError != nil {
		s += ", on error: " + p.onError.String()
	}
	if p.onDrop != nil {
		s += ", on drop: " + p.onDrop.String()
	}
	if s != "" {
		s = " (" + s[2:] + ")"
	}
	return s
}

// policiesOf are those of a node: the input of an operator has those of the operator.
func policiesOf(n *node) policies {
	if n.input && len(n.subs) == 1 {
		return n.policies.or(n.subs[0].policies)
	}
	return n.policies
}

// sourcePolicies are those of a node as a source. A repartition topic has those of the topics
// that lead to it, as far as they agree.
func sourcePolicies(nodes []*node, cut []bool) []policies {
	all, state := make([]policies, len(nodes)), make([]uint8, len(nodes))
	var of func(n *node) policies
	of = func(n *node) policies {
		if state[n.id] > 0 {
			return all[n.id] // known, or a circle: what the others say
		}
		state[n.id], all[n.id] = 1, n.policies
		if !cut[n.id] {
			return n.policies
		}
		for i, src := range sourcesOf(n, cut, len(nodes), false) {
			if p := of(src); i == 0 {
				all[n.id] = p
			} else {
				all[n.id] = all[n.id].agree(p)
			}
		}
		all[n.id] = n.policies.or(all[n.id])
		return all[n.id]
	}
	for _, n := range nodes {
		of(n)
	}
	return all
}

// outcome is a policy for the core; dead are the sinks of dead letters.
func (p *Policy) outcome(dead map[string]core.SinkID) core.Outcome {
	if p == nil {
		return core.Outcome{}
	}
	return core.Outcome{Action: p.action, Sink: dead[p.topic]}
}

func (p policies) core(dead map[string]core.SinkID) core.Policy {
	return core.Policy{Error: p.onError.outcome(dead), Drop: p.onDrop.outcome(dead)}
}

const deadLetterSuffix = "-dead-letter"

func deadLetterTopic(app string) string { return app + deadLetterSuffix }

// policies refuses what has no meaning.
func (c *checker) policies() {
	for _, n := range c.nodes {
		p := n.policies
		for _, x := range []struct {
			option string
			p      *Policy
		}{{"OnError", p.onError}, {"OnDrop", p.onDrop}} {
			if x.p == nil {
				continue
			}
			if x.p.action == core.Inherit {
				c.wrong(n, "%s of no policy: Stop, Skip, DeadLetter and DeadLetterTo are", x.option)
			}
			if x.p.topic == "" {
				continue
			}
			if why := badTopicName(x.p.topic); why != "" {
				c.wrong(n, "%s: the dead letters' topic name %s", x.option, why)
			}
			if u := c.b.topics[x.p.topic]; u != nil && u.source != nil {
				c.wrong(n, "%s: the topology reads topic %q: its dead letters would come back for ever. Take a topic that another topology reads", x.option, x.p.topic)
			}
		}
		if p.onDrop != nil && p.onDrop.action == core.Stop {
			c.wrong(n, "OnDrop(Stop): a dropped record is no error. Reject it in a function, in front of the operator that drops it")
		}
		p.topics(func(topic string) {
			if full := deadLetterTopic(c.b.name); topic == "" && len(full) > maxTopicName {
				c.wrong(n, "the topic %s would have %d characters, Kafka allows %d: shorten the topology's name", full, len(full), maxTopicName)
			}
		})
	}
}
