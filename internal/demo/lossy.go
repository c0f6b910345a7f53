package demo

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// losing is the key of Losing.
type losing struct{}

// Losing lets the audit of a demo that runs with the context lose the first record of the
// output, for tests of audits: it must be missed.
func Losing(ctx context.Context) context.Context { return context.WithValue(ctx, losing{}, true) }

// lossy is a Log that has lost the first record of a topic.
type lossy struct {
	Log
	topic string
}

func (l *lossy) Read(ctx context.Context, topic string, each func(*kgo.Record) error) error {
	lost := topic != l.topic
	return l.Log.Read(ctx, topic, func(r *kgo.Record) error {
		if !lost {
			lost = true
			return nil
		}
		return each(r)
	})
}
