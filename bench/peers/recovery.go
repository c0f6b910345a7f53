package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// Recovery: three processes of a peer count records, which come to each partition every
// 20 ms. What a partition's results stop for is what its task stops for. Whose a partition
// is, is found out from outside, by stopping each process for a moment.
const (
	members       = 3
	spread        = 6 // partitions
	beat          = 20 * time.Millisecond
	pulse         = 1500 * time.Millisecond
	calm          = 8 * time.Second   // after a change, before the next one is measured
	recoveryLimit = 150 * time.Second // for all partitions to go on
)

// recovery are one peer's figures, by run: ms from what was done to the first new result,
// of the partition that took longest.
type recovery struct {
	peer      string
	restarted measure.Sample // kill -9, and started again at once with its state
	moved     measure.Sample // kill -9: of the tasks that others take over
	left      measure.Sample // the same after SIGTERM
	kept      measure.Sample // longest stop of tasks that stay where they are, while others leave or come
	stopped   measure.Sample // from SIGTERM to the end of the process
}

// recoveries runs all peers, in turns.
func (b *bench) recoveries(ctx context.Context) error {
	rows := map[string]*recovery{}
	for _, p := range b.peers {
		rows[p.name] = &recovery{peer: p.name}
		b.recovered = append(b.recovered, rows[p.name])
	}
	return b.alternate(func(run int, p *peer) error {
		if err := b.harm(ctx, p, rows[p.name]); err != nil {
			return fmt.Errorf("run %d, %s: %w", run+1, p.name, err)
		}
		return nil
	})
}

// harm does harm to three processes of a peer, one after another.
func (b *bench) harm(ctx context.Context, p *peer, row *recovery) (err error) {
	app, dir := b.app(p, &workload.Workload{Name: "recovery"})
	j := job{kind: workload.Count, in: []string{app + "-in"}, out: app + "-out", app: app}
	for _, t := range []string{j.in[0], j.out} {
		if err := b.kafka.replicated(ctx, t, spread); err != nil {
			return err
		}
	}
	defer func() {
		err = errors.Join(err, b.kafka.cleanUp(context.WithoutCancel(ctx), app), os.RemoveAll(dir))
	}()
	m, err := newMeter(ctx, b.kafka.Brokers, j.in[0], j.out)
	if err != nil {
		return err
	}
	defer m.close()
	var procs [members]*process
	start := func(i int) (err error) {
		j.state = filepath.Join(dir, strconv.Itoa(i))
		procs[i], err = b.start(p, j)
		return err
	}
	defer func() {
		for _, proc := range procs {
			if proc != nil {
				proc.kill()
			}
		}
	}()
	for i := range procs {
		if err := start(i); err != nil {
			return err
		}
	}
	began := time.Now()
	if _, err := m.goOn(ctx, all(), began); err != nil {
		for _, proc := range procs {
			err = errors.Join(err, proc.ended())
		}
		return err
	}
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) }

	// kill -9, and back under its name.
	owned, err := m.owners(ctx, procs[:])
	if err != nil {
		return err
	}
	at := time.Now()
	procs[0].kill()
	if err := start(0); err != nil {
		return err
	}
	took, err := m.goOn(ctx, owned[0], at)
	if err != nil {
		return err
	}
	row.restarted = append(row.restarted, ms(took))

	// kill -9, and others take over.
	if owned, err = m.owners(ctx, procs[:]); err != nil {
		return err
	}
	at = time.Now()
	procs[1].kill()
	if took, err = m.goOn(ctx, owned[1], at); err != nil {
		return err
	}
	row.moved = append(row.moved, ms(took))
	kept := m.longest(others(owned[1]), at, time.Now())
	if err := start(1); err != nil { // and comes back
		return err
	}

	// SIGTERM, and others take over.
	if owned, err = m.owners(ctx, procs[:]); err != nil {
		return err
	}
	at = time.Now()
	err = procs[2].stop()
	row.stopped = append(row.stopped, ms(time.Since(at)))
	if err != nil {
		return err
	}
	if took, err = m.goOn(ctx, owned[2], at); err != nil {
		return err
	}
	row.left = append(row.left, ms(took))
	kept = max(kept, m.longest(others(owned[2]), at, time.Now()))
	before, err := m.owners(ctx, procs[:2])
	if err != nil {
		return err
	}
	at = time.Now()
	if err := start(2); err != nil {
		return err
	}
	time.Sleep(calm)
	joined := time.Now()
	after, err := m.owners(ctx, procs[:])
	if err != nil {
		return err
	}
	for i := range before { // those that did not move
		for _, part := range before[i] {
			if slices.Contains(after[i], part) {
				kept = max(kept, m.longest([]int32{part}, at, joined))
			}
		}
	}
	row.kept = append(row.kept, ms(kept))
	fmt.Printf("  %-15s restarted %.0f ms; moved %.0f; left %.0f (ended after %.0f); kept stopped for %.0f\n", p.name, last(row.restarted), last(row.moved), last(row.left), last(row.stopped), last(row.kept))
	for i, proc := range procs {
		if err := proc.stop(); err != nil {
			return err
		}
		procs[i] = nil
	}
	return nil
}

func all() []int32 { return others(nil) }

// others are the partitions but these.
func others(these []int32) (ps []int32) {
	for p := range int32(spread) {
		if !slices.Contains(these, p) {
			ps = append(ps, p)
		}
	}
	return ps
}

// replicated creates a topic with as many replicas as the cluster likes.
func (k *kafka) replicated(ctx context.Context, topic string, partitions int32) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, -1
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, k.cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("create %s: %w", topic, err)
	}
	return k.Create(ctx, topic, partitions, nil) // it exists: waits until it can be used
}

// meter sends records to each partition and notes when results come from it.
type meter struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	came [spread][]time.Time
}

func newMeter(ctx context.Context, brokers []string, in, out string) (*meter, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(in), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(out),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		producer.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &meter{cancel: cancel}
	keys := map[int32][]byte{} // one that belongs to each partition
	for i := 0; len(keys) < spread; i++ {
		k := []byte("key-" + strconv.Itoa(i))
		if p := workload.Partition(k, spread); keys[p] == nil {
			keys[p] = k
		}
	}
	m.wg.Go(func() {
		defer producer.Close()
		for every := time.NewTicker(beat); ctx.Err() == nil; <-every.C {
			for p, k := range keys {
				producer.Produce(ctx, &kgo.Record{Key: k, Partition: p, Value: []byte("v")}, nil)
			}
		}
	})
	m.wg.Go(func() {
		defer consumer.Close()
		for ctx.Err() == nil {
			fs := consumer.PollFetches(ctx)
			now := time.Now()
			m.mu.Lock()
			fs.EachPartition(func(p kgo.FetchTopicPartition) {
				if len(p.Records) > 0 {
					m.came[p.Partition] = append(m.came[p.Partition], now)
				}
			})
			m.mu.Unlock()
		}
	})
	return m, nil
}

func (m *meter) close() {
	m.cancel()
	m.wg.Wait()
}

// stop is a time without results: from the last one before it to the first one after it.
type stop struct{ from, to time.Time }

// widest is the longest stop of a partition that touches a time, up to its end.
func (m *meter) widest(p int32, from, to time.Time) (s stop) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := from
	for _, t := range m.came[p] {
		if t.After(from) {
			if t.Sub(was) > s.to.Sub(s.from) {
				s = stop{was, t}
			}
			if t.After(to) {
				return s
			}
		}
		was = t
	}
	if to.Sub(was) > s.to.Sub(s.from) { // it lasts
		s = stop{from: was, to: to}
	}
	return s
}

// longest is the longest stop of some partitions within a time.
func (m *meter) longest(ps []int32, from, to time.Time) (d time.Duration) {
	for _, p := range ps {
		s := m.widest(p, from, to)
		d = max(d, s.to.Sub(s.from))
	}
	return d
}

// goOn waits until results have come from all partitions, steadily, since something was done, and
// tells how long after that the longest stop of any of them was over.
func (m *meter) goOn(ctx context.Context, ps []int32, since time.Time) (took time.Duration, err error) {
	const steady = 2 * time.Second
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		now := time.Now()
		if now.Sub(since) > recoveryLimit {
			return 0, fmt.Errorf("no results of partitions %v within %v", ps, recoveryLimit)
		}
		if now.Sub(since) < steady {
			continue
		}
		good := true
		took = 0
		for _, p := range ps {
			s := m.widest(p, since, now)
			// Whatever stops takes longer than a second: what still comes, or is late, does not count.
			good = good && s.to != now && m.count(p, now.Add(-steady), now) > 3 && now.Sub(s.to) > time.Second
			took = max(took, s.to.Sub(since))
		}
		if good {
			return took, nil
		}
	}
	return 0, ctx.Err()
}

func (m *meter) count(p int32, from, to time.Time) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.came[p]) - 1; i >= 0 && m.came[p][i].After(from); i-- {
		if m.came[p][i].Before(to) {
			n++
		}
	}
	return n
}

// owners finds out whose each partition is, when nothing moves any more: all processes are
// stopped for a moment, one after another.
func (m *meter) owners(ctx context.Context, procs []*process) (owned [][]int32, err error) {
	for range 6 {
		time.Sleep(calm)
		owned = make([][]int32, len(procs))
		seen := 0
		for i, proc := range procs {
			if err := proc.ended(); err != nil {
				return nil, err
			}
			from := time.Now()
			_ = proc.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(pulse)
			_ = proc.cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(pulse)
			for p := range int32(spread) {
				if m.longest([]int32{p}, from, time.Now()) > pulse*4/5 {
					owned[i] = append(owned[i], p)
					seen++
				}
			}
		}
		whole := seen == spread
		for _, o := range owned {
			whole = whole && len(o) > 0
		}
		if whole {
			time.Sleep(calm / 4)
			return owned, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("whose the partitions are was not to be found out: %v", owned)
}
