/*
Package demo shows topologies at work with nothing but this binary: an embedded broker
(kfake, in this process), made-up input, the topology on the real shell, and an audit
that reads everything back and counts.

	var Emails = demo.New(demo.Spec{
		Name:     "email-service",
		Topologies: func() []*topology.Builder { ... },
		Topics:   []demo.Topic{...}, Input: "orders", Output: "emails",
		NewFeeder: ..., Show: ..., Audit: ...,
	})

A Spec is what a demo brings; the rest is here: broker.go has the broker, feed.go and sending.go what
write to it, worker.go the topology at work, in this process or in one of its own that
is killed now and then, tail.go what watches the output, view.go what is shown of it,
records.go reads and writes records as topics say, report.go has what is counted in the
end, audit.go the audit of a join,
lossy.go what tests of audits need.

The broker proves how the protocol is used. It is no measure of Kafka's speed, and no
proof of durability.
*/
package demo
