package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// Whoever waits here remembers one signal, so none is lost that comes between the look that found nothing
// and the waiting. Each test runs rounds of that, on a clock that moves only when all wait
// (testing/synctest), with nothing that ends within the hour: then a signal was lost. And each of
// them is run with a channel that remembers none, which must be seen.

const (
	wakeups = 50_000
	// blind is how many rounds a channel that remembers nothing may be lucky for: some thousands are usual.
	blind = 2_000_000
)

// remembers is a channel that remembers so many signals.
func remembers(n int) chan struct{} { return make(chan struct{}, n) }

// seen wants rounds to be whole with a channel that remembers a signal, and lost with one that does not.
// lost runs some rounds in a bubble and reports in which a signal was lost; -1: in none.
func seen(t *testing.T, lost func(t *testing.T, rounds, size int) int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if round := lost(t, wakeups, 1); round >= 0 {
			t.Errorf("a signal is lost in round %d", round)
		}
	})
	if runtime.GOMAXPROCS(0) == 1 {
		return // nobody comes between a look and the waiting
	}
	synctest.Test(t, func(t *testing.T) {
		round := lost(t, blind, 0)
		if round < 0 {
			t.Error("without memory no signal is lost: the test is blind")
		}
		t.Logf("without memory a signal is lost in round %d", round)
	})
}

// jitter lets others run, or not.
func jitter(rng *rand.Rand) {
	if rng.IntN(3) == 0 {
		runtime.Gosched()
	}
	for n := rng.IntN(200); n > 0; n-- {
		_ = n
	}
}

// What is pushed wakes Poll.
func TestPollIsWoken(t *testing.T) {
	seen(t, func(_ *testing.T, rounds, size int) int {
		f := &fetcher{ready: remembers(size), done: make(chan struct{})}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		next := make(chan struct{})
		defer close(next)
		go func() {
			rng := rand.New(rand.NewPCG(1, 1))
			for range next {
				jitter(rng)
				f.mu.Lock()
				f.push(shell.Fetched{})
				f.mu.Unlock()
			}
		}()
		for i := range rounds {
			next <- struct{}{}
			if _, err := f.Poll(ctx); err != nil {
				return i
			}
		}
		return -1
	})
}

// What is pushed wakes the pump of a group's events.
func TestPumpIsWoken(t *testing.T) {
	seen(t, func(_ *testing.T, rounds, size int) int {
		g := &group{events: make(chan shell.GroupEvent), more: remembers(size), ended: make(chan struct{}), giveUp: make(chan struct{})}
		go g.pump()
		defer func() {
			close(g.giveUp)
			close(g.ended)
			for range g.events {
			}
		}()
		rng := rand.New(rand.NewPCG(2, 2))
		for i := range rounds {
			g.mu.Lock()
			g.push(shell.GroupEvent{})
			g.mu.Unlock()
			select {
			case <-g.events:
			case <-time.After(time.Hour):
				return i
			}
			jitter(rng)
		}
		return -1
	})
}

// Room in a full partition wakes the node that has nothing else to fetch.
func TestFullPartitionIsWoken(t *testing.T) {
	seen(t, func(t *testing.T, rounds, size int) int {
		b := newBrokerOfOne(t, size)
		defer b.close()
		return b.rounds(rounds/5, func(x shell.Fetched) { b.f.Release(x.Partition, x.Tag, x.Bytes) })
	})
}

// A partition that has lost its node wakes who looks for leaders, and he the node.
func TestLostPartitionIsWoken(t *testing.T) {
	seen(t, func(t *testing.T, rounds, size int) int {
		b := newBrokerOfOne(t, 1)
		defer b.close()
		b.f.lookup = remembers(size)
		b.f.wg.Go(b.f.findLeaders)
		return b.rounds(rounds/10, func(x shell.Fetched) {
			time.Sleep(time.Duration(b.rng.IntN(3)) * 5 * time.Millisecond) // as long as he sleeps between two looks
			jitter(b.rng)
			b.f.mu.Lock()
			defer b.f.mu.Unlock()
			p := b.f.parts[x.Partition]
			b.f.displace(p)
			p.out = 0
			signal(b.f.lookup)
		})
	})
}

// brokerOfOne is a fetcher of one partition, and a broker at the other end of a pipe, which has a record
// for each fetch: so the partition is full with each.
type brokerOfOne struct {
	f    *fetcher
	near net.Conn
	rng  *rand.Rand
}

func newBrokerOfOne(t *testing.T, size int) *brokerOfOne {
	near, far := net.Pipe()
	b := &Broker{cfg: Config{FetchWait: time.Hour, RetryFor: time.Hour, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}}
	b.cluster = newCluster(b)
	b.cluster.addrs[1] = "nowhere:0"
	b.cluster.topics["in"] = &topicMeta{partitions: []partMeta{{leader: 1}}}
	f := &fetcher{
		b: b, cfg: shell.FetchConfig{PartitionBytes: 1 << 20, BufferBytes: 1}, done: make(chan struct{}),
		parts: map[shell.Partition]*fetchPart{}, nodes: map[int32]*fetchNode{}, ready: make(chan struct{}, 1), lookup: make(chan struct{}, 1),
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	n := &fetchNode{f: f, id: 1, kick: remembers(size)}
	n.conn = &conn{broker: sarama.NewBroker("nowhere:0"), net: near, r: bufio.NewReader(near), limit: time.Hour}
	f.nodes[1] = n
	f.Add(tp("in", 0), 0, 1, 0)
	go func() {
		defer func() { _ = far.Close() }()
		for base := int64(0); ; base++ {
			var head [12]byte // length, key, version, correlation id
			if _, err := io.ReadFull(far, head[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, far, int64(binary.BigEndian.Uint32(head[:]))-8); err != nil {
				return
			}
			if _, err := far.Write(oneRecord(t, head[8:], base)); err != nil {
				return
			}
		}
	}()
	f.wg.Go(n.run)
	return &brokerOfOne{f, near, rand.New(rand.NewPCG(3, 3))}
}

// oneRecord is the answer to a fetch of in/0.
func oneRecord(t *testing.T, correlation []byte, base int64) []byte {
	be := binary.BigEndian
	log := logBatch(t, base, []core.RawRecord{{Key: []byte("k"), Value: []byte("v")}}, producerState{}, nil)
	b := append(make([]byte, 4), correlation...)
	b = append(b, make([]byte, 1+4+2+4)...) // tags, throttle time, no error, no session
	b = append(b, 2, 3, 'i', 'n', 2)
	b = append(b, make([]byte, 4+2)...) // partition 0, no error
	b = be.AppendUint64(b, uint64(base+1))
	b = be.AppendUint64(b, uint64(base+1))
	b = be.AppendUint64(b, 0)
	b = append(b, 1)                   // no aborted transactions
	b = be.AppendUint32(b, 0xffffffff) // no replica
	b = binary.AppendUvarint(b, uint64(len(log))+1)
	b = append(b, log...)
	b = append(b, 0, 0, 0) // tags of partition, topic and response
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

// rounds takes one record after the other. again makes room for the next one.
func (b *brokerOfOne) rounds(n int, again func(shell.Fetched)) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	for got := 0; got < n; {
		fs, err := b.f.Poll(ctx)
		if err != nil {
			return got
		}
		for _, x := range fs {
			if x.Err != nil {
				panic(x.Err)
			}
			if len(x.Batch.Records) == 0 { // it is full: it may be behind the others
				continue
			}
			got += len(x.Batch.Records)
			jitter(b.rng)
			again(x)
		}
	}
	return -1
}

func (b *brokerOfOne) close() {
	_ = b.near.Close()
	b.f.Close()
}
