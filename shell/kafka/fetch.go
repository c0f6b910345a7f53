package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// fetcher reads partitions: one goroutine and one connection for each broker that leads
// some of them (fetchnode.go), and one goroutine that looks for leaders.
//
// # How long a broker may hold a fetch
//
// A fetch is held until there is something to read, FetchWait (100 ms) at most, and a
// broker serves the requests of a connection one after the other. So a partition that is
// added, or that has room again, waits for the end of the poll under way: 50 ms in the
// mean. That is less than what a rebalance takes, and ten polls a second cost about a
// thousandth of a processor. Two rules make the wait short where it would hurt:
//
//   - A poll with a partition of which nothing is known yet, as after Add, is not held.
//   - While a partition is full, polls are held for 10 ms only: its room may come any
//     moment.
//   - Where nothing came for calmAfter, polls are held for calmWait: an idle process is to
//     cost nothing. A partition that is added then ends the poll, and with it the connection:
//     there is no other way, and a new one takes some milliseconds.
//
// A second connection for the newcomers would make it shorter still, but it would break
// the order that follows.
//
// # Order
//
// A broker reads the partitions of a request in the request's order. Streams come before
// tables (Priority), so an update that was committed before a record was written is in
// the same response as that record, or an earlier one. That is why there are fetch
// sessions only where all partitions are streams, or all are tables: in them the order is the
// broker's, which moves what had records to the end (fetchsession.go).
//
// # Who holds which memory
//
// The bytes of each partition in a response are an allocation of their own, which the
// records refer to. So a partition that lags behind keeps its own bytes only. They are used
// again where whoever has the records says so (lease.go).
type fetcher struct {
	b    *Broker
	cfg  shell.FetchConfig
	done chan struct{}
	ctx  context.Context // ends with done
	stop context.CancelFunc
	wg   sync.WaitGroup

	leases leases

	mu     sync.Mutex
	parts  map[shell.Partition]*fetchPart
	nodes  map[int32]*fetchNode
	queue  [][]shell.Fetched // response by response; see push
	cut    bool              // what comes next is of another response
	closed bool

	ready  chan struct{} // the queue has something
	lookup chan struct{} // a partition has no node
}

// fetchPart is a partition since its last Add. The pointer is its identity: what comes
// for an earlier one is dropped.
//
//	lost -> on a node -> lost (leader moved, connection broke) -> ...
//	            |
//	            +-> failed, until the next Add
type fetchPart struct {
	shell.Partition
	tag, priority int64
	next          core.Offset
	out           int  // bytes delivered and not released, queued ones included
	ask           int  // bytes to ask for: grows where a batch is larger
	known         bool // some response has told how far the partition goes
	caught        bool // as last told
	failed        bool
	node          *fetchNode // nil: lost
	fresh         bool       // metadata must be asked for before it gets a node
	replica       int32      // fetch here, not from the leader (KIP-392); -1: from the leader
	replicaUntil  time.Time
	since         time.Time // of the outage; zero: there is none
	notBefore     time.Time
	lastErr       error
}

// NewFetcher makes a Fetcher. Each has connections of its own.
func (b *Broker) NewFetcher(cfg shell.FetchConfig) shell.Fetcher {
	if cfg.PartitionBytes <= 0 {
		cfg.PartitionBytes = 1 << 20
	}
	if cfg.BufferBytes <= 0 {
		cfg.BufferBytes = 4 * cfg.PartitionBytes
	}
	f := &fetcher{
		b: b, cfg: cfg, done: make(chan struct{}),
		leases: leases{max: 8 * cfg.PartitionBytes},
		parts:  map[shell.Partition]*fetchPart{}, nodes: map[int32]*fetchNode{},
		ready: make(chan struct{}, 1), lookup: make(chan struct{}, 1),
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.wg.Go(f.findLeaders)
	return f
}

// signal wakes whoever waits for ch; it remembers one signal.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Add begins to fetch a partition at an offset, in place of where it was.
func (f *fetcher) Add(p shell.Partition, from core.Offset, tag, priority int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.remove(p)
	x := &fetchPart{Partition: p, tag: tag, priority: priority, next: from, ask: f.cfg.PartitionBytes, replica: -1}
	f.parts[p] = x
	if id, ok := f.b.cluster.leader(p); ok {
		f.place(x, id)
		return
	}
	signal(f.lookup)
}

// Remove ends the fetching of a partition.
func (f *fetcher) Remove(p shell.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(p)
}

// remove forgets a partition, and what of it was not delivered. The caller holds mu.
func (f *fetcher) remove(p shell.Partition) {
	x := f.parts[p]
	if x == nil {
		return
	}
	delete(f.parts, p)
	f.displace(x)
	for i := range f.queue {
		f.queue[i] = slices.DeleteFunc(f.queue[i], func(q shell.Fetched) bool { return q.Partition == p })
	}
}

// place puts a partition on a node, which it makes if need be. The caller holds mu.
func (f *fetcher) place(x *fetchPart, id int32) {
	n := f.nodes[id]
	if n == nil {
		n = &fetchNode{f: f, id: id, kick: make(chan struct{}, 1)}
		f.nodes[id] = n
		f.wg.Go(n.run)
	}
	x.node = n
	i, _ := slices.BinarySearchFunc(n.parts, x, byPriority)
	n.parts = slices.Insert(n.parts, i, x)
	n.disturb()
	signal(n.kick)
}

// displace takes a partition off its node. The caller holds mu.
func (f *fetcher) displace(x *fetchPart) {
	if n := x.node; n != nil {
		n.parts = slices.DeleteFunc(n.parts, func(y *fetchPart) bool { return y == x })
		x.node = nil
	}
}

func byPriority(a, b *fetchPart) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}

// lose takes a partition off its node, to look for its leader again. An outage that is
// too long ends in an error. The caller holds mu.
func (f *fetcher) lose(x *fetchPart, err error) {
	f.displace(x)
	f.outdate(x)
	now := time.Now()
	if x.since.IsZero() {
		x.since = now
	}
	x.fresh, x.replica, x.lastErr = true, -1, err
	x.notBefore = now.Add(50 * time.Millisecond)
	if now.Sub(x.since) > f.b.cfg.RetryFor {
		f.fail(x, fmt.Errorf("%w: %v could not be read for %v: %w", shell.ErrUnreachable, x.Partition, now.Sub(x.since).Round(time.Second), err))
		return
	}
	signal(f.lookup)
}

// fail delivers an error: nothing more comes until the next Add. The caller holds mu.
func (f *fetcher) fail(x *fetchPart, err error) {
	f.displace(x)
	x.failed = true
	f.push(shell.Fetched{Partition: x.Partition, Tag: x.tag, Err: err})
}

// outdate takes back the news that a partition has caught up, where it is not asked for
// together with the others: what they bring may be newer. The caller holds mu.
func (f *fetcher) outdate(x *fetchPart) {
	if x.caught {
		x.caught = false
		f.push(shell.Fetched{Partition: x.Partition, Tag: x.tag, Batch: core.Batch{Next: x.next}})
	}
}

// push queues what Poll returns: what came in one response together, but no more than
// that. All that is queued may be tens of megabytes, and a worker that took them in one
// piece could neither commit in time nor hear of a rebalance. The caller holds mu.
func (f *fetcher) push(q shell.Fetched) {
	if n := len(f.queue); n == 0 || f.cut {
		f.queue, f.cut = append(f.queue, []shell.Fetched{q}), false
	} else {
		f.queue[n-1] = append(f.queue[n-1], q)
	}
	signal(f.ready)
}

// Poll waits for what was fetched.
func (f *fetcher) Poll(ctx context.Context) ([]shell.Fetched, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if q := f.pop(); len(q) > 0 {
			return q, nil
		}
		select {
		case <-f.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.done:
			return nil, errClosed
		}
	}
}

// pop takes the oldest response off the queue.
func (f *fetcher) pop() (q []shell.Fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(q) == 0 && len(f.queue) > 0 {
		q, f.queue[0] = f.queue[0], nil
		f.queue = f.queue[1:]
	}
	return q
}

// Release gives back the memory of delivered records.
func (f *fetcher) Release(p shell.Partition, tag int64, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.parts[p]
	if x == nil || x.tag != tag {
		return // delivered before the last Add, which counts from nothing
	}
	full := x.out >= f.cfg.BufferBytes
	x.out = max(0, x.out-bytes)
	if full && x.out < f.cfg.BufferBytes && x.node != nil {
		signal(x.node.kick)
	}
}

// Close ends all fetching.
func (f *fetcher) Close() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.closed = true
	close(f.done)
	f.stop()
	for _, n := range f.nodes {
		n.interrupt()
	}
	f.parts, f.queue = nil, nil
	f.mu.Unlock()
	f.wg.Wait()
}

// findLeaders gives nodes to the partitions that have none.
func (f *fetcher) findLeaders() {
	for {
		select {
		case <-f.lookup:
		case <-f.done:
			return
		}
		for {
			left, wait := f.assign()
			if !left {
				break
			}
			if sleep(f.ctx, max(wait, 5*time.Millisecond)) != nil {
				return
			}
		}
	}
}

// assign looks for the leaders of lost partitions once. left tells whether some are
// still lost, and how long to wait before the next look.
func (f *fetcher) assign() (left bool, wait time.Duration) {
	now := time.Now()
	var lost []*fetchPart
	var topics []string
	f.mu.Lock()
	for _, x := range f.parts {
		if x.node != nil || x.failed {
			continue
		}
		left = true
		if d := x.notBefore.Sub(now); d > 0 {
			wait = max(wait, d)
			continue
		}
		lost = append(lost, x)
		if _, ok := f.b.cluster.leader(x.Partition); (x.fresh || !ok) && !slices.Contains(topics, x.Topic) {
			topics = append(topics, x.Topic)
		}
	}
	f.mu.Unlock()
	if len(lost) == 0 {
		return left, wait
	}
	var err error
	if len(topics) > 0 {
		_, err = f.b.cluster.refresh(f.ctx, topics...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false, 0
	}
	for _, x := range lost {
		if f.parts[x.Partition] != x || x.node != nil || x.failed {
			continue
		}
		id, ok := f.b.cluster.leader(x.Partition)
		if !ok || err != nil {
			f.lose(x, cmp.Or(err, errors.New("it has no leader")))
			continue
		}
		x.fresh = false
		f.place(x, id)
	}
	return true, 0
}

// outOfRange looks at a partition that the broker does not have an offset of, and either
// says so or goes on: a follower, or a leader that was just elected, may lag behind.
func (f *fetcher) outOfRange(x *fetchPart) {
	b, err := f.b.Bounds(f.ctx, []shell.Partition{x.Partition})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.parts[x.Partition] != x {
		return
	}
	x.failed = false
	has := b[x.Partition]
	switch {
	case err != nil:
		f.fail(x, fmt.Errorf("%v: %w", x.Partition, err))
	case x.next < has.Start || x.next > has.End:
		f.fail(x, &shell.OffsetError{Partition: x.Partition, Want: x.next, Has: has})
	default:
		f.lose(x, &answer{"Fetch of " + x.String(), 1})
	}
}
