package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker is a Kafka of one node in this process. Its log is on disk, so that a demo may
// run for long.
type broker struct {
	*kfake.Cluster
	addr    string
	commits *kfake.FaultHandle
	writing chan struct{} // gets something when a transaction's records arrive
	unlock  func()
}

// openBroker starts a broker on a directory, and goes on with what is there. It never
// compacts: the audit needs every version of every row.
func openBroker(dir string) (*broker, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("--data-dir %s: is another demo running on it? %w", dir, err)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(filepath.Join(dir, "log")), kfake.BrokerConfigs(map[string]string{
		"log.cleaner.backoff.ms": fmt.Sprint((10 * 365 * 24 * time.Hour).Milliseconds()),
	}))
	if err != nil {
		unlock()
		return nil, fmt.Errorf("embedded broker on %s: %w", dir, err)
	}
	b := &broker{Cluster: c, addr: c.ListenAddrs()[0], unlock: unlock, writing: make(chan struct{}, 1)}
	c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Count: -1, Observe: true,
		When: func(r kmsg.Request) bool {
			if p, ok := r.(*kmsg.ProduceRequest); ok && p.TransactionID != nil {
				select {
				case b.writing <- struct{}{}:
				default:
				}
			}
			return false
		},
	})
	b.commits = c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.EndTxn}, Count: -1, Observe: true,
		When: func(r kmsg.Request) bool {
			end, ok := r.(*kmsg.EndTxnRequest)
			return ok && end.Commit
		},
	})
	return b, nil
}

// midCommit waits until a transaction is under way, for a while.
func (b *broker) midCommit() {
	select {
	case <-b.writing: // of some time ago
	default:
	}
	select {
	case <-b.writing:
	case <-time.After(500 * time.Millisecond):
	}
}

func (b *broker) close() {
	b.Close()
	b.unlock()
}

// create creates a topic, unless the log has it.
func (b *broker) create(t Topic, partitions int) error {
	if b.TopicInfo(t.Name) != nil {
		return nil
	}
	return b.CreateTopic(t.Name, int32(partitions), t.Config)
}

// ends returns the end of each partition of a topic, as a read_committed reader sees it.
func (b *broker) ends(topic string) []int64 {
	var ends []int64
	for _, p := range b.PartitionInfos(topic) {
		ends = append(ends, p.LastStableOffset)
	}
	return ends
}

// progress is how far the group has read a topic.
type progress struct {
	topic string
	next  []int64 // by partition
	end   []int64
}

func (p *progress) lag() (n int64) {
	for i := range p.next {
		n += max(0, p.end[i]-p.next[i])
	}
	return n
}

// Read reads all committed records of a topic, each partition in order.
func (b *broker) Read(ctx context.Context, topic string, f func(*kgo.Record) error) error {
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for _, p := range b.PartitionInfos(topic) {
		if p.LastStableOffset > p.LogStartOffset {
			from[p.Partition], left[p.Partition] = kgo.NewOffset().At(p.LogStartOffset), p.LastStableOffset
		}
	}
	if len(left) == 0 {
		return nil
	}
	// Control records are kept, to see where a partition ends that ends with one.
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer c.Close()
	for len(left) > 0 {
		poll, cancel := context.WithTimeout(ctx, 10*time.Second)
		fetches := c.PollFetches(poll)
		cancel()
		if err := fetches.Err0(); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("partitions %v: nothing more comes", sortedKeys(left))
			}
			return fmt.Errorf("reading %s back: %w", topic, err)
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) { failed = fmt.Errorf("reading %s/%d back: %w", topic, p, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			end, ok := left[r.Partition]
			if !ok || failed != nil || r.Offset >= end {
				return
			}
			if !r.Attrs.IsControl() {
				failed = f(r)
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// sortedKeys are the partitions that an error names.
func sortedKeys(m map[int32]int64) []int32 { return slices.Sorted(maps.Keys(m)) }

// last returns the last record of each partition that has one. It is for topics that
// are written without transactions.
func (b *broker) last(ctx context.Context, topic string) (rs []*kgo.Record, err error) {
	from := map[int32]kgo.Offset{}
	for _, p := range b.PartitionInfos(topic) {
		if p.HighWatermark > p.LogStartOffset {
			from[p.Partition] = kgo.NewOffset().At(p.HighWatermark - 1)
		}
	}
	if len(from) == 0 {
		return nil, nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for len(rs) < len(from) {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("reading the end of %s: %w", topic, err)
		}
		rs = append(rs, fetches.Records()...)
	}
	return rs, nil
}
