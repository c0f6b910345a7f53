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
	"github.com/seed-81380e12/limpet/examples/emailservice"
)

// Config says what the loop does.
type Config struct {
	Kind        string // of workload
	Brokers     []string
	In, Out     string
	App         string // group, transactional id, and prefix of the changelog's name
	Partitions  int32
	CommitEvery time.Duration
	AtLeastOnce bool                // no transactions: outputs are flushed, then offsets are committed
	Customers   string              // topic of the table, for Join; it is compacted
	Right       string              // the second input, for StreamJoin
	JSON        JSON                // for Join
	Committed   func(records int64) // called after each commit; may be nil
	Restored    func()              // called when the state is there; may be nil
}

// JSON is the library that the loop uses: which one is the caller's choice.
type JSON struct {
	Append    func([]byte, any) ([]byte, error)
	Unmarshal func([]byte, any) error
}

// Changelog is the name of the changelog topic.
func (c *Config) Changelog() string { return c.App + "-counts-changelog" }

// loop is the state of each partition and the step for a record.
type loop struct {
	Config
	cl        *kgo.Client
	changelog string
	counts    []map[string]*count
	customers []map[string]*emailservice.Customer
	pairs     []*pairs
	ctx       context.Context
	records   sync.Pool          // of *kgo.Record
	slab      []byte             // where the next values go
	slots     []count            // where the next counters go
	order     emailservice.Order // the one in hand
	email     emailservice.Email
	mu        sync.Mutex
	failed    error // the first of a produce
}

// count is a key's, of Window in its newest window: that is all a loop by hand needs.
type count struct{ start, n int64 }

// pollMax is how many records are taken from the client at once.
const pollMax = 10_000

// Run processes until ctx ends, then commits and leaves.
func Run(ctx context.Context, cfg Config) error {
	l := &loop{
		Config: cfg, changelog: cfg.Changelog(), ctx: context.WithoutCancel(ctx),
		counts: make([]map[string]*count, cfg.Partitions), customers: make([]map[string]*emailservice.Customer, cfg.Partitions),
		pairs: make([]*pairs, cfg.Partitions),
	}
	l.records.New = func() any { return new(kgo.Record) }
	if err := l.prepare(ctx); err != nil {
		return err
	}
	inputs := []string{cfg.In}
	if cfg.Right != "" {
		inputs = append(inputs, cfg.Right)
	}
	assigned := make(chan error, 16)
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ConsumerGroup(cfg.App), kgo.ConsumeTopics(inputs...), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.MaxBufferedRecords(200_000),
		kgo.UnknownTopicRetries(20),
		kgo.WithPools(new(pool)),
		kgo.OnPartitionsAssigned(func(ctx context.Context, _ *kgo.Client, got map[string][]int32) {
			assigned <- l.restore(ctx, got[cfg.In])
		}),
	}
	run := l.transactions
	if cfg.AtLeastOnce {
		run = l.atLeastOnce
	}
	return run(ctx, opts, assigned)
}

func (l *loop) transactions(ctx context.Context, opts []kgo.Opt, assigned <-chan error) error {
	sess, err := kgo.NewGroupTransactSession(append(opts, kgo.TransactionalID(l.App))...)
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

// atLeastOnce flushes and commits on the interval.
func (l *loop) atLeastOnce(ctx context.Context, opts []kgo.Opt, assigned <-chan error) (err error) {
	if l.cl, err = kgo.NewClient(append(opts, kgo.DisableAutoCommit())...); err != nil {
		return err
	}
	defer l.cl.CloseAllowingRebalance()
	for ctx.Err() == nil {
		polling, cancel := context.WithTimeout(ctx, l.CommitEvery)
		n := int64(0)
		for polling.Err() == nil && err == nil {
			fs := l.cl.PollRecords(polling, pollMax)
			select {
			case err = <-assigned:
			default:
				err = fatal(fs)
			}
			n += int64(fs.NumRecords())
			fs.EachRecord(l.step)
		}
		cancel()
		if err == nil {
			err = l.cl.Flush(l.ctx)
		}
		l.mu.Lock()
		err = errors.Join(err, l.failed)
		l.mu.Unlock()
		if err == nil {
			err = l.cl.CommitUncommittedOffsets(l.ctx)
		}
		if err != nil {
			return err
		}
		l.cl.AllowRebalance()
		if l.Committed != nil {
			l.Committed(n)
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
		c.n++
		v := l.value(8)
		binary.BigEndian.PutUint64(v, uint64(c.n))
		l.changed(r, v)
	case workload.Window:
		c := l.counter(r.Partition, r.Key)
		ms := r.Timestamp.UnixMilli()
		if start := ms - ms%60_000; start != c.start {
			*c = count{start: start}
		}
		c.n++
		v := l.value(16)
		binary.BigEndian.PutUint64(v, uint64(c.start))
		binary.BigEndian.PutUint64(v[8:], uint64(c.n))
		l.changed(r, v)
	case workload.Join:
		l.join(r)
	case workload.StreamJoin:
		l.pair(r)
	}
}

// changed sends a counter to the changelog and to the output.
func (l *loop) changed(r *kgo.Record, v []byte) {
	change := l.records.Get().(*kgo.Record)
	*change = kgo.Record{Topic: l.changelog, Partition: r.Partition, Key: r.Key, Value: v, Timestamp: r.Timestamp}
	l.cl.Produce(l.ctx, change, l.logged)
	r.Value = v
	l.send(r)
}

// join makes the email of an order.
func (l *loop) join(r *kgo.Record) {
	l.order = emailservice.Order{}
	err := l.JSON.Unmarshal(r.Value, &l.order)
	c := l.customers[r.Partition][string(r.Key)]
	if c == nil || err != nil {
		l.produced(r, err)
		return
	}
	l.email = emailservice.Compose(l.order, *c)
	if r.Value, err = l.encoded(&l.email); err != nil {
		l.produced(r, err)
		return
	}
	l.send(r)
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

// encoded is a value in JSON, in a piece of a slab if it fits.
func (l *loop) encoded(v any) ([]byte, error) {
	const usual = 1 << 10
	if len(l.slab) < usual {
		l.slab = make([]byte, 64<<10)
	}
	b, err := l.JSON.Append(l.slab[:0], v)
	if len(b) <= len(l.slab) { // if it does not, it lies elsewhere
		l.slab = l.slab[len(b):]
	}
	return b[:len(b):len(b)], err
}

func (l *loop) counter(partition int32, key []byte) *count {
	m := l.counts[partition]
	c := m[string(key)]
	if c == nil {
		if len(l.slots) == 0 {
			l.slots = make([]count, 1024)
		}
		c, l.slots = &l.slots[0], l.slots[1:]
		m[string(key)] = c
	}
	return c
}

// prepare makes the changelog topic.
func (l *loop) prepare(ctx context.Context) error {
	if l.Kind == workload.Passthrough || l.Kind == workload.Join {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	config := map[string]string{"cleanup.policy": "compact"}
	if l.Kind == workload.StreamJoin { // a key has many rows
		config = map[string]string{"retention.ms": "-1"}
	}
	return cluster.Create(ctx, cl, l.changelog, l.Partitions, config)
}

// restore reads the changelog's partitions up to their last stable offset, or for Join the
// customers'.
func (l *loop) restore(ctx context.Context, partitions []int32) error {
	for _, p := range partitions {
		l.counts[p], l.customers[p], l.pairs[p] = map[string]*count{}, map[string]*emailservice.Customer{}, newPairs()
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
	if l.Kind == workload.Join {
		topic = l.Customers
	}
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
		var failed error
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				failed = errors.Join(failed, l.restored(r))
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(from, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	if l.Restored != nil {
		l.Restored()
	}
	return nil
}

// restored takes a record of the changelog, or a customer.
func (l *loop) restored(r *kgo.Record) error {
	if l.Kind == workload.Join {
		c := new(emailservice.Customer)
		l.customers[r.Partition][string(r.Key)] = c
		return l.JSON.Unmarshal(r.Value, c)
	}
	if l.Kind == workload.StreamJoin {
		return l.pairs[r.Partition].kept(r)
	}
	c := l.counter(r.Partition, r.Key)
	if len(r.Value) == 16 {
		c.start = int64(binary.BigEndian.Uint64(r.Value))
	}
	c.n = int64(binary.BigEndian.Uint64(r.Value[len(r.Value)-8:]))
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
