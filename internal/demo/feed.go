package demo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Feed writes the made-up input. Its methods are for one goroutine.
type Feed struct {
	broker *broker
	client *kgo.Client
	rate   int
	input  string

	sent   atomic.Int64 // acknowledged records of the input topic
	failed atomic.Pointer[error]
	clock  int64 // ms; never goes back
}

func newFeed(b *broker, rate int, input string) (*Feed, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ProducerLinger(2*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &Feed{broker: b, client: c, rate: rate, input: input}, nil
}

// Read reads back all that a topic has, from runs before this one.
func (f *Feed) Read(ctx context.Context, topic string, each func(*kgo.Record) error) error {
	return f.broker.Read(ctx, topic, each)
}

// Addr is the broker's address, for clients of the feeder's own.
func (f *Feed) Addr() string { return f.broker.addr }

// Ends are the ends of a topic's partitions, as a read_committed reader sees them.
func (f *Feed) Ends(topic string) []int64 { return f.broker.ends(topic) }

// Last reads the last record of each partition that has one.
func (f *Feed) Last(ctx context.Context, topic string) ([]*kgo.Record, error) {
	return f.broker.last(ctx, topic)
}

// Now is the time for the next record, in milliseconds. It never goes back; after is
// the least that is good enough.
func (f *Feed) Now(after int64) time.Time {
	f.clock = max(f.clock, time.Now().UnixMilli(), after)
	return time.UnixMilli(f.clock)
}

// Send writes a record and does not wait. Records of a partition stay in order.
func (f *Feed) Send(r *kgo.Record) {
	input := r.Topic == f.input
	f.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("writing to %s: %w", r.Topic, err)
			f.failed.CompareAndSwap(nil, &err)
			return
		}
		if input {
			f.sent.Add(1)
		}
	})
}

// Write writes records and waits until they are acknowledged: then each has its
// partition and offset.
func (f *Feed) Write(ctx context.Context, rs ...*kgo.Record) error {
	if err := f.client.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		return fmt.Errorf("writing to %s: %w", rs[0].Topic, err)
	}
	return nil
}

// Pace calls send as often as the rate says, until ctx ends. tick is called in between,
// each few milliseconds, with the time since the start.
func (f *Feed) Pace(ctx context.Context, send func(), tick func(time.Duration) error) error {
	const every = 5 * time.Millisecond
	t := time.NewTicker(every)
	defer t.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := f.err(); err != nil {
			return err
		}
		since := time.Since(began)
		due := int(since.Seconds() * float64(f.rate))
		if most := sent + f.rate/5 + 1; due > most { // we were stopped for a while: no flood
			sent += due - most
		}
		for ; sent < due; sent++ {
			send()
		}
		if err := tick(since); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
	}
}

func (f *Feed) err() error {
	if p := f.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// finish waits until all that was sent is acknowledged.
func (f *Feed) finish(ctx context.Context) error {
	if err := f.client.Flush(ctx); err != nil {
		return fmt.Errorf("writing the rest of the input: %w", err)
	}
	return f.err()
}
