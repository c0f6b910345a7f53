package demo

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// frame collects what there is to see.
func (s *show) frame(now time.Time) *frame {
	m := meter{at: now, in: s.feed.sent.Load(), commits: int64(s.broker.commits.Hits())}
	m.out = s.tail.total()
	if s.before.at.IsZero() {
		s.before = meter{at: s.began}
		s.after = s.before
	}
	if now.Sub(s.after.at) >= 900*time.Millisecond { // numbers that change each second can be read
		s.before, s.after, s.seen = s.after, m, s.tail.look()
	}
	f := &frame{
		elapsed: now.Sub(s.began), in: s.Input, out: s.Output,
		inputs: m.in, outputs: m.out, commits: m.commits,
		p50: s.seen.p50, p99: s.seen.p99,
		crashing: s.o.CrashEvery > 0, crashes: s.worker.crashes(),
	}
	if secs := s.after.at.Sub(s.before.at).Seconds(); secs > 0 {
		f.inRate = float64(s.after.in-s.before.in) / secs
		f.outRate = float64(s.after.out-s.before.out) / secs
		f.commitRate = float64(s.after.commits-s.before.commits) / secs
	}
	if r := s.tail.newest(); r != nil {
		f.last = s.Show(r)
	}
	f.topics = s.progress()
	for i := range f.topics {
		f.lag += f.topics[i].lag()
	}
	return f
}

// progress is how far the topologies have read their sources, by what they have
// committed.
func (s *show) progress() []progress {
	var ps []progress
	for _, plan := range s.plans {
		sources := map[string]bool{}
		for _, sub := range plan.Subtopologies() {
			for _, src := range sub.Sources {
				sources[src.TopicName(plan.Name())] = true
			}
		}
		group := s.broker.GroupInfo(plan.Name())
		for _, topic := range slices.SortedFunc(maps.Keys(sources), strings.Compare) {
			p := progress{topic: strings.TrimPrefix(topic, plan.Name()+"-"), end: s.broker.ends(topic)}
			if len(s.plans) > 1 {
				p.topic = plan.Name() + ": " + p.topic
			}
			p.next = make([]int64, len(p.end))
			for i := range p.next {
				if group != nil {
					p.next[i] = group.Commits[topic][int32(i)].Offset
				}
			}
			ps = append(ps, p)
		}
	}
	return ps
}
