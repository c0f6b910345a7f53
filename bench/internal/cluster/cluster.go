package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// Role is the child's.
const Role = "kfake"

// Child is the broker's process: child.Main(cluster.Role, cluster.Child).
func Child(ctx context.Context, _ []string, say func(any) error) error {
	c, err := InProcess()
	if err != nil {
		return err
	}
	if err := say(c.Brokers); err != nil {
		return err
	}
	<-ctx.Done()
	return c.Close()
}

// Cluster is a running Kafka.
type Cluster struct {
	Kind    string
	Brokers []string
	stop    func() error
}

// InProcess starts kfake in this process.
func InProcess() (*Cluster, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
		"group.initial.rebalance.delay.ms": "0",
	}))
	if err != nil {
		return nil, err
	}
	return &Cluster{Kind: "kfake in this process", Brokers: c.ListenAddrs(), stop: func() error { c.Close(); return nil }}, nil
}

// Kfake starts kfake in a child process.
func Kfake() (*Cluster, error) {
	p, err := child.Start(Role)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kind: "kfake", stop: p.Stop}
	if err := p.Hear(&c.Brokers); err != nil {
		_ = p.Stop() // Hear says why
		return nil, err
	}
	return c, nil
}

// Real starts one node of a real Apache Kafka.
func Real(ctx context.Context) (*Cluster, error) {
	k, err := kafkatest.Open(ctx, kafkatest.Config{})
	if err != nil {
		return nil, err
	}
	return &Cluster{Kind: "Apache Kafka " + kafkatest.Version, Brokers: slices.Clone(k.Brokers()), stop: k.Close}, nil
}

// Close stops it.
func (c *Cluster) Close() error { return c.stop() }

// ready bounds how long a new topic may take until it can be used.
const ready = 20 * time.Second

var errNotReady = fmt.Errorf("topics are not ready after %v", ready)
