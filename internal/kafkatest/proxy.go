package kafkatest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Way is a direction through a Proxy.
type Way int

// The ways through a Proxy.
const (
	Up   Way = iota // from the client to the node
	Down            // from the node to the client
	ways
)

const (
	proxyChunk = 32 << 10
	proxyAhead = 64 // chunks that are read and wait, for each way of a connection
)

// Proxy stands between clients and one listener of a node, and harms what goes through
// it. As a network does, it never loses bytes out of the middle of a connection: it
// delays them, holds them back, or ends the connection.
//
// Its methods may be called by many goroutines at once.
type Proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	links   map[*link]struct{}
	ways    [ways]passage
	changed chan struct{} // closed, and made anew, when ways change
	cut     bool
	closed  bool
}

// passage is what a way does with bytes.
type passage struct {
	delay time.Duration
	held  bool
}

// link is a client's connection and the one to the node that goes with it.
type link struct {
	ends [ways]*net.TCPConn // by the way that reads from it
	once sync.Once
	done chan struct{}
}

type chunk struct {
	bytes []byte
	at    time.Time // when it came
}

func newProxy(addr, target string) (*Proxy, error) {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("kafkatest: proxy: %w", err)
	}
	p := &Proxy{l: l, target: target, links: map[*link]struct{}{}, changed: make(chan struct{})}
	p.wg.Go(p.serve)
	return p, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Delay makes all bytes on a way arrive so much later, those of new connections too.
func (p *Proxy) Delay(w Way, d time.Duration) { p.set(func() { p.ways[w].delay = d }) }

// Hold lets nothing pass on a way, and does not end connections: what was sent arrives
// after Heal, as packets do that are sent again. Ends of connections are held, too.
func (p *Proxy) Hold(w Way) { p.set(func() { p.ways[w].held = true }) }

// Cut ends all connections, and new ones at once, until Heal.
func (p *Proxy) Cut() {
	p.set(func() { p.cut = true })
	p.Reset()
}

// Reset ends all connections that there are, with RST to both sides.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Heal undoes Delay, Hold and Cut.
func (p *Proxy) Heal() {
	p.set(func() { p.ways, p.cut = [ways]passage{}, false })
}

// Close ends it with all connections.
func (p *Proxy) Close() error {
	err := p.l.Close()
	p.set(func() { p.closed = true })
	p.Reset()
	p.wg.Wait()
	return err
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) serve() {
	for {
		c, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the client is gone
			time.Sleep(10 * time.Millisecond)
			continue
		}
		p.wg.Go(func() { p.connect(c.(*net.TCPConn)) })
	}
}

// connect makes a link of a client's connection. A node that does not listen is shown to
// the client by a reset.
func (p *Proxy) connect(client *net.TCPConn) {
	node, err := net.DialTimeout("tcp4", p.target, 5*time.Second)
	if err != nil {
		reset(client)
		return
	}
	l := &link{ends: [ways]*net.TCPConn{Up: client, Down: node.(*net.TCPConn)}, done: make(chan struct{})}
	p.mu.Lock()
	if p.cut || p.closed {
		p.mu.Unlock()
		l.reset()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	for w := range ways {
		ahead := make(chan chunk, proxyAhead)
		p.wg.Go(func() { l.read(w, ahead) })
		p.wg.Go(func() {
			if p.write(l, w, ahead) {
				l.close()
			} else {
				l.reset()
			}
			p.mu.Lock()
			delete(p.links, l)
			p.mu.Unlock()
		})
	}
}

// read hands on what comes in, until the end.
func (l *link) read(w Way, ahead chan<- chunk) {
	defer close(ahead)
	for {
		b := make([]byte, proxyChunk)
		n, err := l.ends[w].Read(b)
		if n > 0 {
			select {
			case ahead <- chunk{b[:n], time.Now()}:
			case <-l.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write hands on what was read, as late as the way has it. It reports whether all was
// handed on.
func (p *Proxy) write(l *link, w Way, ahead <-chan chunk) bool {
	for c := range ahead {
		if !p.wait(l, w, c.at) {
			return false
		}
		if _, err := l.ends[1-w].Write(c.bytes); err != nil {
			return false
		}
	}
	return p.wait(l, w, time.Now())
}

// wait returns when what came at a time may go on; false: the link has ended.
func (p *Proxy) wait(l *link, w Way, came time.Time) bool {
	for {
		p.mu.Lock()
		way, changed := p.ways[w], p.changed
		p.mu.Unlock()
		var timer <-chan time.Time
		if !way.held {
			left := time.Until(came.Add(way.delay))
			if left <= 0 {
				return true
			}
			timer = time.After(left)
		}
		select {
		case <-timer:
		case <-changed:
		case <-l.done:
			return false
		}
	}
}

// close ends both connections after what was written to them.
func (l *link) close() { l.end(func(c *net.TCPConn) { _ = c.Close() }) }

func (l *link) reset() { l.end(reset) }

func (l *link) end(how func(*net.TCPConn)) {
	l.once.Do(func() {
		close(l.done)
		for _, c := range l.ends {
			how(c)
		}
	})
}

// reset closes a connection with RST. What is not sent yet is dropped.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
