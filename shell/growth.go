package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Topics that get more partitions while the application runs. What a key's partition is
// follows from their number, so the state of a key, and the records that it is joined with,
// lie elsewhere than its new records: such a topic is refused. Three cases are none of that:
//
//   - A sub-topology with no tables. Its new partitions are new tasks: the group assigns
//     them, and their layout is read when they open. Order by key is lost for the records
//     around the growth, as it is for every consumer.
//   - A topic that is merged with a wider one. Its new partitions belong to tasks that run
//     already, without it: the process has to be started again.
//   - The topic of a global table: all partitions are read in any case.
//
// What was refused once is refused at the next start too: changelogs have the old number of
// partitions, and the committed offsets say for which number they were made (meta.go).

// refreshEvery is how often topics are looked at by default.
const refreshEvery = 30 * time.Second

// watchTopics looks at the topics that are read, now and then, until ctx ends. An error means
// that one has grown and cannot be taken over.
func (p *process) watchTopics(ctx context.Context) error {
	every := time.NewTicker(p.cfg.RefreshEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		switch err := p.refresh(ctx); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrTopic):
			p.cfg.Logger.Error("process stops", "err", err)
			return err
		case err != nil: // what else depends on Kafka notices it, too
			p.cfg.Logger.Warn("topics could not be looked at", "err", err)
		}
	}
}

// refresh looks at the topics that are read. It may be called by many goroutines.
func (p *process) refresh(ctx context.Context) error {
	p.refreshing.Lock()
	defer p.refreshing.Unlock()
	have, err := p.cfg.Broker.Topics(ctx, p.layout.readTopics()...)
	if err != nil {
		return err
	}
	if err := p.layout.grow(have); err != nil {
		return err
	}
	ids, err := p.cfg.Broker.TopicIDs(ctx, p.layout.ownTopics()...)
	if err != nil {
		return err
	}
	for name, id := range ids {
		if was, ok := p.ids[name]; ok && was != id && !invariant.Bug("topics are told apart by name") {
			return &RemadeError{name}
		}
	}
	p.ids = ids
	if p.globals != nil {
		for _, g := range p.layout.globals {
			if n := have[g.topic].Partitions; n > g.partitions {
				p.cfg.Logger.Info("the topic of a global table has grown", "topic", g.topic, "from", g.partitions, "to", n)
				p.globals.grow(g.topic, g.partitions, n)
				g.partitions = n
			}
		}
	}
	return nil
}

// readTopics are all topics that the application reads.
func (l *layout) readTopics() (names []string) {
	for _, s := range l.subs {
		for _, src := range s.sources {
			names = append(names, src.topic)
		}
	}
	for _, g := range l.globals {
		names = append(names, g.topic)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ownTopics are all topics whose offsets the application keeps.
func (l *layout) ownTopics() []string {
	names := l.readTopics()
	for _, s := range l.subs {
		for _, t := range s.tables {
			names = append(names, t.topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// grow takes over new partitions where that may be, and otherwise says what to do. It is
// called by many goroutines.
func (l *layout) grow(have map[string]Topic) error {
	var errs []error
	for _, s := range l.subs {
		s.mu.Lock()
		was := s.partitions // before any of them grows
		for i := range s.sources {
			src := &s.sources[i]
			n := have[src.topic].Partitions
			if n <= src.partitions {
				continue
			}
			if err := s.refuses(i, n, was); err != nil {
				errs = append(errs, err)
				continue
			}
			src.partitions, s.partitions = n, max(s.partitions, n)
		}
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// refuses says why source i cannot have n partitions from now on. The caller holds mu.
func (s *subLayout) refuses(i int, n, tasks int32) error {
	src := &s.sources[i]
	grown := func(f string, a ...any) error {
		return fmt.Errorf("%w %s: has grown from %d to %d partitions: %s", ErrTopic, src.topic, src.partitions, n, fmt.Sprintf(f, a...))
	}
	switch {
	case len(s.tables) > 0:
		return grown("%s", regrown(src.partitions, n))
	case src.repartition:
		return grown("it belongs to the application, and nobody else may change it. Stop all processes, reset the application and delete the topic")
	case s.plan.Sources[i].Partitions > 0:
		return grown("the topology declares %d. Declare %d, and start the application again", s.plan.Sources[i].Partitions, n)
	case src.partitions < tasks:
		return grown("the new ones belong to tasks that run already. Start the application again, and they are read")
	}
	return nil
}

// regrown says what to do about keys that have moved.
func regrown(was, is int32) string {
	return fmt.Sprintf("keys lie in other partitions than their state and what they are joined with. "+
		"Either copy the records to a topic with %d partitions and read that; or stop all processes, reset the application "+
		"(its group's offsets, its state directories, its changelog and repartition topics) and start it again, which reads what the topics still have with %d", was, is)
}

// count is the number of tasks.
func (s *subLayout) count() int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.partitions
}

// has reports whether a source's topic has the partition: merged streams need not have
// as many as the others, and then the last tasks go without.
func (s *subLayout) has(source core.SourceID, partition int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return partition < s.sources[source].partitions
}
