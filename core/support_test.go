package core

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// str is the codec of strings; a value that begins with "bad" does not decode, one that
// begins with "null" is written as null, and "unwritable" is not written.
type str struct{}

func (str) Append(b []byte, s string) ([]byte, error) {
	switch {
	case s == "unwritable":
		return nil, fmt.Errorf("%q cannot be written", s)
	case strings.HasPrefix(s, "null"):
		return nil, nil
	case s == "panic in codec":
		panic(s)
	}
	return append(b, s...), nil
}

func (str) Decode(b []byte) (string, error) {
	if bytes.HasPrefix(b, []byte("bad")) {
		return "", fmt.Errorf("%q is bad", b)
	}
	return string(b), nil
}

// optStr is str with null.
type optStr struct{}

func (optStr) DecodesNull() {}

func (optStr) Append(b []byte, s Opt[string]) ([]byte, error) {
	if !s.OK {
		return nil, nil
	}
	return append(b, s.Value...), nil
}

func (optStr) Decode(b []byte) (Opt[string], error) { return Opt[string]{string(b), b != nil}, nil }

// list is a codec of slices, whose values can be changed in place.
type list struct{}

func (list) Append(b []byte, l []string) ([]byte, error) {
	return append(b, strings.Join(l, ",")...), nil
}

func (list) Decode(b []byte) ([]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	return strings.Split(string(b), ","), nil
}

// memView is the committed state of one table.
type memView struct {
	rows map[string]memRow
	err  error // of Get, if any
	due  *DueOrder
}

type memRow struct {
	value string
	at    Time
}

func (v *memView) Get(key, buf []byte) ([]byte, Time, bool, error) {
	if v.err != nil {
		return nil, 0, false, v.err
	}
	r, ok := v.rows[string(key)]
	return append(buf, r.value...), r.at, ok, nil
}

func (v *memView) Scan(lo, hi []byte, f func(key, value []byte, at Time) bool) error {
	if v.err != nil {
		return v.err
	}
	var keys []string
	for k := range v.rows {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if r := v.rows[k]; !f([]byte(k), []byte(r.value), r.at) {
			break
		}
	}
	return nil
}

// inDueOrder are the keys in the order of Dated.
func (v *memView) inDueOrder() (list []dueKey[string]) {
	for k, r := range v.rows {
		at, then, _ := v.due.Of([]byte(k), []byte(r.value), r.at)
		list = append(list, dueKey[string]{at, then, k})
	}
	slices.SortFunc(list, func(a, b dueKey[string]) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.then, b.then), cmp.Compare(a.key, b.key))
	})
	return list
}

func (v *memView) Due(at, then Time, key []byte, f func(key []byte, at, then Time) bool) (bool, error) {
	if v.due == nil || v.err != nil {
		return false, v.err
	}
	for _, e := range v.inDueOrder() {
		if cmp.Or(cmp.Compare(e.at, at), cmp.Compare(e.then, then), cmp.Compare(e.key, string(key))) >= 0 && !f([]byte(e.key), e.at, e.then) {
			break
		}
	}
	return true, nil
}

func (v *memView) LastDue() (Time, bool, error) {
	if v.due == nil || v.err != nil {
		return NoTime, false, v.err
	}
	if list := v.inDueOrder(); len(list) > 0 {
		return list[len(list)-1].at, true, nil
	}
	return NoTime, true, nil
}

func (v *memView) apply(w Write) {
	if w.Value == nil {
		delete(v.rows, string(w.Key))
		return
	}
	v.rows[string(w.Key)] = memRow{string(w.Value), w.Time}
}

// String lists the rows by key.
func (v *memView) String() string {
	var lines []string
	for k, r := range v.rows {
		lines = append(lines, fmt.Sprintf("%q -> %q @%d\n", k, r.value, r.at))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// world is what lies around a task: it makes commits durable.
type world struct {
	attach  func(*Task) // attaches sources and tables
	cfg     TaskConfig
	views   []*memView
	task    *Task
	dated   bool     // views find rows by time, where their keys or rows say it
	outputs []string // of all commits, as text
	next    []Offset
}

// dueOrder is the order that a topology would tell a store of.
func (t *Table[K, V]) dueOrder() *DueOrder {
	if c, ok := t.vc.(interface{ DueOrder() *DueOrder }); ok {
		return c.DueOrder()
	}
	if t.expiry != nil {
		return DueByTime()
	}
	return DueOf(t.kc)
}

func newWorld(cfg TaskConfig, attach func(*Task)) *world {
	w := &world{attach: attach, cfg: cfg}
	w.cfg.App = "app"
	w.open()
	return w
}

// open makes the task from what is durable.
func (w *world) open() {
	cfg := w.cfg
	cfg.Resume = w.next
	cfg.View = func(id TableID) View {
		for int(id) >= len(w.views) {
			w.views = append(w.views, &memView{rows: map[string]memRow{}})
		}
		return w.views[id]
	}
	w.task = NewTask(cfg)
	w.attach(w.task)
	for i, tb := range w.task.tables {
		if d, ok := tb.(interface{ dueOrder() *DueOrder }); ok && w.dated {
			w.views[i].due = d.dueOrder()
		}
	}
	if w.next == nil {
		w.next = make([]Offset, len(w.task.sources))
	}
}

// one is a batch of the next record of the first source.
func (w *world) one(key, value string, at Time) *Batch {
	next := w.task.sources[0].tail
	return &Batch{Next: next + 1, CaughtUp: true, Records: []RawRecord{{Key: []byte(key), Value: []byte(value), Offset: next, Time: at}}}
}

// ready is the commit of what the task has done since the last one.
func (w *world) ready(t rapid.TB) *Commit {
	t.Helper()
	c, err := w.task.Ready()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settle makes a commit durable.
func (w *world) settle(c *Commit) {
	for _, line := range strings.Split(c.String(), "\n") {
		if strings.HasPrefix(line, "  out ") {
			w.outputs = append(w.outputs, line[2:])
		}
	}
	for _, wr := range c.Writes {
		w.views[wr.Table].apply(wr)
	}
	w.next = slices.Clone(c.Next)
	w.cfg.Times = slices.Clone(c.Times)
	w.task.Advance()
}

// state is everything durable, as text.
func (w *world) state() string {
	var b strings.Builder
	for _, o := range w.outputs {
		b.WriteString(o + "\n")
	}
	for i, v := range w.views {
		fmt.Fprintf(&b, "table %d\n%v", i, v)
	}
	fmt.Fprintf(&b, "next %v times %v\n", w.next, w.cfg.Times)
	return b.String()
}

// chain is a task with all operators that keep state in it: a table, a stream that is
// joined with it, folded and split, and rekeyed within the task.
func chain(t *Task) {
	customers := NewTable(t, "customers", str{}, str{})
	counts := NewTable(t, "counts", str{}, str{})
	seen := NewTable(t, "seen", str{}, list{})
	joined := Sink(t, 0, "joined", str{}, str{}, nil)
	changes := TableSink(t, 1, "changes", str{}, str{}, nil)
	longest := Sink(t, 2, "emitted", str{}, str{}, nil)
	TableSource(t, "customers", customers, FilterTable(t.Node("filter", ""), func(s string) bool { return len(s) != 1 }, false, changes))
	Source(t, "orders", str{}, str{}, Fan(
		LeftJoin(t.Node("join", ""), customers.Get, func(v string, c Opt[string]) string { return v + "+" + c.Or("?") }, joined),
		Aggregate(t.Node("counts", ""), counts, nil, func(a, v string) string { return a + v[:min(1, len(v))] },
			func(a string) bool { return len(a) > 3 }, changes),
		Process(t.Node("seen", ""), seen, func(s []string, v string, out *Out[string]) []string {
			if v == "reset" {
				return nil
			}
			out.Emit(v + "#" + out.ID())
			if len(s) > 2 {
				out.EmitAt(7, strings.Join(s, ";"))
			}
			return append(s[:len(s):len(s)], v)
		}, func(s []string) bool { return len(s) == 0 }, longest, nil),
	))
}
