package statestore

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
)

// Memory is a DB without a disk. Its rows end with the process; Flush only sets the
// point to which Crash goes back. It is for tests, and for state that may always be read
// again from its changelogs.
type Memory struct {
	mu       sync.Mutex
	registry registry
	tasks    map[core.TaskID]*memTask
	open     map[core.TaskID]*memStore
	globals  map[string]*memGlobal
	closed   bool
}

// NewMemory returns an empty DB. It stays usable after Close: to open it again, go on.
func NewMemory() *Memory {
	return &Memory{registry: newRegistry(), tasks: map[core.TaskID]*memTask{}, open: map[core.TaskID]*memStore{}, globals: map[string]*memGlobal{}}
}

// memTask is what stays of a task when it is closed.
type memTask struct {
	rows  map[uint32]map[string]memRow // by table number
	order map[uint32]*memOrder         // of the tables that were scanned
	due   map[uint32]*memDue           // of the tables that were asked for rows by when they come due
	cp    *storedCheckpoint

	// What Crash brings back: the rows that were changed since the last flush, as they
	// were then, and the checkpoint.
	undo   map[uint32]map[string]memRow
	undoCp *storedCheckpoint
}

type memRow struct {
	value []byte // nil: no such row
	at    core.Time
}

func newMemTask() *memTask {
	return &memTask{rows: map[uint32]map[string]memRow{}, order: map[uint32]*memOrder{}, due: map[uint32]*memDue{}, undo: map[uint32]map[string]memRow{}}
}

// memOrder is a table's keys in order.
type memOrder struct {
	*order
	keys []string // by ref
	free []uint32
}

// memDue is a table's keys in the order in which rows come due, with what that goes by in front.
type memDue struct {
	memOrder
	of *core.DueOrder
}

func (d *memDue) key(k string, r memRow) []byte {
	at, then, _ := d.of.Of([]byte(k), r.value, r.at)
	return append(appendDue(nil, at, then), k...)
}

// byDue makes the order in which a table's rows come due, which is kept from then on.
func (t *memTask) byDue(table uint32, of *core.DueOrder) *memDue {
	d := t.due[table]
	if d == nil {
		d = &memDue{of: of}
		d.init()
		for k, r := range t.rows[table] {
			d.add(string(d.key(k, r)))
		}
		t.due[table] = d
	}
	return d
}

// inOrder makes the order of a table's rows, which is kept from then on.
func (t *memTask) inOrder(table uint32) *memOrder {
	o := t.order[table]
	if o == nil {
		o = &memOrder{}
		o.init()
		for k := range t.rows[table] {
			o.add(k)
		}
		t.order[table] = o
	}
	return o
}

func (o *memOrder) init() {
	o.order = newOrder(func(ref uint32) []byte { return unsafe.Slice(unsafe.StringData(o.keys[ref]), len(o.keys[ref])) })
}

func (o *memOrder) add(k string) {
	ref := uint32(len(o.keys))
	if n := len(o.free); n > 0 {
		ref, o.free = o.free[n-1], o.free[:n-1]
		o.keys[ref] = k
	} else {
		o.keys = append(o.keys, k)
	}
	o.set([]byte(k), ref)
}

func (o *memOrder) drop(k []byte) {
	if ref, ok := o.remove(k); ok {
		o.keys[ref] = ""
		o.free = append(o.free, ref)
	}
}

func (t *memTask) set(table uint32, key []byte, r memRow) {
	rows, undo := t.rows[table], t.undo[table]
	if _, ok := undo[string(key)]; !ok {
		undo[string(key)] = rows[string(key)]
	}
	o := t.order[table]
	old, ok := rows[string(key)]
	if due := t.due[table]; due != nil && (!ok || r.value == nil || due.of.InRow) {
		if ok {
			due.drop(due.key(string(key), old))
		}
		if r.value != nil {
			due.add(string(due.key(string(key), r)))
		}
	}
	if r.value == nil {
		if delete(rows, string(key)); o != nil {
			o.drop(key)
		}
		return
	}
	if !ok && o != nil {
		o.add(string(key))
	}
	rows[string(key)] = r
}

func (t *memTask) flush() {
	for _, undo := range t.undo {
		clear(undo)
	}
	if !invariant.Bug("a flush does not keep its checkpoint") {
		t.undoCp = t.cp
	}
}

func (t *memTask) crash() {
	for n, undo := range t.undo {
		if len(undo) > 0 {
			invariant.Sometimes("statestore: a crash takes rows back")
		}
		for k, r := range undo {
			if r.value == nil {
				delete(t.rows[n], k)
			} else {
				t.rows[n][k] = r
			}
		}
		clear(undo)
	}
	clear(t.order)
	clear(t.due)
	if !invariant.Bug("a crash leaves a newer checkpoint than the rows") {
		t.cp = t.undoCp
	}
}

// Crash drops what was not flushed, and closes all stores without a flush. The DB is open
// again.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.open {
		s.closed = true
	}
	clear(m.open)
	for _, t := range m.tasks {
		t.crash()
	}
	for _, g := range m.globals {
		g.end((*memTask).crash)
	}
	m.closed = false
}

// Reopen opens the DB again after Close.
func (m *Memory) Reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
}

// Open opens the task's tables.
func (m *Memory) Open(id core.TaskID, tables []TableSpec) (Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if m.open[id] != nil {
		return nil, fmt.Errorf("%w: %v", ErrBusy, id)
	}
	const where = "the store"
	ids, added, err := m.registry.resolve(tables, where)
	if err != nil {
		return nil, fmt.Errorf("task %v: %w", id, err)
	}
	s := &memStore{db: m, id: id, specs: slices.Clone(tables), ids: ids, task: m.tasks[id]}
	if s.task == nil {
		s.task = newMemTask()
	}
	if s.task.cp != nil {
		if s.cp, err = s.task.cp.forTables(id, ids, &m.registry, where); err != nil {
			return nil, err
		}
		invariant.Sometimes("statestore: a task finds rows")
	}
	for _, e := range added {
		m.registry.add(e)
	}
	for _, n := range ids {
		if s.task.rows[n] == nil {
			s.task.rows[n], s.task.undo[n] = map[string]memRow{}, map[string]memRow{}
		}
	}
	m.tasks[id] = s.task
	m.open[id] = s
	return s, nil
}

// Tasks returns the tasks that have state.
func (m *Memory) Tasks() []core.TaskID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []core.TaskID
	for id, t := range m.tasks {
		if t.cp != nil {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareTasks)
	return ids
}

// Flush sets the point to which Crash goes back.
func (m *Memory) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		t.flush()
	}
	for _, g := range m.globals {
		g.mu.Lock()
		g.task.flush()
		g.mu.Unlock()
	}
	return nil
}

// Close flushes and closes all stores.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	for _, t := range m.tasks {
		t.flush()
	}
	for _, s := range m.open {
		s.closed = true
	}
	clear(m.open)
	for _, g := range m.globals {
		g.end((*memTask).flush)
	}
	return nil
}

// Metrics counts the open tasks.
func (m *Memory) Metrics() Metrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Metrics{Open: len(m.open)}
}

type memStore struct {
	db     *Memory
	id     core.TaskID
	specs  []TableSpec
	ids    []uint32
	task   *memTask
	cp     Checkpoint
	closed bool

	key, value []byte // of Scan
}

func (s *memStore) err() error {
	if s.closed {
		return fmt.Errorf("%w: task %v", ErrClosed, s.id)
	}
	return nil
}

func (s *memStore) View(t core.TableID) core.View { return memView{s, t, s.ids[t]} }

type memView struct {
	store *memStore
	id    core.TableID
	table uint32
}

func (v memView) Get(key, buf []byte) ([]byte, core.Time, bool, error) {
	if err := v.store.err(); err != nil {
		return buf, 0, false, err
	}
	r, ok := v.store.task.rows[v.table][string(key)]
	return append(buf, r.value...), r.at, ok, nil
}

// Scan is the store's, of this table.
func (v memView) Scan(lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	return v.store.Scan(v.id, lo, hi, f)
}

// Due implements core.Dated.
func (v memView) Due(at, then core.Time, key []byte, f func(key []byte, at, then core.Time) bool) (bool, error) {
	s := v.store
	of := s.specs[v.id].DueOf
	if err := s.err(); err != nil || of == nil {
		return false, err
	}
	d := s.task.byDue(v.table, of)
	for n := d.seek(append(appendDue(nil, at, then), key...)); n != 0; n = d.next(n) {
		s.key = append(s.key[:0], d.keys[d.ref(n)]...)
		if at, then := splitDue(s.key); !f(s.key[dueLen:], at, then) {
			break
		}
	}
	return true, nil
}

// LastDue implements core.Dated. It walks all rows.
func (v memView) LastDue() (core.Time, bool, error) {
	s := v.store
	of := s.specs[v.id].DueOf
	if err := s.err(); err != nil || of == nil {
		return 0, false, err
	}
	last := core.NoTime
	for k, r := range s.task.rows[v.table] {
		at, _, _ := of.Of([]byte(k), r.value, r.at)
		last = max(last, at)
	}
	return last, true, nil
}

func (s *memStore) Checkpoint() (Checkpoint, bool) {
	if s.task.cp == nil {
		return Checkpoint{}, false
	}
	return s.cp.Clone(), true
}

func (s *memStore) Apply(writes []core.Write, cp Checkpoint) error {
	if err := s.err(); err != nil {
		return err
	}
	if _, err := checkApply(s.id, s.specs, writes, &cp); err != nil {
		return err
	}
	for i := range writes {
		w := &writes[i]
		r := memRow{at: w.Time}
		if w.Value != nil {
			r.value = append(make([]byte, 0, len(w.Value)), w.Value...) // never nil
		}
		s.task.set(s.ids[w.Table], w.Key, r)
	}
	s.cp.set(&cp)
	stored := &storedCheckpoint{changelog: map[uint32]core.Offset{}, cp: cp.Clone()}
	for i, n := range s.ids {
		stored.changelog[n] = cp.Changelog[i]
	}
	s.db.mu.Lock() // Tasks looks at it
	s.task.cp = stored
	s.db.mu.Unlock()
	return nil
}

func (s *memStore) Scan(t core.TableID, lo, hi []byte, f func(key, value []byte, at core.Time) bool) error {
	if err := s.err(); err != nil {
		return err
	}
	rows, o := s.task.rows[s.ids[t]], s.task.inOrder(s.ids[t])
	for n := o.seek(lo); n != 0; n = o.next(n) {
		k := o.keys[o.ref(n)]
		if hi != nil && k >= string(hi) {
			break
		}
		s.key = append(s.key[:0], k...)
		r := rows[k]
		s.value = append(s.value[:0], r.value...)
		if !f(s.key, s.value, r.at) {
			break
		}
	}
	return nil
}

func (s *memStore) Reset() error {
	if err := s.err(); err != nil {
		return err
	}
	invariant.Sometimes("statestore: the rows of a task are dropped")
	for n, rows := range s.task.rows {
		if invariant.Bug("a reset keeps the rows") {
			break
		}
		for k := range rows {
			s.task.set(n, []byte(k), memRow{})
		}
	}
	s.cp = Checkpoint{}
	s.db.mu.Lock()
	s.task.cp = nil
	s.db.mu.Unlock()
	return nil
}

func (s *memStore) Bulk(bool) {}

func (s *memStore) Flush() error {
	if err := s.err(); err != nil {
		return err
	}
	s.task.flush()
	return nil
}

func (s *memStore) Close() error {
	if err := s.Flush(); err != nil {
		return err
	}
	s.closed = true
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	delete(s.db.open, s.id)
	return nil
}
