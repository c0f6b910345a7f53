package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// Config says what the loop does.
type Config struct {
	Kind        string // of workload
	Brokers     []string
	In, Out     string
	App         string // group, transactional id, and prefix of the changelog's name
	Partitions  int32
	CommitEvery time.Duration
	Committed   func(records int64) // called after each transaction
	Restored    func()              // called when the state is there
}

// Changelog is the name of the changelog topic.
func (c *Config) Changelog() string { return c.App + "-counts-changelog" }

// loop is the state of each partition and the step for a record.
type loop struct {
	Config
	cl        *kgo.Client
	changelog string
	counts    []map[string]*int64
	ctx       context.Context
	records   sync.Pool // of *kgo.Record
	slab      []byte    // where the next values go
	slots     []int64   // where the next counters go
	mu        sync.Mutex
	failed    error // the first of a produce
}

// pollMax is how many records are taken from the client at once.
const pollMax = 10_000

// Run processes until ctx ends, then commits and leaves.
func Run(ctx context.Context, cfg Config) error {
	l := &loop{Config: cfg, changelog: cfg.Changelog(), ctx: context.WithoutCancel(ctx), counts: make([]map[string]*int64, cfg.Partitions)}
	l.records.New = func() any { return new(kgo.Record) }
	if err := l.prepare(ctx); err != nil {
		return err
	}
	assigned := make(chan error, 16)
	sess, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ConsumerGroup(cfg.App), kgo.ConsumeTopics(cfg.In), kgo.BlockRebalanceOnPoll(),
		kgo.TransactionalID(cfg.App),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(1<<20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(200_000),
		kgo.UnknownTopicRetries(20),
		kgo.WithPools(new(pool)),
		kgo.OnPartitionsAssigned(func(ctx context.Context, _ *kgo.Client, got map[string][]int32) {
			assigned <- l.restore(ctx, got[cfg.In])
		}),
	)
	if err != nil {
		return err
	}
	defer sess.CloseAllowingRebalance()
	l.cl = sess.Client()
	for ctx.Err() == nil {
		// An empty poll first, so that an idle program opens no transactions.
		first := l.cl.PollRecords(ctx, pollMax)
		select {
		case err := <-assigned:
			if err != nil {
				return err
			}
		default:
		}
		if err := fatal(first); err != nil {
			return err
		}
		if first.NumRecords() == 0 {
			l.cl.AllowRebalance()
			continue
		}
		if err := l.transaction(ctx, sess, first); err != nil {
			return err
		}
	}
	return nil
}

// transaction processes first and what else comes within CommitEvery.
func (l *loop) transaction(ctx context.Context, sess *kgo.GroupTransactSession, fs kgo.Fetches) error {
	if err := sess.Begin(); err != nil {
		return err
	}
	until := time.Now().Add(l.CommitEvery)
	polling, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	n := int64(0)
	for {
		n += int64(fs.NumRecords())
		fs.EachRecord(l.step)
		if polling.Err() != nil {
			break
		}
		fs = l.cl.PollRecords(polling, pollMax)
		if err := fatal(fs); err != nil {
			return err
		}
	}
	committed, err := sess.End(l.ctx, kgo.TryCommit)
	l.mu.Lock()
	err = errors.Join(err, l.failed)
	l.mu.Unlock()
	if err != nil || !committed {
		return fmt.Errorf("loop: transaction: committed %v: %w", committed, err)
	}
	l.cl.AllowRebalance()
	if l.Committed != nil {
		l.Committed(n)
	}
	return nil
}

// step processes one record.
func (l *loop) step(r *kgo.Record) {
	switch l.Kind {
	case workload.Passthrough:
		if r.Value != nil {
			l.send(r)
		}
	case workload.Count:
		c := l.counter(r.Partition, r.Key)
		*c++
		v := l.value(8)
		binary.BigEndian.PutUint64(v, uint64(*c))
		change := l.records.Get().(*kgo.Record)
		*change = kgo.Record{Topic: l.changelog, Partition: r.Partition, Key: r.Key, Value: v, Timestamp: r.Timestamp}
		l.cl.Produce(l.ctx, change, l.logged)
		r.Value = v
		l.send(r)
	}
}

// send produces a record that was consumed, as it is now, to the output topic: on its
// own partition, since keys are hashed alike there. No other record is needed.
func (l *loop) send(r *kgo.Record) {
	r.Topic = l.Out
	l.cl.Produce(l.ctx, r, l.produced)
}

func (l *loop) logged(r *kgo.Record, err error) {
	l.produced(r, err)
	l.records.Put(r)
}

func (l *loop) produced(r *kgo.Record, err error) {
	if err != nil {
		l.mu.Lock()
		if l.failed == nil {
			l.failed = err
		}
		l.mu.Unlock()
	}
	r.Recycle()
}

// value returns memory for a value: a piece of a slab, so that there is no allocation
// for each record.
func (l *loop) value(n int) []byte {
	if len(l.slab) < n {
		l.slab = make([]byte, 64<<10)
	}
	v := l.slab[:n:n]
	l.slab = l.slab[n:]
	return v
}

func (l *loop) counter(partition int32, key []byte) *int64 {
	m := l.counts[partition]
	c := m[string(key)]
	if c == nil {
		if len(l.slots) == 0 {
			l.slots = make([]int64, 1024)
		}
		c, l.slots = &l.slots[0], l.slots[1:]
		m[string(key)] = c
	}
	return c
}

// prepare makes the changelog topic.
func (l *loop) prepare(ctx context.Context) error {
	if l.Kind == workload.Passthrough {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	return cluster.Create(ctx, cl, l.changelog, l.Partitions, map[string]string{"cleanup.policy": "compact"})
}

// restore reads the changelog's partitions up to their last stable offset.
func (l *loop) restore(ctx context.Context, partitions []int32) error {
	for _, p := range partitions {
		l.counts[p] = map[string]*int64{}
	}
	if l.Kind == workload.Passthrough || len(partitions) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(4<<20), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	topic := l.changelog
	ends, err := cluster.Ends(ctx, cl, topic, l.Partitions)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for _, p := range partitions {
		if ends[p] > 0 {
			from[p] = kgo.NewOffset().AtStart()
		}
	}
	if len(from) == 0 {
		return nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for len(from) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fatal(fs); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				*l.counter(r.Partition, r.Key) = int64(binary.BigEndian.Uint64(r.Value))
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(from, r.Partition)
			}
		})
	}
	if l.Restored != nil {
		l.Restored()
	}
	return nil
}

func fatal(fs kgo.Fetches) error {
	for _, e := range fs.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) || kerr.IsRetriable(e.Err) {
			continue
		}
		return fmt.Errorf("loop: %s/%d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}
