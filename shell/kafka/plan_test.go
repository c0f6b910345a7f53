package kafka

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-81380e12/limpet/core"
)

type node struct {
	held, disk map[core.TaskID]bool
	next       map[core.TaskID]bool // assigned, not yet applied
}

// model is one of the coordinator: every member joins with what it holds (the barrier), the leader plans,
// each member applies its share in its own time, revoking before it takes; who revoked triggers the next round.
type model struct {
	tasks []core.TaskID
	nodes map[string]*node
	n     int
}

func (g *model) previous() (ids []string, p previous) {
	p = previous{held: map[core.TaskID][]string{}, disk: map[core.TaskID][]string{}}
	for id := range g.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for t := range g.nodes[id].held {
			p.held[t] = append(p.held[t], id)
		}
		for t := range g.nodes[id].disk {
			p.disk[t] = append(p.disk[t], id)
		}
	}
	return
}

// apply: false = nothing revoked.
func (n *node) apply(t *rapid.T, g *model, id string) (revoked bool) {
	for k := range n.held {
		if !n.next[k] {
			delete(n.held, k)
			revoked = true
		}
	}
	for k := range n.next {
		for o, x := range g.nodes {
			if o != id && x.held[k] {
				t.Fatalf("task %v: %s takes it while %s holds it", k, id, o)
			}
		}
		n.held[k], n.disk[k] = true, true
	}
	n.next = nil
	return
}

func (g *model) round(t *rapid.T, mayDie bool) (revoked bool) {
	ids, prev := g.previous()
	if len(ids) == 0 {
		return false
	}
	target, now := plan(ids, prev, g.tasks, nil)
	checkPlan(t, ids, prev, g.tasks, target, now)
	shuffled := rapid.Permutation(ids).Draw(t, "members")
	if t2, n2 := plan(shuffled, prev, rapid.Permutation(g.tasks).Draw(t, "tasks"), nil); fmt.Sprint(t2, n2) != fmt.Sprint(target, now) {
		t.Fatalf("depends on the order of its arguments")
	}
	for _, id := range ids {
		g.nodes[id].next = map[core.TaskID]bool{}
	}
	for k, m := range now {
		g.nodes[m].next[k] = true
	}
	for _, id := range shuffled { // in any order, some never get to it
		if mayDie && rapid.IntRange(0, 9).Draw(t, "dies") == 0 {
			delete(g.nodes, id)
		} else if g.nodes[id].apply(t, g, id) {
			revoked = true
		}
	}
	return revoked
}

func checkPlan(t *rapid.T, ids []string, prev previous, tasks []core.TaskID, target, now map[core.TaskID]string) {
	load, kept, held := map[string]int{}, 0, map[string]int{}
	for _, k := range tasks {
		if target[k] == "" {
			t.Fatalf("task %v has no target", k)
		}
		load[target[k]]++
		if h := prev.held[k]; len(h) > 0 {
			held[h[0]]++
			if target[k] == h[0] {
				kept++
			}
			if now[k] != "" && (len(h) > 1 || h[0] != now[k]) {
				t.Fatalf("task %v handed to %s while %v hold it", k, now[k], h)
			}
		} else if now[k] != target[k] {
			t.Fatalf("free task %v withheld", k)
		}
	}
	lo, hi := len(tasks)/len(ids), (len(tasks)+len(ids)-1)/len(ids)
	for _, id := range ids {
		if load[id] < lo || load[id] > hi {
			t.Fatalf("%s has %d of %d tasks on %d members", id, load[id], len(tasks), len(ids))
		}
	}
	best := 0 // most tasks that any balanced plan keeps: try every way to hand out the larger shares
	for s := range 1 << len(ids) {
		if bits.OnesCount(uint(s)) != len(tasks)%len(ids) {
			continue
		}
		n := 0
		for i, id := range ids {
			n += min(held[id], lo+(s>>i&1))
		}
		best = max(best, n)
	}
	if kept != best {
		t.Fatalf("kept %d, possible %d", kept, best)
	}
}

func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &model{nodes: map[string]*node{}}
		for s := range rapid.IntRange(1, 3).Draw(t, "subs") {
			for p := range rapid.IntRange(1, 9).Draw(t, "parts") {
				g.tasks = append(g.tasks, core.TaskID{Sub: int32(s), Partition: int32(p)})
			}
		}
		start := func() {
			g.n++
			n := &node{held: map[core.TaskID]bool{}, disk: map[core.TaskID]bool{}}
			for _, k := range g.tasks { // came back with some state on disk
				n.disk[k] = rapid.IntRange(0, 3).Draw(t, "disk") == 0
				if !n.disk[k] {
					delete(n.disk, k)
				}
			}
			g.nodes[fmt.Sprintf("m%02d", (g.n*7)%50)] = n
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op <= 1 && len(g.nodes) < 6:
				start()
			case op == 2 && len(g.nodes) > 0:
				ids, _ := g.previous()
				delete(g.nodes, rapid.SampledFrom(ids).Draw(t, "gone"))
			}
			g.round(t, true)
		}
		if len(g.nodes) == 0 {
			start()
		}
		// Nothing happens any more: one round to revoke, one to hand over, then rest.
		g.round(t, false)
		if g.round(t, false) {
			t.Fatalf("the second round still revokes")
		}
		if _, prev := g.previous(); len(prev.held) != len(g.tasks) {
			t.Fatalf("%d of %d tasks owned at rest", len(prev.held), len(g.tasks))
		}
		if g.round(t, false) {
			t.Fatalf("not at rest")
		}
	})
}

// Torn tasks, as another strategy leaves them: nobody gets one before everybody else has let go.
func TestPlanTorn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "n")]
		prev := previous{held: map[core.TaskID][]string{}}
		var tasks []core.TaskID
		for p := range rapid.IntRange(1, 8).Draw(t, "parts") {
			k := core.TaskID{Partition: int32(p)}
			tasks = append(tasks, k)
			prev.held[k] = rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, len(ids), func(s string) string { return s }).Draw(t, "held")
		}
		target, now := plan(ids, prev, tasks, nil)
		checkPlan(t, ids, prev, tasks, target, now)
	})
}

// A rolling change of the topology: some members do not subscribe some sub-topologies.
func TestPlanCannot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "n")]
		cannot := map[string]bool{}
		prev := previous{held: map[core.TaskID][]string{}}
		var tasks []core.TaskID
		for s := range int32(3) {
			for _, id := range ids {
				cannot[fmt.Sprint(id, s)] = rapid.Bool().Draw(t, "cannot")
			}
			for p := range int32(4) {
				tasks = append(tasks, core.TaskID{Sub: s, Partition: p})
				if rapid.Bool().Draw(t, "held") {
					prev.held[core.TaskID{Sub: s, Partition: p}] = []string{rapid.SampledFrom(ids).Draw(t, "by")}
				}
			}
		}
		can := func(m string, s int32) bool { return !cannot[fmt.Sprint(m, s)] }
		target, now := plan(ids, prev, tasks, can)
		for _, k := range tasks {
			able := slices.ContainsFunc(ids, func(id string) bool { return can(id, k.Sub) })
			if m := target[k]; able != (m != "") || able && !can(m, k.Sub) {
				t.Fatalf("task %v: target %q", k, m)
			}
			if m, h := now[k], prev.held[k]; m != "" && len(h) > 0 && h[0] != m {
				t.Fatalf("task %v handed to %s while %v hold it", k, m, h)
			}
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range [][2]int{{3, 64}, {20, 1000}} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var ids []string
			for i := range n[0] {
				ids = append(ids, fmt.Sprintf("m%02d", i))
			}
			prev := previous{held: map[core.TaskID][]string{}}
			var tasks []core.TaskID
			for i := range int32(n[1]) {
				t := core.TaskID{Sub: i % 2, Partition: i / 2}
				tasks = append(tasks, t)
				prev.held[t] = []string{ids[int(i)%(len(ids)-1)]} // the last has just joined
			}
			for b.Loop() {
				plan(ids, prev, tasks, nil)
			}
		})
	}
}
