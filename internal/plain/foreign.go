package plain

import "encoding/binary"

// What becomes of a subscription, and what an answer says: as docs/format.md has it.
const (
	subscribe = iota
	subscribeQuietly
	unsubscribe
	leave
)

const (
	answerQuiet = 1 << iota
	answerRight
	answerGone
)

// JoinForeign joins each left row with the right row that it refers to. The left side tells the right one, through a
// topic, which row it refers to; the right side answers through another one, at once and at each change.
func (p *Topology) JoinForeign(left, right Table, name string, foreign func(row string) string, keepAll bool, f func(a string, b Opt) string) Table {
	out := p.table(left)
	p.add(func(t *Task) {
		p.foreignLeft(t, left, out, name, foreign, keepAll, f)
		foreignRight(t, right, name)
	})
	return out
}

func (*Topology) foreignLeft(t *Task, left, out Table, name string, foreign func(row string) string, keepAll bool, f func(a string, b Opt) string) {
	results := t.kept(out, name)
	type change struct {
		number int64
		gone   bool
		at     Time
	}
	last, number := map[Key]change{}, int64(-1)
	t.follow(left, func(c Change) {
		if !c.Old.OK && !c.New.OK {
			return
		}
		number++
		last[c.Key] = change{number, !c.New.OK, c.Time}
		send := func(to string, do byte) {
			v := append(binary.AppendVarint([]byte{do}, number), c.Key.Key...)
			t.send(name+"-subscription", Record{Key{Key: to}, string(v), c.Time, c.Headers})
		}
		switch {
		case !c.New.OK:
			send(foreign(c.Old.Value), leave)
		case c.Old.OK && foreign(c.Old.Value) != foreign(c.New.Value):
			send(foreign(c.Old.Value), unsubscribe)
			send(foreign(c.New.Value), subscribe)
		default:
			send(foreign(c.New.Value), subscribeQuietly)
		}
	})
	t.sources[t.App+"-"+name+"-answer-repartition"] = func(in In) {
		r := record(in)
		n, size := binary.Varint(in.Value[1:])
		flags, row := in.Value[0], Opt{Value: string(in.Value[1+size:])}
		row.OK = flags&answerRight != 0
		was, ok := last[r.Key]
		if !ok || was.number != n || was.gone != (flags&answerGone != 0) {
			return // the row has changed since, and another answer is on its way
		}
		if was.gone {
			if keepAll { // no right row has a part in it
				r.Time = was.at
			}
			delete(last, r.Key)
			results.set(r.Key, Opt{}, r.Time, r.Headers)
			return
		}
		a, ok := t.row(left, r.Key)
		if !ok {
			return
		}
		var result Opt
		if row.OK || keepAll {
			result = some(f(a.Value, row))
		} else if _, had := results.rows[r.Key]; flags&answerQuiet != 0 && !had {
			return
		}
		results.set(r.Key, result, r.Time, r.Headers)
	}
}

func foreignRight(t *Task, right Table, name string) {
	refer := map[Key]map[Key]int64{} // by right key: the left rows that refer to it, and the number of their last change
	answer := func(to Key, flags byte, number int64, row Opt, at Time, r Record) {
		if row.OK {
			flags |= answerRight
		}
		v := append(binary.AppendVarint([]byte{flags}, number), row.Value...)
		t.send(name+"-answer", Record{to, string(v), at, r.Headers})
	}
	t.sources[t.App+"-"+name+"-subscription-repartition"] = func(in In) {
		r := record(in)
		n, size := binary.Varint(in.Value[1:])
		do, from := in.Value[0], Key{Key: string(in.Value[1+size:])}
		if refer[r.Key] == nil {
			refer[r.Key] = map[Key]int64{}
		}
		if refer[r.Key][from] = n; do == unsubscribe || do == leave {
			delete(refer[r.Key], from)
		}
		if do == unsubscribe {
			return
		}
		at := r.Time
		row, ok := t.row(right, r.Key)
		if ok {
			at = max(at, row.Time)
		}
		switch do {
		case leave:
			answer(from, answerGone, n, Opt{}, at, r)
		case subscribeQuietly:
			answer(from, answerQuiet, n, Opt{Value: row.Value, OK: ok}, at, r)
		default:
			answer(from, 0, n, Opt{Value: row.Value, OK: ok}, at, r)
		}
	}
	t.follow(right, func(c Change) {
		for _, k := range sorted(refer[c.Key]) {
			answer(k, 0, refer[c.Key][k], c.New, c.Time, Record{Headers: c.Headers})
		}
	})
}
