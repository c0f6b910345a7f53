package quotes

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/quoting"
	"github.com/seed-81380e12/limpet/internal/demo"
)

// supplier is the customer service: it answers calls, unless it is down.
type supplier struct {
	mu    sync.Mutex
	up    *sync.Cond
	down  bool
	risks map[string]quoting.Risk
	calls int
}

func newSupplier() *supplier {
	s := &supplier{risks: map[string]quoting.Risk{}}
	s.up = sync.NewCond(&s.mu)
	return s
}

// get is the call. It waits while the service is down.
func (s *supplier) get(id string) quoting.Risk {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.down {
		s.up.Wait()
	}
	s.calls++
	return s.risks[id]
}

func (s *supplier) set(id string, r quoting.Risk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.risks[id] = r
}

func (s *supplier) switched(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	s.up.Broadcast()
}

// called waits until so many calls were answered.
func (s *supplier) called(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		calls := s.calls
		s.mu.Unlock()
		if calls >= n {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("the customer service was not called for each notification")
		}
	}
}

// serve is the port: it makes the calls that the topology asks for, from where the topic
// ended, and writes the answers. A call that is made twice does no harm.
func (s *supplier) serve(ctx context.Context, addr string, from []int64) error {
	at := map[int32]kgo.Offset{}
	for p, end := range from {
		at[int32(p)] = kgo.NewOffset().At(end)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{quoting.Asks.Name(): at}))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var errs []error
		fetches.EachError(func(_ string, _ int32, err error) { errs = append(errs, err) })
		for _, raw := range fetches.Records() {
			ask, err := demo.Decode(quoting.Asks, raw)
			if err == nil {
				var answer *kgo.Record
				if answer, err = demo.Encode(quoting.Answers, ask.Key, s.get(ask.Value.CustomerID)); err == nil {
					err = cl.ProduceSync(context.WithoutCancel(ctx), answer).FirstErr()
				}
			}
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
}
