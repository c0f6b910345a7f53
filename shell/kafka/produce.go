package kafka

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// outPart is a partition that the producer writes to. It lives as long as the producer,
// so that its slices do.
//
// Its records are cut into chunks, each a record batch with a sequence of its own. Chunks
// of one partition are sent in order, up to inFlight of them before the first answer:
//
//	chunks:   acked.....  in flight...  not sent
//	          0       acked         sent       len
//
// When one must be sent again, so must all behind it, unchanged and in order: the broker
// takes a chunk only if its sequence is the next one, and answers those that it has with
// the offset they got. So after a failure nothing more is sent, the answers under way are
// waited for, and sent goes back to acked.
type outPart struct {
	shell.Partition
	sequence int32 // of the next record that was never sent
	known    bool  // the broker has a sequence of this epoch
	added    bool  // to the transaction

	ending ending // of the transaction before
	blind  bool   // it is given a marker without being looked at

	// Of the Produce that is under way.
	batch       *shell.ProduceBatch
	chunks      []chunk
	acked, sent int
	again       bool // a chunk failed
	err         error
}

// chunk is records[lo:hi] of a batch.
type chunk struct {
	lo, hi   int
	size     int // of the record batch before it is compressed
	sequence int32
}

const (
	// inFlight requests on a connection: brokers remember the sequences of five batches.
	inFlight = 5
	// requestMax is when a produce request is full. Brokers take up to 100 MiB; less lets
	// the next request be built while this one is written.
	requestMax = 4 << 20
)

// nextSequence is the sequence n records on: it wraps to 0 behind MaxInt32.
func nextSequence(s int32, n int) int32 { return int32((int64(s) + int64(n)) & 0x7fffffff) }

// cut splits the partition's batch into chunks.
func (p *outPart) cut(limit int) {
	p.chunks, p.acked, p.sent, p.again, p.err = p.chunks[:0], 0, 0, false, nil
	rs := p.batch.Records
	for lo := 0; lo < len(rs); {
		c := chunk{lo: lo, hi: lo, size: headBytes, sequence: p.sequence}
		for c.hi < len(rs) {
			n := recordSize(&rs[c.hi], c.hi-lo, rs[lo].Time)
			n += varintLen(int64(n))
			if c.hi > lo && c.size+n > limit {
				break
			}
			c.size += n
			c.hi++
		}
		p.chunks = append(p.chunks, c)
		p.sequence = nextSequence(p.sequence, c.hi-c.lo)
		lo = c.hi
	}
}

// outNode is the producer's connection to one broker.
type outNode struct {
	p    *producer
	id   int32
	conn *conn

	buf      []byte // the request
	name     []byte
	writer   writer
	inflight [][]sentChunk
	free     [][]sentChunk
}

type sentChunk struct {
	part  *outPart
	chunk int
}

// Produce appends the batches and waits until they are acknowledged.
func (p *producer) Produce(ctx context.Context, batches []*shell.ProduceBatch) error {
	if err := p.ready("Produce"); err != nil {
		return err
	}
	if !slices.ContainsFunc(batches, func(b *shell.ProduceBatch) bool { return len(b.Records) > 0 }) {
		return nil
	}
	if err := p.begin(ctx); err != nil { // before sequences are given: a new epoch counts from 0
		return p.failed(ctx, err)
	}
	p.todo = p.todo[:0]
	var fresh []*outPart
	for _, b := range batches {
		if len(b.Records) == 0 {
			continue
		}
		op := p.parts[b.Partition]
		if op == nil {
			op = &outPart{Partition: b.Partition, ending: p.former}
			p.parts[b.Partition] = op
		}
		if !op.added && p.id != "" {
			fresh = append(fresh, op)
		}
		op.batch = b
		limit := p.b.cfg.BatchBytes
		if b.MaxBytes > 0 {
			limit = min(limit, b.MaxBytes)
		}
		op.cut(limit)
		p.todo = append(p.todo, op)
	}
	if err := p.fresh(ctx, p.todo); err != nil {
		return p.failed(ctx, err)
	}
	// A partition belongs to the transaction before its first batch: in one request for
	// all, since each is a replicated write of the coordinator.
	if len(fresh) > 0 {
		if err := p.addPartitions(ctx, fresh); err != nil {
			return p.failed(ctx, err)
		}
		for _, op := range fresh {
			op.added = true
		}
	}
	p.addOffsetsAhead(ctx)
	p.unsure = true // until all is acknowledged, sequences are not known to the broker
	if err := p.sendAll(ctx); err != nil {
		return p.failed(ctx, err)
	}
	p.unsure = false
	return nil
}

// sendAll sends what is to do, until all is acknowledged.
func (p *producer) sendAll(ctx context.Context) error {
	slices.SortFunc(p.todo, func(a, b *outPart) int { // by topic, for the requests
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	o := newOutage(p.b.cfg.RetryFor)
	for fresh := false; ; fresh = true {
		err := p.sendOnce(ctx, fresh)
		var unfit *unfit
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &unfit):
			return err
		case err == nil && !slices.ContainsFunc(p.todo, func(op *outPart) bool { return op.acked < len(op.chunks) }):
			return nil
		}
		for _, op := range p.todo {
			var a *answer
			if op.err != nil && (!errors.As(op.err, &a) || !retriable(a.code)) {
				return op.err
			}
			err = cmp.Or(err, op.err)
			op.sent, op.again, op.err = op.acked, false, nil
		}
		if refused(err) {
			return err
		}
		p.shaken = true
		p.b.cfg.Logger.Debug("kafka produce is tried again", "transactional id", p.id, "err", err)
		if err := o.wait(ctx, o.pause(), err); err != nil {
			return err
		}
	}
}

// sendOnce sends all to their leaders, at the same time.
func (p *producer) sendOnce(ctx context.Context, fresh bool) error {
	p.asked = p.asked[:0]
	for _, op := range p.todo {
		if op.acked < len(op.chunks) {
			p.asked = append(p.asked, op.Partition)
		}
	}
	by, none, err := p.b.cluster.leaders(ctx, p.asked, fresh)
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(by)+1)
	if len(none) > 0 {
		errs = append(errs, &answer{"Metadata of " + none[0].String(), sarama.ErrLeaderNotAvailable})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for id, ps := range by {
		n := p.nodes[id]
		if n == nil {
			n = &outNode{p: p, id: id, writer: writer{codec: codecs[p.b.cfg.Compression]}}
			p.nodes[id] = n
		}
		send := func() {
			if err := n.sendAll(ctx, ps); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		}
		if len(by) == 1 && ctx.Done() == nil {
			send()
		} else {
			wg.Go(send)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sendAll sends the chunks of partitions that this broker leads, and takes the answers.
// One goroutine does both: answers are small, so a broker never waits for us to read
// them before it reads on.
func (n *outNode) sendAll(ctx context.Context, ps []shell.Partition) (err error) {
	if n.conn == nil {
		addr, ok := n.p.b.cluster.addr(n.id)
		if !ok {
			return fmt.Errorf("kafka: broker %d is not known", n.id)
		}
		if n.conn, err = n.p.b.dialContext(ctx, addr); err != nil {
			return err
		}
	}
	// ctx ends what is under way by closing the connection: what the broker makes of it is
	// not known then.
	c := n.conn
	stop := context.AfterFunc(ctx, c.interrupt)
	defer func() {
		stop()
		if err != nil || ctx.Err() != nil {
			c.close()
			n.conn, n.inflight = nil, n.inflight[:0]
		}
	}()
	for {
		for len(n.inflight) < inFlight {
			req := n.fill(ps)
			if len(req) == 0 {
				break
			}
			if err := n.send(req); err != nil {
				return err
			}
		}
		if len(n.inflight) == 0 {
			return nil
		}
		if err := n.receive(); err != nil {
			return err
		}
	}
}

// fill takes the chunks for the next request: at most one of each partition.
func (n *outNode) fill(ps []shell.Partition) []sentChunk {
	var req []sentChunk
	if k := len(n.free); k > 0 {
		req, n.free = n.free[k-1][:0], n.free[:k-1]
	}
	size := 0
	for _, id := range ps {
		op := n.p.parts[id]
		if op.again || op.err != nil || op.sent == len(op.chunks) {
			continue
		}
		if !op.known && op.sent > op.acked {
			// A broker that knows no sequence of ours takes any: were the first chunk refused
			// (a fresh topic, a new leader) and the second taken, the first could never follow.
			continue
		}
		c := &op.chunks[op.sent]
		if size > 0 && size+c.size > requestMax {
			continue
		}
		size += c.size
		req = append(req, sentChunk{op, op.sent})
		op.sent++
	}
	if len(req) == 0 {
		n.free = append(n.free, req)
		return nil
	}
	return req
}

// unfit is an error in what was to be produced: sending it again does not help.
type unfit struct{ error }

func (e *unfit) Unwrap() error { return e.error }

// send writes a Produce request, version 9.
func (n *outNode) send(req []sentChunk) (err error) {
	be := binary.BigEndian
	b := n.conn.begin(n.buf, keyProduce, verProduce)
	if id := n.p.id; id != "" {
		b = appendString(b, id)
	} else {
		b = append(b, 0)
	}
	b = be.AppendUint16(b, 0xffff) // acknowledged by all in-sync replicas
	b = be.AppendUint32(b, uint32(ioTimeout.Milliseconds()))
	topics := 0
	for i := range req {
		if i == 0 || req[i].part.Topic != req[i-1].part.Topic {
			topics++
		}
	}
	b = binary.AppendUvarint(b, uint64(topics)+1)
	who := producerState{n.p.pid, n.p.epoch, n.p.id != ""}
	for i := 0; i < len(req); {
		end := i + 1
		for end < len(req) && req[end].part.Topic == req[i].part.Topic {
			end++
		}
		b = appendString(b, req[i].part.Topic)
		b = binary.AppendUvarint(b, uint64(end-i)+1)
		for ; i < end; i++ {
			op := req[i].part
			c := &op.chunks[req[i].chunk]
			b = be.AppendUint32(b, uint32(op.ID))
			rs := op.batch.Records[c.lo:c.hi]
			if n.writer.codec == codecNone { // in place
				b = binary.AppendUvarint(b, uint64(c.size)+1)
				at := len(b)
				if b, err = n.writer.append(b, rs, who, c.sequence); err != nil {
					return &unfit{err}
				}
				if len(b)-at != c.size {
					panic(fmt.Sprintf("kafka: a batch of %d bytes takes %d", c.size, len(b)-at))
				}
			} else {
				if n.writer.whole, err = n.writer.append(n.writer.whole[:0], rs, who, c.sequence); err != nil {
					return &unfit{err}
				}
				b = binary.AppendUvarint(b, uint64(len(n.writer.whole))+1)
				b = append(b, n.writer.whole...)
			}
			b = append(b, 0)
		}
		b = append(b, 0)
	}
	n.buf = append(b, 0)
	if err := n.conn.send(n.buf); err != nil {
		return err
	}
	n.inflight = append(n.inflight, req)
	if cap(n.buf) > 4*requestMax {
		n.buf = nil
	}
	return nil
}

// receive takes the answer to the oldest request.
func (n *outNode) receive() error {
	var r frame
	if err := n.conn.receive(&r, ioTimeout); err != nil {
		return err
	}
	req := n.inflight[0]
	n.inflight = append(n.inflight[:0], n.inflight[1:]...)
	for topics := r.length(); topics > 0 && r.err == nil; topics-- {
		n.name = r.text(n.name)
		for parts := r.length(); parts > 0 && r.err == nil; parts-- {
			id, k, base := r.int32(), code(r.int16()), core.Offset(r.int64())
			r.int64() // append time
			r.int64() // log start
			for errs := r.length(); errs > 0 && r.err == nil; errs-- {
				r.int32()
				r.skip(r.length())
				r.tags()
			}
			text := r.bytes(r.length())
			r.tags()
			if r.err != nil {
				break
			}
			for i := range req {
				if op := req[i].part; op != nil && op.ID == id && op.Topic == string(n.name) {
					op.answered(req[i].chunk, k, base, string(text), n.p.b.cfg.BatchBytes)
					req[i].part = nil
				}
			}
		}
		r.tags()
	}
	r.int32() // throttle time: the broker has waited for it
	r.tags()
	if err := r.finish(); err != nil {
		return err
	}
	for i := range req {
		if req[i].part != nil {
			return fmt.Errorf("kafka: no answer for %v", req[i].part.Partition)
		}
	}
	n.free = append(n.free, req)
	return nil
}

// answered takes the answer to one chunk.
func (p *outPart) answered(i int, k code, base core.Offset, text string, limit int) {
	there := k == sarama.ErrDuplicateSequenceNumber && i > 0 // behind the one before, as far as is known
	if there {
		k = sarama.ErrNoError
	}
	switch {
	case k == sarama.ErrNoError && i == p.acked:
		// Markers of another transaction may lie between two chunks: only the last one's
		// answer tells where the batch ends.
		c := p.chunks[i]
		if !there {
			p.batch.End = base
		}
		p.batch.End += core.Offset(c.hi - c.lo)
		p.acked++
		p.known = true
	case k == sarama.ErrNoError:
		// One before it failed, with an answer that leaves open whether it was appended, as
		// REQUEST_TIMED_OUT does. All of them are sent again; this one is a duplicate then.
	case p.again:
		// OUT_OF_ORDER_SEQUENCE, most likely, because of the one that failed before.
	case k == sarama.ErrDuplicateSequenceNumber:
		p.err = fmt.Errorf("%w: Produce to %v: %s: its offset is not known", shell.ErrAborted, p.Partition, codeName(k))
		p.again = true
	case k == sarama.ErrMessageSizeTooLarge || k == sarama.ErrMessageSetSizeTooLarge:
		c := &p.chunks[i]
		what := fmt.Sprintf("a batch of %d records and %d bytes is too large for topic %s: lower BatchBytes (%d) or raise the topic's max.message.bytes", c.hi-c.lo, c.size, p.Topic, limit)
		if c.hi-c.lo == 1 {
			what = fmt.Sprintf("a record of %d bytes is too large for topic %s: raise the topic's max.message.bytes", c.size, p.Topic)
		}
		p.err = &shell.SizeError{Partition: p.Partition, Records: c.hi - c.lo, Bytes: c.size, Err: fmt.Errorf("kafka: %w", &answer{fmt.Sprintf("Produce to %v: %s", p.Partition, what), k})}
		p.again = true
	default:
		if text != "" {
			text = ": " + text
		}
		p.err = &answer{"Produce to " + p.Partition.String() + text, k}
		p.again = true
	}
}
