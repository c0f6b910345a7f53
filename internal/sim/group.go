package sim

import (
	"context"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/shell"
)

// group is the consumer group at its coordinator, together with what the members' leader
// does: it assigns whole tasks.
//
// A rebalance is cooperative: members go on with what they keep, a task that is to move is
// revoked, and granted to its next owner when the former one has answered.
type group struct {
	k     *kafka
	gen   int
	seats []*seat
	tasks []*assignedTask
	dirty bool     // members came or went
	anew  bool     // the next rebalance gives each task to somebody else
	gone  []string // transactional ids of members that went and are not fenced yet
	fence bool     // one of them is being fenced
}

type assignedTask struct {
	id       core.TaskID
	owner    *seat // who may run it
	target   *seat // who shall
	revoking bool
}

// seat is a member as the coordinator knows it.
type seat struct {
	m     *member
	inbox []shell.GroupEvent // not heard of yet
	beat  core.Time          // when it was last heard of
	out   bool               // dropped
}

// member is a process's side of its membership: shell's Group.
type member struct {
	l      *life
	cfg    shell.GroupConfig
	seat   *seat // nil: it is about to join
	gen    int
	held   []core.TaskID // granted and not given back
	events []shell.GroupEvent
	closed bool
	mute   core.Time // until then it does not beat
	// unanswered revocations of a membership that was lost: it joins anew when there are none.
	unanswered int
}

func (g *group) join(m *member) {
	s := &seat{m: m, beat: g.k.w.now}
	m.seat = s
	g.plan(m.cfg.Sources)
	g.gone = slices.DeleteFunc(g.gone, func(id string) bool { return id == m.cfg.TransactionalID })
	if i := slices.IndexFunc(g.seats, func(o *seat) bool { return o.m.cfg.Instance == m.cfg.Instance }); i >= 0 {
		// A static member that comes back has what it had.
		invariant.Sometimes("sim: a static member comes back in time")
		old := g.seats[i]
		old.out, g.seats[i] = true, s
		for _, t := range g.tasks {
			if t.target == old {
				t.target = s
			}
			if t.owner == old {
				t.owner, t.revoking = s, false
				g.grantEvent(t)
				if t.target != s {
					g.revoke(t)
				}
			}
		}
		return
	}
	g.seats = append(g.seats, s)
	g.dirty = true
}

// plan lists the tasks, the first time.
func (g *group) plan(sources [][]string) {
	if len(g.tasks) > 0 {
		return
	}
	for sub, topics := range sources {
		n := 0
		for _, t := range topics {
			n = max(n, len(g.k.topics[t].parts))
		}
		for p := range n {
			g.tasks = append(g.tasks, &assignedTask{id: core.TaskID{Sub: int32(sub), Partition: int32(p)}})
		}
	}
}

// expire drops members that are silent for too long.
func (g *group) expire() {
	w := g.k.w
	for _, s := range slices.Clone(g.seats) {
		if l := s.m.l; !l.dead && !l.paused(w.now) && w.now >= s.m.mute {
			s.beat = w.now
		}
		if w.now.Sub(s.beat) > w.set.session {
			if l := s.m.l; !l.dead && !l.paused(w.now) {
				w.faults.took(w, "mute", s.m.cfg.Instance)
			}
			w.note("session ends", s.m.cfg.Instance, 0, 0)
			g.drop(s)
		}
	}
}

// drop removes a member, whose tasks are anybody's.
func (g *group) drop(s *seat) {
	if s.out {
		return
	}
	s.out = true
	g.seats = slices.DeleteFunc(g.seats, func(o *seat) bool { return o == s })
	g.gone = append(g.gone, s.m.cfg.TransactionalID)
	for _, t := range g.tasks {
		if t.owner == s {
			t.owner, t.revoking = nil, false
		}
		if t.target == s {
			t.target = nil
		}
	}
	g.dirty = true
}

func (g *group) busy() bool {
	if g.fence {
		return false
	}
	return len(g.seats) > 0 && (g.dirty || slices.ContainsFunc(g.tasks, func(t *assignedTask) bool { return t.owner == nil && t.target != nil }))
}

// act does the next thing that is due.
func (g *group) act() {
	if g.dirty {
		g.rebalance()
		return
	}
	if len(g.gone) > 0 {
		g.fenceGone()
		return
	}
	g.gen++
	for _, t := range g.tasks {
		if t.owner == nil && t.target != nil {
			t.owner = t.target
			g.grantEvent(t)
		}
	}
	g.k.w.note("granted", "", int64(g.gen), 0)
}

// rebalance chooses who has what: mostly who had it.
func (g *group) rebalance() {
	w := g.k.w
	g.dirty = false
	g.gen++
	load := map[*seat]int{}
	most := (len(g.tasks) + len(g.seats) - 1) / len(g.seats)
	for _, t := range g.tasks {
		t.target = nil
		if t.owner != nil && load[t.owner] < most && !g.anew && !w.chance(5) {
			t.target = t.owner
			load[t.owner]++
		}
	}
	anew := g.anew
	g.anew = false
	for _, t := range g.tasks {
		if t.target == nil {
			at := w.rng.IntN(len(g.seats))
			for i := range g.seats {
				s := g.seats[(at+i)%len(g.seats)]
				if anew && s == t.owner && len(g.seats) > 1 {
					continue
				}
				if t.target == nil || load[s] < load[t.target] {
					t.target = s
				}
			}
			load[t.target]++
		}
		if t.owner != nil && t.owner != t.target {
			g.revoke(t)
			if w.bug("a task is granted before its owner has answered") {
				t.owner = t.target
				g.grantEvent(t)
			}
		}
	}
	w.note("rebalance", "", int64(g.gen), int64(len(g.seats)))
}

// revoke tells a task's owner to give it back.
func (g *group) revoke(t *assignedTask) {
	if t.revoking {
		return
	}
	t.revoking = true
	s := t.owner
	s.inbox = append(s.inbox, shell.GroupEvent{Kind: shell.Revoked, Task: t.id, Done: func() {
		if s.m.seat == s { // else it is the answer to an older membership
			s.m.release(t.id)
		}
		if t.owner == s {
			t.owner, t.revoking = nil, false
			if t.target == s {
				t.target = nil
				g.dirty = true
			}
		}
	}})
}

func (g *group) grantEvent(t *assignedTask) {
	t.owner.inbox = append(t.owner.inbox, shell.GroupEvent{Kind: shell.Assigned, Task: t.id})
}

// fenceGone opens the ids of members that have gone, as whoever inherits their tasks does.
func (g *group) fenceGone() {
	id := g.gone[0]
	g.gone = g.gone[1:]
	if slices.ContainsFunc(g.seats, func(s *seat) bool { return s.m.cfg.TransactionalID == id }) {
		return // who is here has opened it himself
	}
	g.fence = true
	g.k.w.spawn(nil, "fence "+id, func() {
		g.k.initProducer(g.k.txnID(id))
		g.fence = false
	})
}

// behind reports whether there is something that the member has not heard of.
func (m *member) behind() bool {
	if m.closed {
		return m.seat != nil && m.gen != m.l.w.kafka.group.gen
	}
	return m.seat == nil && m.unanswered == 0 || m.seat != nil && (m.seat.out || len(m.seat.inbox) > 0 || m.gen != m.l.w.kafka.group.gen)
}

// beat hears of the group.
func (m *member) beat() {
	w := m.l.w
	g := w.kafka.group
	w.note("beat", m.cfg.Instance, int64(g.gen), int64(m.gen))
	switch {
	case m.seat == nil:
		g.join(m)
	case m.seat.out:
		m.lost()
	default:
		m.gen = g.gen
		if m.closed {
			break // it is leaving: nothing begins any more, and all is revoked already
		}
		for _, e := range m.seat.inbox {
			if e.Kind == shell.Assigned {
				m.held = append(m.held, e.Task)
			}
			m.events = append(m.events, e)
		}
		m.seat.inbox = nil
	}
}

// lost is when a member learns that the group goes on without it. It joins anew.
func (m *member) lost() {
	invariant.Sometimes("sim: a member learns that it was dropped")
	m.seat = nil
	m.events = append(m.events, shell.GroupEvent{Kind: shell.Lost, Err: shell.ErrLost})
	for _, id := range m.held {
		m.unanswered++
		m.events = append(m.events, shell.GroupEvent{Kind: shell.Revoked, Task: id, Done: func() { m.unanswered-- }})
	}
	m.held = nil
}

// rejoin ends the membership, if it has not ended yet: the producer has learned that tasks
// are somebody else's.
func (m *member) rejoin() {
	if m.seat != nil {
		m.l.w.kafka.group.drop(m.seat)
		m.lost()
	}
}

func (m *member) release(id core.TaskID) {
	m.held = slices.DeleteFunc(m.held, func(h core.TaskID) bool { return h == id })
}

// missing is a partition whose task the member does not have.
func (m *member) missing(os []shell.GroupOffset) (p shell.Partition, ok bool) {
	for _, o := range os {
		if !slices.ContainsFunc(m.held, func(id core.TaskID) bool {
			return id.Partition == o.ID && slices.Contains(m.cfg.Sources[id.Sub], o.Topic)
		}) {
			return o.Partition, true
		}
	}
	return p, false
}

// Events is not used: the world hands the events out.
func (m *member) Events() <-chan shell.GroupEvent { return nil }

// Close revokes all tasks and leaves the group.
func (m *member) Close(context.Context) error {
	w := m.l.w
	if m.l.dead {
		return nil
	}
	m.closed = true
	for _, id := range slices.Clone(m.held) {
		m.events = append(m.events, shell.GroupEvent{Kind: shell.Revoked, Task: id, Done: func() { m.release(id) }})
	}
	w.wait(func() bool { return len(m.held) == 0 && len(m.events) == 0 })
	if m.l.dead {
		return nil
	}
	if m.seat != nil {
		w.kafka.group.drop(m.seat)
		m.seat = nil
	}
	w.note("left", m.cfg.Instance, 0, 0)
	return nil
}

func topicsOf(ss [][]string) string {
	var all []string
	for _, s := range ss {
		all = append(all, strings.Join(s, "+"))
	}
	return strings.Join(all, " ")
}
