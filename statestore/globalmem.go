package statestore

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/seed-81380e12/limpet/core"
)

// memGlobal is a Global of a Memory. A version has the rows as they were that were changed
// since it was taken; the others are the table's.
type memGlobal struct {
	db   *Memory
	name string

	mu   sync.RWMutex
	task *memTask // its one table is 0
	live map[*memVersion]bool
	open bool
}

// OpenGlobal opens the rows of a global table.
func (m *Memory) OpenGlobal(spec TableSpec) (Global, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	_, added, err := m.registry.resolve([]TableSpec{spec}, "the store")
	if err != nil {
		return nil, fmt.Errorf("global table: %w", err)
	}
	g := m.globals[spec.Name]
	if g == nil {
		g = &memGlobal{db: m, name: spec.Name, task: newMemTask(), live: map[*memVersion]bool{}}
		g.task.rows[0], g.task.undo[0] = map[string]memRow{}, map[string]memRow{}
		m.globals[spec.Name] = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return nil, fmt.Errorf("%w: global table %q", ErrBusy, spec.Name)
	}
	for _, e := range added {
		m.registry.add(e)
	}
	g.open = true
	return g, nil
}

// end closes the table as the DB closes or crashes.
func (g *memGlobal) end(what func(*memTask)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	what(g.task)
	g.open = false
	clear(g.live)
}

// err is for those who hold mu.
func (g *memGlobal) err() error {
	if !g.open {
		return fmt.Errorf("%w: global table %q", ErrClosed, g.name)
	}
	return nil
}

func (g *memGlobal) Checkpoint() (Checkpoint, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.task.cp == nil {
		return Checkpoint{}, false
	}
	return g.task.cp.cp.Clone(), true
}

// set changes a row, and lets the versions keep the old one.
func (g *memGlobal) set(key []byte, r memRow) {
	for v := range g.live {
		if _, ok := v.old[string(key)]; !ok {
			v.old[string(key)] = g.task.rows[0][string(key)]
		}
	}
	g.task.set(0, key, r)
}

func (g *memGlobal) Apply(writes []core.Write, cp Checkpoint) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.err(); err != nil {
		return err
	}
	if err := checkGlobal(g.name, writes); err != nil {
		return err
	}
	for i := range writes {
		w := &writes[i]
		r := memRow{at: w.Time}
		if w.Value != nil {
			r.value = append(make([]byte, 0, len(w.Value)), w.Value...) // never nil
		}
		g.set(w.Key, r)
	}
	stored := Checkpoint{Input: cp.Input, Wall: cp.Wall, Topics: cp.Topics}
	g.task.cp = &storedCheckpoint{cp: stored.Clone()}
	return nil
}

func (g *memGlobal) Reset() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.err(); err != nil {
		return err
	}
	for k := range g.task.rows[0] {
		g.set([]byte(k), memRow{})
	}
	g.task.cp = nil
	return nil
}

func (g *memGlobal) Version() (GlobalVersion, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.err(); err != nil {
		return nil, err
	}
	v := &memVersion{g: g, old: map[string]memRow{}}
	g.live[v] = true
	return v, nil
}

func (g *memGlobal) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.err(); err != nil {
		return err
	}
	if n := len(g.live); n > 0 {
		panic(fmt.Sprintf("statestore: global table %q is closed with %d versions in use", g.name, n))
	}
	g.open = false
	return nil
}

type memVersion struct {
	g   *memGlobal
	old map[string]memRow
}

func (v *memVersion) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	v.g.mu.RLock()
	defer v.g.mu.RUnlock()
	r, ok := v.old[string(key)]
	if !ok {
		r = v.g.task.rows[0][string(key)]
	}
	return append(buf, r.value...), r.at, r.value != nil, nil
}

// Scan holds no lock while it calls f.
func (v *memVersion) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	v.g.mu.RLock()
	rows := map[string]memRow{}
	var keys []string
	for _, from := range []map[string]memRow{v.g.task.rows[0], v.old} {
		for k, r := range from {
			if k < string(lo) || hi != nil && k >= string(hi) {
				continue
			}
			if _, ok := rows[k]; !ok {
				keys = append(keys, k)
			}
			rows[k] = r
		}
	}
	v.g.mu.RUnlock()
	slices.Sort(keys)
	for _, k := range keys {
		if r := rows[k]; r.value != nil && !f([]byte(k), bytes.Clone(r.value), r.at) {
			break
		}
	}
	return nil
}

func (v *memVersion) Release() {
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	delete(v.g.live, v)
}
