package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// Topics describes the named topics, with all settings that are in force.
func (b *Broker) Topics(ctx context.Context, names ...string) (map[string]shell.Topic, error) {
	found := map[string]shell.Topic{}
	if len(names) == 0 {
		return found, nil // no names would ask for all topics of the cluster
	}
	o := newOutage(b.cfg.RetryFor)
	for {
		err := b.describe(ctx, names, found)
		if err == nil {
			return found, nil
		}
		if err := b.again(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// TopicIDs asks for the metadata of topics, and no more.
func (b *Broker) TopicIDs(ctx context.Context, names ...string) (map[string]shell.TopicID, error) {
	ids := map[string]shell.TopicID{}
	if len(names) == 0 {
		return ids, nil
	}
	o := newOutage(b.cfg.RetryFor)
	for {
		m, err := b.cluster.refresh(ctx, names...)
		if err == nil {
			for _, t := range m.Topics {
				if t.Err == sarama.ErrNoError || t.Err == sarama.ErrLeaderNotAvailable {
					ids[t.Name] = shell.TopicID(t.Uuid)
				}
			}
			return ids, nil
		}
		if err := b.again(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// again decides whether what failed is tried once more, and waits. It returns the error
// to end with.
func (b *Broker) again(ctx context.Context, o *outage, err error) error {
	var a *answer
	if ctx.Err() != nil || errors.Is(err, errClosed) || refused(err) || errors.As(err, &a) && !retriable(a.code) {
		return words(err)
	}
	return words(o.wait(ctx, o.pause(), err))
}

func (b *Broker) describe(ctx context.Context, names []string, found map[string]shell.Topic) error {
	clear(found)
	m, err := b.cluster.refresh(ctx, names...)
	if err != nil {
		return err
	}
	req := &sarama.DescribeConfigsRequest{Version: 4}
	for _, t := range m.Topics {
		switch t.Err {
		case sarama.ErrNoError, sarama.ErrLeaderNotAvailable:
		case sarama.ErrUnknownTopicOrPartition:
			continue
		default:
			return &answer{"Metadata of topic " + t.Name, t.Err}
		}
		d := shell.Topic{Name: t.Name, Partitions: int32(len(t.Partitions)), Config: map[string]string{}}
		for _, p := range t.Partitions {
			d.Replicas = max(d.Replicas, int16(len(p.Replicas)))
		}
		found[t.Name] = d
		req.Resources = append(req.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: t.Name})
	}
	if len(found) == 0 {
		return nil
	}
	r, err := any1(ctx, b.cluster, func(br *sarama.Broker) (*sarama.DescribeConfigsResponse, error) {
		return br.DescribeConfigs(req)
	})
	if err != nil {
		return err
	}
	for _, res := range r.Resources {
		if res.ErrorCode != 0 {
			return &answer{"DescribeConfigs of topic " + res.Name, code(res.ErrorCode)}
		}
		for _, e := range res.Configs {
			found[res.Name].Config[e.Name] = e.Value
		}
	}
	return nil
}

// CreateTopics creates topics and waits until their leaders are known.
func (b *Broker) CreateTopics(ctx context.Context, topics []shell.Topic) error {
	if len(topics) == 0 {
		return nil
	}
	todo := map[string]*sarama.TopicDetail{}
	names := make([]string, len(topics))
	for i, t := range topics {
		d := &sarama.TopicDetail{NumPartitions: t.Partitions, ReplicationFactor: t.Replicas, ConfigEntries: map[string]*string{}}
		if t.Replicas == 0 {
			d.ReplicationFactor = -1 // the broker's default (KIP-464)
		}
		for k, v := range t.Config {
			d.ConfigEntries[k] = &v
		}
		todo[t.Name], names[i] = d, t.Name
	}
	o := newOutage(b.cfg.RetryFor)
	for len(todo) > 0 {
		err := b.create(ctx, todo)
		if err == nil {
			break
		}
		if err := b.again(ctx, o, err); err != nil {
			return err
		}
	}
	for {
		m, err := b.cluster.refresh(ctx, names...)
		if err == nil && slices.ContainsFunc(m.Topics, func(t *sarama.TopicMetadata) bool { return t.Err != sarama.ErrNoError }) {
			err = &answer{"Metadata of fresh topics", sarama.ErrLeaderNotAvailable}
		}
		if err == nil {
			return nil
		}
		if err := b.again(ctx, o, err); err != nil {
			return err
		}
	}
}

// create asks for topics once and takes those that exist off the list.
func (b *Broker) create(ctx context.Context, todo map[string]*sarama.TopicDetail) error {
	if _, err := b.cluster.refresh(ctx, slices.Sorted(maps.Keys(todo))...); err != nil { // for the controller
		return err
	}
	b.cluster.mu.Lock()
	id := b.cluster.control
	b.cluster.mu.Unlock()
	details := maps.Clone(todo)
	r, err := at(ctx, b.cluster, id, func(br *sarama.Broker) (*sarama.CreateTopicsResponse, error) {
		return br.CreateTopics(sarama.NewCreateTopicsRequest(kafkaVersion, details, ioTimeout, false))
	})
	if err != nil {
		return err
	}
	for name, e := range r.TopicErrors {
		switch e.Err {
		case sarama.ErrNoError, sarama.ErrTopicAlreadyExists:
			delete(todo, name)
		default:
			err = &answer{"CreateTopics " + name, e.Err}
			if e.ErrMsg != nil {
				err = fmt.Errorf("%w: %s", err, *e.ErrMsg)
			}
		}
	}
	return err
}

// eachLeader runs f with the partitions of each leader, at the same time, until every
// partition is done: f returns those that must be tried again, or an error.
func (b *Broker) eachLeader(ctx context.Context, ps []shell.Partition, f func(id int32, ps []shell.Partition) (again []shell.Partition, err error)) error {
	o := newOutage(b.cfg.RetryFor)
	for fresh := false; len(ps) > 0; fresh = true {
		by, again, err := b.cluster.leaders(ctx, ps, fresh)
		if err != nil {
			again = ps
		} else {
			if len(again) > 0 {
				err = &answer{"Metadata of " + again[0].Topic, sarama.ErrLeaderNotAvailable}
			}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for id, ps := range by {
				wg.Go(func() {
					more, e := f(id, ps)
					mu.Lock()
					defer mu.Unlock()
					if e != nil {
						err = e
					}
					again = append(again, more...)
				})
			}
			wg.Wait()
		}
		if len(again) > 0 || err != nil {
			if err == nil {
				err = &answer{"request for " + again[0].String(), sarama.ErrNotLeaderForPartition}
			}
			if err := b.again(ctx, o, err); err != nil {
				return err
			}
		}
		ps = again
	}
	return nil
}

// Bounds returns the first offset and the high watermark of partitions.
func (b *Broker) Bounds(ctx context.Context, ps []shell.Partition) (map[shell.Partition]shell.Bounds, error) {
	found := make(map[shell.Partition]shell.Bounds, len(ps))
	var mu sync.Mutex
	// The ends are read after the starts: what is deleted in between moves starts only.
	for _, which := range []int64{sarama.OffsetOldest, sarama.OffsetNewest} {
		err := b.eachLeader(ctx, ps, func(id int32, ps []shell.Partition) ([]shell.Partition, error) {
			r, err := at(ctx, b.cluster, id, func(br *sarama.Broker) (*sarama.OffsetResponse, error) {
				req := sarama.NewOffsetRequest(kafkaVersion) // read_uncommitted: the high watermark
				for _, p := range ps {
					req.AddBlock(p.Topic, p.ID, which, 1)
				}
				return br.GetAvailableOffsets(req)
			})
			if err != nil {
				return ps, err
			}
			mu.Lock()
			defer mu.Unlock()
			var again []shell.Partition
			for _, p := range ps {
				blk := r.GetBlock(p.Topic, p.ID)
				switch {
				case blk == nil:
					again = append(again, p)
				case blk.Err == sarama.ErrNoError:
					at := found[p]
					if which == sarama.OffsetOldest {
						at.Start = core.Offset(blk.Offset)
					} else {
						at.End = core.Offset(blk.Offset)
					}
					found[p] = at
				default:
					again, err = append(again, p), &answer{"ListOffsets of " + p.String(), blk.Err}
				}
			}
			return again, err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// DeleteRecords deletes all records before the offsets.
func (b *Broker) DeleteRecords(ctx context.Context, before map[shell.Partition]core.Offset) error {
	before = maps.Clone(before)
	return b.eachLeader(ctx, slices.Collect(maps.Keys(before)), func(id int32, ps []shell.Partition) ([]shell.Partition, error) {
		r, err := at(ctx, b.cluster, id, func(br *sarama.Broker) (*sarama.DeleteRecordsResponse, error) {
			req := &sarama.DeleteRecordsRequest{Version: 2, Topics: map[string]*sarama.DeleteRecordsRequestTopic{}, Timeout: ioTimeout / 2}
			for _, p := range ps {
				t := req.Topics[p.Topic]
				if t == nil {
					t = &sarama.DeleteRecordsRequestTopic{PartitionOffsets: map[int32]int64{}}
					req.Topics[p.Topic] = t
				}
				t.PartitionOffsets[p.ID] = int64(before[p])
			}
			return br.DeleteRecords(req)
		})
		if err != nil {
			return ps, err
		}
		var again []shell.Partition
		for _, p := range ps {
			k := sarama.ErrUnknownTopicOrPartition
			if t := r.Topics[p.Topic]; t != nil && t.Partitions[p.ID] != nil {
				k = t.Partitions[p.ID].Err
			}
			switch k {
			case sarama.ErrNoError:
			case sarama.ErrOffsetOutOfRange: // they are gone already
			default:
				again, err = append(again, p), &answer{"DeleteRecords of " + p.String(), k}
			}
		}
		return again, err
	})
}

// Committed returns the group's committed offsets, once no transaction is pending on them.
func (b *Broker) Committed(ctx context.Context, group string, ps []shell.Partition) (map[shell.Partition]shell.GroupOffset, error) {
	found := make(map[shell.Partition]shell.GroupOffset, len(ps))
	if len(ps) == 0 {
		return found, nil
	}
	byTopic := map[string][]int32{}
	for _, p := range ps {
		byTopic[p.Topic] = append(byTopic[p.Topic], p.ID)
	}
	// An offset with a transaction pending on it is answered with UNSTABLE_OFFSET_COMMIT:
	// that lasts as long as a commit, or as long as the transaction timeout of somebody
	// who died in one.
	o := newOutage(max(b.cfg.RetryFor, b.cfg.TransactionTimeout+30*time.Second))
	k := b.groupCoordinator(group)
	r, err := call(ctx, k, "OffsetFetch", o, func(br *sarama.Broker) (*sarama.OffsetFetchResponse, code, error) {
		req := sarama.NewOffsetFetchRequest(kafkaVersion, group, byTopic)
		req.RequireStable = true
		r, err := br.FetchOffset(req)
		if err != nil {
			return nil, 0, err
		}
		// The group's error first: NOT_COORDINATOR comes with no blocks, which must not
		// read as "nothing committed".
		switch e := r.GroupError(); e {
		case sarama.ErrNoError:
		case sarama.ErrGroupIDNotFound: // nothing was ever committed
			return &sarama.OffsetFetchResponse{}, 0, nil
		default:
			return nil, e, nil
		}
		for _, p := range ps {
			blk := r.GetBlock(p.Topic, p.ID)
			switch {
			case blk == nil:
				return nil, sarama.ErrNotCoordinatorForConsumer, nil
			case blk.Err != sarama.ErrNoError:
				return nil, blk.Err, nil
			}
		}
		return r, 0, nil
	})
	if err != nil {
		return nil, words(err)
	}
	for _, p := range ps {
		if blk := r.GetBlock(p.Topic, p.ID); blk != nil && blk.Offset >= 0 {
			found[p] = shell.GroupOffset{Partition: p, Next: core.Offset(blk.Offset), Metadata: blk.Metadata}
		}
	}
	return found, nil
}
