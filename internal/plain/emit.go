package plain

import "encoding/binary"

// held is a change that is held back.
type held struct {
	since  Time // by which it goes on
	waits  bool
	change Change // its old row is as it last went on
}

// firstDue is the key of the change that goes on first: by since, then by key.
func firstDue(m map[Key]*held, until Time) (k Key, ok bool) {
	for _, o := range sorted(m) {
		if h := m[o]; h.since <= until && (!ok || h.since < m[k].since) {
			k, ok = o, true
		}
	}
	return k, ok
}

// asWent is how a row is found of which changes are held back: as it last went on, with the time of the change that is held.
func (t *Task) asWent(tb, out Table, waiting func(k Key) (Change, bool)) {
	t.look(out, func(k Key, asOf Time) (Row, bool) {
		if c, ok := waiting(k); ok {
			return Row{c.Old.Value, c.Time}, c.Old.OK
		}
		return t.rowAsOf(tb, k, asOf)
	})
}

// EmitEvery passes on the first change of a row, then the last one of each d.
func (p *Topology) EmitEvery(tb Table, d Time) Table {
	out := p.table(tb)
	p.add(func(t *Task) {
		at, rows := Time(-1), map[Key]*held{}
		t.asWent(tb, out, func(k Key) (Change, bool) {
			if h := rows[k]; h != nil && h.waits {
				return h.change, true
			}
			return Change{}, false
		})
		due := func() {
			for {
				k, ok := firstDue(rows, at-d)
				if !ok {
					return
				}
				h := rows[k]
				if !h.waits || !h.change.Old.OK && !h.change.New.OK {
					delete(rows, k)
					continue
				}
				rows[k] = &held{since: at}
				t.letGo(func() { t.change(out, h.change) })
			}
		}
		t.follow(tb, func(c Change) {
			at = max(at, c.Time)
			h := rows[c.Key]
			if h != nil {
				now := c
				if h.waits {
					now.Old = h.change.Old
				}
				rows[c.Key] = &held{h.since, true, now}
			}
			due()
			if h == nil {
				rows[c.Key] = &held{since: at}
				t.change(out, c)
			}
		})
		t.onPass(func(to Time) {
			at = max(at, to)
			due()
		})
	})
	return out
}

// EmitPerCommit passes on the last change of each row when the task commits.
func (p *Topology) EmitPerCommit(tb Table) Table {
	out := p.table(tb)
	p.add(func(t *Task) {
		type waiting struct {
			Change
			of hand
		}
		var list []waiting
		find := func(k Key) int {
			for i, w := range list {
				if w.Key == k {
					return i
				}
			}
			return -1
		}
		t.asWent(tb, out, func(k Key) (Change, bool) {
			if i := find(k); i >= 0 {
				return list[i].Change, true
			}
			return Change{}, false
		})
		t.follow(tb, func(c Change) {
			if i := find(c.Key); i >= 0 {
				c.Old = list[i].Old
				list[i] = waiting{c, t.hand}
			} else {
				list = append(list, waiting{c, t.hand})
			}
		})
		t.onCommit(func() {
			for len(list) > 0 {
				w := list[0]
				list = list[1:]
				if w.Old.OK || w.New.OK {
					t.hand.topic, t.hand.offset = w.of.topic, w.of.offset
					t.change(out, w.Change)
				}
			}
		})
	})
	return out
}

// Suppressed says when what is held back goes on: Wait after the first change, or, with End, after the row's window has
// ended; and what may be held back until then, where it is not 0.
type Suppressed struct {
	Wait    Time
	End     func(Key) Time
	Records int
	Bytes   int
}

// UntilClosed is what is in windows that have closed; the end of sliding ones and of sessions belongs to them, and these may grow.
func UntilClosed(w Windowing) Suppressed {
	s := Suppressed{Wait: w.Grace, End: func(k Key) Time { return k.End }}
	if w.Kind == Session {
		s.Wait += w.Size
	}
	return s
}

// Suppress holds changes back; the last one of each row goes on.
func (p *Topology) Suppress(tb Table, s Suppressed) Table {
	out := p.table(tb)
	p.add(func(t *Task) {
		at, rows := Time(-1), map[Key]*held{}
		t.asWent(tb, out, func(k Key) (Change, bool) {
			if h := rows[k]; h != nil {
				return h.change, true
			}
			return Change{}, false
		})
		goOn := func(k Key) {
			h := rows[k]
			delete(rows, k)
			if s.End == nil || h.change.New.OK {
				t.letGo(func() { t.change(out, h.change) })
			}
		}
		due := func() {
			for {
				k, ok := firstDue(rows, at-s.Wait)
				if !ok {
					return
				}
				goOn(k)
			}
		}
		full := func() bool {
			bytes := 0
			for k, h := range rows {
				bytes += h.size(k)
			}
			return s.Records > 0 && len(rows) > s.Records || s.Bytes > 0 && bytes > s.Bytes
		}
		t.follow(tb, func(c Change) {
			at = max(at, c.Time)
			h := &held{c.Time, true, c}
			if s.End != nil {
				h.since = s.End(c.Key)
			}
			if was := rows[c.Key]; was != nil {
				h.since, h.change.Old = was.since, was.change.Old
			}
			rows[c.Key] = h
			due()
			for full() {
				k, _ := firstDue(rows, latest)
				goOn(k)
			}
		})
		t.onPass(func(to Time) {
			at = max(at, to)
			due()
		})
	})
	return out
}

// size are the bytes of key and row as they are stored: docs/format.md.
func (h *held) size(k Key) int {
	row := binary.AppendVarint(nil, int64(h.since))
	row = appendSized(row, h.change.Headers.Raw())
	return len(k.Key) + len(appendChange(row, h.change.Old, h.change.New))
}

func appendSized(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// appendChange appends two rows, each with its length plus one, or 0 where there is none.
func appendChange(dst []byte, rows ...Opt) []byte {
	for _, o := range rows {
		if !o.OK {
			dst = append(dst, 0)
			continue
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(o.Value)+1)), o.Value...)
	}
	return dst
}

// cutChange reads them.
func cutChange(src []byte) (rows [2]Opt) {
	for i := range rows {
		n, k := binary.Uvarint(src)
		src = src[k:]
		if n > 0 {
			rows[i], src = some(string(src[:n-1])), src[n-1:]
		}
	}
	return rows
}

// FilterTable is the table of the rows that keep accepts. every passes a deletion on for each change of a row that does not pass.
func (p *Topology) FilterTable(tb Table, every bool, keep func(string) bool) Table {
	out := p.table(tb)
	p.add(func(t *Task) {
		pass := func(o Opt) Opt {
			if o.OK && keep(o.Value) {
				return o
			}
			return Opt{}
		}
		t.follow(tb, func(c Change) {
			if c.Old, c.New = pass(c.Old), pass(c.New); c.Old.OK || c.New.OK || every {
				t.change(out, c)
			}
		})
		t.look(out, func(k Key, asOf Time) (Row, bool) {
			row, ok := t.rowAsOf(tb, k, asOf)
			if !ok || !keep(row.Value) {
				return Row{}, false
			}
			return row, true
		})
	})
	return out
}

// TableTo writes each change to a topic, a deletion as a null value.
func (p *Topology) TableTo(tb Table, topic string) {
	p.add(func(t *Task) {
		t.follow(tb, func(c Change) {
			w := t.written(topic, Record{c.Key, c.New.Value, c.Time, c.Headers})
			if !c.New.OK {
				w.Value = nil
			}
			if t.topology.stamped {
				w.Headers = t.stamp(topic, c.Time, c.Headers)
			}
			t.out = append(t.out, w)
		})
	})
}
