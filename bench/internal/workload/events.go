package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/examples/nexmark"
	"github.com/seed-81380e12/limpet/topology"
)

// Compared reports whether a workload's outputs are compared between peers (Outputs), and not with
// what they must be (Check).
func (w *Workload) Compared() bool { return w.Kind == StreamJoin || w.query() >= 0 }

// query is the number of a query of Nexmark, or -1.
func (w *Workload) query() int {
	if s, ok := strings.CutPrefix(w.Kind, Nexmark); ok {
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
	}
	return -1
}

// Inputs are the names of the topics that a workload reads. Progress, and figures, are of the records
// of the first one.
func (w *Workload) Inputs() []string {
	in := []string{"in-" + w.Name}
	switch {
	case w.Kind == Join:
		return append(in, "customers-"+w.Name)
	case w.Kind == StreamJoin:
		return append(in, "right-"+w.Name)
	case w.query() < 0:
		return in
	}
	switch reads := nexmark.Reads(w.query()); {
	case reads.Persons:
		return append(in, "persons-"+w.Name)
	case reads.Auctions:
		return append(in, "auctions-"+w.Name)
	case reads.Side:
		return append(in, "side-"+w.Name)
	}
	return in
}

// Consumed are the inputs whose offsets a contender commits: all but a global table's.
func (w *Workload) Consumed() []string {
	in := w.Inputs()
	if w.query() >= 0 && nexmark.Reads(w.query()).Side {
		in = in[:1]
	}
	return in
}

// FillAll creates the topics of a workload that is Compared, and writes the records: as many as it
// says to the first topic.
func (w *Workload) FillAll(ctx context.Context, c *cluster.Cluster) error {
	for i, topic := range w.Inputs() {
		config := map[string]string{"retention.ms": "-1"}
		if w.table(i) {
			config = map[string]string{"cleanup.policy": "compact"}
		}
		if err := c.Create(ctx, topic, w.Partitions, config); err != nil {
			return err
		}
	}
	s, err := newSender(ctx, c, w.Partitions)
	if err != nil {
		return err
	}
	if w.Kind == StreamJoin {
		w.sendBoth(s)
	} else {
		err = w.sendEvents(s)
	}
	return errors.Join(err, s.close())
}

// table reports whether an input is a table, so that its topic may be compacted.
func (w *Workload) table(input int) bool {
	switch w.query() {
	case 3:
		return true
	case 13, 20:
		return input == 1
	}
	return false
}

// sendBoth sends records to both sides of a join of streams.
func (w *Workload) sendBoth(s *sender) {
	in, next := w.Inputs(), w.keys()
	for seq := range uint32(w.Records) {
		for _, topic := range in {
			id := next()
			s.send(topic, appendKey(nil, id), w.appendValue(nil, id, seq), w.at(seq))
		}
	}
}

// events are people, auctions and bids: of those that a query reads, 10 000 in a second or so. Were
// they few, partitions would be minutes apart when they are read at full speed, and more than the
// queries' grace: what each peer drops as late would differ.
func (w *Workload) events() nexmark.Generator {
	g := nexmark.Generator{Seed: w.Seed, Start: topology.Time(epoch.UnixMilli()), PerSecond: 10_000, Settled: true}
	if !nexmark.Reads(w.query()).Bids { // 46 of 50 events
		g.PerSecond *= 12
	}
	return g
}

// kinds are the kinds of events of the first inputs.
func (w *Workload) kinds() []nexmark.Kind {
	switch reads := nexmark.Reads(w.query()); {
	case reads.Persons:
		return []nexmark.Kind{nexmark.IsAuction, nexmark.IsPerson}
	case reads.Auctions:
		return []nexmark.Kind{nexmark.IsBid, nexmark.IsAuction}
	}
	return []nexmark.Kind{nexmark.IsBid}
}

// sendEvents sends the events that a query reads, until the first topic has as many as the workload says.
func (w *Workload) sendEvents(s *sender) error {
	g, in, kinds := w.events(), w.Inputs(), w.kinds()
	if nexmark.Reads(w.query()).Side {
		k, v := nexmark.SideTopic.Codecs()
		for key := range int64(nexmark.SideInputs) {
			if err := encode(s, in[1], k, v, key, nexmark.SideInput(key), epoch.Add(-time.Hour)); err != nil {
				return err
			}
		}
	}
	for n, sent := 0, 0; sent < w.Records; n++ {
		input := slices.Index(kinds, nexmark.KindOf(n))
		if input < 0 {
			continue
		}
		if input == 0 {
			sent++
		}
		e := g.Event(n)
		if err := sendEvent(s, in[input], &e); err != nil {
			return err
		}
	}
	return nil
}

func sendEvent(s *sender, topic string, e *nexmark.Event) error {
	at := time.UnixMilli(int64(e.Time))
	switch e.Kind {
	case nexmark.IsPerson:
		k, v := nexmark.PersonTopic.Codecs()
		return encode(s, topic, k, v, e.Key(), e.Person, at)
	case nexmark.IsAuction:
		k, v := nexmark.AuctionTopic.Codecs()
		return encode(s, topic, k, v, e.Key(), e.Auction, at)
	}
	k, v := nexmark.BidTopic.Codecs()
	return encode(s, topic, k, v, e.Key(), e.Bid, at)
}

func encode[V any](s *sender, topic string, kc topology.Codec[int64], vc topology.Codec[V], key int64, value V, at time.Time) error {
	k, err := kc.Append(nil, key)
	if err != nil {
		return err
	}
	v, err := vc.Append(nil, value)
	if err != nil {
		return err
	}
	s.send(topic, k, v, at)
	return nil
}

// Closes reports whether a workload's last results come with the records of Close only.
func (w *Workload) Closes() bool {
	switch w.query() {
	case 5, 7, 8, 11:
		return true
	}
	return false
}

// Close sends events an hour later, of enough keys that some are in each partition: all windows
// of the events before close. It returns how many it sent to the first topic.
func (w *Workload) Close(ctx context.Context, c *cluster.Cluster) (n int, err error) {
	s, err := newSender(ctx, c, w.Partitions)
	if err != nil {
		return 0, err
	}
	in := w.Inputs()
	g := w.events()
	last := g.Event(50 * w.Records).Time.Add(time.Hour) // later than any, of queries of people and auctions, too
	for id := int64(1 << 40); n < 50*int(w.Partitions); id, n = id+1, n+1 {
		e := nexmark.Event{Kind: nexmark.IsBid, Time: last, Bid: nexmark.Bid{Auction: id, Bidder: id, Price: 1, DateTime: last}}
		if w.query() == 8 {
			e = nexmark.Event{Kind: nexmark.IsAuction, Time: last, Auction: nexmark.Auction{ID: id, Seller: id, DateTime: last, Expires: last}}
		}
		if err := sendEvent(s, in[0], &e); err != nil {
			return 0, errors.Join(err, s.close())
		}
	}
	return n, s.close()
}

// sender writes records to the partitions of their keys.
type sender struct {
	ctx        context.Context
	cl         *kgo.Client
	partitions int32
	once       sync.Once
	failed     error
}

func newSender(ctx context.Context, c *cluster.Cluster, partitions int32) (*sender, error) {
	cl, err := writer(c)
	return &sender{ctx: ctx, cl: cl, partitions: partitions}, err
}

func (s *sender) send(topic string, key, value []byte, at time.Time) {
	r := &kgo.Record{Topic: topic, Partition: Partition(key, s.partitions), Key: key, Value: value, Timestamp: at}
	s.cl.Produce(s.ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			s.once.Do(func() { s.failed = fmt.Errorf("%s: %w", topic, err) })
		}
	})
}

// close waits until all is written.
func (s *sender) close() error {
	defer s.cl.Close()
	if err := s.cl.Flush(s.ctx); err != nil {
		return err
	}
	return s.failed
}
