package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// group is a membership: sarama's ConsumerGroup joins, beats and rejoins, our strategy
// assigns, and what sarama says of single partitions (claims) becomes what the port says
// of tasks. No records come through it (claims.go).
//
// # Claims and tasks
//
// sarama calls ConsumeClaim for each partition, in a goroutine of its own, and ends it by
// closing the claim's channel. A task begins with its last claim and ends with its first.
// All beginnings and ends go through one lock, which keeps their order: beginning and end
// of a claim can lie milliseconds apart, and reversed they would leave two owners.
//
//	claims of a task:   none -> some -> all: Assigned -> one ends: Revoked -> ... -> none
//	                                                        each waits for Done
//
// A ConsumeClaim returns when the worker has answered the Revoked: only then does the
// member join again, and the next owner gets the task.
//
// # The end of a session
//
// A session lasts over cooperative rebalances. It ends when the membership is lost (the
// worker is told Lost, before the Revoked of the tasks), when a claim could not be opened,
// or at Close. All claims end then, and Consume joins anew.
type group struct {
	b        *Broker
	cfg      shell.GroupConfig
	topics   []string
	subOf    map[string]int32
	client   *claimClient // its own, for nothing else
	dialer   *groupDialer
	kafka    *coordinator // for LeaveGroup
	strategy *strategy
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	closing  sync.Once
	ended    chan struct{} // Close is done

	mu      sync.Mutex
	sarama  sarama.ConsumerGroup
	closed  bool                        // Close was called
	session sarama.ConsumerGroupSession // the last one; nil: none yet
	cancel  context.CancelCauseFunc     // of the Consume under way
	lost    sarama.ConsumerGroupSession // that Lost was told of
	fatal   error                       // why the group cannot go on
	parts   map[string]int32            // partitions of each topic
	tasks   map[core.TaskID]*claimed
	queue   []shell.GroupEvent
	more    chan struct{} // the queue has something
	events  chan shell.GroupEvent
	giveUp  chan struct{} // closed: nobody waits for answers any more
}

// claimed are the claims of a task.
type claimed struct {
	topics   []string // that have begun and not ended
	assigned bool
	done     chan struct{} // closed when the last Revoked was answered
}

// Join joins the group. It returns at once; what becomes of it comes through Events.
func (b *Broker) Join(ctx context.Context, cfg shell.GroupConfig) (shell.Group, error) {
	g := &group{
		b: b, cfg: cfg, subOf: map[string]int32{}, tasks: map[core.TaskID]*claimed{}, parts: map[string]int32{},
		kafka:  b.cluster.coordinator(sarama.CoordinatorGroup, cfg.Group),
		events: make(chan shell.GroupEvent), more: make(chan struct{}, 1), ended: make(chan struct{}), giveUp: make(chan struct{}),
	}
	for sub, names := range cfg.Sources {
		for _, t := range names {
			g.subOf[t] = int32(sub)
			g.topics = append(g.topics, t)
		}
	}
	if len(g.topics) == 0 {
		return nil, errors.New("kafka: a group needs source topics")
	}
	g.strategy = &strategy{id: cfg.TransactionalID, sources: cfg.Sources, onDisk: cfg.OnDisk, assigned: g.learn}
	if cfg.TransactionalID != "" {
		g.strategy.fence, g.strategy.ongoing = g.fence, g.ongoing
	}
	g.ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := g.connect(); err != nil {
		g.stop()
		return nil, err
	}
	g.wg.Go(g.run)
	g.watch()
	g.wg.Go(g.findCoordinator)
	g.wg.Go(g.watchParts)
	go g.pump()
	return g, nil
}

// run joins again and again, until Close or a fatal error.
func (g *group) run() {
	o, renewals := newOutage(g.b.cfg.RetryFor), 0
	for {
		ctx, cancel := context.WithCancelCause(g.ctx)
		g.mu.Lock()
		g.cancel = cancel
		before, consumer := g.session, g.sarama
		g.mu.Unlock()
		err := consumer.Consume(ctx, g.topics, g)
		cancel(nil)
		if errors.Is(err, sarama.ErrClosedConsumerGroup) || g.ctx.Err() != nil {
			return
		}
		g.mu.Lock()
		if g.session != before {
			o, renewals = newOutage(g.b.cfg.RetryFor), 0 // it was in the group
		}
		fatal := g.fatal
		g.mu.Unlock()
		if fatal == nil && renewals < renewalsMax && errors.Is(err, sarama.ErrFencedInstancedId) {
			// A coordinator that was replaced and does not know it yet may have given us the member
			// id: to its successor we look like a second process with our instance id. A real one
			// fences us again.
			renewals++
			if err = g.renew(); err == nil {
				continue
			}
		}
		if fatal == nil {
			fatal = hopeless(err)
		}
		if fatal == nil && err != nil {
			g.b.cfg.Logger.Debug("kafka group: joining again", "group", g.cfg.Group, "err", err)
		}
		if fatal == nil && o.wait(g.ctx, 100*time.Millisecond, err) != nil && g.ctx.Err() == nil {
			fatal = fmt.Errorf("%w: group %s could not be joined for %v: %w", shell.ErrUnreachable, g.cfg.Group, g.b.cfg.RetryFor, err)
		}
		if fatal != nil {
			g.mu.Lock()
			g.fatal = fatal
			g.push(shell.GroupEvent{Kind: shell.Failed, Err: fatal})
			g.mu.Unlock()
			return
		}
	}
}

// renewalsMax is how often in a row a member that is fenced before it is in the group joins as a
// new one. Coordinators that move again while it joins fence it again; of two processes with one
// instance id, the one that is in the group first is fenced there by the other.
const renewalsMax = 3

// hopeless names the errors of a join that trying again does not change; nil: it may.
func hopeless(err error) error {
	var k code
	if err == nil || !errors.As(err, &k) {
		if refused(err) {
			return fmt.Errorf("%w: %w", shell.ErrUnreachable, err)
		}
		return nil
	}
	switch k {
	case sarama.ErrFencedInstancedId:
	case sarama.ErrInconsistentGroupProtocol:
		return fmt.Errorf("kafka: %w: members of this group assign partitions in another way than %s: is it another application's group, or another version's?", &answer{"JoinGroup", k}, protocolName)
	case sarama.ErrInvalidSessionTimeout:
		return fmt.Errorf("%w: SessionTimeout is not between the brokers' group.min.session.timeout.ms (6 s) and group.max.session.timeout.ms: %w", ErrConfig, &answer{"JoinGroup", k})
	case sarama.ErrGroupMaxSizeReached, sarama.ErrInvalidGroupId:
	default:
		if !denied(k) {
			return nil
		}
	}
	return fatal("JoinGroup", k)
}

// renew goes on as a new member, with no member id: sarama has no way to forget it.
func (g *group) renew() error {
	next, err := sarama.NewConsumerGroupFromClient(g.cfg.Group, g.client)
	if err != nil {
		return err
	}
	g.mu.Lock()
	old := g.sarama
	if g.closed {
		old = next // which nobody closes else
	} else {
		g.sarama = next
	}
	g.mu.Unlock()
	if old != next {
		g.watch()
	}
	return old.Close() // a static member does not leave by it
}

// watch reads sarama's errors, which it would drop otherwise.
func (g *group) watch() {
	errs := g.sarama.Errors()
	g.wg.Go(func() {
		for err := range errs {
			g.b.cfg.Logger.Debug("kafka group", "group", g.cfg.Group, "err", err)
		}
	})
}

// learn takes what the leader says of the topics.
func (g *group) learn(a assignment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t, n := range a.Parts {
		g.parts[t] = n
	}
}

// watchParts looks for partitions that nobody was assigned. The leader does so by itself, but it may not know that
// it is: a static member that comes back in time gets its old assignment and no rebalance, and if it was the leader it
// stays it, but is told that its former member id is (KIP-814: before version 9 of JoinGroup).
func (g *group) watchParts() {
	for sleep(g.ctx, g.b.partsEvery) == nil {
		if err := g.lookForParts(); err != nil {
			g.b.cfg.Logger.Debug("kafka group: no look for new partitions", "group", g.cfg.Group, "err", err)
		}
	}
}

// lookForParts joins again where a topic has more partitions than the last assignment knows: if that is the leader, all do.
func (g *group) lookForParts() error {
	m, err := g.b.cluster.refresh(g.ctx, g.topics...)
	if err != nil {
		return err
	}
	for _, t := range m.Topics {
		g.mu.Lock()
		was, known := g.parts[t.Name]
		g.mu.Unlock()
		if n := int32(len(t.Partitions)); known && n > was {
			g.b.cfg.Logger.Info("kafka group: joining again, a topic has grown", "group", g.cfg.Group, "topic", t.Name, "from", was, "to", n)
			g.rejoin(fmt.Errorf("kafka: %s has grown from %d to %d partitions", t.Name, was, n))
			break
		}
	}
	return nil
}

// Setup begins a session.
func (g *group) Setup(s sarama.ConsumerGroupSession) error {
	g.client.rest.disturb()
	g.mu.Lock()
	g.session = s
	known := len(g.parts) > 0
	g.mu.Unlock()
	if known {
		return nil
	}
	// The leader assigns in another way: while members are upgraded.
	m, err := g.b.cluster.refresh(s.Context(), g.topics...)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range m.Topics {
		g.parts[t.Name] = int32(len(t.Partitions))
	}
	return nil
}

// Cleanup ends a session.
func (g *group) Cleanup(s sarama.ConsumerGroupSession) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tellLost(s)
	return nil
}

// ConsumeClaim lasts as long as a partition is this member's.
func (g *group) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	topic, p := c.Topic(), c.Partition()
	t := core.TaskID{Sub: g.subOf[topic], Partition: p}
	g.begin(s, t, topic)
	for open := true; open; {
		select {
		case _, open = <-c.Messages(): // closed when the claim ends; there are none
		case <-s.Context().Done():
			g.client.rest.disturb()
			open = false
		}
	}
	if done := g.end(s, t, topic); done != nil {
		select {
		case <-done:
		case <-g.giveUp:
		}
	}
	return nil
}

// begin counts a claim in.
func (g *group) begin(s sarama.ConsumerGroupSession, t core.TaskID, topic string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.tasks[t]
	if x == nil {
		x = &claimed{}
		g.tasks[t] = x
	}
	x.topics = append(x.topics, topic)
	need := 0
	for _, name := range g.cfg.Sources[t.Sub] {
		if n, ok := g.parts[name]; !ok || t.Partition < n {
			need++
		}
	}
	if len(x.topics) < need || x.assigned || s.Context().Err() != nil {
		return
	}
	x.assigned = true
	g.push(shell.GroupEvent{Kind: shell.Assigned, Task: t})
}

// end counts a claim out. It returns what to wait for; nil: nothing.
func (g *group) end(s sarama.ConsumerGroupSession, t core.TaskID, topic string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tellLost(s)
	x := g.tasks[t]
	x.topics = slices.DeleteFunc(x.topics, func(n string) bool { return n == topic })
	if x.assigned {
		x.assigned = false
		done := make(chan struct{})
		x.done = done
		g.push(shell.GroupEvent{Kind: shell.Revoked, Task: t, Done: sync.OnceFunc(func() { close(done) })})
	}
	if len(x.topics) == 0 {
		delete(g.tasks, t)
	}
	return x.done
}

// tellLost tells the worker, once, if session s has ended because the group goes on
// without this member. The caller holds mu.
func (g *group) tellLost(s sarama.ConsumerGroupSession) {
	cause := context.Cause(s.Context())
	if cause == nil || g.lost == s {
		return
	}
	switch {
	case errors.Is(cause, sarama.ErrFencedInstancedId):
		g.fatal = fatal("Heartbeat", sarama.ErrFencedInstancedId)
	case errors.Is(cause, sarama.ErrUnknownMemberId), errors.Is(cause, sarama.ErrIllegalGeneration), errors.Is(cause, shell.ErrLost):
	default:
		// Closed, a claim that could not be opened, a coordinator that did not answer: the
		// broker decides whether the tasks can still commit.
		return
	}
	g.lost = s
	g.push(shell.GroupEvent{Kind: shell.Lost, Err: cause})
}

// push appends an event. The caller holds mu.
func (g *group) push(e shell.GroupEvent) {
	g.queue = append(g.queue, e)
	signal(g.more)
}

// pump hands the events out, in their order, and closes the channel behind the last.
func (g *group) pump() {
	defer close(g.events)
	for {
		g.mu.Lock()
		q := g.queue
		g.queue = nil
		g.mu.Unlock()
		for _, e := range q {
			select {
			case g.events <- e:
			case <-g.giveUp:
				return
			}
		}
		if len(q) > 0 {
			continue
		}
		select {
		case <-g.more:
		case <-g.ended:
			g.mu.Lock()
			empty := len(g.queue) == 0
			g.mu.Unlock()
			if empty {
				return
			}
		}
	}
}

// Events delivers assignments and revocations in their order.
func (g *group) Events() <-chan shell.GroupEvent { return g.events }

// Close revokes all tasks and leaves the group. Where Kafka cannot be told, its session ends by itself.
func (g *group) Close(ctx context.Context) error {
	var err error
	g.closing.Do(func() {
		closed := make(chan error, 1)
		g.mu.Lock()
		g.closed = true
		consumer := g.sarama
		g.mu.Unlock()
		go func() {
			e := consumer.Close() // ends the claims, waits for them
			g.stop()
			g.wg.Wait()
			closed <- errors.Join(e, g.client.Close())
		}()
		select {
		case err = <-closed:
		case <-ctx.Done():
			err = ctx.Err()
			close(g.giveUp)
			select {
			case e := <-closed:
				err = errors.Join(err, e)
			case <-time.After(2 * time.Second): // it waits for a broker
			}
		}
		// All is committed by now: that others have to wait for the session's end is no failure of ours.
		if e := g.leaveGroup(); e != nil {
			g.b.cfg.Logger.Warn("kafka: the group could not be left; tasks move when the session ends", "group", g.cfg.Group, "session", g.b.cfg.SessionTimeout, "err", e)
		}
		g.kafka.close()
		close(g.ended)
	})
	return err
}

// leaveGroup makes a static member's tasks move at once: sarama leaves that to the
// session timeout.
func (g *group) leaveGroup() error {
	g.mu.Lock()
	s, fatal := g.session, g.fatal
	g.mu.Unlock()
	if s == nil || g.cfg.Instance == "" || errors.Is(fatal, shell.ErrInstanceFenced) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	member, reason := s.MemberID(), "the member is closed"
	_, err := call(ctx, g.kafka, "LeaveGroup", newOutage(2*time.Second), func(br *sarama.Broker) (struct{}, code, error) {
		r, err := br.LeaveGroup(&sarama.LeaveGroupRequest{
			Version: 5, GroupId: g.cfg.Group, MemberId: member,
			Members: []sarama.MemberIdentity{{MemberId: member, GroupInstanceId: &g.cfg.Instance, Reason: &reason}},
		})
		if err != nil {
			return struct{}{}, 0, err
		}
		return struct{}{}, r.Err, nil
	})
	var a *answer
	if errors.As(err, &a) && a.code == sarama.ErrUnknownMemberId {
		return nil // gone already
	}
	return words(err)
}

// rejoin ends the session: the group goes on without this member, or is about to.
func (g *group) rejoin(cause error) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel != nil {
		g.cancel(cause)
	}
}
