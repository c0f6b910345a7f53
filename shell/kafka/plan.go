package kafka

import (
	"cmp"
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

func byTask(a, b core.TaskID) int {
	return cmp.Or(cmp.Compare(a.Sub, b.Sub), cmp.Compare(a.Partition, b.Partition))
}

// previous is what the members brought along.
type previous struct {
	held map[core.TaskID][]string // who holds at least one partition of it now, highest generation first
	disk map[core.TaskID][]string // who has its state on disk
}

// plan assigns tasks to members. It is pure: the same arguments, in any order, give the
// same answer.
//
// target is where each task belongs: balanced within one task, with as few moves away
// from who holds it as that allows, then to a member that has its state, then spread by
// sub-topology.
//
// now is what may be handed out in this generation. A task that somebody else still holds
// a partition of is left out, until that one has revoked it: two phases, or there would
// be two owners for a moment. Whoever revokes joins again by itself, and gets the group
// to the second phase.
//
// can tells whether a member knows a sub-topology (nil: all do): while a changed topology
// is rolled out, some do not.
func plan(members []string, prev previous, tasks []core.TaskID, can func(member string, sub int32) bool) (target, now map[core.TaskID]string) {
	members, tasks = slices.Sorted(slices.Values(members)), slices.SortedFunc(slices.Values(tasks), byTask)
	p := &planner{
		members: members, prev: prev, can: can,
		target: map[core.TaskID]string{}, quota: map[string]int{}, load: map[string]int{}, perSub: map[string]map[int32]int{},
	}
	now = map[core.TaskID]string{}
	if len(members) == 0 {
		return p.target, now
	}
	p.keep(tasks)
	for _, t := range tasks {
		if p.target[t] != "" {
			continue
		}
		best := ""
		for _, m := range members {
			if p.may(m, t) && (best == "" || p.better(t, m, best)) {
				best = m
			}
		}
		if best != "" {
			p.give(t, best, 1)
		}
	}
	for _, t := range tasks {
		m := p.target[t]
		other := func(h string) bool { return h != m }
		if m != "" && !slices.ContainsFunc(prev.held[t], other) {
			now[t] = m
		}
	}
	return p.target, now
}

type planner struct {
	members []string
	prev    previous
	can     func(string, int32) bool
	target  map[core.TaskID]string
	quota   map[string]int // how many tasks a member should have
	load    map[string]int
	perSub  map[string]map[int32]int
}

func (p *planner) may(m string, t core.TaskID) bool {
	_, ok := slices.BinarySearch(p.members, m)
	return ok && (p.can == nil || p.can(m, t.Sub))
}

func (p *planner) first(ms []string, t core.TaskID) string {
	for _, m := range ms {
		if p.may(m, t) {
			return m
		}
	}
	return ""
}

func (p *planner) give(t core.TaskID, m string, n int) {
	if p.perSub[m] == nil {
		p.perSub[m] = map[int32]int{}
	}
	p.load[m] += n
	p.perSub[m][t.Sub] += n
	if p.target[t] = m; n < 0 {
		delete(p.target, t)
	}
}

// keep leaves tasks with who holds them, or has them on disk, up to each member's quota.
func (p *planner) keep(tasks []core.TaskID) {
	held, all := map[string]int{}, map[string][]core.TaskID{}
	for _, t := range tasks {
		if m := p.first(p.prev.held[t], t); m != "" {
			held[m]++
			all[m] = append(all[m], t)
		} else if m := p.first(p.prev.disk[t], t); m != "" {
			all[m] = append(all[m], t)
		}
	}
	// The larger shares, where tasks do not divide evenly, go to those who hold most: that
	// is what makes the moves fewest.
	order := slices.Clone(p.members)
	slices.SortStableFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(held[b], held[a]), cmp.Compare(len(all[b]), len(all[a])))
	})
	for i, m := range order {
		p.quota[m] = len(tasks) / len(order)
		if i < len(tasks)%len(order) {
			p.quota[m]++
		}
	}
	for _, m := range p.members {
		for _, t := range all[m] {
			p.give(t, m, 1)
		}
		for p.load[m] > p.quota[m] {
			// Let go of what is only on disk first, then of the sub-topology it has most of.
			worst := slices.MaxFunc(all[m], func(a, b core.TaskID) int {
				return cmp.Or(
					-cmp.Compare(min(1, len(p.prev.held[a])), min(1, len(p.prev.held[b]))),
					cmp.Compare(p.perSub[m][a.Sub], p.perSub[m][b.Sub]), byTask(a, b))
			})
			p.give(worst, m, -1)
			all[m] = slices.DeleteFunc(all[m], func(t core.TaskID) bool { return t == worst })
		}
	}
}

// better tells whether a rather than b should get t.
func (p *planner) better(t core.TaskID, a, b string) bool {
	rank := func(m string) [4]int {
		r := [4]int{0, 1, p.perSub[m][t.Sub], p.load[m]}
		if p.load[m] >= p.quota[m] {
			r[0] = 1 + p.load[m] // only where not every member can run every task
		}
		if slices.Contains(p.prev.disk[t], m) {
			r[1] = 0
		}
		return r
	}
	x, y := rank(a), rank(b)
	return slices.Compare(x[:], y[:]) < 0
}
