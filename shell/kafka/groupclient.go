package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// dialPause is what a failed dial of the group client takes at least.
const dialPause = 200 * time.Millisecond

// connect makes the group client. It does not dial yet.
func (g *group) connect() (err error) {
	g.dialer = &groupDialer{dialer: dialer{tls: g.b.tls}, g: g, failed: make(chan struct{}, 1)}
	g.dialer.Timeout, g.dialer.KeepAlive = g.b.cfg.DialTimeout, 30*time.Second
	cl, err := sarama.NewClient(g.b.cfg.Brokers, g.config())
	if err == nil {
		g.client = newClaimClient(g.ctx, cl, g.b, g.topics)
		if g.sarama, err = sarama.NewConsumerGroupFromClient(g.cfg.Group, g.client); err == nil {
			return nil
		}
		_ = g.client.Close()
	}
	var conf sarama.ConfigurationError
	if errors.As(err, &conf) {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return err
}

// config is the group client's. It reads nothing but its claims' existence.
func (g *group) config() *sarama.Config {
	c, _ := g.b.sarama()
	c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, g.dialer
	cfg := &g.b.cfg
	// A JoinGroup is answered when all members have joined; groupConn waits less for others.
	c.Net.ReadTimeout = cfg.RebalanceTimeout + ioTimeout
	// This bounds the heartbeats that fail in a row before the session ends, with all its
	// tasks, although the broker would go on with it: dialling again takes dialPause each
	// time. It also bounds how often metadata is asked for, hence the timeout.
	c.Metadata.Retry.Max = int(cfg.RetryFor / dialPause)
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	c.Metadata.Timeout = 5 * time.Second
	c.Metadata.RefreshFrequency = g.b.partsEvery // by the leader; the others: watchParts
	c.ChannelBufferSize = 1
	// ReadCommitted would ask for stable offsets when a claim begins, and one transaction
	// that a dead member left open would end the session, with all tasks, over and over.
	// The worker reads the offsets itself.
	c.Consumer.IsolationLevel = sarama.ReadUncommitted
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Return.Errors = true
	// Nothing is read here, and nothing committed: a claim at an offset that is gone must
	// begin all the same, so that the worker can say which offset it is. Without this it
	// would end the session, over and over.
	c.Consumer.Group.ResetInvalidOffsets = true
	c.Consumer.Group.Session.Timeout = cfg.SessionTimeout
	c.Consumer.Group.Heartbeat.Interval = cfg.HeartbeatInterval
	c.Consumer.Group.Rebalance.Timeout = cfg.RebalanceTimeout
	c.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond // 2 s would make joins that long
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{g.strategy}
	c.Consumer.Group.InstanceId = g.cfg.Instance
	return c
}

// groupDialer makes the group client's connections. It is there for the heartbeats, which
// sarama sends to the coordinator that it knows until its retries are used up: without a
// pause where the connection is refused, and without asking who coordinates now. A broker
// that restarts would end the sessions of all members of its groups.
type groupDialer struct {
	dialer
	g      *group
	failed chan struct{} // a connection failed
}

func (d *groupDialer) Dial(network, addr string) (net.Conn, error) {
	x := dialer{Dialer: d.Dialer, tls: d.tls} // many are under way at a time
	c, err := x.Dial(network, addr)
	if err != nil {
		signal(d.failed)
		_ = sleep(d.g.ctx, dialPause)
		return nil, err
	}
	return &groupConn{Conn: c, d: d}, nil
}

// groupConn waits long for the answers that come when all members have joined, and not
// for those to heartbeats: a coordinator that is frozen is replaced before the session
// is over, if we ask who it is.
type groupConn struct {
	net.Conn
	d    *groupDialer
	long atomic.Bool
}

func (c *groupConn) Write(b []byte) (int, error) {
	if len(b) >= 6 { // sarama writes whole requests: length, key, ...
		key := binary.BigEndian.Uint16(b[4:])
		long := key == keyJoinGroup || key == keySyncGroup
		if c.long.Store(long); long {
			c.d.g.client.rest.disturb()
		}
	}
	return c.Conn.Write(b)
}

const keyJoinGroup, keySyncGroup = 11, 14

func (c *groupConn) SetReadDeadline(t time.Time) error {
	if limit := time.Now().Add(min(ioTimeout, c.d.g.b.cfg.SessionTimeout/2)); !c.long.Load() && t.After(limit) {
		t = limit
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *groupConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.long.Load() {
		c.d.g.client.rest.disturb()
	}
	if err != nil {
		signal(c.d.failed)
	}
	return n, err
}

// findCoordinator asks who coordinates the group whenever a connection failed.
func (g *group) findCoordinator() {
	for {
		select {
		case <-g.dialer.failed:
		case <-g.ctx.Done():
			return
		}
		// First our own way, which knows g.ctx: sarama's blocks until somebody answers.
		_, err := g.kafka.find(g.ctx)
		if err == nil {
			err = g.client.RefreshCoordinator(g.cfg.Group)
		}
		if err != nil {
			signal(g.dialer.failed)
		}
		if sleep(g.ctx, dialPause) != nil {
			return
		}
	}
}
