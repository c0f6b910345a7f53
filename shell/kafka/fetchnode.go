package kafka

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// fetchNode fetches from one broker.
type fetchNode struct {
	f    *fetcher
	id   int32
	kick chan struct{} // there may be something to fetch

	// Guarded by the fetcher's mu.
	parts []*fetchPart // by priority
	conn  *conn
	last  time.Time // when something came, or a partition
	calm  bool      // the poll under way is held for calmWait
	ended bool      // and was ended, for a partition

	// The goroutine's own.
	asked   []asked
	buf     []byte // the request
	name    []byte // a topic in the response
	txns    []aborted
	dec     decoder
	brought int      // bytes of the last response that are records
	broken  int      // connections in a row
	named   []*asked // what the request names
	session session
	many    bool // a session is worth it, and the order is no matter
	alone   bool // no other node has a partition
}

// asked is what a request says of one partition.
type asked struct {
	*fetchPart
	from core.Offset
	max  int
	same bool // as the session has it
	got  reply
}

// reply is what the response says of it.
type reply struct {
	answered bool
	code     code
	stable   core.Offset // last stable offset
	start    core.Offset
	replica  int32
	decoded
	lease *lease // of what was decoded
	err   error
}

const (
	// requestBytes bounds a response. It stays below the brokers' fetch.max.bytes (55 MiB),
	// so that the last partitions of a request get their share.
	requestBytes = 50 << 20
	// askMin is what a partition is asked for at least, where many share requestBytes.
	askMin = 64 << 10
	// askMax bounds how far it grows for the sake of one large batch.
	askMax = 64 << 20
	// replicaFor is how long a follower is read from before the leader is asked again.
	replicaFor = 5 * time.Minute
	// fullWait is how long a poll is held while a partition has no room.
	fullWait = 10 * time.Millisecond
	// calmWait is how long a poll is held where nothing came for calmAfter.
	calmWait  = time.Second
	calmAfter = 2 * time.Second
)

func (n *fetchNode) run() {
	defer n.dec.inflater.close()
	defer n.hangUp()
	for {
		select {
		case <-n.kick: // what it is about, choose sees
		default:
		}
		wait, ok := n.choose()
		if !ok {
			return
		}
		if len(n.asked) == 0 {
			select { // nothing to fetch, or no room for it
			case <-n.kick:
			case <-n.f.done:
				return
			}
			continue
		}
		began := time.Now()
		if err := n.poll(wait); err != nil {
			n.hangUp()
			n.f.mu.Lock()
			if n.ended {
				n.f.mu.Unlock()
				continue
			}
			for _, x := range append([]*fetchPart(nil), n.parts...) {
				n.f.lose(x, err)
			}
			n.f.mu.Unlock()
			select {
			case <-n.f.done:
				return
			default:
			}
			n.f.b.cfg.Logger.Debug("kafka fetch failed", "fetcher", n.f.cfg.Name, "broker", n.id, "err", err)
			// Once may be a connection that was idle for too long. The partitions may find
			// another leader meanwhile.
			if n.broken++; n.broken > 1 && sleep(n.f.ctx, min(50*time.Millisecond<<min(n.broken, 4), 500*time.Millisecond)) != nil {
				return
			}
			continue
		}
		n.broken = 0
		n.settle()
		n.rest(began)
	}
}

// rest waits where a fetch brought little, as FetchConfig has it.
func (n *fetchNode) rest(began time.Time) {
	left := n.f.cfg.Rest - time.Since(began)
	if left <= 0 || n.brought == 0 || n.brought >= shell.RestBytes || n.f.cfg.Merged && !n.alone {
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.kick:
	case <-n.f.done:
	}
}

// choose fills asked with the partitions that have room; ok = false: closed.
func (n *fetchNode) choose() (wait time.Duration, ok bool) {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	if n.f.closed {
		return 0, false
	}
	wait, n.ended = n.f.b.cfg.FetchWait, false
	if n.calm = time.Since(n.last) > calmAfter; n.calm {
		wait = max(wait, calmWait)
	}
	n.asked = n.asked[:0]
	for _, x := range n.parts {
		// With nothing out it is fetched, however small the buffer: a merge may wait for it.
		if x.out > 0 && x.out >= n.f.cfg.BufferBytes {
			wait = min(wait, fullWait)
			n.f.outdate(x)
			continue
		}
		n.asked = append(n.asked, asked{fetchPart: x, from: x.next, max: x.ask})
	}
	n.alone = len(n.parts) == len(n.f.parts)
	n.many = len(n.parts) >= sessionFrom && n.parts[0].priority == n.parts[len(n.parts)-1].priority
	share := max(askMin, requestBytes/max(1, len(n.parts)))
	for i := range n.asked {
		x := &n.asked[i]
		if !x.known {
			wait = 0
		}
		if x.max <= n.f.cfg.PartitionBytes { // not grown for a large batch
			x.max = min(x.max, share)
		}
	}
	return wait, true
}

// interrupt ends the poll under way. The caller holds the fetcher's mu.
func (n *fetchNode) interrupt() {
	if n.conn != nil {
		n.conn.interrupt()
	}
}

// disturb says that a partition has come: polls are short, and one that is not ends. The caller
// holds the fetcher's mu.
func (n *fetchNode) disturb() {
	n.last = time.Now()
	if n.calm {
		n.calm, n.ended = false, true
		n.interrupt()
	}
}

func (n *fetchNode) hangUp() {
	n.f.mu.Lock()
	c := n.conn
	n.conn = nil
	n.f.mu.Unlock()
	n.session.drop()
	if c != nil {
		c.close()
	}
}

func (n *fetchNode) connect() (*conn, error) {
	if n.conn != nil { // written by this goroutine only
		return n.conn, nil
	}
	addr, ok := n.f.b.cluster.addr(n.id)
	if !ok {
		return nil, fmt.Errorf("kafka: broker %d is not known", n.id)
	}
	c, err := n.f.b.dialContext(n.f.ctx, addr)
	if err != nil {
		return nil, err
	}
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	if n.f.closed || n.ended {
		c.close()
		return nil, errClosed
	}
	n.conn = c
	return c, nil
}

// poll sends one request and reads its response into asked.
func (n *fetchNode) poll(wait time.Duration) error {
	c, err := n.connect()
	if err != nil {
		return err
	}
	epoch := n.encode(c, wait)
	if err := c.send(n.buf); err != nil {
		return err
	}
	var r frame
	if err := c.receive(&r, wait); err != nil {
		return err
	}
	r.int32() // throttle time: the broker has waited for it
	if k := code(r.int16()); n.session.lost(k) {
		epoch = sessionEnd // it says no more; the next request is whole
	} else if k != sarama.ErrNoError {
		return &answer{"Fetch", k}
	}
	n.session.answered(r.int32(), epoch)
	n.brought = 0
	at := 0
	for topics := r.length(); topics > 0 && r.err == nil; topics-- {
		n.name = r.text(n.name)
		for parts := r.length(); parts > 0 && r.err == nil; parts-- {
			id := r.int32()
			n.partition(&r, n.find(&at, id))
		}
		r.tags()
	}
	return r.finish()
}

// encode builds a Fetch request, version 12, and tells its epoch in the session.
func (n *fetchNode) encode(c *conn, wait time.Duration) (epoch int32) {
	be := binary.BigEndian
	epoch, whole := n.session.begin(n.asked, n.many)
	b := c.begin(n.buf, keyFetch, verFetch)
	b = be.AppendUint32(b, 0xffffffff) // we are no replica
	b = be.AppendUint32(b, uint32(wait.Milliseconds()))
	b = be.AppendUint32(b, 1) // byte is enough to answer
	total := 0
	for i := range n.asked {
		total += n.asked[i].max
	}
	b = be.AppendUint32(b, uint32(min(max(total, requestBytes), 1<<30)))
	b = append(b, 1) // read_committed
	b = be.AppendUint32(b, uint32(n.session.id))
	b = be.AppendUint32(b, uint32(epoch))
	n.named = n.named[:0]
	for i := range n.asked {
		if x := &n.asked[i]; whole || !x.same {
			n.named = append(n.named, x)
		}
	}
	// A topic comes again where the order wants it; brokers keep the order of partitions.
	groups := 0
	for i, x := range n.named {
		if i == 0 || x.Topic != n.named[i-1].Topic {
			groups++
		}
	}
	b = binary.AppendUvarint(b, uint64(groups)+1)
	for i := 0; i < len(n.named); {
		end := i + 1
		for end < len(n.named) && n.named[end].Topic == n.named[i].Topic {
			end++
		}
		b = appendString(b, n.named[i].Topic)
		b = binary.AppendUvarint(b, uint64(end-i)+1)
		for ; i < end; i++ {
			x := n.named[i]
			b = be.AppendUint32(b, uint32(x.ID))
			b = be.AppendUint32(b, 0xffffffff) // leader epoch: any
			b = be.AppendUint64(b, uint64(x.from))
			b = be.AppendUint32(b, 0xffffffff) // epoch of the last record: not known
			b = be.AppendUint64(b, 0xffffffffffffffff)
			b = be.AppendUint32(b, uint32(x.max))
			b = append(b, 0)
		}
		b = append(b, 0)
	}
	b = n.session.appendForgotten(b, len(n.asked), whole)
	b = appendString(b, n.f.b.cfg.RackID)
	n.buf = append(b, 0)
	return epoch
}

// find looks for a partition of the response, topic n.name, beginning at *at: outside of
// sessions brokers answer in the order of the request, more or less.
func (n *fetchNode) find(at *int, id int32) *asked {
	if n.session.id != 0 {
		if h := n.session.has[shell.Partition{Topic: string(n.name), ID: id}]; h != nil {
			return &n.asked[h.at]
		}
		return nil
	}
	for range n.asked {
		x := &n.asked[*at]
		if *at++; *at == len(n.asked) {
			*at = 0
		}
		if x.ID == id && x.Topic == string(n.name) {
			return x
		}
	}
	return nil
}

// partition reads one partition's part of the response. x is nil if nobody asked.
func (n *fetchNode) partition(r *frame, x *asked) {
	var got reply
	got.answered = true
	got.code = code(r.int16())
	r.int64() // high watermark: what counts is the last stable offset
	got.stable = core.Offset(r.int64())
	got.start = core.Offset(r.int64())
	n.txns = n.txns[:0]
	for k := r.length(); k > 0 && r.err == nil; k-- {
		n.txns = append(n.txns, aborted{r.int64(), r.int64()})
		r.tags()
	}
	got.replica = r.int32()
	var l *lease
	if size := r.length(); r.has(size) {
		l = n.f.leases.take(size)
		r.into(l.raw)
		n.brought += size
	}
	r.tags()
	if x == nil || r.err != nil {
		return
	}
	if got.next = x.from; got.code == sarama.ErrNoError && l != nil {
		n.dec.lease = l
		got.decoded, got.err = n.dec.decode(l.raw, x.from, n.txns, n.f.cfg.BufferBytes)
		got.lease = l
	}
	x.got = got
}

// settle hands what came to the fetcher. What was added anew, removed or moved since
// the request was made is dropped.
func (n *fetchNode) settle() {
	f := n.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	for i := range n.asked {
		a := &n.asked[i]
		x, got := a.fetchPart, &a.got
		if !got.answered || f.parts[x.Partition] != x || x.node != n || x.failed {
			continue
		}
		switch {
		case got.err != nil:
			f.fail(x, fmt.Errorf("%v at %d: %w", x.Partition, a.from, got.err))
		case got.code == sarama.ErrOffsetOutOfRange && x.replica >= 0:
			f.lose(x, &answer{"Fetch of " + x.String(), got.code}) // ask the leader
		case got.code == sarama.ErrOffsetOutOfRange:
			f.displace(x)
			x.failed = true // until it is looked into
			f.wg.Go(func() { f.outOfRange(x) })
		case got.code != sarama.ErrNoError:
			err := &answer{"Fetch of " + x.String(), got.code}
			if denied(got.code) {
				f.fail(x, fatal(err.req, err.code))
				continue
			}
			f.lose(x, err)
		case got.replica >= 0 && got.replica != n.id && x.replica < 0:
			n.follow(x, got.replica)
		default:
			n.deliver(x, got)
		}
	}
	clear(n.asked) // let go of the records
}

// follow moves a partition to the follower that the leader named.
func (n *fetchNode) follow(x *fetchPart, id int32) {
	if _, ok := n.f.b.cluster.addr(id); !ok {
		return
	}
	n.f.displace(x)
	x.replica, x.replicaUntil = id, time.Now().Add(replicaFor)
	n.f.place(x, id)
}

func (n *fetchNode) deliver(x *fetchPart, got *reply) {
	f := n.f
	x.since, x.lastErr = time.Time{}, nil
	progress := got.next > x.next
	caught := got.next >= got.stable
	told := x.caught
	x.next, x.known, x.caught = got.next, true, caught
	switch {
	case progress:
		x.ask = f.cfg.PartitionBytes
	case !caught && x.ask < askMax:
		// There is more, and it did not come: the next batch is larger than what was asked
		// for, and only the first partition of a response gets one whole all the same.
		x.ask *= 2
	}
	if progress {
		n.last = time.Now()
	}
	var reuse func()
	switch l := got.lease; {
	case l == nil:
	case got.records == nil:
		f.leases.give(l)
	case !got.headers: // which records keep as they are, for whoever may want them
		reuse = func() { f.leases.give(l) }
	}
	if progress || caught != told { // no longer caught up is news too: a merge then waits
		x.out += got.bytes
		f.push(shell.Fetched{
			Partition: x.Partition, Tag: x.tag, Bytes: got.bytes, Reuse: reuse,
			Batch: core.Batch{Records: got.records, Next: got.next, CaughtUp: caught},
		})
	}
	if x.replica >= 0 && time.Now().After(x.replicaUntil) {
		f.lose(x, nil)
		x.since, x.notBefore = time.Time{}, time.Time{}
	}
}
