package shell

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/topology"
)

// ErrTopic marks a topic that is missing or whose settings do not suit the topology.
var ErrTopic = errors.New("shell: topic")

// layout is a plan on a cluster: every topic with its real name and partition count.
type layout struct {
	app     string
	subs    []*subLayout
	globals []*globalLayout // by topology.Plan.Globals
	limits  limits
}

// globalLayout is the topic of a global table.
type globalLayout struct {
	topicLayout
	spec *topology.GlobalSpec
	// deleteRetention is how long the topic keeps tombstones.
	deleteRetention time.Duration
}

// limits are how large records and batches may be of the topics that tasks write to, in
// bytes. They are read at the start; a broker that refuses a record lowers them.
type limits struct {
	mu     sync.Mutex
	topics map[string]limit
}

// limit is that of one topic; 0: it is not known.
type limit struct {
	record int // as a batch of its own
	batch  int
}

func (l *limits) of(topic string) limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics[topic]
}

// all sets the limit for records of all topics.
func (l *limits) all(record int) {
	for topic, lim := range l.topics {
		l.topics[topic] = limit{record, lim.batch}
	}
}

// lower sets a limit for records that is less than the one before. It reports false where no
// task could go by it: of changelogs, say.
func (l *limits) lower(topic string, record int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim, ok := l.topics[topic]
	if !ok || lim.record > 0 && lim.record <= record {
		return false
	}
	if !invariant.Bug("the limit that a broker tells is forgotten") {
		l.topics[topic] = limit{record, lim.batch}
	}
	return true
}

// sink is what a task must know of a sink.
func (l *layout) sink(sub *subLayout, id core.SinkID) core.SinkInfo {
	s := sub.sinks[id]
	return core.SinkInfo{Partitions: s.partitions, MaxBytes: l.limits.of(s.topic).record}
}

type subLayout struct {
	plan *topology.Subtopology

	mu         sync.RWMutex // of the partition counts, which may grow: see growth.go
	partitions int32        // and so the number of tasks
	sources    []sourceLayout
	sinks      []topicLayout
	tables     []tableLayout
}

type topicLayout struct {
	topic      string
	partitions int32
}

type sourceLayout struct {
	topicLayout
	repartition bool
	table       core.TableID // -1: a stream
}

// tableLayout says where a table is restored from. A table that reads a compacted topic
// needs no changelog: the topic is one, up to the committed input offset. Any other has
// a changelog of its own, and so has one whose rows may differ from the topic's (TableSpec.Source).
// One that once had a changelog goes on with it: it has rows of its own.
type tableLayout struct {
	topic  string
	source core.SourceID // the topic is this source's; -1: it is a changelog
	// deleteRetention is how long the topic keeps tombstones.
	deleteRetention time.Duration

	// Of a table that has a changelog and is read from a topic; see fill.go.
	read          core.SourceID // the source that it is read from; -1: it is not
	compacted     bool          // that source's topic is
	readRetention time.Duration // how long it keeps tombstones
}

// sourceTopics lists the source topics of each sub-topology, as GroupConfig wants them.
func (l *layout) sourceTopics() [][]string {
	var all [][]string
	for _, s := range l.subs {
		var ts []string
		for _, src := range s.sources {
			ts = append(ts, src.topic)
		}
		all = append(all, ts)
	}
	return all
}

// newLayout looks at the cluster, creates the internal topics that are missing, and
// checks those that are there. All that does not suit is reported at once.
func newLayout(ctx context.Context, b Broker, plan *topology.Plan, app string) (*layout, error) {
	l := &layout{app: app}
	var names []string
	for _, s := range plan.Subtopologies() {
		for _, src := range s.Sources {
			names = append(names, src.TopicName(app))
		}
		for _, sink := range s.Sinks {
			names = append(names, sink.TopicName(app))
		}
		for _, t := range s.Tables {
			names = append(names, t.ChangelogTopic(app))
		}
	}
	for _, g := range plan.Globals() {
		names = append(names, g.Topic)
	}
	slices.Sort(names)
	have, err := b.Topics(ctx, slices.Compact(names)...)
	if err != nil {
		return nil, err
	}
	c := &checker{have: have, app: app, counts: map[string]int32{}}
	c.externals(plan)
	c.repartitions(plan)
	c.deadLetters(plan)
	if len(c.errs) > 0 { // without counts the rest would only repeat what is wrong
		return nil, errors.Join(c.errs...)
	}
	l.limits.topics = map[string]limit{}
	for _, s := range plan.Subtopologies() {
		sub := c.sub(s)
		l.subs = append(l.subs, sub)
		for _, sink := range sub.sinks {
			n := maxMessageBytes(c.have[sink.topic])
			l.limits.topics[sink.topic] = limit{n, n}
		}
	}
	for _, g := range plan.Globals() {
		l.globals = append(l.globals, &globalLayout{topicLayout{g.Topic, c.counts[g.Topic]}, g, c.deleteRetention(g.Topic)})
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	if len(c.create) > 0 {
		if err := b.CreateTopics(ctx, c.create); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// checker compares what a plan needs with what the cluster has.
type checker struct {
	app    string
	have   map[string]Topic
	counts map[string]int32 // partitions of every topic, those to be created too
	create []Topic
	errs   []error
}

func (c *checker) fail(topic, f string, a ...any) {
	c.errs = append(c.errs, fmt.Errorf("%w %s: %s", ErrTopic, topic, fmt.Sprintf(f, a...)))
}

// externals checks the topics that are not the topology's own.
func (c *checker) externals(plan *topology.Plan) {
	seen := map[string]bool{}
	need := func(topic string, declared int32) (Topic, bool) {
		t, ok := c.have[topic]
		if !ok && !seen[topic] {
			c.fail(topic, "does not exist. Create it, with as many partitions as the topics that it is joined with")
		}
		if ok && declared > 0 && t.Partitions != declared && !seen[topic] {
			c.fail(topic, "has %d partitions; the topology declares %d", t.Partitions, declared)
		}
		seen[topic], c.counts[topic] = true, t.Partitions
		return t, ok
	}
	for _, s := range plan.Subtopologies() {
		for _, src := range s.Sources {
			if src.Repartition {
				continue
			}
			t, ok := need(src.Topic, src.Partitions)
			if !ok {
				continue
			}
			c.policy(t, src.Compacted, src.Forever)
		}
		for _, sink := range s.Sinks {
			if !sink.Repartition && !sink.DeadLetter {
				need(sink.Topic, sink.Partitions)
			}
		}
	}
	for _, g := range plan.Globals() {
		if t, ok := need(g.Topic, g.Partitions); ok {
			c.policy(t, g.Compacted, g.Forever)
		}
	}
}

// policy compares what a topic keeps with what is declared.
func (c *checker) policy(t Topic, compacted, forever bool) {
	if compacted && !isCompacted(t) {
		c.fail(t.Name, "cleanup.policy is %q; the topology declares it compacted: set cleanup.policy=compact", t.Config["cleanup.policy"])
	}
	if forever && (t.Config["cleanup.policy"] != "delete" || t.Config["retention.ms"] != "-1" || t.Config["retention.bytes"] != "-1") {
		c.fail(t.Name, "cleanup.policy is %q, retention.ms %s, retention.bytes %s; the topology declares that it keeps everything: set delete, -1, -1",
			t.Config["cleanup.policy"], t.Config["retention.ms"], t.Config["retention.bytes"])
	}
}

// deleteRetention is how long a topic keeps tombstones.
func (c *checker) deleteRetention(topic string) time.Duration {
	ms, err := strconv.ParseInt(c.have[topic].Config["delete.retention.ms"], 10, 64)
	if err != nil {
		return 24 * time.Hour // Kafka's default: the topic is about to be made
	}
	return time.Duration(min(ms, int64(1<<62/time.Millisecond))) * time.Millisecond
}

// repartitions finds the partition counts of the repartition topics: declared, or that
// of the topics which they are joined with, or the one that they have, or the greatest of
// those that lead to them.
func (c *checker) repartitions(plan *topology.Plan) {
	subs := plan.Subtopologies()
	for again := true; again; { // a repartition topic may lead to another one
		again = false
		for _, s := range subs {
			for i, src := range s.Sources {
				name := src.TopicName(c.app)
				if !src.Repartition || c.counts[name] > 0 {
					continue
				}
				n := src.Partitions
				if n == 0 {
					n = c.joined(s, core.SourceID(i))
				}
				if n == 0 {
					n = c.have[name].Partitions // any number will do
				}
				if n == 0 {
					n = c.leading(subs, name)
				}
				if n > 0 {
					c.counts[name], again = n, true
				}
			}
		}
	}
	for _, s := range subs {
		for _, src := range s.Sources {
			if name := src.TopicName(c.app); src.Repartition && c.counts[name] > 0 {
				c.internal(Topic{Name: name, Partitions: c.counts[name], Config: map[string]string{
					// Deleted by the reader when it has committed, never by age.
					"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
				}})
			}
		}
	}
}

// deadLetters has the topic of dead letters created, as wide as the widest source, or takes
// the one that is there. It takes what a source takes, and the headers that say why.
func (c *checker) deadLetters(plan *topology.Plan) {
	want := Topic{Config: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}}
	bytes := 0
	for _, s := range plan.Subtopologies() {
		for _, sink := range s.Sinks {
			if sink.DeadLetter {
				want.Name = sink.TopicName(c.app)
			}
		}
		for _, src := range s.Sources {
			name := src.TopicName(c.app)
			want.Partitions = max(want.Partitions, c.counts[name])
			bytes = max(bytes, maxMessageBytes(c.have[name]))
		}
	}
	if want.Name == "" {
		return
	}
	if got, ok := c.have[want.Name]; ok {
		if c.counts[want.Name] = got.Partitions; got.Config["cleanup.policy"] != "delete" {
			c.fail(want.Name, "cleanup.policy is %q and must be \"delete\": compaction would lose dead letters", got.Config["cleanup.policy"])
		}
		return
	}
	if bytes > 0 {
		want.Config["max.message.bytes"] = strconv.Itoa(min(bytes+deadLetterHeaders, math.MaxInt32))
	}
	c.counts[want.Name] = want.Partitions
	c.create = append(c.create, want)
}

// deadLetterHeaders is more than the headers of a dead letter take beside the record's own.
const deadLetterHeaders = 16 << 10

// maxMessageBytes is how large a batch the topic takes; 0: it is not known.
func maxMessageBytes(t Topic) int {
	n, _ := strconv.Atoi(t.Config["max.message.bytes"])
	return n
}

// joined is the count of the topics that a source is brought together with.
func (c *checker) joined(s *topology.Subtopology, id core.SourceID) (n int32) {
	for _, group := range s.Copartitioned {
		if slices.Contains(group, id) {
			for _, i := range group {
				n = max(n, c.counts[s.Sources[i].TopicName(c.app)])
			}
		}
	}
	return n
}

// leading is the greatest count of the topics that lead to a repartition topic.
func (c *checker) leading(subs []*topology.Subtopology, topic string) (n int32) {
	for _, s := range subs {
		for _, sink := range s.Sinks {
			if sink.TopicName(c.app) != topic {
				continue
			}
			for _, src := range s.Sources {
				n = max(n, c.counts[src.TopicName(c.app)])
			}
		}
	}
	return n
}

// internal has a topic created, or checks it where it exists.
func (c *checker) internal(want Topic) {
	got, ok := c.have[want.Name]
	if !ok {
		c.create = append(c.create, want)
		return
	}
	if got.Partitions != want.Partitions {
		c.fail(want.Name, "has %d partitions and needs %d: it was made for another partition count of the source topics. Stop the application, reset it, and delete the topic", got.Partitions, want.Partitions)
	}
	for k, v := range want.Config {
		if g := got.Config[k]; g != v {
			c.fail(want.Name, "%s is %q and must be %q", k, g, v)
		}
	}
}

func (c *checker) sub(s *topology.Subtopology) *subLayout {
	l := &subLayout{plan: s}
	for _, src := range s.Sources {
		name := src.TopicName(c.app)
		n := c.counts[name]
		l.sources = append(l.sources, sourceLayout{topicLayout{name, n}, src.Repartition, src.Table})
		l.partitions = max(l.partitions, n)
	}
	for _, group := range s.Copartitioned {
		for _, i := range group {
			if a, b := l.sources[group[0]], l.sources[i]; a.partitions != b.partitions {
				c.fail(a.topic, "has %d partitions and is joined with %s, which has %d: both need the same number", a.partitions, b.topic, b.partitions)
			}
		}
	}
	for _, sink := range s.Sinks {
		name := sink.TopicName(c.app)
		l.sinks = append(l.sinks, topicLayout{name, c.counts[name]})
	}
	for id, t := range s.Tables {
		tl := tableLayout{topic: t.ChangelogTopic(c.app), source: -1, read: -1}
		_, had := c.have[tl.topic]
		if t.Source >= 0 && isCompacted(c.have[l.sources[t.Source].topic]) && !had {
			tl.topic, tl.source = l.sources[t.Source].topic, t.Source
		} else {
			config := map[string]string{"cleanup.policy": "compact"}
			if t.History > 0 { // all versions of a key must be there for so long, as Kafka Streams has it
				config["min.compaction.lag.ms"] = strconv.FormatInt((t.History + 24*time.Hour).Milliseconds(), 10)
			}
			c.internal(Topic{Name: tl.topic, Partitions: l.partitions, Config: config})
			if tl.read = core.SourceID(slices.IndexFunc(s.Sources, func(src topology.Source) bool { return src.Table == core.TableID(id) })); tl.read >= 0 {
				topic := l.sources[tl.read].topic
				tl.compacted, tl.readRetention = isCompacted(c.have[topic]), c.deleteRetention(topic)
			}
		}
		tl.deleteRetention = c.deleteRetention(tl.topic)
		l.tables = append(l.tables, tl)
	}
	return l
}

// isCompacted reports whether a topic keeps the last record of every key for ever.
func isCompacted(t Topic) bool { return t.Config["cleanup.policy"] == "compact" }
