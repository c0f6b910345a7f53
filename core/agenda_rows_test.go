package core

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
)

// Operators whose rows come due by what is in the rows, or wait for others.

// parkedStr writes headers and value.
type parkedStr struct{}

func (parkedStr) Append(b []byte, p Parked[string]) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(p.Headers.Raw())))
	return append(append(b, p.Headers.Raw()...), p.Value...), nil
}

func (parkedStr) Decode(b []byte) (p Parked[string], err error) {
	n, size := binary.Uvarint(b)
	if n > 0 {
		p.Headers = HeadersOf(append([]byte(nil), b[size:size+int(n)]...))
	}
	p.Value = string(b[size+int(n):])
	return p, nil
}

// reorderedStr is parkedStr, of Reorder.
type reorderedStr struct{ parkedStr }

func (reorderedStr) DueOrder() *DueOrder { return DueByTime() }

// since is the order of rows that begin with 8 bytes of time.
func since() *DueOrder {
	return &DueOrder{InRow: true, Of: func(_, value []byte, _ Time) (at, then Time, ok bool) {
		return Time(binary.BigEndian.Uint64(value)), 0, true
	}}
}

// changeStr writes a time, a flag, the two rows of a change and its headers.
type changeStr struct{}

func (changeStr) append(b []byte, at Time, flag bool, c Change[string], h Headers) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return fmt.Appendf(b, "%v,%v,%s,%v,%s,%x", flag, c.Old.OK, c.Old.Value, c.New.OK, c.New.Value, h.Raw())
}

func (changeStr) decode(b []byte) (at Time, flag bool, c Change[string], h Headers) {
	p := strings.Split(string(b[8:]), ",")
	c = Change[string]{Opt[string]{p[2], p[1] == "true"}, Opt[string]{p[4], p[3] == "true"}}
	if p[5] != "" {
		var raw []byte
		_, _ = fmt.Sscanf(p[5], "%x", &raw)
		h = HeadersOf(raw)
	}
	return Time(binary.BigEndian.Uint64(b)), p[0] == "true", c, h
}

func (changeStr) DueOrder() *DueOrder { return since() }

type heldStr struct{ changeStr }

func (c heldStr) Append(b []byte, h Held[string]) ([]byte, error) {
	return c.append(b, h.Since, false, h.Change, h.Headers), nil
}

func (c heldStr) Decode(b []byte) (h Held[string], err error) {
	h.Since, _, h.Change, h.Headers = c.decode(b)
	return h, nil
}

type pacedStr struct{ changeStr }

func (c pacedStr) Append(b []byte, p Paced[string]) ([]byte, error) {
	return c.append(b, p.Since, p.Waits, p.Change, p.Headers), nil
}

func (c pacedStr) Decode(b []byte) (p Paced[string], err error) {
	p.Since, p.Waits, p.Change, p.Headers = c.decode(b)
	return p, nil
}

// rowsShape is a table whose changes go to what through makes.
func rowsShape(through func(t *Task, next Next[string, Change[string]]) Next[string, Change[string]]) func(*Task) {
	return func(t *Task) {
		tb := NewTable(t, "rows", str{}, str{})
		done := func(v string) bool { return v == "reset" }
		Source(t, "in", str{}, str{}, ToTable(t.Node("rows", ""), tb, done, through(t, TableSink(t, 0, "out", str{}, str{}, nil))))
	}
}

func ttlShape(t *Task) {
	tb := NewTable(t, "rows", str{}, str{})
	out := TableSink(t, 0, "out", str{}, str{}, nil)
	e := NewExpiry(tb, NewClock(t, "rows"), 6, out)
	done := func(v string) bool { return v == "reset" }
	Source(t, "in", str{}, str{}, Expiring(e, ToTable(t.Node("rows", ""), tb, done, out)))
	Source(t, "other", str{}, str{}, Expiring(e, Aggregate(t.Node("more", ""), tb, nil, func(a, v string) string { return (a + v)[:min(4, len(a+v))] }, done, out)))
}

func dedupShape(t *Task) {
	ids := NewTable[KeyID[string, string], Seen](t, "ids", KeyIDCodec[string, string]{str{}, str{}}, SeenCodec{})
	out := Sink(t, 0, "out", str{}, str{}, nil)
	Source(t, "in", str{}, str{}, Deduplicate(t.Node("ids", ""), ids, NewExpiry(ids, NewClock(t, "ids"), 9, nil), func(v string) string { return v }, out))
}

func throttleShape(t *Task) {
	counts := NewTable(t, "counts", str{}, i64{})
	passed, rest := Sink(t, 0, "out", str{}, str{}, nil), Sink(t, 1, "rest", str{}, str{}, nil)
	Source(t, "in", str{}, str{}, Throttle(t.Node("few", ""), counts, NewExpiry(counts, NewClock(t, "few"), 7, nil), 2, passed, rest))
}

func suppressShape(rule Suppress[string]) func(*Task) {
	return rowsShape(func(t *Task, next Next[string, Change[string]]) Next[string, Change[string]] {
		tb := NewTable(t, "held", str{}, heldStr{})
		return SuppressChanges(t.Node("held", ""), tb, NewClock(t, "held"), rule, next)
	})
}

var everyShape = rowsShape(func(t *Task, next Next[string, Change[string]]) Next[string, Change[string]] {
	return EmitEvery(NewTable(t, "paced", str{}, pacedStr{}), NewClock(t, "paced"), 5, next)
})

func reorderShape(t *Task) {
	o := &Reorder[string, string]{Node: t.Node("order", ""), Grace: 6, Clock: NewClock(t, "order"), Next: Sink(t, 0, "out", str{}, str{}, nil)}
	o.Number = func(v string) int64 { return int64(len(v)) } // 0 to 5
	expected := NewTable(t, "expected", str{}, i64{})
	o.Init(expected, NewTable[KeyID[string, int64], Parked[string]](t, "waiting", KeyIDCodec[string, int64]{str{}, i64{}}, reorderedStr{}))
	Source(t, "in", str{}, str{}, o.Step)
}

// waitShape is a join in which records wait, for a row or for a time.
func waitShape(rule Waiting, forRow, versions bool) func(*Task) {
	return func(t *Task) {
		kc := Codec[Timed[string]](ParkedCodec[string]{str{}})
		if forRow {
			kc = WaitingCodec[string]{TimedCodec[string]{str{}}}
		}
		j := &WaitingJoin[string, string, string, string]{
			Waiting: rule, Node: t.Node("join", ""), Inner: !forRow, Clock: NewClock(t, "join"),
			Join: func(v string, row Opt[string]) string { return v + "+" + row.Or("-") }, Next: Sink(t, 0, "out", str{}, str{}, nil),
		}
		wait := NewTable(t, "waiting", kc, Codec[Parked[string]](parkedStr{}))
		var changed Next[string, Change[string]]
		if forRow {
			changed = j.FromTable
		}
		if versions {
			v := NewVersions(t, "rows", Codec[string](str{}), Codec[string](str{}), 12)
			v.Connect(NewClock(t, "rows"), changed)
			j.Table = AsOf(v.Find)
			VersionsSource(t, "rows", v)
		} else {
			rows := NewTable(t, "rows", str{}, str{})
			j.Table = AsOf(rows.Get)
			TableSource(t, "rows", rows, changed)
		}
		j.Init(wait, forRow)
		if forRow {
			Source(t, "in", str{}, str{}, j.FromStream)
		} else {
			Source(t, "in", str{}, str{}, j.FromStreamWithGrace)
		}
	}
}

func init() {
	maps.Copy(bounded, map[string]func(*Task){
		"time to live":       ttlShape,
		"deduplicate":        dedupShape,
		"throttle":           throttleShape,
		"suppress":           suppressShape(Suppress[string]{Wait: 5}),
		"suppress, records":  suppressShape(Suppress[string]{Wait: 9, MaxRecords: 3, Early: true}),
		"suppress, bytes":    suppressShape(Suppress[string]{Wait: 9, MaxBytes: 150, Early: true}),
		"emit every":         everyShape,
		"reorder":            reorderShape,
		"grace":              waitShape(Waiting{Grace: 5}, false, false),
		"grace, records":     waitShape(Waiting{Grace: 9, MaxRecords: 3, Early: true}, false, true),
		"wait":               waitShape(Waiting{Wait: 6}, true, false),
		"wait, records":      waitShape(Waiting{Wait: 9, MaxRecords: 3, Early: true}, true, false),
		"wait, for versions": waitShape(Waiting{Wait: 7}, true, true),
	})
}

// indexed is what a test looks at: how many rows an operator has in memory in the order of their
// times, and in lists by key.
type indexed struct {
	due   func() int
	lists func() int // nil: none
}

// entries is how many are in all lists.
func (b *byKey[K, E]) entries() (n int) {
	for _, lists := range []map[K][]E{b.lists, b.old} {
		for _, l := range lists {
			n += len(l)
		}
	}
	return n
}

// However many rows there are, so many are in memory by time, and twice as many by key, with what
// was written since the last commit. When time has passed, all of them are gone.
func TestRowIndexesAreBounded(t *testing.T) {
	const most, rows, gen, long = 200, 10 * 200, 50, 10 * 2000
	out := 0
	count := func(*Tx, Record[string, string]) { out++ }
	changed := func(*Tx, Record[string, Change[string]]) { out++ }
	for name, shape := range map[string]func(*Task) indexed{
		"time to live": func(t *Task) indexed {
			tb := NewTable(t, "rows", str{}, str{})
			e := NewExpiry(tb, NewClock(t, "rows"), long, changed)
			Source(t, "in", str{}, str{}, Expiring(e, ToTable(t.Node("rows", ""), tb, nil, nil)))
			return indexed{due: e.due.size}
		},
		"deduplicate": func(t *Task) indexed {
			ids := NewTable[KeyID[string, string], Seen](t, "ids", KeyIDCodec[string, string]{str{}, str{}}, SeenCodec{})
			e := NewExpiry(ids, NewClock(t, "ids"), long, nil)
			Source(t, "in", str{}, str{}, Deduplicate(t.Node("ids", ""), ids, e, func(v string) string { return v }, count))
			return indexed{due: e.due.size}
		},
		"throttle": func(t *Task) indexed {
			counts := NewTable(t, "counts", str{}, i64{})
			e := NewExpiry(counts, NewClock(t, "few"), long, nil)
			Source(t, "in", str{}, str{}, Throttle(t.Node("few", ""), counts, e, 2, count, nil))
			return indexed{due: e.due.size}
		},
		"suppress": func(t *Task) indexed {
			s := newSuppress(t.Node("held", ""), NewTable(t, "held", str{}, heldStr{}), NewClock(t, "held"), Suppress[string]{Wait: long}, changed)
			Source(t, "in", str{}, str{}, toChange(s.step))
			return indexed{due: s.held.size}
		},
		"suppress, records": func(t *Task) indexed {
			s := newSuppress(t.Node("held", ""), NewTable(t, "held", str{}, heldStr{}), NewClock(t, "held"), Suppress[string]{Wait: long, MaxRecords: 2 * rows}, changed)
			Source(t, "in", str{}, str{}, toChange(s.step))
			return indexed{due: s.held.size}
		},
		"emit every": func(t *Task) indexed {
			e := newEvery(NewTable(t, "paced", str{}, pacedStr{}), NewClock(t, "paced"), long, changed)
			Source(t, "in", str{}, str{}, toChange(e.step))
			return indexed{due: e.rows.size}
		},
		"reorder": func(t *Task) indexed {
			o := &Reorder[string, string]{Node: t.Node("order", ""), Grace: long, Clock: NewClock(t, "order"), Next: count}
			o.Number = func(string) int64 { return 3 }
			expected := NewTable(t, "expected", str{}, i64{})
			o.Init(expected, NewTable[KeyID[string, int64], Parked[string]](t, "waiting", KeyIDCodec[string, int64]{str{}, i64{}}, reorderedStr{}))
			Source(t, "in", str{}, str{}, o.Step)
			return indexed{o.due.size, o.numbers.entries}
		},
		"grace": func(t *Task) indexed { return waiting(t, Waiting{Grace: long}, false, count) },
		"wait":  func(t *Task) indexed { return waiting(t, Waiting{Wait: long}, true, count) },
		"versions": func(t *Task) indexed {
			v := NewVersions(t, "rows", Codec[string](str{}), Codec[string](str{}), long)
			v.Connect(NewClock(t, "rows"), changed)
			Source(t, "in", str{}, str{}, ToVersions(t.Node("rows", ""), v, nil))
			return indexed{v.due.size, func() int {
				n := 0
				for _, l := range v.times {
					n += len(l)
				}
				return n
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			out = 0
			var in indexed
			world := newWorld(TaskConfig{CacheBytes: most * indexRow}, func(t *Task) { in = shape(t) })
			world.dated = true
			world.open()
			greatest := 0
			step := func(key string, at Time, n int) {
				r := RawRecord{Key: []byte(key), Value: []byte(key), Time: at, Offset: Offset(n)}
				if err := world.task.Step(&Batch{Records: []RawRecord{r}, Next: Offset(n + 1), CaughtUp: true}); err != nil {
					t.Fatal(err)
				}
				if n%gen == gen-1 {
					c, err := world.task.Ready()
					if err != nil {
						t.Fatal(err)
					}
					world.settle(c)
				}
				greatest = max(greatest, in.due())
				if n := in.due(); n > most {
					t.Fatalf("%d rows in the index, at most %d may be", n, most)
				}
				if in.lists != nil && in.lists() > 2*(most+2*gen) {
					t.Fatalf("%d entries by key", in.lists())
				}
			}
			stored := func() (n int) {
				for _, v := range world.views {
					n = max(n, len(v.rows))
				}
				return n
			}
			n := 0
			for ; n < rows; n++ {
				step(strconv.Itoa(n), Time(n), n)
			}
			if stored() != rows || greatest < most/2 {
				t.Fatalf("%d rows are stored, of %d; %d of them were in memory", stored(), rows, greatest)
			}
			if name == "versions" { // those that stay are the last ones
				for ; n < 2*rows; n++ {
					step(strconv.Itoa(n-rows), Time(n), n)
				}
				if stored() != 2*rows {
					t.Fatalf("%d versions, of %d", stored(), 2*rows)
				}
				for ; n%gen != gen-2; n++ {
					step("end", 10*long, n)
				}
				step("end", 10*long, n+1)
				if stored() != rows+1 {
					t.Errorf("%d versions are left", stored())
				}
				return
			}
			for ; n%gen != gen-2; n++ {
				step("end", 10*long, n)
			}
			step("end", 10*long, n+1)
			for i, v := range world.views {
				if len(v.rows) >= gen && (name != "reorder" || i > 0) {
					t.Errorf("%d rows are left in table %d", len(v.rows), i)
				}
			}
			if out < rows {
				t.Errorf("%d results of %d records", out, rows)
			}
		})
	}
}

// toChange makes each value the new row of a change.
func toChange(next Next[string, Change[string]]) Next[string, string] {
	return func(tx *Tx, r Record[string, string]) {
		next(tx, Record[string, Change[string]]{r.Key, Change[string]{New: Some(r.Value)}, r.Time, r.Headers})
	}
}

func waiting(t *Task, rule Waiting, forRow bool, next Next[string, string]) indexed {
	kc := Codec[Timed[string]](ParkedCodec[string]{str{}})
	if forRow {
		kc = WaitingCodec[string]{TimedCodec[string]{str{}}}
	}
	j := &WaitingJoin[string, string, string, string]{
		Waiting: rule, Node: t.Node("join", ""), Clock: NewClock(t, "join"), Next: next,
		Join:  func(v string, _ Opt[string]) string { return v },
		Table: func(*Tx, string, Time) (string, bool) { return "", false },
	}
	j.Init(NewTable(t, "waiting", kc, Codec[Parked[string]](parkedStr{})), forRow)
	if forRow {
		Source(t, "in", str{}, str{}, j.FromStream)
	} else {
		Source(t, "in", str{}, str{}, j.FromStreamWithGrace)
	}
	return indexed{j.wait.due.size, j.wait.by.entries}
}
