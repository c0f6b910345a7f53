package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/topology"
)

// readMax is how long a topic may take to be read, with nothing else going on.
const readMax = 5 * time.Minute

// checker reads what is in the topics, with a client of its own.
type checker struct {
	t  *testing.T
	c  *kafkatest.Cluster
	cl *kgo.Client // for all but reading
}

func newChecker(t *testing.T, c *kafkatest.Cluster) *checker {
	return &checker{t: t, c: c, cl: c.Client(t)}
}

// What bounds can give of each partition.
const (
	firstOffset = iota
	lastStable
	highWatermark
)

// ends are the last stable offsets of a topic's partitions.
func (ck *checker) ends(topic string) (map[int32]int64, error) { return ck.bounds(topic, lastStable) }

// bounds are offsets of a topic's partitions.
func (ck *checker) bounds(topic string, which int) (map[int32]int64, error) {
	ctx := ck.t.Context()
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	m, err := meta.RequestWith(ctx, ck.cl)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(m.Topics[0].ErrorCode); err != nil {
		return nil, fmt.Errorf("%s: %w", topic, err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	at := int64(-1)
	switch which {
	case firstOffset:
		at = -2
	case lastStable:
		req.IsolationLevel = 1
	}
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, p := range m.Topics[0].Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, at
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, ck.cl)
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s/%d: %w", topic, p.Partition, err)
			}
			offsets[p.Partition] = p.Offset
		}
	}
	return offsets, nil
}

// read calls f with every committed record of a topic up to its present end, by partition
// in the order of offsets. It returns the offsets behind the last records of f.
func (ck *checker) read(topic string, f func(*kgo.Record)) map[int32]int64 {
	ck.t.Helper()
	last := map[int32]int64{}
	ck.scan(topic, lastStable, kgo.ReadCommitted(), func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			last[r.Partition] = r.Offset + 1
			f(r)
		}
	})
	return last
}

// scan calls f with every record, markers too, that a reader of that isolation gets up to a bound as it is now.
func (ck *checker) scan(topic string, end int, isolation kgo.IsolationLevel, f func(*kgo.Record)) {
	ck.t.Helper()
	ends, err := ck.bounds(topic, end)
	if err != nil {
		ck.t.Fatal(err)
	}
	cl := ck.c.Client(ck.t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ck.t.Context(), readMax)
	defer cancel()
	at, err := ck.bounds(topic, firstOffset) // markers pass, too
	if err != nil {
		ck.t.Fatal(err)
	}
	given := map[int32]int64{}
	behind := func() bool {
		for p, end := range ends {
			if at[p] < end {
				return true
			}
		}
		return false
	}
	for behind() {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			ck.t.Fatalf("%s: is at %v, of %v, after %v", topic, at, ends, readMax)
		}
		if err := unread(fs, func(_ string, p int32) int64 { return given[p] }); err != nil {
			ck.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			given[r.Partition] = r.Offset + 1
			if r.Offset < ends[r.Partition] {
				at[r.Partition] = r.Offset + 1
				f(r)
			}
		})
	}
}

// unread is an error where a fetch may have passed something over. What the client can try again it does try
// again, and does not show; what it shows is a batch that it cannot read, a log that was cut off below what it
// had read, or a topic that is not what it was. given is the offset behind the last record that it gave of a partition.
func unread(fs kgo.Fetches, given func(topic string, p int32) int64) error {
	var errs []error
	fs.EachError(func(topic string, p int32, err error) {
		// The client takes what it gave last for the epoch of all that it has passed, markers and aborted records,
		// too. Where another leader has written those, it finds a loss where there is none, and reads them again.
		if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok && loss.ResetTo < loss.ConsumedTo && loss.ResetTo >= given(topic, p) {
			return
		}
		errs = append(errs, fmt.Errorf("%s/%d was not read whole: %w", topic, p, err))
	})
	return errors.Join(errs...)
}

// orders are those that were committed, and the offsets behind the last of each partition.
func (ck *checker) orders() (map[string]order, map[int32]int64) {
	ck.t.Helper()
	all := map[string]order{}
	last := ck.read("orders", func(r *kgo.Record) {
		var v struct {
			OrderID, CustomerID string
			Cents               int64
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			ck.t.Fatalf("%s: %v", r.Value, err)
		}
		if _, ok := all[v.OrderID]; ok {
			ck.t.Fatalf("the test is wrong: order %s is in the topic twice", v.OrderID)
		}
		all[v.OrderID] = order{r.Partition, r.Offset, v.CustomerID, v.Cents}
	})
	return all, last
}

// emails judges the mails; rows is what customers were, nil where that never changes.
func (ck *checker) emails(orders map[string]order, rows history) report {
	ck.t.Helper()
	j := newJudge(orders)
	j.rows = rows
	ck.read("emails", j.email)
	return j.report()
}

func (ck *checker) counts(orders map[string]order) report {
	ck.t.Helper()
	j := newJudge(orders)
	ck.read("order-counts", j.count)
	return j.report()
}

// committed are a group's offsets for a topic.
func (ck *checker) committed(group, topic string, partitions int) map[int32]int64 {
	ck.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic = topic
	for p := range int32(partitions) {
		gt.Partitions = append(gt.Partitions, p)
	}
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	req.RequireStable = true
	resp, err := req.RequestWith(ck.t.Context(), ck.cl)
	if err != nil {
		ck.t.Fatal(err)
	}
	got := map[int32]int64{}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			ck.t.Fatalf("offsets of %s: %v", group, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					ck.t.Fatalf("offsets of %s: %s/%d: %v", group, topic, p.Partition, err)
				}
				got[p.Partition] = p.Offset
			}
		}
	}
	return got
}

// offsets says what is wrong with a group's offsets for a topic, whose last records end at last.
func (ck *checker) offsets(group, topic string, last map[int32]int64) []string {
	ck.t.Helper()
	ends, err := ck.ends(topic)
	if err != nil {
		ck.t.Fatal(err)
	}
	return judgeOffsets(topic, ck.committed(group, topic, len(ends)), last, ends)
}

// state compares what an application's state directories have, after clean stops of all its processes,
// with the logs and with what the group has committed.
func (ck *checker) state(app string, dirs []string) stateReport {
	ck.t.Helper()
	plan := planOf(ck.t, app)
	var all []stored
	for i, dir := range dirs {
		s, err := readDir(fmt.Sprint("directory ", i), dir, app, plan)
		if err != nil {
			ck.t.Fatal(err)
		}
		all = append(all, s...)
	}
	return judgeState(all, ck.logged(app, plan))
}

// logged reads the logs of all tables and the group's offsets.
func (ck *checker) logged(app string, plan *topology.Plan) logged {
	ck.t.Helper()
	w := logged{logs: map[string]tableLog{}, committed: map[string]map[int32]int64{}}
	for _, sub := range plan.Subtopologies() {
		tasks := 0
		for _, src := range sub.Sources {
			topic := src.TopicName(app)
			ends, err := ck.ends(topic)
			if err != nil {
				ck.t.Fatal(err)
			}
			w.committed[topic] = ck.committed(app, topic, len(ends))
			tasks = max(tasks, len(ends))
		}
		for p := range tasks {
			w.tasks = append(w.tasks, core.TaskID{Sub: sub.ID, Partition: int32(p)})
		}
		for i := range sub.Tables {
			log := tableLog{}
			ck.read(logOf(app, sub, i), log.add)
			w.logs[logOf(app, sub, i)] = log
		}
	}
	return w
}

// tail counts the committed records of topics as they come.
type tail struct {
	t      *testing.T
	counts map[string]*atomic.Int64

	mu      sync.Mutex
	last    time.Time     // when something came
	longest time.Duration // in which nothing came
}

func newTail(t *testing.T, c *kafkatest.Cluster, topics ...string) *tail {
	tl := &tail{t: t, counts: map[string]*atomic.Int64{}, last: time.Now()}
	given := map[string]map[int32]int64{}
	for _, topic := range topics {
		tl.counts[topic], given[topic] = new(atomic.Int64), map[int32]int64{}
	}
	cl := c.Client(t, kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			fs := cl.PollFetches(ctx)
			if err := unread(fs, func(topic string, p int32) int64 { return given[topic][p] }); err != nil && ctx.Err() == nil {
				t.Logf("%s: a reader amid the faults: %v", time.Now().Format(time.TimeOnly), err)
			}
			n := 0
			fs.EachRecord(func(r *kgo.Record) {
				n++
				given[r.Topic][r.Partition] = r.Offset + 1
				tl.counts[r.Topic].Add(1)
			})
			if n > 0 {
				tl.mu.Lock()
				now := time.Now()
				if gap := now.Sub(tl.last); gap > 10*time.Second {
					t.Logf("nothing came from %s to %s, %v", tl.last.Format(time.TimeOnly), now.Format(time.TimeOnly), gap.Round(time.Second))
				}
				tl.longest, tl.last = max(tl.longest, now.Sub(tl.last)), now
				tl.mu.Unlock()
			}
		}
	})
	return tl
}

// quiet is since when nothing came, and the longest time in which nothing came.
func (tl *tail) quiet() (now, longest time.Duration) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	return time.Since(tl.last), tl.longest
}

// wait waits until each topic has n records and nothing more comes, or fails when nothing
// comes for two minutes.
func (tl *tail) wait(n int) bool {
	tl.t.Helper()
	for ; ; time.Sleep(100 * time.Millisecond) {
		whole := true
		for _, c := range tl.counts {
			whole = whole && c.Load() >= int64(n)
		}
		quiet, _ := tl.quiet()
		if whole && quiet > 2*time.Second {
			return true
		}
		if quiet > 2*time.Minute {
			for topic, c := range tl.counts {
				tl.t.Errorf("%s: has %d of %d records, and nothing came for two minutes", topic, c.Load(), n)
			}
			return false
		}
	}
}
