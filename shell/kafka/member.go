package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/shell"
)

// membership is a member at one moment, as offset commits show it.
type membership struct {
	session    sarama.ConsumerGroupSession // nil: no member
	member     string
	generation int32
	instance   *string
	claims     map[string][]int32
}

// state is the membership now.
func (g *group) state() membership {
	none := membership{generation: -1}
	if g == nil {
		return none
	}
	g.mu.Lock()
	s := g.session
	g.mu.Unlock()
	if s == nil {
		return none
	}
	// The generation is read first: if it moves in between, the broker refuses the older one.
	m := membership{session: s, generation: s.GenerationID(), member: s.MemberID(), claims: s.Claims()}
	if g.cfg.Instance != "" {
		m.instance = &g.cfg.Instance
	}
	return m
}

// missing returns a partition that is not this member's; nil: all are.
func (m *membership) missing(offsets []shell.GroupOffset) *shell.Partition {
	if m.session == nil {
		return nil
	}
	for i := range offsets {
		if o := &offsets[i]; !slices.Contains(m.claims[o.Topic], o.ID) {
			return &o.Partition
		}
	}
	return nil
}

// moved waits for the generation behind m's, while the session lives. cause is what the
// broker said.
func (m *membership) moved(ctx context.Context, o *outage, cause error) error {
	for m.session != nil {
		if m.session.Context().Err() != nil {
			return fmt.Errorf("%w: %w", shell.ErrLost, cause)
		}
		if m.session.GenerationID() != m.generation {
			return nil
		}
		if err := o.wait(ctx, 2*time.Millisecond, cause); err != nil {
			return err
		}
	}
	return cause
}

// fenceWithin bounds what a rebalance waits for takeovers: no heartbeats go out meanwhile.
const fenceWithin = 2 * time.Second

// fence opens the transactional id of a departed member. The coordinator aborts what it
// left open: its records no longer hold up readers, nor its offsets whoever inherits its
// tasks. Without it that takes the transaction timeout and up to 10 s more. Several who
// fence the same one do no harm.
func (g *group) fence(id string) bool {
	ctx, cancel := context.WithTimeout(g.ctx, fenceWithin)
	defer cancel()
	p := g.b.NewProducer(shell.ProducerConfig{TransactionalID: id, Group: g.cfg.Group})
	err := p.Open(ctx)
	_ = p.Close() // it has written nothing
	log := g.b.cfg.Logger.Info
	if err != nil {
		log = g.b.cfg.Logger.Warn
	}
	log("kafka: took over from a departed member", "group", g.cfg.Group, "transactional id", id, "err", err)
	return err == nil
}

// ongoing asks all brokers for open transactions of departed members that nobody in the
// group remembers, because all of it died.
//
// An id alone does not tell whose it is: that of application app-x begins with "app-"
// too. So we look which of them write offsets of our group: those are in the partition of
// __consumer_offsets that belongs to it.
func (g *group) ongoing() []string {
	prefix := strings.TrimSuffix(g.cfg.TransactionalID, g.cfg.Instance)
	if prefix == "" || prefix == g.cfg.TransactionalID {
		return nil
	}
	ctx, cancel := context.WithTimeout(g.ctx, fenceWithin)
	defer cancel()
	m, err := g.b.cluster.refresh(ctx, "__consumer_offsets")
	if err != nil || len(m.Topics) == 0 || len(m.Topics[0].Partitions) == 0 {
		return nil
	}
	ours := javaHash(g.cfg.Group) % int32(len(m.Topics[0].Partitions))
	var found []string
	for id := range g.b.cluster.brokers() {
		r, err := at(ctx, g.b.cluster, id, func(br *sarama.Broker) (*sarama.ListTransactionsResponse, error) {
			return br.ListTransactions(&sarama.ListTransactionsRequest{StateFilters: []string{sarama.TransactionStateOngoing}, DurationFilter: -1})
		})
		if err != nil || r.ErrorCode != sarama.ErrNoError {
			continue // what is not found here ends with the transaction timeout
		}
		var ids []string
		for _, t := range r.TransactionStates {
			if strings.HasPrefix(t.TransactionalID, prefix) && t.TransactionalID != g.cfg.TransactionalID {
				ids = append(ids, t.TransactionalID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		d, err := at(ctx, g.b.cluster, id, func(br *sarama.Broker) (*sarama.DescribeTransactionsResponse, error) {
			return br.DescribeTransactions(&sarama.DescribeTransactionsRequest{TransactionalIDs: ids})
		})
		if err != nil {
			continue
		}
		for _, t := range d.TransactionStates {
			for _, p := range t.Topics {
				if p.Topic == "__consumer_offsets" && slices.Contains(p.Partitions, ours) {
					found = append(found, t.TransactionalID)
				}
			}
		}
	}
	return found
}

// javaHash is Java's String.hashCode without its sign: Kafka places groups by it. It is
// right for ASCII, which group ids here are.
func javaHash(s string) int32 {
	h := int32(0)
	for i := range len(s) {
		h = 31*h + int32(s[i])
	}
	return h & 0x7fffffff
}
