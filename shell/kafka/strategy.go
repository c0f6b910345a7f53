package kafka

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/core"
)

// protocolName is what the members of a group vote on: one name for each format of the
// user data and each set of rules. It is none of Kafka's own, whose leaders would try to
// read our user data.
const protocolName = "limpet-1"

// userDataVersion is bumped when fields change their meaning; new ones may come without.
const userDataVersion = 1

// subscription travels from a member to the leader.
//
// IDs and Gone are what keeps the departed from being forgotten: who was in the group and
// is not any more may have left a transaction open, and whoever inherits its tasks must
// end that first. Leaders come and go, so every member repeats what it knows.
type subscription struct {
	V    int           `json:"v"`
	ID   string        `json:"id,omitempty"`   // the member's transactional id: its name over all generations
	Gen  int32         `json:"gen"`            // generation of the assignment that IDs and Gone come from
	IDs  []string      `json:"ids,omitempty"`  // transactional ids of that generation's members
	Gone []string      `json:"gone,omitempty"` // left before it, and not known to be fenced
	Done []string      `json:"done,omitempty"` // fenced by this member since
	Disk []core.TaskID `json:"disk,omitempty"` // tasks whose state it has
}

// assignment travels from the leader to a member.
type assignment struct {
	V     int              `json:"v"`
	IDs   []string         `json:"ids,omitempty"`
	Gone  []string         `json:"gone,omitempty"`
	Gains bool             `json:"gains,omitempty"` // it gets tasks: it opens the Gone ids first
	Parts map[string]int32 `json:"parts,omitempty"` // partitions of each source topic, as the leader saw them
}

// strategy is a member's part in assigning tasks. sarama calls it on the goroutine of
// Consume.
type strategy struct {
	id       string
	sources  [][]string           // by sub-topology
	onDisk   func() []core.TaskID // may be nil
	fence    func(string) bool    // ends what a departed member left open; bounded in time
	ongoing  func() []string      // ids of this application with an open transaction; may be nil
	assigned func(assignment)     // before anything is revoked or claimed

	mu        sync.Mutex
	gen       int32
	ids, gone []string
	done      []string
	announce  map[string]assignment // the leader's, between Plan and AssignmentData
}

var (
	_ sarama.SubscriptionUserDataBalanceStrategy = (*strategy)(nil)
	_ sarama.OnAssignmentBalanceStrategy         = (*strategy)(nil)
)

func (s *strategy) Name() string { return protocolName }

// SupportedProtocols lists both: where all members are cooperative sarama chooses that,
// and a rolling upgrade from an eager strategy needs the other.
func (s *strategy) SupportedProtocols() []sarama.RebalanceProtocol {
	return []sarama.RebalanceProtocol{sarama.RebalanceProtocolCooperative, sarama.RebalanceProtocolEager}
}

// SubscriptionUserData comes before each JoinGroup. It must not fail: sarama would send
// something else.
func (s *strategy) SubscriptionUserData([]string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := subscription{V: userDataVersion, ID: s.id, Gen: s.gen, IDs: s.ids, Gone: s.gone, Done: s.done}
	if s.onDisk != nil {
		d.Disk = s.onDisk()
	}
	return json.Marshal(d)
}

// allTasks lists the tasks of all sub-topologies. A missing topic is an error: its tasks
// would be halves.
func allTasks(sources [][]string, topics map[string][]int32) (all []core.TaskID, err error) {
	for sub, names := range sources {
		n := int32(0)
		for _, t := range names {
			if len(topics[t]) == 0 {
				return nil, fmt.Errorf("kafka: source topic %s has no partitions", t)
			}
			n = max(n, slices.Max(topics[t])+1)
		}
		for p := range n {
			all = append(all, core.TaskID{Sub: int32(sub), Partition: p})
		}
	}
	return all, nil
}

// Plan is called on the leader.
func (s *strategy) Plan(members map[string]sarama.ConsumerGroupMemberMetadata, topics map[string][]int32) (sarama.BalanceStrategyPlan, error) {
	tasks, err := allTasks(s.sources, topics)
	if err != nil {
		return nil, err
	}
	told := tell(s.sources, members)
	_, now := plan(slices.Collect(maps.Keys(members)), told.prev, tasks, func(m string, sub int32) bool {
		return !slices.ContainsFunc(s.sources[sub], func(t string) bool { return !slices.Contains(members[m].Topics, t) })
	})

	a := assignment{V: userDataVersion, IDs: slices.Sorted(maps.Keys(told.live)), Gone: told.gone, Parts: map[string]int32{}}
	for _, names := range s.sources {
		for _, t := range names {
			a.Parts[t] = int32(len(topics[t]))
		}
	}
	out := sarama.BalanceStrategyPlan{}
	s.announce = map[string]assignment{}
	for m := range members { // all of them: AssignmentData is asked for who is in the plan
		out[m] = map[string][]int32{}
		s.announce[m] = a
	}
	for _, t := range tasks {
		m := now[t]
		if m == "" {
			continue
		}
		for _, topic := range s.sources[t.Sub] {
			if slices.Contains(topics[topic], t.Partition) {
				out.Add(m, topic, t.Partition)
			}
		}
		if x := s.announce[m]; !x.Gains && !slices.Contains(told.prev.held[t], m) {
			x.Gains = true
			s.announce[m] = x
		}
	}
	return out, nil
}

// told is what the members told.
type told struct {
	prev previous
	live map[string]bool // ids of who is here
	gone []string        // ids of who is not, and not known to be fenced
}

func tell(sources [][]string, members map[string]sarama.ConsumerGroupMemberMetadata) told {
	subOf := map[string]int32{}
	for sub, names := range sources {
		for _, t := range names {
			subOf[t] = int32(sub)
		}
	}
	type holder struct {
		member string
		gen    int32
	}
	holders := map[core.TaskID][]holder{}
	r := told{prev: previous{held: map[core.TaskID][]string{}, disk: map[core.TaskID][]string{}}, live: map[string]bool{}}
	done := map[string]bool{}
	var newest []subscription
	for _, member := range slices.Sorted(maps.Keys(members)) {
		m := members[member]
		var d subscription
		if json.Unmarshal(m.UserData, &d) != nil {
			d = subscription{ID: member} // it has no name of its own, and gets tasks all the same
		}
		if d.ID != "" {
			r.live[d.ID] = true
		}
		for _, x := range d.Done {
			done[x] = true
		}
		if len(newest) > 0 && d.Gen > newest[0].Gen {
			newest = nil
		}
		if len(newest) == 0 || d.Gen == newest[0].Gen {
			newest = append(newest, d)
		}
		for _, t := range d.Disk {
			r.prev.disk[t] = append(r.prev.disk[t], member)
		}
		// To hold any partition of a task is to hold the task.
		for _, o := range m.OwnedPartitions {
			for _, p := range o.Partitions {
				sub, ok := subOf[o.Topic]
				t, h := core.TaskID{Sub: sub, Partition: p}, holder{member, m.GenerationID}
				if ok && !slices.Contains(holders[t], h) {
					holders[t] = append(holders[t], h)
				}
			}
		}
	}
	for t, hs := range holders {
		slices.SortStableFunc(hs, func(a, b holder) int { return cmp.Compare(b.gen, a.gen) })
		for _, h := range hs {
			r.prev.held[t] = append(r.prev.held[t], h.member)
		}
	}
	for _, d := range newest {
		for _, x := range slices.Concat(d.IDs, d.Gone) {
			if !r.live[x] && !done[x] && !slices.Contains(r.gone, x) {
				r.gone = append(r.gone, x)
			}
		}
	}
	slices.Sort(r.gone)
	return r
}

// AssignmentData comes behind Plan, for each member of the plan.
func (s *strategy) AssignmentData(member string, _ map[string][]int32, _ int32) ([]byte, error) {
	return json.Marshal(s.announce[member])
}

// OnAssignment comes when the member has its assignment, before anything is revoked or
// claimed: the one place where a departed member's transaction can be ended before the
// committed offsets of its tasks are read. There are no heartbeats meanwhile.
func (s *strategy) OnAssignment(m *sarama.ConsumerGroupMemberAssignment, gen int32) {
	var a assignment
	if json.Unmarshal(m.UserData, &a) != nil {
		a = assignment{}
	}
	var done []string
	if a.Gains && s.fence != nil {
		gone := slices.Clone(a.Gone)
		if s.ongoing != nil {
			gone = append(gone, s.ongoing()...) // when a whole group has died nobody remembers
		}
		slices.Sort(gone)
		for _, id := range slices.Compact(gone) {
			// Never somebody who is here. One who is just coming back may be hit all the same:
			// he gets ErrFenced, opens his id again and goes on.
			if id != s.id && !slices.Contains(a.IDs, id) && s.fence(id) {
				done = append(done, id)
			}
		}
	}
	s.mu.Lock()
	s.gen, s.ids, s.gone, s.done = gen, a.IDs, a.Gone, done
	s.mu.Unlock()
	if s.assigned != nil {
		s.assigned(a)
	}
}
