package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/shell"
)

// A transaction that has ended has a marker in each of its partitions. Kafka 4.0 to 4.3 at least
// leave it out where a partition has no leader at that moment: the coordinator takes the topic
// for deleted (KAFKA-20734). What is written there stays open, its readers wait, and the next
// marker of this producer decides about it, too: aborted records are committed with the
// transaction that is tried instead, or committed ones aborted with the next.
//
// So the producer looks, before it begins a transaction, whether the one before has ended in
// all of its partitions (DescribeProducers), where there may be doubt: after every error, and
// when it began longer ago than lookAfter. A leader that is lost without an error on our
// side is missed by the brokers only when its session has ended, after seconds. What is open is
// given its marker by a transaction of these partitions alone, without records, that ends
// as the one before has.
//
// What it costs: nothing while transactions follow on each other; a request to each leader
// where they come seldom. Needs READ on topics that are written to. Without it, partitions are
// given a second marker after an error, and are not looked at otherwise.

const lookAfter = time.Second

// ending is how the transaction ended that was the last to write to a partition, for as
// long as it is not known to have a marker there.
type ending int8

const (
	marked ending = iota // nothing of ours is open
	wasCommitted
	wasAborted
	untold // one of somebody who had our transactional id
)

// txnEnd is what the coordinator knows of the last transaction of an id.
type txnEnd struct {
	end   ending
	epoch int16
	parts []shell.Partition // as far as they are known
}

const (
	errTransactionalIDNotFound code = 105

	offsetsTopic = "__consumer_offsets"
)

// lastEnd asks how the last transaction ended, and ends one that is open: after InitProducerId
// it could not be told any more, nor which partitions it had.
func (p *producer) lastEnd(ctx context.Context) (last txnEnd, err error) {
	o := newOutage(p.b.cfg.RetryFor)
	for {
		s, err := p.describe(ctx, o)
		var a *answer
		if errors.As(err, &a) && a.code == errTransactionalIDNotFound {
			return txnEnd{}, nil // nobody has had it
		}
		if err != nil {
			return txnEnd{}, err
		}
		for _, t := range s.Topics {
			for _, id := range t.Partitions {
				last.parts = append(last.parts, shell.Partition{Topic: t.Topic, ID: id})
			}
		}
		last.epoch = s.ProducerEpoch
		switch s.TransactionState {
		case sarama.TransactionStatePrepareCommit, sarama.TransactionStateCompleteCommit:
			last.end = wasCommitted
			return last, nil
		case sarama.TransactionStatePrepareAbort, sarama.TransactionStateCompleteAbort, sarama.TransactionStatePrepareEpochFence:
			last.end = wasAborted
			return last, nil
		case sarama.TransactionStateOngoing:
		default:
			last.end = untold
			return last, nil
		}
		err = p.endTxn(ctx, s.ProducerID, s.ProducerEpoch, p.marking == wasCommitted)
		switch {
		case err == nil && p.marking == wasCommitted:
			last.end = wasCommitted
			return last, nil
		case err == nil:
			last.end = wasAborted
			return last, nil
		case !errors.As(err, &a) || timedOut(err):
			return txnEnd{}, err
		}
		// It has been ended meanwhile, or the id has another owner.
		if err := o.wait(ctx, o.pause(), err); err != nil {
			return txnEnd{}, err
		}
	}
}

// describe asks the coordinator for the state of the last transaction.
func (p *producer) describe(ctx context.Context, o *outage) (sarama.TransactionState, error) {
	return call(ctx, p.txn, "DescribeTransactions", o, func(br *sarama.Broker) (sarama.TransactionState, code, error) {
		r, err := br.DescribeTransactions(&sarama.DescribeTransactionsRequest{TransactionalIDs: []string{p.id}})
		if err != nil {
			return sarama.TransactionState{}, 0, err
		}
		if len(r.TransactionStates) != 1 {
			return sarama.TransactionState{}, 0, fmt.Errorf("kafka: %d states of one transactional id", len(r.TransactionStates))
		}
		return r.TransactionStates[0], r.TransactionStates[0].ErrorCode, nil
	})
}

// remember takes over what lastEnd found, before the id is opened anew.
func (p *producer) remember(last txnEnd, epoch int16) {
	own := last.end
	switch {
	case !p.committing:
		own = wasAborted
	case epoch != last.epoch:
		own = untold
	}
	for _, op := range p.parts {
		switch {
		case op.added:
			op.ending = own
		case op.ending == marked:
			op.ending = last.end // somebody else may have had the id
		}
	}
	switch {
	case p.offsetsAdded:
		p.offsets.ending = own
	case p.offsets.ending == marked:
		p.offsets.ending = last.end
	}
	for _, q := range last.parts {
		if q.Topic != offsetsTopic && p.parts[q] == nil {
			p.parts[q] = &outPart{Partition: q, ending: last.end}
		}
	}
	for _, op := range p.parts {
		op.added = false
	}
	p.offsetsAdded, p.committing = false, false // should this be called again before the id is opened
	p.former, p.marking, p.shaken = last.end, marked, true
}

// begin is called before a transaction begins.
func (p *producer) begin(ctx context.Context) error {
	if p.id == "" || p.began {
		return nil
	}
	if err := p.renew(ctx); err != nil {
		return err
	}
	now := time.Now()
	if p.shaken || now.Sub(p.since) > lookAfter {
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	for _, op := range p.last {
		op.ending = marked
	}
	p.last = p.last[:0]
	p.since = now
	return p.renew(ctx) // requests of look
}

// fresh is called for partitions that this producer has not written to yet: who had the id before
// may have left something open there.
func (p *producer) fresh(ctx context.Context, todo []*outPart) error {
	if !slices.ContainsFunc(todo, func(op *outPart) bool { return op.ending != marked }) {
		return nil
	}
	if !p.began {
		return p.look(ctx)
	}
	open, err := p.unmarked(ctx)
	if err == nil && len(open) > 0 { // Abort will look again
		err = fmt.Errorf("%w: %v has records of an earlier transaction without a marker", shell.ErrAborted, open[0].Partition)
	}
	return err
}

// look makes sure that what ended has its markers.
func (p *producer) look(ctx context.Context) error {
	o := newOutage(p.b.cfg.RetryFor)
	complete := false // when unmarked looked
	for {
		open, err := p.unmarked(ctx)
		if err == nil && len(open) == 0 {
			p.shaken, p.last = false, p.last[:0]
			return nil
		}
		switch {
		case err != nil:
		case complete:
			complete = false // nor are the new ones there at once
			err = p.mark(ctx, open)
		default: // markers are written behind the answer to EndTxn
			var s sarama.TransactionState
			if s, err = p.describe(ctx, o); err == nil {
				complete = !strings.HasPrefix(s.TransactionState, "Prepare")
				if err = o.wait(ctx, o.soon(), &answer{"DescribeTransactions", sarama.ErrConcurrentTransactions}); err == nil {
					continue
				}
			}
		}
		var a *answer
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			err = &answer{"DescribeProducers of " + open[0].String(), sarama.ErrInvalidTxnState} // only to be told after many tries
		case errors.Is(err, errUntold), timedOut(err), errors.As(err, &a) && !retriable(a.code), refused(err):
			return err
		}
		if err := o.wait(ctx, o.pause(), err); err != nil {
			return err
		}
	}
}

// unmarked lists the partitions that have an open transaction of ours, though it has ended.
func (p *producer) unmarked(ctx context.Context) ([]*outPart, error) {
	asked := map[shell.Partition]*outPart{}
	var ps []shell.Partition
	for _, op := range p.parts {
		if op.ending != marked {
			asked[op.Partition] = op
			ps = append(ps, op.Partition)
		}
	}
	var open []*outPart
	if p.offsets.ending != marked && p.group != "" {
		n, err := p.b.cluster.partitions(ctx, offsetsTopic)
		if err != nil {
			return nil, err
		}
		switch {
		case n == 0:
			p.offsets.ending = marked
		case n > 0:
			p.offsets.Partition = shell.Partition{Topic: offsetsTopic, ID: javaHash(p.group) % n}
			asked[p.offsets.Partition] = p.offsets
			ps = append(ps, p.offsets.Partition)
		case p.unseen(p.offsets):
			open = append(open, p.offsets)
		}
	}
	if len(ps) == 0 {
		return open, nil
	}
	slices.SortFunc(ps, func(a, b shell.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	by, none, err := p.b.cluster.leaders(ctx, ps, true)
	if err != nil {
		return nil, err
	}
	for _, q := range none {
		if !p.b.cluster.deleted(q) {
			return nil, &answer{"Metadata of " + q.String(), sarama.ErrLeaderNotAvailable}
		}
		asked[q].ending = marked
	}
	for id, ps := range by {
		r, err := at(ctx, p.b.cluster, id, func(br *sarama.Broker) (*sarama.DescribeProducersResponse, error) {
			req := &sarama.DescribeProducersRequest{}
			for i, q := range ps {
				if i == 0 || ps[i-1].Topic != q.Topic {
					req.Topics = append(req.Topics, sarama.DescribeProducersRequestTopic{Name: q.Topic})
				}
				t := &req.Topics[len(req.Topics)-1]
				t.PartitionIndexes = append(t.PartitionIndexes, q.ID)
			}
			return br.DescribeProducers(req)
		})
		if err != nil {
			return nil, err
		}
		for _, t := range r.Topics {
			for i := range t.Partitions {
				q := &t.Partitions[i]
				op := asked[shell.Partition{Topic: t.Name, ID: q.PartitionIndex}]
				switch {
				case op == nil:
				case q.ErrorCode == sarama.ErrTopicAuthorizationFailed || q.ErrorCode == sarama.ErrUnsupportedVersion:
					if p.unseen(op) {
						open = append(open, op)
					}
				case q.ErrorCode != sarama.ErrNoError:
					return nil, &answer{"DescribeProducers of " + op.String(), q.ErrorCode}
				case slices.ContainsFunc(q.ActiveProducers, func(s sarama.ProducerState) bool {
					return s.ProducerID == p.pid && s.CurrentTxnStartOffset >= 0
				}):
					open = append(open, op)
				default:
					op.ending = marked
				}
			}
		}
	}
	return open, nil
}

// unseen decides about a partition that cannot be looked at: whether it is given a marker.
func (p *producer) unseen(op *outPart) bool {
	if op.ending == untold || !p.shaken {
		op.ending = marked
		return false
	}
	op.blind = true
	return true
}

var errUntold = errors.New("and whether it was committed cannot be told: end it with kafka-transactions.sh (find-hanging, abort), or commit it by producing with this transactional id")

// mark ends what is open in partitions, by transactions of these alone.
func (p *producer) mark(ctx context.Context, open []*outPart) error {
	for _, end := range []ending{wasAborted, wasCommitted, untold} {
		var ops []*outPart
		offsets := false
		for _, op := range open {
			switch {
			case op.ending != end:
			case op == p.offsets:
				offsets = true
			default:
				ops = append(ops, op)
			}
		}
		if len(ops) == 0 && !offsets {
			continue
		}
		if end == untold {
			return fmt.Errorf("kafka: a transaction of %s ended without a marker in %v (KAFKA-20734), %w", p.id, open[0].Partition, errUntold)
		}
		p.b.cfg.Logger.Warn("kafka: brokers have ended a transaction without its markers; they are written now", "transactional id", p.id,
			"committed", end == wasCommitted, "partitions", len(ops), "first", open[0].String(), "seen", !open[0].blind)
		p.marking = end
		if len(ops) > 0 {
			if err := p.addPartitions(ctx, ops); err != nil {
				return err
			}
		}
		if offsets {
			p.began = true
			if err := p.addOffsets(ctx)(); err != nil {
				return err
			}
		}
		if err := p.endTxn(ctx, p.pid, p.epoch, end == wasCommitted); err != nil {
			return err
		}
		p.began, p.marking = false, marked
	}
	for _, op := range open {
		if op.blind { // a second look would tell no more
			op.blind, op.ending = false, marked
		}
	}
	return nil
}
