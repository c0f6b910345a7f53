package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/shell"
)

// producer writes transactions, one after the other, with one transactional id.
//
//	closed --Open--> ready --Produce, SendOffsets--> in transaction --End, Abort--> ready
//	                   ^                                    |
//	                   +------------Abort, Open-------------+-- error: broken
//
// sarama and we speak the transaction protocol without KIP-890: the epoch stays the same
// from transaction to transaction. Five rules follow.
//
//   - A transaction whose end is not known is never gone on from: Open makes a new epoch.
//   - EndTxn is sent when all produce requests are answered; a late batch would join the
//     next transaction. Where that cannot be had (ctx ended, a connection broke for good),
//     Abort makes a new epoch, which rejects the late batch.
//   - A request that had no answer, and was sent again, may still come in: EndTxn would end the
//     next transaction before all of it is there, TxnOffsetCommit set offsets back. So the next one
//     has a new epoch (renew), which rejects it.
//   - Brokers may end a transaction without its marker in a partition: marker.go.
//   - One transactional id only. Two in alternation are faster back to back but safe only
//     in an order that is easily broken.
type producer struct {
	b     *Broker
	id    string // "": no transactions
	group string
	txn   *coordinator // of the transactional id
	grp   *coordinator // of the group, with a connection of its own

	pid    int64
	epoch  int16
	open   bool
	broken error // what ended the transaction: Abort or Open are next
	began  bool  // the coordinator may know of a transaction
	unsure bool  // the brokers may or may not have batches of ours

	copies atomic.Bool // a request of the transaction may come in once more, later

	committing   bool // the coordinator may have committed it
	offsetsAdded bool
	adding       chan error // AddOffsetsToTxn that runs beside Produce

	// Whether what ended has its markers: marker.go.
	since   time.Time  // when the last transaction began
	shaken  bool       // something went wrong since all markers were seen
	last    []*outPart // of the last transaction
	former  ending     // of whoever had the id before
	marking ending     // the open transaction is there to write markers, and ends so
	offsets *outPart   // the partition of the group's offsets

	parts map[shell.Partition]*outPart
	nodes map[int32]*outNode
	todo  []*outPart
	asked []shell.Partition
}

// NewProducer makes a Producer. It has connections of its own.
func (b *Broker) NewProducer(cfg shell.ProducerConfig) shell.Producer {
	p := &producer{
		b: b, id: cfg.TransactionalID, group: cfg.Group,
		parts: map[shell.Partition]*outPart{}, nodes: map[int32]*outNode{},
		grp:     b.cluster.coordinator(sarama.CoordinatorGroup, cfg.Group),
		offsets: &outPart{},
	}
	if p.id != "" {
		p.txn = b.cluster.coordinator(sarama.CoordinatorTransaction, p.id)
	}
	return p
}

// ready says whether req may be sent now.
func (p *producer) ready(req string) error {
	switch {
	case !p.open:
		return fmt.Errorf("kafka: %s before Open", req)
	case p.broken != nil:
		return fmt.Errorf("kafka: %s after an error, before Abort or Open: %w", req, p.broken)
	}
	return nil
}

// failed ends the transaction with err, put into the words of the port. What has only
// taken too long did not happen, once it is aborted.
func (p *producer) failed(ctx context.Context, err error) error {
	_ = p.joinOffsets(ctx) // the first failure counts
	switch {
	case timedOut(err):
		err = fmt.Errorf("%w: %w", shell.ErrAborted, err)
	default:
		err = words(err)
	}
	p.broken, p.shaken = err, true
	return err
}

// Open makes the transactional id this producer's.
func (p *producer) Open(ctx context.Context) error {
	_ = p.joinOffsets(ctx) // whatever it was, it ends here
	p.open = false
	p.hangUp() // a late batch must not come behind what we send from now on
	if p.id == "" {
		return p.initID(ctx, -1, -1)
	}
	epoch := p.epoch
	last, err := p.lastEnd(ctx)
	if err != nil {
		return words(err)
	}
	p.remember(last, epoch)
	if err := p.initID(ctx, -1, -1); err != nil {
		return err
	}
	if err = p.settleMarks(ctx); errors.Is(err, shell.ErrFenced) {
		return nil // the id was ours, and is no more: the next call says so
	}
	return err
}

// initID gets a producer id and epoch. With the ones it has, somebody who opened the id
// meanwhile is not pushed aside (if he has no transaction open: it is no compare-and-swap).
func (p *producer) initID(ctx context.Context, pid int64, epoch int16) error {
	o := newOutage(p.b.cfg.RetryFor)
	var r *sarama.InitProducerIDResponse
	var err error
	if p.id == "" {
		for {
			r, err = any1(ctx, p.b.cluster, func(br *sarama.Broker) (*sarama.InitProducerIDResponse, error) {
				return br.InitProducerID(&sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1})
			})
			if err == nil && r.Err != sarama.ErrNoError {
				err = &answer{"InitProducerId", r.Err}
			}
			if err == nil {
				break
			}
			if err := p.b.again(ctx, o, err); err != nil {
				return err
			}
		}
	} else if r, err = initProducerID(ctx, p.txn, o, p.b.cfg.TransactionTimeout, pid, epoch); err != nil {
		return words(err)
	}
	p.pid, p.epoch = r.ProducerID, r.ProducerEpoch
	for _, op := range p.parts {
		op.sequence, op.known, op.added = 0, false, false // a new epoch counts from 0
	}
	p.open, p.broken, p.began, p.unsure, p.offsetsAdded, p.committing = true, nil, false, false, false, false
	return nil
}

// renew makes a new epoch where a request of the transactions before may still be on its way. InitProducerId
// itself may be: it aborts what is open and fences us, so nothing goes wrong unseen.
func (p *producer) renew(ctx context.Context) error {
	if !p.copies.Swap(false) {
		return nil
	}
	p.b.cfg.Logger.Debug("kafka: a request was sent again, so the producer takes a new epoch", "transactional id", p.id)
	p.hangUp()
	return p.initID(ctx, p.pid, p.epoch)
}

// ask is call for the requests of a transaction: it remembers that one was sent and not answered.
func ask[T any](ctx context.Context, p *producer, k *coordinator, req string, o *outage, f func(*sarama.Broker) (T, code, error)) (T, error) {
	return call(ctx, k, req, o, func(br *sarama.Broker) (T, code, error) {
		v, c, err := f(br)
		if err != nil {
			p.copies.Store(true)
		}
		return v, c, err
	})
}

// initProducerID opens a transactional id. Who had it is fenced, and what he left open
// aborted.
func initProducerID(ctx context.Context, k *coordinator, o *outage, limit time.Duration, pid int64, epoch int16) (*sarama.InitProducerIDResponse, error) {
	return call(ctx, k, "InitProducerId", o, func(br *sarama.Broker) (*sarama.InitProducerIDResponse, code, error) {
		r, err := br.InitProducerID(&sarama.InitProducerIDRequest{
			Version: 4, TransactionalID: &k.key, TransactionTimeout: limit, ProducerID: pid, ProducerEpoch: epoch,
		})
		if err != nil {
			return nil, 0, err
		}
		return r, r.Err, nil
	})
}

// addPartitions adds partitions to the transaction, which begins it.
func (p *producer) addPartitions(ctx context.Context, ops []*outPart) error {
	byTopic := map[string][]int32{}
	for _, op := range ops {
		byTopic[op.Topic] = append(byTopic[op.Topic], op.ID)
	}
	p.began = true
	pid, epoch := p.pid, p.epoch
	_, err := ask(ctx, p, p.txn, "AddPartitionsToTxn", newOutage(p.b.cfg.RetryFor), func(br *sarama.Broker) (struct{}, code, error) {
		r, err := br.AddPartitionsToTxn(&sarama.AddPartitionsToTxnRequest{
			Version: 3, TransactionalID: p.id, ProducerID: pid, ProducerEpoch: epoch, TopicPartitions: byTopic,
		})
		if err != nil {
			return struct{}{}, 0, err
		}
		return struct{}{}, worst(r.Errors), nil
	})
	return err
}

// worst is the error that decides about a request for several partitions. With
// OPERATION_NOT_ATTEMPTED a partition says that another one has the reason.
func worst(topics map[string][]*sarama.PartitionError) code {
	k := sarama.ErrNoError
	for _, ps := range topics {
		for _, e := range ps {
			switch {
			case e.Err == sarama.ErrNoError:
			case k == sarama.ErrNoError, k == sarama.ErrOperationNotAttempted, e.Err != sarama.ErrOperationNotAttempted && retriable(k):
				k = e.Err
			}
		}
	}
	return k
}

// addOffsetsAhead lets AddOffsetsToTxn run beside the produce requests: it is a
// replicated write like any other, and need only be done before TxnOffsetCommit.
func (p *producer) addOffsetsAhead(ctx context.Context) {
	if p.id == "" || p.group == "" || p.offsetsAdded || p.adding != nil {
		return
	}
	p.began = true
	done := make(chan error, 1)
	p.adding = done
	add := p.addOffsets(ctx)
	go func() { done <- add() }()
}

// addOffsets adds the group to the transaction. The function that it returns touches
// nothing of the producer that changes.
func (p *producer) addOffsets(ctx context.Context) func() error {
	pid, epoch := p.pid, p.epoch
	return func() error {
		_, err := ask(ctx, p, p.txn, "AddOffsetsToTxn", newOutage(p.b.cfg.RetryFor), func(br *sarama.Broker) (struct{}, code, error) {
			r, err := br.AddOffsetsToTxn(&sarama.AddOffsetsToTxnRequest{
				Version: 3, TransactionalID: p.id, ProducerID: pid, ProducerEpoch: epoch, GroupID: p.group,
			})
			if err != nil {
				return struct{}{}, 0, err
			}
			return struct{}{}, r.Err, nil
		})
		return err
	}
}

// joinOffsets waits for the AddOffsetsToTxn beside: no other request of the transaction
// may overtake it.
func (p *producer) joinOffsets(ctx context.Context) error {
	if p.adding == nil {
		return nil
	}
	err := <-p.adding // it knows ctx, and an end of its own
	p.adding = nil
	p.offsetsAdded = err == nil
	return err
}

// SendOffsets adds the group's offsets to the transaction.
func (p *producer) SendOffsets(ctx context.Context, g shell.Group, offsets []shell.GroupOffset) error {
	if err := p.ready("SendOffsets"); err != nil {
		return err
	}
	if err := p.joinOffsets(ctx); err != nil {
		return p.failed(ctx, err)
	}
	if len(offsets) == 0 {
		return nil
	}
	if err := p.begin(ctx); err != nil {
		return p.failed(ctx, err)
	}
	if p.id != "" && !p.offsetsAdded {
		p.began = true
		if err := p.addOffsets(ctx)(); err != nil {
			return p.failed(ctx, err)
		}
		p.offsetsAdded = true
	}
	member, _ := g.(*group) // nil: without a membership, as tools are
	err := p.sendOffsets(ctx, member, offsets)
	if err == nil {
		return nil
	}
	if err = p.failed(ctx, err); errors.Is(err, shell.ErrLost) {
		member.rejoin(err)
	}
	return err
}

func (p *producer) sendOffsets(ctx context.Context, member *group, offsets []shell.GroupOffset) error {
	o := newOutage(p.b.cfg.RetryFor)
	for {
		s := member.state()
		// The broker checks the member and its generation, never the assignment: two owners
		// of one partition would both be let through.
		if p := s.missing(offsets); p != nil {
			return fmt.Errorf("%w: %v is not assigned to this member", shell.ErrLost, *p)
		}
		err := p.commitOffsets(ctx, s, offsets, o)
		var a *answer
		if !errors.As(err, &a) || timedOut(err) {
			return err
		}
		switch a.code {
		case sarama.ErrIllegalGeneration, sarama.ErrRebalanceInProgress:
			// The group has moved on, and this member with it, as soon as it has its answer:
			// same transaction, new generation.
			if err = s.moved(ctx, o, err); err == nil {
				continue
			}
		case sarama.ErrFencedInstancedId:
			if member.state().member != s.member { // the other one is ourselves, joined anew
				return fmt.Errorf("%w: %w", shell.ErrLost, err)
			}
		}
		return err
	}
}

// commitOffsets sends the offsets once for the member state s.
func (p *producer) commitOffsets(ctx context.Context, s membership, offsets []shell.GroupOffset, o *outage) error {
	offsets = slices.Clone(offsets) // a request that is left behind goes on reading them
	if p.id == "" {
		_, err := call(ctx, p.grp, "OffsetCommit", o, func(br *sarama.Broker) (struct{}, code, error) {
			req := &sarama.OffsetCommitRequest{
				Version: 8, ConsumerGroup: p.group, ConsumerGroupGeneration: s.generation, ConsumerID: s.member, GroupInstanceId: s.instance,
			}
			for _, f := range offsets {
				req.AddBlockWithLeaderEpoch(f.Topic, f.ID, int64(f.Next), -1, 0, f.Metadata)
			}
			r, err := br.CommitOffset(req)
			if err != nil {
				return struct{}{}, 0, err
			}
			k := sarama.ErrNoError
			for _, ps := range r.Errors {
				for _, e := range ps {
					if e != sarama.ErrNoError {
						k = e
					}
				}
			}
			return struct{}{}, k, nil
		})
		return err
	}
	pid, epoch := p.pid, p.epoch
	_, err := ask(ctx, p, p.grp, "TxnOffsetCommit", o, func(br *sarama.Broker) (struct{}, code, error) {
		req := &sarama.TxnOffsetCommitRequest{
			Version: 3, TransactionalID: p.id, GroupID: p.group, ProducerID: pid, ProducerEpoch: epoch,
			GenerationID: s.generation, MemberID: s.member, GroupInstanceID: s.instance,
			Topics: map[string][]*sarama.PartitionOffsetMetadata{},
		}
		for i := range offsets {
			f := &offsets[i]
			req.Topics[f.Topic] = append(req.Topics[f.Topic], &sarama.PartitionOffsetMetadata{Partition: f.ID, Offset: int64(f.Next), LeaderEpoch: -1, Metadata: &f.Metadata})
		}
		r, err := br.TxnOffsetCommit(req)
		if err != nil {
			return struct{}{}, 0, err
		}
		return struct{}{}, worst(r.Topics), nil
	})
	return err
}

// End commits the transaction.
func (p *producer) End(ctx context.Context) error {
	if err := p.ready("End"); err != nil {
		return err
	}
	if err := p.joinOffsets(ctx); err != nil {
		return p.failed(ctx, err)
	}
	if !p.began { // nothing was added: EndTxn would be an error
		return nil
	}
	// The same EndTxn may be sent again until there is an answer.
	p.committing = true
	err := p.endTxn(ctx, p.pid, p.epoch, true)
	var a *answer
	switch {
	case err == nil:
		p.settled(wasCommitted)
		return nil
	case errors.As(err, &a) && !timedOut(err) && a.code != sarama.ErrInvalidTxnState:
		err = fatal(a.req, a.code)
	default:
		err = fmt.Errorf("%w: %w", shell.ErrUnknown, err)
	}
	p.broken, p.shaken = err, true
	return err
}

func (p *producer) endTxn(ctx context.Context, pid int64, epoch int16, commit bool) error {
	_, err := ask(ctx, p, p.txn, "EndTxn", newOutage(p.b.cfg.RetryFor), func(br *sarama.Broker) (struct{}, code, error) {
		r, err := br.EndTxn(&sarama.EndTxnRequest{Version: 3, TransactionalID: p.id, ProducerID: pid, ProducerEpoch: epoch, TransactionResult: commit})
		if err != nil {
			return struct{}{}, 0, err
		}
		return struct{}{}, r.Err, nil
	})
	return err
}

// settled begins anew in the same epoch; sequences go on.
func (p *producer) settled(end ending) {
	for _, op := range p.parts {
		if op.added {
			op.added, op.ending = false, end
			p.last = append(p.last, op)
		}
	}
	if p.offsetsAdded {
		p.offsets.ending = end
		p.last = append(p.last, p.offsets)
	}
	p.began, p.offsetsAdded, p.committing = false, false, false
}

// Abort aborts what is open.
func (p *producer) Abort(ctx context.Context) error {
	if !p.open {
		return errors.New("kafka: Abort before Open")
	}
	_ = p.joinOffsets(ctx) // whatever it says, the transaction ends
	if p.began && p.id != "" {
		// Before a new epoch is asked for: if somebody else has the id by now, this says so
		// and does him no harm, which InitProducerId would.
		err := p.endTxn(ctx, p.pid, p.epoch, p.marking == wasCommitted)
		var a *answer
		// INVALID_TXN_STATE: there is nothing to abort.
		if err != nil && (!errors.As(err, &a) || timedOut(err) || a.code != sarama.ErrInvalidTxnState) {
			return words(err)
		}
	}
	sound := p.broken == nil && !p.unsure
	p.settled(wasAborted)
	p.marking = marked
	if sound {
		return nil
	}
	// A new epoch: sequences begin at 0, whatever the brokers have seen, and batches that
	// are still on their way are rejected.
	p.hangUp()
	if err := p.initID(ctx, p.pid, p.epoch); err != nil {
		return err
	}
	return p.settleMarks(ctx)
}

// settleMarks looks at once: offsets that lack their marker cannot be read.
func (p *producer) settleMarks(ctx context.Context) error {
	if p.id == "" {
		return nil
	}
	err := words(p.look(ctx))
	if err != nil {
		p.broken = err
	}
	return err
}

func (p *producer) hangUp() {
	for _, n := range p.nodes {
		if n.conn != nil {
			n.conn.close()
			n.conn, n.inflight = nil, n.inflight[:0]
		}
	}
}

// Close closes the connections. A transaction that is open is aborted, if that is quick:
// otherwise its readers wait for the transaction timeout.
func (p *producer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if p.open && p.began && p.id != "" {
		_ = p.joinOffsets(ctx)
		_ = p.endTxn(ctx, p.pid, p.epoch, false)
	}
	p.open = false
	p.hangUp()
	if p.txn != nil {
		p.txn.close()
	}
	p.grp.close()
	return nil
}
