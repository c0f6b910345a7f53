package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// sending is a feeder that does nothing but send.
type sending struct {
	feed *Feed
	send func(rng *rand.Rand, id string) error
	rng  *rand.Rand
	run  int64 // part of the ids: a second run has others
	n    int
	err  error
}

// Sending is a feeder that calls send as often as the rate says. Each call has an id of its own,
// also among those of earlier runs. What is drawn from rng follows from the seed.
func Sending(f *Feed, seed uint64, send func(rng *rand.Rand, id string) error) Feeder {
	return &sending{feed: f, send: send, rng: rand.New(rand.NewPCG(1, seed)), run: time.Now().UnixMilli()}
}

func (s *sending) Prepare(context.Context) error { return nil }

func (s *sending) Run(ctx context.Context) error {
	return s.feed.Pace(ctx, func() {
		id := fmt.Sprintf("%d-%07d", s.run, s.n)
		s.n++
		if err := s.send(s.rng, id); err != nil {
			s.err = err
		}
	}, func(time.Duration) error { return s.err })
}
