package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// kafka is the real broker, and what is asked of it.
type kafka struct {
	*cluster.Cluster
	broker *kafkatest.Cluster
	cl     *kgo.Client
}

func startKafka(ctx context.Context, nodes int) (*kafka, error) {
	b, err := kafkatest.Open(ctx, kafkatest.Config{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Brokers()...))
	if err != nil {
		_ = b.Close() // err says why
		return nil, err
	}
	return &kafka{&cluster.Cluster{Kind: "Apache Kafka " + kafkatest.Version, Brokers: b.Brokers()}, b, cl}, nil
}

// Close ends the broker.
func (k *kafka) Close() error {
	k.cl.Close()
	return k.broker.Close()
}

// pid is the broker's process.
func (k *kafka) pid() int { return k.broker.Node(1).PID() }

// committed is how many records of a topic with so many partitions a group has behind it.
func (k *kafka) committed(ctx context.Context, group, topic string, partitions int32) (n int64, err error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic = topic
	for p := range partitions {
		gt.Partitions = append(gt.Partitions, p)
	}
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, k.cl)
	if kerr.IsRetriable(err) { // it has no coordinator yet
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// The client fills in both forms of the answer, whichever the broker speaks.
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !kerr.IsRetriable(err) {
			return 0, fmt.Errorf("offsets of %s: %w", group, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				n += max(0, p.Offset)
			}
		}
	}
	return n, nil
}

// settled waits until no transaction is open on a topic: the group's offsets are committed
// a moment before the markers of all output partitions are written.
func (k *kafka) settled(ctx context.Context, topic string, partitions int32) error {
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		stable, err := cluster.Ends(ctx, k.cl, topic, partitions)
		if err != nil {
			return err
		}
		all, err := cluster.HighWatermarks(ctx, k.cl, topic, partitions)
		if err != nil {
			return err
		}
		if maps.Equal(stable, all) {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s has an open transaction: it ends at %v, is stable up to %v", topic, all, stable)
		}
	}
}

// sizes are the bytes on the broker's disk, by topic.
func (k *kafka) sizes(ctx context.Context) (map[string]int64, error) {
	resp, err := kmsg.NewPtrDescribeLogDirsRequest().RequestWith(ctx, k.cl)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, d := range resp.Dirs {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				sizes[t.Topic] += p.Size
			}
		}
	}
	return sizes, nil
}

// cleanUp deletes an application's topics, and waits until their files are gone: they would
// be written to disk while the next peer runs.
func (k *kafka) cleanUp(ctx context.Context, app string) error {
	sizes, err := k.sizes(ctx)
	if err != nil {
		return err
	}
	var topics []string
	for t := range sizes {
		if strings.HasPrefix(t, app+"-") {
			topics = append(topics, t)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	if err := k.Delete(ctx, topics...); err != nil {
		return err
	}
	time.Sleep(time.Second)
	return nil
}

// changelogs adds up the topics that hold an application's state.
func changelogs(sizes map[string]int64, app string) (n int64) {
	for t, size := range sizes {
		if isChangelog(t, app) {
			n += size
		}
	}
	return n
}

func isChangelog(topic, app string) bool {
	return strings.HasPrefix(topic, app+"-") && (strings.HasSuffix(topic, "-changelog") || strings.HasSuffix(topic, "-table"))
}

// changelogRecords is how many records were written to the topics that hold an application's state, with a marker for each
// transaction. An update for each input is as many; one for several is fewer.
func (k *kafka) changelogRecords(ctx context.Context, app string, partitions int32) (n int64, err error) {
	sizes, err := k.sizes(ctx)
	if err != nil {
		return 0, err
	}
	for t := range sizes {
		if !isChangelog(t, app) {
			continue
		}
		ends, err := cluster.Ends(ctx, k.cl, t, partitions)
		if err != nil {
			return 0, err
		}
		for _, end := range ends {
			n += end
		}
	}
	return n, nil
}
