package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
)

// What only a real broker shows. These tests are skipped unless LIMPET_KAFKA=1.

func TestRealKafka(t *testing.T) {
	kafkatest.Require(t)
	c := kafkatest.Start(t, kafkatest.Config{Properties: map[string]string{
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
		"log.cleaner.backoff.ms": "200",
	}})
	for _, x := range []struct {
		name string
		run  func(*testing.T, *kafkatest.Cluster)
	}{
		{"Transactions", realTransactions},
		{"Expired", realExpired},
		{"Sequences", realSequences},
		{"Copies", realCopies},
		{"TooLarge", realTooLarge},
		{"FetchLatency", realFetchLatency},
		{"FetchSession", func(t *testing.T, c *kafkatest.Cluster) {
			fetchMany(t, open(t, testConfig(c.Brokers())), realName(t, "many"))
		}},
		{"Takeover", realTakeover},
		{"AllDied", realAllDied},
		{"Rebalances", realRebalances},
		{"Grown", realGrown},
		{"Begin", realBegin},
	} {
		t.Run(x.name, func(t *testing.T) { x.run(t, c) })
	}
}

// realName is a topic of this test only.
func realName(t *testing.T, name string) string {
	return t.Name()[strings.LastIndex(t.Name(), "/")+1:] + "-" + name
}

func realTransactions(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	topics(t, b, 3, "in", "out")
	x := &counting{t: t, b: b, p: producerFor(t, b, "x"), group: "g", parts: 3}
	ctx := limit(t, 60*time.Second)
	began := time.Now()
	const n = 300
	for x.next < n {
		if rand.IntN(20) == 0 {
			must(t, x.p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 1), Records: records(3, "no%d")}}))
			must(t, x.p.Abort(ctx))
		}
		if rand.IntN(40) == 0 { // somebody opens the id
			producerFor(t, b, "x")
		}
		must(t, x.step(ctx))
	}
	t.Logf("%v for a transaction", time.Since(began)/n)
	x.check(c.Brokers())
}

// A transaction that expires is fenced, and the id can be opened again.
func realExpired(t *testing.T, c *kafkatest.Cluster) {
	cfg := testConfig(c.Brokers())
	cfg.TransactionTimeout = time.Second
	b := open(t, cfg)
	out := realName(t, "out")
	topics(t, b, 1, out)
	p := producerFor(t, b, t.Name())
	ctx := limit(t, 30*time.Second)
	batch := &shell.ProduceBatch{Partition: tp(out, 0), Records: records(3, "%d")}
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	time.Sleep(3 * time.Second)
	err := p.Produce(ctx, []*shell.ProduceBatch{batch})
	if !errors.Is(err, shell.ErrFenced) {
		t.Fatal(err)
	}
	must(t, p.Open(ctx))
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	time.Sleep(3 * time.Second)
	if err := p.End(ctx); !errors.Is(err, shell.ErrFenced) {
		t.Fatal(err)
	}
	must(t, p.Open(ctx))
	must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
	must(t, p.End(ctx))
	if got := readBack(t, c.Brokers(), out, 3); len(got[0]) != 3 {
		t.Fatal(len(got[0]))
	}
}

// Sequences wrap around.
func realSequences(t *testing.T, c *kafkatest.Cluster) {
	cfg := testConfig(c.Brokers())
	cfg.BatchBytes = 1 << 10
	b := open(t, cfg)
	out := realName(t, "out")
	topics(t, b, 1, out)
	p := producerFor(t, b, t.Name())
	// A broker that knows nothing of a producer takes any sequence as the first.
	p.parts[tp(out, 0)] = &outPart{Partition: tp(out, 0), sequence: math.MaxInt32 - 777}
	ctx := limit(t, 30*time.Second)
	var want []string
	for i := range 10 {
		batch := &shell.ProduceBatch{Partition: tp(out, 0), Records: records(200, fmt.Sprintf("%d-%%d", i))}
		must(t, p.Produce(ctx, []*shell.ProduceBatch{batch}))
		must(t, p.End(ctx))
		want = append(want, values(batch.Records)...)
	}
	if s := p.parts[tp(out, 0)].sequence; s != 2000-778 {
		t.Fatal(s)
	}
	equal(t, "out", kvalues(readBack(t, c.Brokers(), out, len(want))[0]), want)
}

func realTooLarge(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	out := realName(t, "out")
	topics(t, b, 1, out)
	p := producerFor(t, b, t.Name())
	ctx := limit(t, 30*time.Second)
	err := p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp(out, 0), Records: []core.RawRecord{{Value: make([]byte, 2<<20)}}}})
	if err == nil || errors.Is(err, shell.ErrAborted) || !strings.Contains(err.Error(), "max.message.bytes") || !strings.Contains(err.Error(), out+"/0") {
		t.Fatal(err)
	}
	must(t, p.Abort(ctx))
	// Records of 1 MB and small ones, read with a buffer that is smaller than one.
	rs := records(20, "%d")
	rs[7].Value, rs[8].Value = make([]byte, 900<<10), make([]byte, 950<<10)
	must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp(out, 0), Records: rs}}))
	must(t, p.End(ctx))
	f := b.NewFetcher(shell.FetchConfig{PartitionBytes: 16 << 10, BufferBytes: 16 << 10})
	defer f.Close()
	f.Add(tp(out, 0), 0, 1, 0)
	for n := 0; n < 20; {
		fs, err := f.Poll(ctx)
		must(t, err)
		for _, x := range fs {
			must(t, x.Err)
			n += len(x.Batch.Records)
			f.Release(x.Partition, x.Tag, x.Bytes)
		}
	}
}

// How long a partition waits that is added while a poll is under way, and how long a
// committed record takes to be read.
func realFetchLatency(t *testing.T, c *kafkatest.Cluster) {
	cfg := testConfig(c.Brokers())
	cfg.FetchWait = 0 // the default
	b := open(t, cfg)
	out := realName(t, "out")
	topics(t, b, 4, out)
	ctx := limit(t, 60*time.Second)
	f := b.NewFetcher(shell.FetchConfig{})
	defer f.Close()
	f.Add(tp(out, 0), 0, 1, 0)
	_, err := f.Poll(ctx)
	must(t, err)
	var sum, worst time.Duration
	const n = 20
	for i := range n {
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		began := time.Now()
		f.Add(tp(out, 1), 0, int64(i), 0)
		for {
			fs, err := f.Poll(ctx)
			must(t, err)
			if fs[0].Partition.ID == 1 && fs[0].Tag == int64(i) {
				break
			}
		}
		d := time.Since(began)
		sum, worst = sum+d, max(worst, d)
	}
	t.Logf("added beside a poll: %v in the mean, %v at most", (sum / n).Round(time.Microsecond), worst.Round(time.Microsecond))
	p := producerFor(t, b, t.Name())
	sum, worst = 0, 0
	for range n {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp(out, 0), Records: records(1, "%d")}}))
		began := time.Now()
		must(t, p.End(ctx))
		for seen := 0; seen == 0; {
			fs, err := f.Poll(ctx)
			must(t, err)
			for _, x := range fs {
				seen += len(x.Batch.Records)
			}
		}
		d := time.Since(began)
		sum, worst = sum+d, max(worst, d)
	}
	t.Logf("from End to the record: %v in the mean, %v at most", (sum / n).Round(time.Microsecond), worst.Round(time.Microsecond))
}

// die ends a member as kill -9 does, as far as brokers can tell: nobody leaves, nobody
// aborts, only silence.
func (m *member) die(p *producer) {
	p.open = false // so that Close says nothing to anybody
	_ = p.Close()
	m.Group.(*group).stop()
}

func realMember(t *testing.T, b *Broker, name string) (*member, *producer) {
	t.Helper()
	return join(t, b, name), b.NewProducer(shell.ProducerConfig{TransactionalID: "app-" + name, Group: "app"}).(*producer)
}

// A member dies within a transaction. Whoever inherits its tasks reads their committed
// offsets as soon as the session is over, long before the transaction times out.
func realTakeover(t *testing.T, c *kafkatest.Cluster) {
	cfg := testConfig(c.Brokers())
	cfg.TransactionTimeout, cfg.SessionTimeout = time.Minute, 2*time.Second
	b := open(t, cfg)
	groupTopics(t, b)
	topics(t, b, 1, "out")
	ctx := limit(t, 60*time.Second)
	m1, p1 := realMember(t, b, "one")
	m2, _ := realMember(t, b, "two")
	balanced(t, 7, m1, m2)
	must(t, p1.Open(ctx))
	orphan := m1.has()[0]
	source := tp(testSources[orphan.Sub][0], orphan.Partition)
	must(t, p1.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(3, "%d")}}))
	must(t, p1.SendOffsets(ctx, m1.Group, []shell.GroupOffset{{Partition: source, Next: 7}}))
	began := time.Now()
	m1.die(p1)
	balanced(t, 7, m2)
	moved := time.Since(began)
	got, err := b.Committed(ctx, "app", []shell.Partition{source})
	must(t, err)
	open := time.Since(began)
	t.Logf("session timeout 2 s: tasks moved after %v, offsets stable after %v", moved.Round(time.Millisecond), open.Round(time.Millisecond))
	if len(got) != 0 {
		t.Fatalf("%+v", got) // it was aborted
	}
	if open-moved > time.Second || moved > 10*time.Second {
		t.Fatal("too slow")
	}
	must(t, m2.Close(ctx))
}

// All members die within transactions, and others come. Nobody remembers, but the
// brokers do.
func realAllDied(t *testing.T, c *kafkatest.Cluster) {
	cfg := testConfig(c.Brokers())
	cfg.TransactionTimeout, cfg.SessionTimeout = time.Minute, 2*time.Second
	b := open(t, cfg)
	groupTopics(t, b)
	topics(t, b, 1, "out")
	ctx := limit(t, 60*time.Second)
	m1, p1 := realMember(t, b, "three")
	balanced(t, 7, m1)
	must(t, p1.Open(ctx))
	source := tp("orders", 1)
	must(t, p1.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(3, "%d")}}))
	must(t, p1.SendOffsets(ctx, m1.Group, []shell.GroupOffset{{Partition: source, Next: 7}}))
	began := time.Now()
	m1.die(p1)
	m2, _ := realMember(t, b, "four")
	balanced(t, 7, m2)
	moved := time.Since(began)
	_, err := b.Committed(ctx, "app", []shell.Partition{source})
	must(t, err)
	open := time.Since(began)
	t.Logf("tasks open after %v, offsets stable after %v", moved.Round(time.Millisecond), open.Round(time.Millisecond))
	if open-moved > time.Second {
		t.Fatal("too slow")
	}
	must(t, m2.Close(ctx))
}

// Members come and go while others commit: each task's counter counts, with no two owners.
func realRebalances(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	groupTopics(t, b)
	topics(t, b, 1, "out")
	ctx := limit(t, 90*time.Second)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	commits, waits := 0, map[string]int{}
	start := func(name string) (*member, func()) {
		m, p := realMember(t, b, name)
		must(t, p.Open(ctx))
		end := make(chan struct{})
		wg.Go(func() {
			defer p.Close()
			for {
				select {
				case <-end:
					return
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				tasks := m.has()
				if len(tasks) == 0 {
					continue
				}
				task := tasks[rand.IntN(len(tasks))]
				err := p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 0), Records: records(1, "%d")}})
				if err == nil {
					err = p.SendOffsets(ctx, m.Group, []shell.GroupOffset{{Partition: tp(testSources[task.Sub][0], task.Partition), Next: 1}})
				}
				if err == nil {
					err = p.End(ctx)
				}
				mu.Lock()
				if err == nil {
					commits++
				} else {
					waits[err.Error()]++
				}
				mu.Unlock()
				if err != nil {
					if e := p.Open(ctx); e != nil {
						t.Error(e)
						return
					}
				}
			}
		})
		return m, sync.OnceFunc(func() { close(end) })
	}
	// With two members, too, tasks are committed: so many of them, however busy the machine is.
	committed := func() int {
		mu.Lock()
		defer mu.Unlock()
		return commits
	}
	goesOn := func(more int) {
		t.Helper()
		for before := committed(); committed() < before+more; time.Sleep(5 * time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatalf("%d commits of %d: %v", committed()-before, more, ctx.Err())
			}
		}
	}
	a, _ := start("a")
	balanced(t, 7, a)
	for range 3 {
		began := time.Now()
		b2, end := start("b")
		balanced(t, 7, a, b2)
		joined := time.Since(began)
		goesOn(30)
		end()
		began = time.Now()
		must(t, b2.Close(ctx))
		balanced(t, 7, a)
		t.Logf("join %v, leave %v", joined.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	close(stop)
	wg.Wait()
	must(t, a.Close(ctx))
	t.Logf("%d commits; not: %v", commits, waits)
}

// A broker is killed and started again, over and over, under a producer and a reader.
func TestRealKafkaRestart(t *testing.T) {
	kafkatest.Require(t)
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) { realRestart(t, nodes) })
	}
}

func realRestart(t *testing.T, nodes int) {
	c := kafkatest.Start(t, kafkatest.Config{Nodes: nodes, Properties: map[string]string{
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}})
	c.CreateTopic(t, "in", 1, nil)
	c.CreateTopic(t, "out", 6, nil)
	cfg := testConfig(c.Brokers())
	cfg.RetryFor = 90 * time.Second
	b := open(t, cfg)
	ctx := limit(t, 4*time.Minute)
	g, err := b.Join(ctx, shell.GroupConfig{Group: "g", Instance: "i", TransactionalID: "g-i", Sources: [][]string{{"in"}}})
	must(t, err)
	assigned := make(chan struct{}, 100) // closed when the group has failed
	var revoked atomic.Int32
	go func() {
		for e := range g.Events() {
			switch e.Kind {
			case shell.Assigned:
				assigned <- struct{}{}
			case shell.Revoked:
				revoked.Add(1)
				e.Done()
			case shell.Lost:
			case shell.Failed:
				t.Error(e.Err)
				close(assigned)
				return
			}
		}
	}()
	member := func() {
		if _, ok := <-assigned; !ok {
			t.FailNow()
		}
	}
	member()
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: "g-i", Group: "g"})
	defer p.Close()
	must(t, p.Open(ctx))
	x := &counting{t: t, b: b, p: p, g: g, group: "g", parts: 6}

	// The reader goes along; what it sees is checked at the end.
	f := b.NewFetcher(shell.FetchConfig{Name: "reader"})
	defer f.Close()
	reading, quit := context.WithCancel(ctx)
	var read [6][]string
	at := make([]core.Offset, 6)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range int32(6) {
		f.Add(tp("out", i), 0, 0, 0)
	}
	wg.Go(func() {
		for {
			fs, err := f.Poll(reading)
			if err != nil {
				return
			}
			mu.Lock()
			for _, q := range fs {
				if q.Err != nil {
					t.Error(q.Err)
				}
				read[q.ID] = append(read[q.ID], values(q.Batch.Records)...)
				at[q.ID] = q.Batch.Next
				f.Release(q.Partition, q.Tag, q.Bytes)
			}
			mu.Unlock()
		}
	})

	done := make(chan struct{})
	freezes := int32(0) // read when the goroutine is done
	wg.Go(func() {
		defer close(done)
		for i := range 3 {
			time.Sleep(time.Second)
			n := c.Node(i%nodes + 1)
			if i == 1 && nodes == 3 { // frozen for longer than its session
				freezes++
				must(t, n.Pause())
				time.Sleep(12 * time.Second)
				must(t, n.Resume())
			} else {
				must(t, n.Kill())
				time.Sleep(time.Second)
				must(t, n.Start())
			}
			if err := c.WaitReady(ctx); err != nil {
				t.Error(err)
				return
			}
		}
		time.Sleep(time.Second)
	})
	var longest time.Duration
	for run := true; run; {
		select {
		case <-done:
			run = false
		default:
		}
		began := time.Now()
		err := x.step(ctx)
		if errors.Is(err, shell.ErrLost) { // the coordinator forgot us: rejoin, go on
			t.Log(err)
			must(t, p.Open(ctx))
			member()
			os, err := b.Committed(ctx, "g", []shell.Partition{tp("in", 0)})
			must(t, err)
			x.next = os[tp("in", 0)].Next
			continue
		}
		must(t, err)
		longest = max(longest, time.Since(began))
	}
	t.Logf("longest step %v, %d revocations", longest.Round(time.Millisecond), revoked.Load())
	// A coordinator that was frozen for longer than the group's session may expel its members
	// when it wakes, before it learns that another one took over, and take them in again: then
	// the other one knows nothing of their generation, and they are lost once more.
	if n := revoked.Load(); n > 2*freezes {
		t.Errorf("the membership did not last: %d revocations, %d freezes", n, freezes)
	}
	x.check(c.Brokers())
	want := int(x.next) * perTransaction
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		n := 0
		for i := range read {
			n += len(read[i])
		}
		mu.Unlock()
		if n >= 6*want || time.Now().After(deadline) {
			break
		}
	}
	quit()
	wg.Wait()
	for i := range read {
		var exp []string
		for k := range want {
			exp = append(exp, fmt.Sprint(k))
		}
		equal(t, fmt.Sprint("reader of ", i), read[i], exp)
	}
	must(t, g.Close(limit(t, 20*time.Second)))
}

// A leader that came back under its instance id, and does not know that it leads, has new partitions assigned.
func realGrown(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	groupTopics(t, b)
	balanced(t, 7, join(t, b, "grown"))
	back := open(t, testConfig(c.Brokers()))
	back.partsEvery = 500 * time.Millisecond
	m := join(t, back, "grown") // fences the first
	balanced(t, 7, m)
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = "orders", 4
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 10_000
	resp, err := req.RequestWith(t.Context(), c.Client(t))
	must(t, err)
	must(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	balanced(t, 8, m)
}
