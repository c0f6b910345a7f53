package topologytest

import (
	"fmt"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
)

// global is a global table of a topology: the rows that all its tasks see. They move before
// a sub-topology begins to run, when everything of the topology is committed: so a record
// meets all updates that were sent before it, and none that were sent later, in whatever way
// the scenario is run.
type global struct {
	spec  *topology.GlobalSpec
	topic *topic
	store store
	at    []core.Offset // by partition
}

// openGlobals reads the topics of all global tables.
func (a *app) openGlobals() {
	for _, g := range a.globals {
		g.store.rows = map[string]row{}
		g.at = make([]core.Offset, len(g.topic.parts))
	}
	a.moveGlobals(true)
}

// moveGlobals reads what was appended to the topics, and tells all tasks.
func (a *app) moveGlobals(all bool) {
	for i, g := range a.globals {
		var changed [][]byte
		for p, log := range g.topic.parts {
			for _, r := range log[g.at[p]:] {
				if r.Key == nil {
					continue
				}
				key := r.Key
				if g.spec.Key != nil {
					var err error
					if key, err = g.spec.Key(nil, r.Key); err != nil {
						a.stopped = fmt.Errorf("%w: topic %s, partition %d, offset %d: key: %w", core.ErrDecode, g.topic.name, p, r.Offset, err)
						return
					}
				}
				g.store.put(key, r.Value, r.Time)
				changed = append(changed, key)
			}
			g.at[p] = core.Offset(len(log))
		}
		if len(changed) == 0 && !all {
			continue
		}
		for _, t := range a.tasks {
			for id, tg := range t.sub.Globals {
				if tg.Index == i {
					t.core.Move(core.GlobalMove{Global: core.GlobalID(id), At: g.at, Changed: changed, All: all})
				}
			}
		}
	}
}

// globalNamed is the global table of that name, or nil.
func (a *app) globalNamed(name string) *global {
	for _, g := range a.globals {
		if g.spec.Topic == name {
			return g
		}
	}
	return nil
}
