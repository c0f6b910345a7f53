package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	readyPoll = 50 * time.Millisecond
	askMax    = 2 * time.Second // a node that is starting accepts and says nothing
	topicMax  = 30 * time.Second
)

// WaitReady waits until the cluster has settled on the nodes that run (neither
// down nor paused): each of them answers; each lists them and no other; and
// each shows for every partition a leader among them and in the ISR all the
// replicas they hold. So after Start it waits for full ISRs, and after Kill or
// Pause until the others have noticed (9 s unless broker.session.timeout.ms says
// otherwise). It fails at once when a node ended without being told to.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return c.wait(ctx, func(*kmsg.MetadataResponse) error { return nil })
}

// wait is WaitReady with a further condition on every node's metadata.
func (c *Cluster) wait(ctx context.Context, also func(*kmsg.MetadataResponse) error) error {
	clients := make(map[int]*kgo.Client)
	defer func() {
		for _, cl := range clients {
			cl.Close()
		}
	}()
	for {
		running, err := c.running()
		if err != nil {
			return err
		}
		err = c.settled(ctx, running, clients, also)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kafkatest: not ready: %w: %w", err, context.Cause(ctx))
		case <-time.After(readyPoll):
		}
	}
}

// running are the nodes that should serve, as Kafka knows them.
func (c *Cluster) running() ([]int32, error) {
	var ids []int32
	for _, n := range c.nodes {
		up, err := n.serves()
		if err != nil {
			return nil, err
		}
		if up {
			ids = append(ids, int32(n.id))
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("kafkatest: no node runs")
	}
	return ids, nil
}

// settled asks every running node itself: until a dead node's session ends, the
// others still show it as it was, in every ISR.
func (c *Cluster) settled(ctx context.Context, running []int32, clients map[int]*kgo.Client, also func(*kmsg.MetadataResponse) error) error {
	for _, id := range running {
		node := int(id)
		if clients[node] == nil {
			// A context alone does not end a connection's first exchange.
			opts := append(c.clientOpts(c.Node(node).addr), kgo.DialTimeout(askMax), kgo.RequestTimeoutOverhead(askMax))
			cl, err := kgo.NewClient(opts...)
			if err != nil {
				return err
			}
			clients[node] = cl
		}
		m, err := ask(ctx, clients[node])
		if err == nil {
			err = complete(m, running)
		}
		if err == nil {
			err = also(m)
		}
		if err != nil {
			return fmt.Errorf("node %d: %w", node, err)
		}
	}
	return nil
}

// ask gets the metadata of all topics from a client's one seed.
func ask(ctx context.Context, cl *kgo.Client) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.MetadataResponse), nil
}

// complete says what one node's metadata lacks, with these nodes running.
func complete(m *kmsg.MetadataResponse, running []int32) error {
	var listed []int32
	for _, b := range m.Brokers {
		listed = append(listed, b.NodeID)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, running) {
		return fmt.Errorf("brokers %v, want %v", listed, running)
	}
	for _, t := range m.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("topic %s: %w", name(t), err)
		}
		for _, p := range t.Partitions {
			if !slices.Contains(running, p.Leader) {
				return fmt.Errorf("%s/%d: leader %d (%w)", name(t), p.Partition, p.Leader, kerr.ErrorForCode(p.ErrorCode))
			}
			for _, r := range p.Replicas {
				if slices.Contains(running, r) && !slices.Contains(p.ISR, r) {
					return fmt.Errorf("%s/%d: ISR %v of replicas %v", name(t), p.Partition, p.ISR, p.Replicas)
				}
			}
		}
	}
	return nil
}

func name(t kmsg.MetadataResponseTopic) string {
	if t.Topic == nil {
		return "?"
	}
	return *t.Topic
}

// CreateTopic makes a topic with a replica on every node, and waits until every
// running node shows all its partitions. configs may be nil.
func (c *Cluster) CreateTopic(t testing.TB, topic string, partitions int, configs map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), topicMax)
	defer cancel()
	if err := c.createTopic(ctx, topic, partitions, configs); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) createTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	cl, err := kgo.NewClient(c.clientOpts(c.Brokers()...)...)
	if err != nil {
		return fmt.Errorf("kafkatest: create %s: %w", topic, err)
	}
	defer cl.Close()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, int32(partitions), -1
	for k, v := range configs {
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		rc.Name, rc.Value = k, &v
		rt.Configs = append(rt.Configs, rc)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(topicMax.Milliseconds())
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("kafkatest: create %s: %w", topic, err)
	}
	for _, r := range resp.Topics {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			msg := ""
			if r.ErrorMessage != nil {
				msg = *r.ErrorMessage
			}
			return fmt.Errorf("kafkatest: create %s: %w: %s", topic, err, msg)
		}
	}
	return c.wait(ctx, func(m *kmsg.MetadataResponse) error {
		for _, t := range m.Topics {
			if name(t) == topic && len(t.Partitions) == partitions {
				return nil
			}
		}
		return fmt.Errorf("topic %s is not there yet", topic)
	})
}
