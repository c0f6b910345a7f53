package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/IBM/sarama"
)

// conn is a connection whose requests we encode and whose responses we decode. sarama
// dials, negotiates and authenticates (TLS, SASL); from then on its Broker is idle, with
// nothing read ahead, and the bytes are ours.
//
// Two things make that worth it, both on the hot path: sarama keeps the partitions of a
// fetch in a map, so their order, which is what makes a table as new as the stream that
// joins it, would be chance; and its records cost several times as much as records that
// are read and written in place.
type conn struct {
	broker *sarama.Broker
	net    net.Conn
	r      *bufio.Reader
	client string
	sent   int32 // correlation id of the last request
	got    int32 // of the last response: brokers answer a connection in order
	limit  time.Duration
}

// dialer makes connections for a sarama.Broker and keeps the last one.
type dialer struct {
	net.Dialer
	tls  *tls.Config
	conn net.Conn
}

func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	c, err := d.Dialer.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		// Here and not in sarama, which would wrap what we keep.
		t := d.tls.Clone()
		if t.ServerName == "" {
			t.ServerName, _, _ = net.SplitHostPort(addr)
		}
		tc := tls.Client(c, t)
		ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
		defer cancel()
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = tc
	}
	d.conn = c
	return c, nil
}

// dial connects to one broker. It takes at most DialTimeout for the connection and
// ReadTimeout for each answer of the handshakes.
func (b *Broker) dial(addr string) (*conn, error) {
	sc, d := b.sarama()
	br := sarama.NewBroker(addr)
	if err := br.Open(sc); err != nil {
		return nil, err
	}
	if ok, err := br.Connected(); !ok {
		return nil, connectError(addr, err)
	}
	return &conn{broker: br, net: d.conn, r: bufio.NewReaderSize(d.conn, 32<<10), client: b.cfg.ClientID, limit: ioTimeout}, nil
}

// dialContext is dial, left behind when ctx ends first.
func (b *Broker) dialContext(ctx context.Context, addr string) (*conn, error) {
	type result struct {
		c   *conn
		err error
	}
	done := make(chan result) // handed over or closed, never both
	go func() {
		c, err := b.dial(addr)
		select {
		case done <- result{c, err}:
		case <-ctx.Done():
			if c != nil {
				c.close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.c, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func connectError(addr string, err error) error {
	if err == nil {
		err = sarama.ErrNotConnected
	}
	return fmt.Errorf("connect to %s: %w", addr, err)
}

func (c *conn) close() { _ = c.broker.Close() }

// interrupt ends a read or write that is under way, from another goroutine.
func (c *conn) interrupt() { _ = c.net.Close() }

// Keys and versions of the requests that we encode; every broker from 2.7 on has them.
// Produce 9 and Fetch 12 are the last that name topics by name and the first in the
// flexible encoding.
const (
	keyProduce, verProduce = 0, 9
	keyFetch, verFetch     = 1, 12
)

// begin starts a request frame in buf, which is overwritten.
func (c *conn) begin(buf []byte, key, version int16) []byte {
	c.sent++
	buf = append(buf[:0], 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(key))
	buf = binary.BigEndian.AppendUint16(buf, uint16(version))
	buf = binary.BigEndian.AppendUint32(buf, uint32(c.sent))
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(c.client)))
	buf = append(buf, c.client...)
	return append(buf, 0) // no tagged fields
}

// send writes a finished request frame.
func (c *conn) send(buf []byte) error {
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-4))
	if err := c.net.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return err
	}
	_, err := c.net.Write(buf)
	return err
}

// receive waits for the head of the next response. wait is what the broker was asked to
// wait at most.
func (c *conn) receive(f *frame, wait time.Duration) error {
	if err := c.net.SetReadDeadline(time.Now().Add(c.limit + wait)); err != nil {
		return err
	}
	*f = frame{r: c.r, left: 4}
	f.size = int(f.int32())
	f.left = f.size
	if f.err == nil && (f.left < 5 || f.left > 1<<30) {
		return fmt.Errorf("kafka: response of %d bytes", f.left)
	}
	id := f.int32()
	f.tags()
	if f.err != nil {
		return f.err
	}
	if c.got++; id != c.got {
		return fmt.Errorf("kafka: response %d where %d was due", id, c.got)
	}
	return nil
}

var errFrame = errors.New("kafka: malformed response")

// frame reads one response, field by field. After an error all fields are zero.
type frame struct {
	r    *bufio.Reader
	size int // of the response, in bytes, behind its length
	left int // of these
	err  error
}

// malformed notes that the response cannot be what comes next.
func (f *frame) malformed() {
	if f.err == nil {
		f.err = fmt.Errorf("%w at byte %d of %d", errFrame, f.size-f.left, f.size)
	}
}

// take gives the next n bytes, n small; they are valid until the next call.
func (f *frame) take(n int) []byte {
	if n > f.left {
		f.malformed()
	}
	if f.err != nil {
		return zeros[:n]
	}
	b, err := f.r.Peek(n)
	if err != nil {
		f.err = eof(err)
		return zeros[:n]
	}
	_, _ = f.r.Discard(n) // what was peeked is there
	f.left -= n
	return b
}

var zeros = make([]byte, 8)

// eof makes sense of the end of a connection: in the middle of a response there is more.
func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *frame) int16() int16 { return int16(binary.BigEndian.Uint16(f.take(2))) }
func (f *frame) int32() int32 { return int32(binary.BigEndian.Uint32(f.take(4))) }
func (f *frame) int64() int64 { return int64(binary.BigEndian.Uint64(f.take(8))) }

func (f *frame) uvarint() int {
	var u uint64
	for shift := 0; shift < 35; shift += 7 {
		b := f.take(1)[0]
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if u > 1<<31 {
				break
			}
			return int(u)
		}
	}
	f.malformed()
	return 0
}

// length reads the length of a compact string, of bytes or of an array; null is -1.
func (f *frame) length() int { return f.uvarint() - 1 }

// bytes reads n bytes into memory of their own.
func (f *frame) bytes(n int) []byte {
	if !f.has(n) {
		return nil
	}
	return f.into(make([]byte, n))
}

// has reports whether there are n bytes more, and at least one.
func (f *frame) has(n int) bool {
	if n > f.left {
		f.malformed()
	}
	return n > 0 && f.err == nil
}

// into fills b, for which there must be as many bytes more.
func (f *frame) into(b []byte) []byte {
	if _, err := io.ReadFull(f.r, b); err != nil {
		f.err = eof(err)
		return nil
	}
	f.left -= len(b)
	return b
}

// text reads a string into buf.
func (f *frame) text(buf []byte) []byte {
	n := f.length()
	if n > f.left {
		f.malformed()
	}
	if n <= 0 || f.err != nil {
		return buf[:0]
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(f.r, buf); err != nil {
		f.err = eof(err)
		return buf[:0]
	}
	f.left -= n
	return buf
}

func (f *frame) skip(n int) {
	if n > f.left {
		f.malformed()
	}
	if n <= 0 || f.err != nil {
		return
	}
	if _, err := f.r.Discard(n); err != nil {
		f.err = eof(err)
	}
	f.left -= n
}

// tags skips tagged fields.
func (f *frame) tags() {
	for n := f.uvarint(); n > 0 && f.err == nil; n-- {
		f.uvarint()
		f.skip(f.uvarint())
	}
}

// finish skips what is left of the response.
func (f *frame) finish() error {
	f.skip(f.left)
	return f.err
}

// appendString appends a compact string.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}
