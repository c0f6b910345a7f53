package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// made is what a peer made of a workload.
type made struct {
	peer  string
	skips bool
	workload.Outputs
}

// still is how long a group's offsets must stand still before it is looked whether all is processed:
// longer than any commit interval here.
const still = time.Second

// finish waits until all is processed that came of the records, on its way through the peer's own
// topics too. The last mark is moved to when that was. Then it lets the windows close, where the last
// results come with later events only: that is not measured.
func (b *bench) finish(ctx context.Context, proc *process, j job, w *workload.Workload, marks []mark) error {
	if err := b.rest(ctx, proc, j, w, &marks[len(marks)-1]); err != nil || !w.Closes() {
		return err
	}
	if _, err := w.Close(ctx, b.kafka.Cluster); err != nil {
		return err
	}
	return b.rest(ctx, proc, j, w, new(mark))
}

// rest waits until nothing is left in the peer's topics, and notes in m when the group's offsets
// moved last.
func (b *bench) rest(ctx context.Context, proc *process, j job, w *workload.Workload, m *mark) error {
	before, moved := int64(-1), time.Now()
	for {
		at, cpu, broker := time.Now(), measure.ProcessCPU(proc.pid()), measure.ProcessCPU(b.kafka.pid())
		offsets, err := b.kafka.offsets(ctx, j.app)
		if err != nil {
			return err
		}
		n := int64(0)
		for _, partitions := range offsets {
			for _, o := range partitions {
				n += o
			}
		}
		switch {
		case before < 0:
			before = n
		case n != before:
			before, moved = n, at
			m.at, m.cpu, m.broker = at, cpu, broker
		case time.Since(moved) > most:
			return fmt.Errorf("no progress for %v in its topics\n%s", most, proc.stderr.Bytes())
		case time.Since(moved) > still:
			left, err := b.kafka.left(ctx, j, w, offsets)
			if err != nil || !left {
				return err
			}
		}
		if err := proc.ended(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// offsets are what a group has committed, of the peer's own topics too.
func (k *kafka) offsets(ctx context.Context, group string) (map[string]map[int32]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, k.cl)
	if err != nil {
		return nil, err
	}
	all := map[string]map[int32]int64{}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, fmt.Errorf("offsets of %s: %w", group, err)
		}
		for _, t := range g.Topics {
			all[t.Topic] = map[int32]int64{}
			for _, p := range t.Partitions {
				all[t.Topic][p.Partition] = max(0, p.Offset)
			}
		}
	}
	return all, nil
}

// left reports whether records wait in the peer's own topics, or in its inputs. Offsets do not tell it alone, since
// transactions' markers have some, too.
func (k *kafka) left(ctx context.Context, j job, w *workload.Workload, committed map[string]map[int32]int64) (bool, error) {
	sizes, err := k.sizes(ctx)
	if err != nil {
		return false, err
	}
	for topic := range sizes {
		own := strings.HasPrefix(topic, j.app+"-") && !strings.HasSuffix(topic, "-changelog") && topic != j.out
		if !own && !slices.Contains(w.Consumed(), topic) {
			continue
		}
		ends, err := cluster.Ends(ctx, k.cl, topic, partitions)
		if err != nil {
			return false, err
		}
		from := map[int32]kgo.Offset{}
		for p, end := range ends {
			if at := committed[topic][p]; at < end {
				from[p] = kgo.NewOffset().At(at)
			}
		}
		if there, err := k.anyRecord(ctx, topic, from, ends); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// anyRecord reports whether there is a record between the offsets, in any partition of from.
func (k *kafka) anyRecord(ctx context.Context, topic string, from map[int32]kgo.Offset, ends map[int32]int64) (bool, error) {
	if len(from) == 0 {
		return false, nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return false, err
	}
	defer cl.Close()
	for len(from) > 0 {
		fs := cl.PollFetches(ctx)
		for _, e := range fs.Errors() {
			return false, fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if !r.Attrs.IsControl() {
				return true, nil
			}
			if r.Offset+1 >= ends[r.Partition] {
				delete(from, r.Partition)
			}
		}
	}
	return false, nil
}

// compare compares a peer's output with the first one of the workload, and counts its records.
func (b *bench) compare(ctx context.Context, p *peer, w *workload.Workload, j job) (int, error) {
	o, err := w.Outputs(ctx, b.kafka.Cluster, j.out)
	if err != nil {
		return 0, err
	}
	if o.Records == 0 {
		return 0, fmt.Errorf("%s is empty", j.out)
	}
	if b.first == nil {
		b.first = &made{p.name, p.skips, o}
		return o.Records, nil
	}
	if err := w.Same(b.first.Outputs, o, b.first.skips || p.skips); err != nil {
		return 0, fmt.Errorf("what came of %s is not what came of %s: %w", w.Name, b.first.peer, err)
	}
	return o.Records, nil
}
