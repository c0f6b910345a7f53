package topology

import (
	"slices"

	"github.com/seed-81380e12/limpet/core"
)

// compiler composes the typed chains of one task. Types were checked by Go where the
// nodes were made: what is asserted here cannot fail.
type compiler struct {
	t      *core.Task
	app    string
	nodes  []*node // of the plan
	cut    []bool  // by node: its output goes through a topic
	sinks  []core.SinkID
	dead   map[string]core.SinkID // sinks of dead letters, by the name in a Policy
	ids    []core.NodeID          // by node, 0: none yet, else id + 1
	tables []any                  // by node: *core.Table[K, V], *core.Global[K, V]
	chains []any                  // by node: core.Next
	ports  []any                  // by node: *core.Ports
	shared []any                  // by node: what the inputs of an operator share
	clocks []*core.Clock          // by node
	place  []int                  // by node: where it is in the order of the data
}

// NewTask makes a task: as often as you like, and from many goroutines at a time. Each
// is independent of the others.
func (s *Subtopology) NewTask(cfg core.TaskConfig) *core.Task {
	if cfg.App == "" {
		cfg.App = s.plan.name
	}
	n := len(s.plan.nodes)
	c := &compiler{
		t: core.NewTask(cfg), app: cfg.App, nodes: s.plan.nodes, cut: s.plan.cut, sinks: s.sinkOf,
		dead: s.deadLetters,
		ids:  make([]core.NodeID, n), tables: make([]any, n), chains: make([]any, n), ports: make([]any, n), shared: make([]any, n),
		clocks: make([]*core.Clock, n), place: s.plan.place,
	}
	c.t.AdvanceIdle(s.plan.idle)
	s.makeClocks(c)
	for _, n := range s.tableNodes {
		c.t.SetPolicy(c.policyOf(n))
		c.tables[n.id] = n.state.make(c)
	}
	for _, n := range s.globalNodes {
		c.tables[n.id] = n.global.make(c)
	}
	for _, n := range s.sourceNodes {
		c.t.SetPolicy(s.plan.sourcePolicies[n.id].core(c.dead))
		if n.source(c); c.passesOn(n) {
			c.t.PassesOn()
		}
	}
	return c.t
}

// passesOn reports whether nothing behind n, up to where records are encoded, keeps a value, or
// what was made of it, for longer than a step.
func (c *compiler) passesOn(n *node) bool {
	return !slices.ContainsFunc(c.nodes[n.id].subs, func(s *node) bool {
		switch s.holds {
		case nothing:
			return false
		case forStep:
			return !c.cut[s.id] && !c.passesOn(s)
		default:
			return true
		}
	})
}

func (c *compiler) policyOf(n *node) core.Policy { return policiesOf(c.nodes[n.id]).core(c.dead) }

// nodeID registers an operator once, though it may be part of a chain and of lookups.
func (c *compiler) nodeID(n *node) core.NodeID {
	if c.ids[n.id] == 0 {
		n := c.nodes[n.id]
		fn := ""
		if len(n.funcs) > 0 {
			fn = n.funcs[0]
		}
		before := c.t.SetPolicy(c.policyOf(n))
		c.ids[n.id] = c.t.Node(n.name, fn) + 1
		c.t.SetPolicy(before)
	}
	return c.ids[n.id] - 1
}

func (c *compiler) sinkID(n *node) core.SinkID { return c.sinks[n.id] }

// topic is the repartition topic behind n.
func (c *compiler) topic(n *node) string { return repartitionTopic(c.app, n.name) }

// chain is what takes the input of n. It is made once, however many lead to it.
func (c *compiler) chain(n *node) any {
	if c.chains[n.id] == nil {
		before := c.t.SetPolicy(c.policyOf(n)) // of the sinks that it registers
		c.chains[n.id] = n.enter(c)
		c.t.SetPolicy(before)
	}
	return c.chains[n.id]
}

// next is the rest of the chain behind n.
func next[K, V any](c *compiler, n *node) core.Next[K, V] {
	var nexts []core.Next[K, V]
	for _, s := range c.takers(n) {
		nexts = append(nexts, c.chain(s).(core.Next[K, V]))
	}
	return core.Fan(nexts...)
}

// changes is the rest of the chain behind a table, or nil where nothing follows.
func changes[K, V any](c *compiler, n *node) core.Next[K, core.Change[V]] {
	if len(c.takers(n)) == 0 {
		return nil
	}
	return next[K, core.Change[V]](c, n)
}

// takers are the nodes behind n that do something with what leaves it. A filter or map of a
// table whose rows are only looked up does nothing with changes.
func (c *compiler) takers(n *node) (takers []*node) {
	for _, s := range c.nodes[n.id].subs {
		if !s.table || s.end || len(c.takers(s)) > 0 {
			takers = append(takers, s)
		}
	}
	return takers
}

func tableOf[K comparable, V any](c *compiler, n *node) *core.Table[K, V] {
	return c.tables[n.id].(*core.Table[K, V])
}
