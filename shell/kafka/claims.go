package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
)

// sarama's consumer is there for its claims only: nothing is read through it. Paused, it
// would look ten times a second whether it still is, and a claim would begin and end with
// the next look. So it fetches, from a broker that is none: one end of a pipe, whose other
// end answers that there is nothing, late while the group is calm and at once while claims
// begin and end.

const (
	// calmHold is how long a fetch is held when nothing happens in the group: a claim that ends
	// without a sign of it waits that long.
	calmHold = time.Second
	// restlessHold is how long it is held within restlessFor of the last sign.
	restlessHold = 5 * time.Millisecond
	restlessFor  = time.Second
)

// claimClient is a sarama.Client all of whose partitions are led by the pipe.
type claimClient struct {
	sarama.Client
	conf   *sarama.Config
	leader *sarama.Broker
	rest   *rest
}

func newClaimClient(ctx context.Context, cl sarama.Client, b *Broker, topics []string) *claimClient {
	for _, t := range topics {
		// Where sarama counts the bytes of a fetch before it encodes it, it has forgotten our
		// registry and takes everybody's: a meter there would be a goroutine for good.
		metrics.DefaultRegistry.GetOrRegister("consumer-fetch-rate-for-topic-"+strings.ReplaceAll(t, ".", "_"), metrics.NilMeter{})
	}
	conf, _ := b.sarama()
	conf.ApiVersionsRequest = false
	conf.Net.SASL.Enable = false
	c := &claimClient{Client: cl, conf: conf, leader: sarama.NewBroker("nowhere:0"), rest: newRest()}
	conf.Net.Proxy.Dialer = &pipeDialer{ctx, c.rest}
	return c
}

// LeaderAndEpoch is what sarama's consumer asks for.
func (c *claimClient) LeaderAndEpoch(string, int32) (*sarama.Broker, int32, error) {
	_ = c.leader.Open(c.conf) // it mostly is
	return c.leader, -1, nil
}

func (c *claimClient) Close() error {
	_ = c.leader.Close() // it may have been, or never open
	return c.Client.Close()
}

// rest tells whether claims are about to begin or end.
type rest struct {
	mu    sync.Mutex
	until time.Time     // no rest before
	wake  chan struct{} // closed when that moves
}

func newRest() *rest { return &rest{wake: make(chan struct{})} }

// disturb says that claims may begin or end now.
func (r *rest) disturb() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Now().Add(restlessFor)
	close(r.wake)
	r.wake = make(chan struct{})
}

// hold waits as long as a fetch is to be held.
func (r *rest) hold(ctx context.Context) {
	r.mu.Lock()
	wait, wake := calmHold, r.wake
	if time.Now().Before(r.until) {
		wait, wake = restlessHold, nil
	}
	r.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// pipeDialer dials the broker that has nothing.
type pipeDialer struct {
	ctx  context.Context
	rest *rest
}

func (d *pipeDialer) Dial(string, string) (net.Conn, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	context.AfterFunc(d.ctx, func() { _ = far.Close() })
	go func() {
		_ = haveNothing(d.ctx, far, d.rest) // the pipe was closed
		_ = far.Close()
	}()
	return near, nil
}

// haveNothing answers fetches with a response that names no partition. Version 12 is what
// sarama sends to brokers from 2.7 on.
func haveNothing(ctx context.Context, c io.ReadWriter, r *rest) error {
	for be := binary.BigEndian; ; {
		var head [12]byte // length, key, version, correlation id
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		if key, v := be.Uint16(head[4:]), be.Uint16(head[6:]); key != keyFetch || v != verFetch {
			return fmt.Errorf("kafka: request %d, version %d, for the broker of claims", key, v)
		}
		if _, err := io.CopyN(io.Discard, c, int64(be.Uint32(head[:]))-8); err != nil {
			return err
		}
		r.hold(ctx)
		b := be.AppendUint32(nil, 17)
		b = append(b, head[8:]...)
		b = append(b, 0)          // tags
		b = be.AppendUint32(b, 0) // throttle time
		b = be.AppendUint16(b, 0) // no error
		b = be.AppendUint32(b, 0) // no session
		b = append(b, 1, 0)       // no topics, tags
		be.PutUint32(b, uint32(len(b)-4))
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}
