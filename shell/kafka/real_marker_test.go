package kafka

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
)

// A transaction ends while a partition of it has no leader: Kafka 4.3.1 takes the topic for
// deleted and writes no marker there (KAFKA-20734), so that the next transaction's marker would
// be that of the records before, too.
func TestRealKafkaMarkerMissing(t *testing.T) {
	kafkatest.Require(t)
	c := kafkatest.Start(t, kafkatest.Config{Nodes: 3, Properties: map[string]string{
		"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500",
	}})
	ctx := limit(t, 4*time.Minute)
	cl := c.Client(t)
	alone(ctx, t, cl, "out", 3)
	c.CreateTopic(t, "in", 1, nil)
	must(t, c.WaitReady(ctx))
	cfg := testConfig(c.Brokers())
	cfg.RetryFor = 90 * time.Second
	b := open(t, cfg)
	p := producerFor(t, b, "x")

	var want [3][]string
	write := func(value string) error {
		var batches []*shell.ProduceBatch
		for i := range int32(3) {
			batches = append(batches, &shell.ProduceBatch{Partition: tp("out", i), Records: records(2, value+"%d")})
		}
		return p.Produce(ctx, batches)
	}
	committed := func(value string) {
		for i := range want {
			want[i] = append(want[i], value+"0", value+"1")
		}
	}
	// headless runs f while the victim's partition has no leader.
	headless := func(f func()) {
		coordinator, err := p.txn.find(ctx)
		must(t, err)
		victim := c.Node(1)
		for victim.Addr() == coordinator {
			victim = c.Node(victim.ID() + 1)
		}
		must(t, victim.Kill())
		for {
			req := kmsg.NewPtrMetadataRequest()
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr("out")
			req.Topics = append(req.Topics, topic)
			r, err := req.RequestWith(ctx, cl)
			must(t, err)
			if slices.ContainsFunc(r.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader == -1 }) {
				break
			}
			must(t, sleep(ctx, 50*time.Millisecond))
		}
		f()
		must(t, victim.Start())
		must(t, c.WaitReady(ctx))
	}

	must(t, write("a"))
	headless(func() { must(t, p.Abort(ctx)) })
	must(t, write("b"))
	must(t, p.End(ctx))
	committed("b")

	must(t, write("c"))
	headless(func() { must(t, p.End(ctx)) })
	committed("c")
	must(t, write("d"))
	must(t, p.Abort(ctx))

	got := readBack(t, c.Brokers(), "out", 12)
	for i := range want {
		if !slices.Equal(kvalues(got[int32(i)]), want[i]) {
			t.Errorf("partition %d: %q, want %q", i, kvalues(got[int32(i)]), want[i])
		}
	}
}

// alone creates a topic whose partition i has its only replica on node i+1.
func alone(ctx context.Context, t *testing.T, cl *kgo.Client, name string, partitions int32) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for i := range partitions {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = i, []int32{i + 1}
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
	}
	conf := kmsg.NewCreateTopicsRequestTopicConfig()
	conf.Name, conf.Value = "min.insync.replicas", kmsg.StringPtr("1")
	topic.Configs = append(topic.Configs, conf)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	r, err := req.RequestWith(ctx, cl)
	must(t, err)
	if r.Topics[0].ErrorCode != 0 {
		t.Fatal(r.Topics[0].ErrorCode)
	}
}
