package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Create creates a topic, or leaves it as it is where it exists, and waits until it can
// be used.
func (c *Cluster) Create(ctx context.Context, topic string, partitions int32, config map[string]string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	return Create(ctx, cl, topic, partitions, config)
}

// Create is Cluster.Create on a client.
func Create(ctx context.Context, cl *kgo.Client, topic string, partitions int32, config map[string]string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(ready.Milliseconds())
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for k, v := range config {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, kmsg.StringPtr(v)
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create %s: %w", topic, err)
		}
	}
	for until := time.Now().Add(ready); ; time.Sleep(20 * time.Millisecond) {
		ends, err := Ends(ctx, cl, topic, partitions)
		switch {
		case err == nil && len(ends) == int(partitions):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(until):
			return fmt.Errorf("%s: %w", topic, errors.Join(errNotReady, err))
		}
	}
}

// Delete deletes topics. One that does not exist is no error.
func (c *Cluster) Delete(ctx context.Context, topics ...string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(ready.Milliseconds())
	for _, t := range topics {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		req.Topics, req.TopicNames = append(req.Topics, rt), append(req.TopicNames, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("delete %s: %w", *t.Topic, err)
		}
	}
	return nil
}

// Ends returns the last stable offset of each partition of a topic.
func Ends(ctx context.Context, cl *kgo.Client, topic string, partitions int32) (map[int32]int64, error) {
	return ends(ctx, cl, topic, partitions, 1)
}

// HighWatermarks returns the end of each partition of a topic, open transactions included.
func HighWatermarks(ctx context.Context, cl *kgo.Client, topic string, partitions int32) (map[int32]int64, error) {
	return ends(ctx, cl, topic, partitions, 0)
}

func ends(ctx context.Context, cl *kgo.Client, topic string, partitions int32, isolation int8) (map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, isolation
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, -1, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s/%d: %w", topic, p.Partition, err)
			}
			ends[p.Partition] = p.Offset
		}
	}
	return ends, nil
}

// Read reads all committed records of a topic, from first to last stable offset, and
// calls f with each, in order within a partition.
func (c *Cluster) Read(ctx context.Context, topic string, partitions int32, f func(*kgo.Record) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxPartitionBytes(8<<20), kgo.FetchMaxBytes(64<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := Ends(ctx, cl, topic, partitions)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for p, end := range ends {
		if end > 0 {
			from[p] = kgo.NewOffset().AtStart()
		} else {
			delete(ends, p)
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for len(ends) > 0 {
		fs := cl.PollFetches(ctx)
		for _, e := range fs.Errors() {
			return fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if end, ok := ends[r.Partition]; !ok || r.Offset >= end {
				continue
			}
			if !r.Attrs.IsControl() {
				if err := f(r); err != nil {
					return fmt.Errorf("%s/%d@%d: %w", topic, r.Partition, r.Offset, err)
				}
			}
			if r.Offset+1 == ends[r.Partition] {
				delete(ends, r.Partition)
			}
		}
	}
	return nil
}

// Partitions returns how many partitions a topic has.
func Partitions(ctx context.Context, cl *kgo.Client, topic string) (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return 0, fmt.Errorf("%s: %w", topic, err)
	}
	return int32(len(resp.Topics[0].Partitions)), nil
}
