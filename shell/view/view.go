package view

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
	"github.com/seed-81380e12/limpet/topology"
)

// ErrClosed is what ends those who wait for a view that was closed.
var ErrClosed = errors.New("view: closed")

// View is the latest row of each key of a topic. Its methods may be called by many goroutines.
type View[K comparable, V any] struct {
	topic  string
	kc     topology.Codec[K]
	vc     topology.Codec[V]
	broker shell.Broker
	fetch  shell.Fetcher
	stop   context.CancelFunc
	ended  chan struct{}

	mu    sync.RWMutex
	rows  map[K]V
	at    []core.Offset // by partition: what is in rows
	moved chan struct{} // closed, and made anew, whenever rows, at or err change
	err   error         // why it follows the topic no longer
}

// Open reads a topic up to where it ends now, and follows it from then on, until Close. ctx is
// for the opening only. The broker stays the caller's.
func Open[K comparable, V any](ctx context.Context, b shell.Broker, t topology.Topic[K, V]) (*View[K, V], error) {
	running, stop := context.WithCancel(context.Background())
	v := &View[K, V]{
		topic: t.Name(), broker: b, stop: stop, ended: make(chan struct{}),
		rows: map[K]V{}, moved: make(chan struct{}),
		fetch: b.NewFetcher(shell.FetchConfig{Name: "view of " + t.Name()}),
	}
	v.kc, v.vc = t.Codecs()
	go v.follow(running)
	if err := v.CatchUp(ctx); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Get is the row of a key. It belongs to the view: nobody may change what it refers to.
func (v *View[K, V]) Get(key K) (V, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	row, ok := v.rows[key]
	return row, ok
}

// All is all rows as they are when the iteration begins, in no order.
func (v *View[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		v.mu.RLock()
		rows := maps.Clone(v.rows)
		v.mu.RUnlock()
		for k, row := range rows { // yield may take its time, and ask the view
			if !yield(k, row) {
				return
			}
		}
	}
}

// Len is how many rows there are.
func (v *View[K, V]) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.rows)
}

// Err is why the view follows its topic no longer, or nil. Get still answers then, from what
// was read: whoever must not serve old rows asks, or waits, which fails. The reasons are those
// of a shell.Fetcher, and core.ErrDecode.
func (v *View[K, V]) Err() error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.err
}

// Await waits until the view shows what came of all records below the position on their way
// through a topology, running anywhere as app, that writes the view's topic: read your own
// writes. See shell.Await for what it takes of the topology. It ends with ctx's error when
// ctx ends.
func (v *View[K, V]) Await(ctx context.Context, plan *topology.Plan, app string, pos shell.Position) error {
	if err := shell.Await(ctx, v.broker, plan, app, pos); err != nil {
		return err
	}
	return v.CatchUp(ctx)
}

// CatchUp waits until the view shows all that its topic has now. What lies behind an open
// transaction is waited for.
func (v *View[K, V]) CatchUp(ctx context.Context) error {
	ends, err := v.grow(ctx)
	if err != nil {
		return err
	}
	return v.WaitFor(ctx, ends)
}

// WaitFor waits until the view shows all records of its topic below the position. Partitions of
// other topics are not waited for.
func (v *View[K, V]) WaitFor(ctx context.Context, pos shell.Position) error {
	for {
		v.mu.RLock()
		behind, moved, err := v.behind(pos), v.moved, v.err
		v.mu.RUnlock()
		switch {
		case behind == "":
			return nil
		case err != nil:
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("view of topic %s: %s: %w", v.topic, behind, ctx.Err())
		}
	}
}

// Close ends the view. Those who wait get ErrClosed. It may be called again.
func (v *View[K, V]) Close() {
	v.stop()
	<-v.ended
}

// behind says how far rows are behind the position; "" is not at all. v.mu is held.
func (v *View[K, V]) behind(pos shell.Position) string {
	for p, next := range pos {
		if p.Topic != v.topic {
			continue
		}
		at := core.Offset(0)
		if int(p.ID) < len(v.at) {
			at = v.at[p.ID]
		}
		if at < next {
			return fmt.Sprintf("partition %d is read up to %d, not %d", p.ID, at, next)
		}
	}
	return ""
}

// grow begins to read the partitions that the topic has and the view does not, and returns
// where all of them end.
func (v *View[K, V]) grow(ctx context.Context) (shell.Position, error) {
	topics, err := v.broker.Topics(ctx, v.topic)
	if err != nil {
		return nil, fmt.Errorf("view of topic %s: %w", v.topic, err)
	}
	t, ok := topics[v.topic]
	if !ok {
		return nil, fmt.Errorf("view: %w: topic %s does not exist", shell.ErrTopic, v.topic)
	}
	ps := make([]shell.Partition, t.Partitions)
	for i := range ps {
		ps[i] = shell.Partition{Topic: v.topic, ID: int32(i)}
	}
	bounds, err := v.broker.Bounds(ctx, ps)
	if err != nil {
		return nil, fmt.Errorf("view of topic %s: %w", v.topic, err)
	}
	ends := shell.Position{}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, p := range ps {
		if ends[p] = bounds[p].End; i >= len(v.at) {
			v.at = append(v.at, bounds[p].Start)
			v.fetch.Add(p, bounds[p].Start, 0, 0)
		}
	}
	return ends, nil
}

// follow takes what comes, until ctx ends or something fails.
func (v *View[K, V]) follow(ctx context.Context) {
	defer close(v.ended)
	defer v.fetch.Close()
	for {
		got, err := v.fetch.Poll(ctx)
		if ctx.Err() != nil {
			err = ErrClosed
		}
		v.mu.Lock()
		for i := range got {
			if err == nil {
				err = v.take(&got[i])
			}
		}
		v.err = err
		close(v.moved)
		v.moved = make(chan struct{})
		v.mu.Unlock()
		if err != nil {
			return
		}
		for i := range got {
			v.fetch.Release(got[i].Partition, got[i].Tag, got[i].Bytes)
		}
	}
}

// take puts what was fetched of a partition into the rows. v.mu is held.
func (v *View[K, V]) take(f *shell.Fetched) error {
	if f.Err != nil {
		return fmt.Errorf("view of topic %s: %w", v.topic, f.Err)
	}
	for i := range f.Batch.Records {
		r := &f.Batch.Records[i]
		if r.Key == nil {
			continue // no row has it
		}
		k, err := v.kc.Decode(r.Key)
		if err != nil {
			return fmt.Errorf("view of topic %s: %w: partition %d, offset %d: key: %w", v.topic, core.ErrDecode, f.ID, r.Offset, err)
		}
		if r.Value == nil {
			delete(v.rows, k)
			continue
		}
		row, err := v.vc.Decode(r.Value)
		if err != nil {
			return fmt.Errorf("view of topic %s: %w: partition %d, offset %d: value: %w", v.topic, core.ErrDecode, f.ID, r.Offset, err)
		}
		v.rows[k] = row
	}
	v.at[f.ID] = f.Batch.Next
	return nil
}
