package kafka

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"fmt"
	"hash"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/xdg-go/scram"

	"github.com/seed-81380e12/limpet/shell"
)

// kafkaVersion is what sarama may speak: brokers from 3.7 on. A request struct that is
// newer than this fails in the client; an older broker is met by its ApiVersions.
var kafkaVersion = sarama.V3_7_0_0

// Broker is a Kafka cluster. It implements shell.Broker; it is safe for concurrent use.
type Broker struct {
	cfg     Config
	tls     *tls.Config // nil: none
	cluster *cluster

	partsEvery time.Duration // how soon a group sees new partitions

	mu     sync.Mutex
	groups map[string]*coordinator // for committed offsets
}

var _ shell.Broker = (*Broker)(nil)

// Open connects to the cluster. If no broker can be reached, or all refuse this client,
// it fails with shell.ErrUnreachable and says what to look at: at once when waiting does
// not help, otherwise when each broker was tried for a few seconds.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	t, err := cfg.check()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg.withDefaults(), tls: t, groups: map[string]*coordinator{}, partsEvery: time.Minute}
	b.cluster = newCluster(b)
	// Kafka may be starting beside us. But who mistyped an address should know soon.
	o := newOutage(min(b.cfg.RetryFor, 3*b.cfg.DialTimeout))
	for {
		_, err := b.cluster.refresh(ctx, "__consumer_offsets") // any topic: we want the brokers
		if err == nil {
			return b, nil
		}
		if !refused(err) {
			if e := o.wait(ctx, o.pause(), err); e == nil {
				continue
			}
		}
		b.cluster.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, b.cfg.explain(err)
	}
}

// Close closes the connections. Fetchers, producers and groups are closed before.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.groups {
		k.close()
	}
	b.cluster.close()
	return nil
}

// sarama makes a configuration for one connection, and the dialer in it, which does TLS:
// sarama's own must stay off, or there would be two.
func (b *Broker) sarama() (*sarama.Config, *dialer) {
	c := sarama.NewConfig()
	c.Version = kafkaVersion
	c.ClientID = b.cfg.ClientID
	c.MetricRegistry = noMetrics{} // nil panics; a real one costs CPU and a goroutine for good
	c.Metadata.Full = false        // the cluster may have thousands of topics
	c.Metadata.AllowAutoTopicCreation = false
	c.Net.DialTimeout = b.cfg.DialTimeout
	c.Net.ReadTimeout, c.Net.WriteTimeout = ioTimeout, ioTimeout
	d := &dialer{Dialer: net.Dialer{Timeout: b.cfg.DialTimeout, KeepAlive: 30 * time.Second}, tls: b.tls}
	c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, d
	if s := b.cfg.SASL; s.Mechanism != "" {
		c.Net.SASL.Enable = true
		c.Net.SASL.Version = sarama.SASLHandshakeV1
		c.Net.SASL.Mechanism = sarama.SASLMechanism(s.Mechanism)
		c.Net.SASL.User, c.Net.SASL.Password = s.User, string(s.Password)
		switch s.Mechanism {
		case sarama.SASLTypeSCRAMSHA256:
			c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: sha256.New} }
		case sarama.SASLTypeSCRAMSHA512:
			c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: sha512.New} }
		}
	}
	return c, d
}

// scramClient is one conversation: sarama makes one for each connection.
type scramClient struct {
	hash func() hash.Hash
	conv *scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authzID string) error {
	c, err := scram.HashGeneratorFcn(s.hash).NewClient(user, password, authzID)
	if err != nil {
		return fmt.Errorf("kafka: SCRAM: %w", err)
	}
	s.conv = c.NewConversation()
	return nil
}
func (s *scramClient) Step(challenge string) (string, error) { return s.conv.Step(challenge) }
func (s *scramClient) Done() bool                            { return s.conv.Done() }

// noMetrics is a registry that makes every metric a no-op. go-metrics has a global switch
// for that, which would switch off those of everybody else in the process.
type noMetrics struct{}

func (noMetrics) Each(func(string, any))            {}
func (noMetrics) Get(string) any                    { return nil }
func (noMetrics) GetAll() map[string]map[string]any { return nil }
func (noMetrics) Register(string, any) error        { return nil }
func (noMetrics) RunHealthchecks()                  {}
func (noMetrics) Unregister(string)                 {}
func (noMetrics) UnregisterAll()                    {}
func (noMetrics) GetOrRegister(_ string, metric any) any {
	switch metric.(type) {
	case func() metrics.Meter, metrics.Meter:
		return metrics.NilMeter{}
	case func() metrics.Counter, metrics.Counter:
		return metrics.NilCounter{}
	case func() metrics.Histogram, metrics.Histogram:
		return metrics.NilHistogram{}
	case func() metrics.Gauge, metrics.Gauge:
		return metrics.NilGauge{}
	}
	panic(fmt.Sprintf("kafka: sarama registers a metric of type %T", metric))
}

// groupCoordinator is the one for offsets outside of transactions.
func (b *Broker) groupCoordinator(group string) *coordinator {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.groups[group]
	if k == nil {
		k = b.cluster.coordinator(sarama.CoordinatorGroup, group)
		b.groups[group] = k
	}
	return k
}
