package statestore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// formatVersion is the version of all that this package writes; docs/format.md says what
// it means. Change both together.
const formatVersion = 3

// checkpointVersion is that of a checkpoint's bytes. Version 1 ends behind the wall clock.
const checkpointVersion = 2

// meta says what a store is. It is JSON, so that a human can read it.
type meta struct {
	Format   int    `json:"format"`
	App      string `json:"app"`
	Topology string `json:"topology,omitempty"` // whose it is
}

func parseMeta(where string, b []byte) (m meta, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: %s: meta record %q: %w", ErrCorrupt, where, b, atByte(err))
	}
	return m, nil
}

// atByte is an error of encoding/json that says how far it came.
func atByte(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	case errors.As(err, &typ):
		return fmt.Errorf("byte %d: %w", typ.Offset, err)
	}
	return err
}

// check compares the meta record on disk with what the process is.
func (m *meta) check(where, app, topology string) error {
	if m.Format > formatVersion || m.Format < 1 {
		return fmt.Errorf("%w: %s has version %d, this program knows %d: run the program that wrote it, or delete the directory (the rows are read again from the changelogs)",
			ErrVersion, where, m.Format, formatVersion)
	}
	if m.App != app {
		return fmt.Errorf("%w: %s is the store of %q, this is %q: give each application a directory of its own",
			ErrApp, where, m.App, app)
	}
	if m.Topology != "" && topology != "" && m.Topology != topology {
		return fmt.Errorf("%w: %s was written by the topology %q of %q, this is %q: give each topology an application id and a directory of its own, or delete the directory (the rows are read again from the changelogs)",
			ErrApp, where, m.Topology, app, topology)
	}
	return nil
}

// tableEntry is a table as the registry knows it.
type tableEntry struct {
	ID     uint32 `json:"id"`
	Schema string `json:"schema"`
	Due    bool   `json:"due,omitempty"` // its rows are in the order in which they come due, too
	name   string
}

// registry gives each table name a number for good, whatever its place in a topology.
type registry struct {
	byName map[string]tableEntry
	next   uint32 // 0 is the checkpoint
}

func newRegistry() registry { return registry{byName: map[string]tableEntry{}, next: 1} }

func (r *registry) add(e tableEntry) {
	r.byName[e.name] = e
	r.next = max(r.next, e.ID+1)
}

func (r *registry) load(name string, value []byte) error {
	e := tableEntry{name: name}
	if err := json.Unmarshal(value, &e); err != nil {
		return fmt.Errorf("%w: registry entry of table %q: %q: %w", ErrCorrupt, name, value, atByte(err))
	}
	if e.ID == 0 || e.ID >= 1<<31-1 { // the highest bit marks another order
		return fmt.Errorf("%w: registry entry of table %q: byte 0: no number that a table has: %q", ErrCorrupt, name, value)
	}
	r.add(e)
	return nil
}

// nameOf returns the name of the table with that number.
func (r *registry) nameOf(id uint32) string {
	for name, e := range r.byName {
		if e.ID == id {
			return name
		}
	}
	return fmt.Sprintf("(unknown, number %d)", id)
}

// resolve returns the numbers of the tables, and what must be added to the registry for
// them; it does not add it. topology names the one on disk, where refers to the place.
func (r *registry) resolve(tables []TableSpec, where string) (ids []uint32, added []tableEntry, err error) {
	next := r.next
	seen := map[string]bool{}
	for _, t := range tables {
		if t.Name == "" || seen[t.Name] {
			return nil, nil, fmt.Errorf("statestore: table name %q is empty or used twice", t.Name)
		}
		seen[t.Name] = true
		e, ok := r.byName[t.Name]
		switch {
		case !ok:
			e = tableEntry{ID: next, Schema: t.Schema, Due: t.DueOf != nil, name: t.Name}
			next++
			added = append(added, e)
		case e.Schema != t.Schema:
			return nil, nil, fmt.Errorf("%w: table %q: stored as %q, the topology says %q: "+
				"give the new shape a new table name, or go back to the old one; with changelogs in the new shape, delete %s",
				ErrSchema, t.Name, e.Schema, t.Schema, where)
		case e.Due && t.DueOf == nil:
			return nil, nil, fmt.Errorf("%w: table %q: its rows are stored in the order in which they come due, and this program does not know when: delete %s",
				ErrSchema, t.Name, where)
		}
		ids = append(ids, e.ID)
	}
	return ids, added, nil
}

// dated returns the tables without DueOf where rows were stored before they had that order.
func (r *registry) dated(tables []TableSpec) []TableSpec {
	tables = slices.Clone(tables)
	for i := range tables {
		if e, ok := r.byName[tables[i].Name]; ok && !e.Due {
			tables[i].DueOf = nil
		}
	}
	return tables
}

// storedCheckpoint is a checkpoint by table number instead of a topology's table order.
type storedCheckpoint struct {
	changelog map[uint32]core.Offset
	cp        Checkpoint // without Changelog
}

// forTables puts the stored checkpoint in the order of ids. Each table on disk must be
// among them; one that is not on disk yet has -1.
func (s *storedCheckpoint) forTables(id core.TaskID, ids []uint32, r *registry, where string) (Checkpoint, error) {
	cp := s.cp.Clone()
	cp.Changelog = make([]core.Offset, len(ids))
	left := maps.Clone(s.changelog)
	for i, n := range ids {
		if off, ok := left[n]; ok {
			cp.Changelog[i] = off
			delete(left, n)
		} else {
			cp.Changelog[i] = -1
		}
	}
	if len(left) > 0 {
		var names []string
		for n := range left {
			names = append(names, fmt.Sprintf("%q", r.nameOf(n)))
		}
		slices.Sort(names)
		return cp, fmt.Errorf("%w: task %v has rows of table %s, which the topology does not have: "+
			"put it back, or delete %s (the other tables are read again from their changelogs)",
			ErrSchema, id, strings.Join(names, ", "), where)
	}
	return cp, nil
}

// appendCheckpoint encodes cp: a version byte, then varints; docs/format.md.
func appendCheckpoint(b []byte, cp *Checkpoint, ids []uint32) []byte {
	b = append(b, checkpointVersion)
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
		b = binary.AppendVarint(b, int64(cp.Changelog[i]))
	}
	b = binary.AppendUvarint(b, uint64(len(cp.Input)))
	for _, o := range cp.Input {
		b = binary.AppendVarint(b, int64(o))
	}
	b = binary.AppendUvarint(b, uint64(len(cp.Times)))
	for _, t := range cp.Times {
		b = binary.AppendVarint(b, int64(t))
	}
	b = binary.AppendVarint(b, int64(cp.Wall))
	b = binary.AppendUvarint(b, uint64(len(cp.Topics)))
	for _, t := range cp.Topics {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.Name)), uint64(t.ID))
	}
	return b
}

// parseCheckpoint is the reverse. Any b that appendCheckpoint did not make is ErrCorrupt.
func parseCheckpoint(b []byte) (*storedCheckpoint, error) {
	if len(b) > 0 && b[0] > checkpointVersion {
		return nil, fmt.Errorf("%w: checkpoint: byte 0: version %d", ErrVersion, b[0])
	}
	r := varints{b: b, ok: len(b) > 0 && b[0] > 0}
	if r.ok {
		r.b = b[1:]
	}
	s := &storedCheckpoint{changelog: map[uint32]core.Offset{}}
	for n := r.count(); n > 0 && r.ok; n-- {
		id := r.uvarint()
		if id == 0 || id > 1<<32-1 {
			r.ok = false
		}
		s.changelog[uint32(id)] = core.Offset(r.varint())
	}
	for n := r.count(); n > 0 && r.ok; n-- {
		s.cp.Input = append(s.cp.Input, core.Offset(r.varint()))
	}
	for n := r.count(); n > 0 && r.ok; n-- {
		s.cp.Times = append(s.cp.Times, core.Time(r.varint()))
	}
	s.cp.Wall = core.Time(r.varint())
	if r.ok && b[0] > 1 {
		for n := r.count(); n > 0 && r.ok; n-- {
			name, id := r.uvarint(), r.uvarint()
			r.ok = r.ok && max(name, id) < 1<<32
			s.cp.Topics = append(s.cp.Topics, TopicMark{uint32(name), uint32(id)})
		}
	}
	if !r.ok || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: checkpoint: byte %d of %x", ErrCorrupt, len(b)-len(r.b), b)
	}
	return s, nil
}

// varints reads a run of them; ok turns false for good at the first that is none.
type varints struct {
	b  []byte
	ok bool
}

func (r *varints) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	return uint64(r.step(int64(v), n))
}

func (r *varints) varint() int64 {
	v, n := binary.Varint(r.b)
	return r.step(v, n)
}

func (r *varints) step(v int64, n int) int64 {
	if n <= 0 || !r.ok {
		r.ok = false
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items follow, each of a byte at least.
func (r *varints) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.ok = false
	}
	if !r.ok {
		return 0
	}
	return int(n)
}
