package shell

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// Position is how far topics have been written: by partition, the offset behind the last
// record. Who has written something can hold it up against what he reads elsewhere.
type Position map[Partition]core.Offset

// Await waits until a topology, running anywhere as app, has read and committed all records
// below the position, and all that came of them on its way through its own repartition
// topics. After that its tables and its output topics show what came of those records:
// read your own writes. Partitions of topics that the topology does not read are not
// waited for. It ends with ctx's error when ctx ends.
//
// It asks the group's committed offsets and the ends of topics, nothing else, so it needs
// no member of the group and may run in any process. Package shell/view has the rows of an output
// topic, to be read behind an Await. Where sub-topologies feed each other
// in a circle, it waits for one time around.
func Await(ctx context.Context, b Broker, plan *topology.Plan, app string, pos Position) error {
	await := Position{}
	for p, next := range pos {
		await[p] = next
	}
	for _, sub := range plan.Subtopologies() {
		var ps []Partition
		for _, src := range sub.Sources {
			name := src.TopicName(app)
			for p := range await {
				if p.Topic == name {
					ps = append(ps, p)
				}
			}
		}
		if len(ps) == 0 {
			continue
		}
		if err := awaitCommitted(ctx, b, app, ps, await); err != nil {
			return err
		}
		// What they wrote was committed with those offsets: it lies below the ends of now.
		var names []string
		for _, s := range sub.Sinks {
			if s.Repartition {
				names = append(names, s.TopicName(app))
			}
		}
		if err := addEnds(ctx, b, names, await); err != nil {
			return err
		}
	}
	return nil
}

// awaitCommitted waits until the group has committed the partitions up to await.
func awaitCommitted(ctx context.Context, b Broker, group string, ps []Partition, await Position) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		at, err := b.Committed(ctx, group, ps)
		if err != nil {
			return fmt.Errorf("shell: await %s: %w", group, err)
		}
		left := ps[:0]
		for _, p := range ps {
			if at[p].Next < await[p] {
				left = append(left, p)
			}
		}
		if ps = left; len(ps) == 0 {
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("shell: await %s: %v is read up to %d, not %d: %w", group, ps[0], at[ps[0]].Next, await[ps[0]], ctx.Err())
		}
	}
}

// Ends is how far topics are written now: the position behind all that they have. After an
// Await of one topology, the ends of its output topics are what to await in the next one.
func Ends(ctx context.Context, b Broker, topics ...string) (Position, error) {
	ends := Position{}
	return ends, addEnds(ctx, b, topics, ends)
}

// addEnds adds the ends of topics as they are now.
func addEnds(ctx context.Context, b Broker, names []string, await Position) error {
	if len(names) == 0 {
		return nil
	}
	topics, err := b.Topics(ctx, names...)
	if err != nil {
		return fmt.Errorf("shell: ends of topics: %w", err)
	}
	var ps []Partition
	for _, t := range topics {
		for i := range t.Partitions {
			ps = append(ps, Partition{t.Name, i})
		}
	}
	ends, err := b.Bounds(ctx, ps)
	if err != nil {
		return fmt.Errorf("shell: ends of topics: %w", err)
	}
	for p, e := range ends {
		await[p] = e.End
	}
	return nil
}
