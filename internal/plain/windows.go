package plain

import "encoding/binary"

// Windows are a stream in windows.
type Windows struct {
	in   Stream
	late Stream // what came too late for the first aggregate of them
	rule Windowing
	// fed says that there was an aggregate.
	fed *bool
}

// Window puts the records of a stream into windows, by a rule that has no functions yet.
func (p *Topology) Window(in Stream, rule Windowing) Windows {
	return Windows{in, p.stream(in), rule, new(bool)}
}

// Late is the stream of what came when all its windows had closed.
func (w Windows) Late() Stream { return w.late }

// WindowFold is how windows are aggregated.
type WindowFold struct {
	Fold
	Merge func(a, b string) string // of sessions
	// OnClose: results go on once, when their windows have closed.
	OnClose bool
	Retain  Time
	Also    *Windows // more records for the same windows, by a time of their own
	AlsoAdd func(sum, value string) string
}

// AggregateWindows folds the values of each key and window.
func (p *Topology) AggregateWindows(in Windows, name string, f WindowFold) Table {
	inputs := []Windows{in}
	if f.Also != nil {
		inputs = append(inputs, *f.Also)
	}
	var of []Stream
	var feeds []bool
	for _, i := range inputs {
		of, feeds = append(of, i.in), append(feeds, !*i.fed)
		*i.fed = true
	}
	out := p.tableOf(of...)
	p.add(func(t *Task) {
		rows := t.kept(out, name)
		var headers Record // of the record in hand
		w := in.rule
		w.OnClose, w.Retain, w.Merge = f.OnClose, f.Retain, f.Merge
		w.Add = func(input string, was, value Opt) Opt {
			switch {
			case input != "0":
				was.Value = f.AlsoAdd(was.Value, value.Value)
			case !was.OK && f.First != nil:
				was.Value = f.First(value.Value)
			default:
				was.Value = f.Add(was.Value, value.Value)
			}
			return Opt{Value: was.Value, OK: true}
		}
		w.Emit = func(k Key, was, now Opt, at Time) {
			c := Change{Key: k, Old: was, New: now, Time: at, Headers: headers.Headers}
			if w.OnClose {
				t.letGo(func() { t.change(out, c) })
			} else {
				t.change(out, c)
			}
		}
		w.Rows = rows.rows
		ended := func(input string) {
			headers = Record{} // what has closed belongs to no one record
			w.End(input)
		}
		for i, win := range inputs {
			input := string(rune('0' + i))
			t.hear(win.in, func(r Record) {
				if r.Key.Null {
					return
				}
				headers = r
				w.Step(input, r.Key.Key, Opt{Value: r.Value, OK: true}, r.Time)
				if w.Late && feeds[i] {
					t.pass(win.late, r)
				}
				ended(input)
			})
			t.passes = append(t.passes, func(at Time) {
				w.Pass(input, at)
				ended(input)
			})
		}
	})
	return out
}

// WindowValues are the values of a table of windows, each under the key that its window is of. Where they go through a topic,
// they do so as whole records.
func (p *Topology) WindowValues(tb Table, name string, sessions bool) Stream {
	out := p.stream()
	p.add(func(t *Task) {
		t.follow(tb, func(c Change) {
			if !c.New.OK {
				return
			}
			r := Record{Key{Key: c.Key.Key}, c.New.Value, c.Time, c.Headers}
			if !t.through(name) {
				t.pass(out, r)
				return
			}
			r.Value = string(appendWindowed(nil, c, sessions))
			t.send(name, r)
		})
		t.sources[t.App+"-"+name+"-repartition"] = func(in In) {
			r := record(in)
			r.Value = valueOf(in.Value)
			t.pass(out, r)
		}
	})
	return out
}

// appendWindowed writes a record of windows into a value: its time, its key in Kafka Streams' format, its headers and, with a
// length that is one too many, since 0 is null, its value.
func appendWindowed(b []byte, c Change, sessions bool) []byte {
	key := []byte(c.Key.Key)
	if sessions {
		key = binary.BigEndian.AppendUint64(key, uint64(c.Key.End))
	}
	key = binary.BigEndian.AppendUint64(key, uint64(c.Key.Start))
	b = binary.AppendVarint(b, int64(c.Time))
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	b = append(binary.AppendUvarint(b, uint64(len(c.Headers.Raw()))), c.Headers.Raw()...)
	return append(binary.AppendUvarint(b, uint64(len(c.New.Value)+1)), c.New.Value...)
}

// valueOf is the value in what appendWindowed has written.
func valueOf(b []byte) string {
	_, n := binary.Varint(b)
	for range 2 { // key and headers
		b = b[n:]
		size, k := binary.Uvarint(b)
		n = k + int(size)
	}
	_, k := binary.Uvarint(b[n:])
	return string(b[n+k:])
}
