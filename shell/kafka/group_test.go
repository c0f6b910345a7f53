package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// member is a worker without work: it holds tasks and answers.
type member struct {
	shell.Group
	t      testing.TB
	events chan shell.GroupEvent // a copy of what came
	ended  chan struct{}

	mu    sync.Mutex
	tasks map[core.TaskID]bool
	hold  func(core.TaskID) // before a Revoked is answered
}

var testSources = [][]string{{"orders"}, {"customers", "by-customer"}}

func join(t testing.TB, b *Broker, instance string) *member {
	t.Helper()
	cfg := shell.GroupConfig{Group: "app", Instance: instance, TransactionalID: "app-" + instance, Sources: testSources}
	g, err := b.Join(t.Context(), cfg)
	must(t, err)
	m := &member{Group: g, t: t, tasks: map[core.TaskID]bool{}, events: make(chan shell.GroupEvent, 1000), ended: make(chan struct{})}
	go m.loop()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = m.Close(ctx)
	})
	return m
}

func (m *member) loop() {
	defer close(m.ended)
	for e := range m.Events() {
		m.mu.Lock()
		hold := m.hold
		switch e.Kind {
		case shell.Assigned:
			if m.tasks[e.Task] {
				m.t.Errorf("%v assigned twice", e.Task)
			}
			m.tasks[e.Task] = true
		case shell.Revoked:
			if !m.tasks[e.Task] {
				m.t.Errorf("%v revoked, and was not assigned", e.Task)
			}
		case shell.Lost, shell.Failed:
		}
		m.mu.Unlock()
		if e.Kind == shell.Revoked {
			if hold != nil {
				hold(e.Task)
			}
			m.mu.Lock()
			delete(m.tasks, e.Task)
			m.mu.Unlock()
			e.Done()
		}
		m.events <- e
	}
}

func (m *member) has() []core.TaskID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(m.tasks), byTask)
}

// balanced waits until the members hold all tasks, evenly; no two ever hold the same.
func balanced(t testing.TB, all int, ms ...*member) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		held, ok := map[core.TaskID]int{}, true
		for _, m := range ms {
			ts := m.has()
			ok = ok && (len(ts) == all/len(ms) || len(ts) == (all+len(ms)-1)/len(ms))
			for _, task := range ts {
				held[task]++
			}
		}
		if ok && len(held) == all {
			break
		}
		if time.Now().After(deadline) {
			for i, m := range ms {
				t.Logf("member %d: %v", i, m.has())
			}
			t.Fatal("not balanced")
		}
	}
}

// owners fails the test when two members hold a task at the same time.
func owners(t testing.TB, stop <-chan struct{}, ms func() []*member) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		// A task that was seen with one is looked for with that one again, after the others:
		// it may have moved in between.
		seen := map[core.TaskID]*member{}
		for _, m := range ms() {
			for _, task := range m.has() {
				if o := seen[task]; o != nil && slices.Contains(o.has(), task) && slices.Contains(m.has(), task) {
					t.Errorf("%v has two owners", task)
				}
				seen[task] = m
			}
		}
	}
}

func groupTopics(t testing.TB, b *Broker) {
	t.Helper()
	topics(t, b, 3, "orders")
	topics(t, b, 4, "customers", "by-customer")
}

func TestGroup(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	var mu sync.Mutex
	var ms []*member
	stop := make(chan struct{})
	defer close(stop)
	go owners(t, stop, func() []*member {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ms)
	})
	add := func(name string) *member {
		m := join(t, b, name)
		mu.Lock()
		ms = append(ms, m)
		mu.Unlock()
		return m
	}
	m1 := add("a")
	balanced(t, 7, m1)
	m2 := add("b")
	balanced(t, 7, m1, m2)
	m3 := add("c")
	balanced(t, 7, m1, m2, m3)
	kept := m2.has()
	must(t, m1.Close(limit(t, 10*time.Second)))
	<-m1.ended // its events are over
	if len(m1.has()) != 0 {
		t.Fatal("closed with tasks")
	}
	balanced(t, 7, m2, m3)
	for _, task := range kept {
		if !slices.Contains(m2.has(), task) {
			t.Fatalf("%v moved without need", task)
		}
	}
	for len(m2.events) > 0 { // of tasks that stay nothing is heard
		e := <-m2.events
		if e.Kind == shell.Revoked && slices.Contains(kept, e.Task) {
			t.Fatalf("%+v", e)
		}
	}
}

// The next owner waits until the former one has answered.
func TestRevokedWaits(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	m1 := join(t, b, "a")
	balanced(t, 7, m1)
	holding, let := make(chan struct{}, 10), make(chan struct{})
	m1.mu.Lock()
	m1.hold = func(core.TaskID) { holding <- struct{}{}; <-let }
	m1.mu.Unlock()
	m2 := join(t, b, "b")
	<-holding
	time.Sleep(300 * time.Millisecond)
	if len(m2.has()) != 0 {
		t.Fatalf("%v while the former owner has not answered", m2.has())
	}
	close(let)
	balanced(t, 7, m1, m2)
}

func TestGroupTransactions(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	topics(t, b, 1, "out")
	ctx := limit(t, 30*time.Second)
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: "app-a", Group: "app"})
	defer p.Close()
	must(t, p.Open(ctx))
	m1 := join(t, b, "a")
	balanced(t, 7, m1)
	batch := &shell.ProduceBatch{Partition: tp("out", 0), Records: records(2, "%d")}
	send := func(part shell.Partition, next core.Offset) error {
		if err := p.Produce(ctx, []*shell.ProduceBatch{batch}); err != nil {
			return err
		}
		if err := p.SendOffsets(ctx, m1.Group, []shell.GroupOffset{{Partition: part, Next: next}}); err != nil {
			return err
		}
		return p.End(ctx)
	}
	must(t, send(tp("orders", 0), 1))
	// Rebalances while transactions run: they wait for the new generation.
	m2 := join(t, b, "b")
	stays := core.TaskID{Sub: -1}
	for i := range core.Offset(40) {
		task := m1.has()[0]
		if stays.Sub < 0 {
			stays = task
		}
		must(t, send(tp(testSources[task.Sub][0], task.Partition), 2+i))
		time.Sleep(5 * time.Millisecond)
	}
	balanced(t, 7, m1, m2)
	// Somebody else's partition is refused here: the broker would take it.
	foreign := m2.has()[0]
	err := send(tp(testSources[foreign.Sub][0], foreign.Partition), 5)
	if !errors.Is(err, shell.ErrLost) {
		t.Fatal(err)
	}
	// After ErrLost the member joins anew, by itself.
	must(t, p.Open(ctx))
	for e := range m1.events {
		if e.Kind == shell.Lost {
			break
		}
	}
	balanced(t, 7, m1, m2)
	task := m1.has()[0]
	must(t, send(tp(testSources[task.Sub][0], task.Partition), 6))
	// A member that the broker does not know.
	g := m1.Group.(*group)
	s := g.state()
	if err := p.Produce(ctx, []*shell.ProduceBatch{batch}); err != nil {
		t.Fatal(err)
	}
	s.member, s.instance = "nobody", nil
	err = words(p.(*producer).commitOffsets(ctx, s, []shell.GroupOffset{{Partition: tp("orders", 0), Next: 9}}, newOutage(time.Second)))
	if !errors.Is(err, shell.ErrLost) {
		t.Fatal(err)
	}
	must(t, p.Abort(ctx))
}

// A static member that another process replaces says so, and stops.
func TestInstanceFenced(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	m1 := join(t, b, "a")
	balanced(t, 7, m1)
	m2 := join(t, b, "a")
	for e := range m1.events {
		if e.Kind == shell.Failed {
			if !errors.Is(e.Err, shell.ErrInstanceFenced) {
				t.Fatal(e.Err)
			}
			break
		}
	}
	balanced(t, 7, m2)
	must(t, m1.Close(limit(t, 5*time.Second)))
	time.Sleep(300 * time.Millisecond)
	balanced(t, 7, m2) // closing the fenced one did not throw the other one out
}

func TestHopeless(t *testing.T) {
	if err := hopeless(sarama.ErrGroupAuthorizationFailed); !errors.Is(err, shell.ErrUnreachable) {
		t.Error(err)
	}
	if err := hopeless(sarama.ErrFencedInstancedId); !errors.Is(err, shell.ErrInstanceFenced) {
		t.Error(err)
	}
	if err := hopeless(sarama.ErrRebalanceInProgress); err != nil {
		t.Error(err)
	}
}

// The broker forgets a member: Lost, then the revocations; then it joins anew, by itself.
func TestLost(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	m := join(t, b, "a")
	balanced(t, 7, m)
	for range 7 {
		<-m.events
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
	if e := <-m.events; e.Kind != shell.Lost || !errors.Is(e.Err, sarama.ErrUnknownMemberId) {
		t.Fatalf("%+v", e)
	}
	for i := range 14 {
		if e := <-m.events; i < 7 && e.Kind != shell.Revoked || i >= 7 && e.Kind != shell.Assigned {
			t.Fatalf("%d: %+v", i, e)
		}
	}
	balanced(t, 7, m)
}

// A coordinator that was replaced, and did not know it, gave a lost member its new id; the
// one that took over knows the old one, and fences. The member joins once more, as a new one.
func TestLostToAReplacedCoordinator(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	m := join(t, b, "a")
	balanced(t, 7, m)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.FencedInstanceID, TopLevel: true, Count: renewalsMax})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
	lost := false
	for assigned := 0; assigned < 14; {
		switch e := <-m.events; e.Kind {
		case shell.Assigned:
			assigned++
		case shell.Lost:
			lost = true
		case shell.Failed:
			t.Fatal(e.Err)
		case shell.Revoked:
		}
	}
	if !lost {
		t.Fatal("the membership was not lost")
	}
	balanced(t, 7, m)
	must(t, m.Close(limit(t, 5*time.Second)))

	// One that is fenced each time it joins stops.
	m = join(t, b, "a")
	balanced(t, 7, m)
	defer c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.FencedInstanceID, TopLevel: true, Count: -1}).Remove()
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
	for e := range m.events {
		if e.Kind == shell.Failed {
			if !errors.Is(e.Err, shell.ErrInstanceFenced) {
				t.Fatal(e.Err)
			}
			return
		}
	}
}

// A member that cannot say that it leaves has closed all the same.
func TestLeaveUnanswered(t *testing.T) {
	c := fake(t, 1)
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	m := join(t, b, "a")
	balanced(t, 7, m)
	defer c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Err: kerr.CoordinatorNotAvailable, TopLevel: true, Count: -1}).Remove()
	must(t, m.Close(limit(t, 10*time.Second)))
}

// Close returns when ctx ends, also if the worker does not answer; nothing stays behind.
func TestCloseUnanswered(t *testing.T) {
	c := fake(t, 1)
	before := goleak.IgnoreCurrent()
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	g, err := b.Join(t.Context(), shell.GroupConfig{Group: "app", Instance: "a", Sources: testSources})
	must(t, err)
	if e := <-g.Events(); e.Kind != shell.Assigned {
		t.Fatalf("%+v", e)
	}
	began := time.Now()
	if err := g.Close(limit(t, 300*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	for range g.Events() { // closed
	}
	must(t, b.Close())
	goleak.VerifyNone(t, before)
}

// All that was opened is closed: no goroutine and no connection stays.
func TestLeaks(t *testing.T) {
	c := fake(t, 3)
	before := goleak.IgnoreCurrent()
	b := open(t, testConfig(c.ListenAddrs()))
	groupTopics(t, b)
	topics(t, b, 3, "out", "in")
	ctx := limit(t, 20*time.Second)
	p := b.NewProducer(shell.ProducerConfig{TransactionalID: "x", Group: "g"})
	must(t, p.Open(ctx))
	must(t, commit(ctx, p, nil, &shell.ProduceBatch{Partition: tp("out", 0), Records: records(3, "%d")}, 1))
	must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: tp("out", 1), Records: records(3, "%d")}}))
	f := b.NewFetcher(shell.FetchConfig{})
	for i := range int32(3) {
		f.Add(tp("out", i), 0, 1, 0)
	}
	_, err := f.Poll(ctx)
	must(t, err)
	g, err := b.Join(ctx, shell.GroupConfig{Group: "app", Sources: testSources})
	must(t, err)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for e := range g.Events() {
			if e.Kind == shell.Revoked {
				e.Done()
			}
		}
	}()
	time.Sleep(200 * time.Millisecond)
	must(t, g.Close(ctx))
	<-gone
	f.Close()
	must(t, p.Close())
	must(t, b.Close())
	goleak.VerifyNone(t, before)
}
