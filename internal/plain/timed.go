package plain

import (
	"cmp"
	"slices"
)

// Deduplicate passes on the first record of each key and id within a time.
func (p *Topology) Deduplicate(in Stream, id func(string) string, within Time) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		type seen struct {
			key Key
			id  string
			at  Time
		}
		var first []seen
		at := Time(-1)
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			if at = max(at, r.Time); r.Time < at-within {
				return // late: whether it was there is not known
			}
			for _, s := range first {
				if s.key == r.Key && s.id == id(r.Value) && s.at >= at-within {
					return
				}
			}
			first = append(first, seen{r.Key, id(r.Value), r.Time})
			t.pass(out, r)
		})
		t.onPass(func(to Time) { at = max(at, to) })
	})
	return out
}

// Throttle passes on at most so many records of each key in a period, and the others to rest.
func (p *Topology) Throttle(in Stream, most int, per Time) (out, rest Stream) {
	out, rest = p.stream(in), p.stream(in)
	p.add(func(t *Task) {
		at, since, count := Time(-1), map[Key]Time{}, map[Key]int{}
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			at = max(at, r.Time)
			if began, ok := since[r.Key]; !ok || at >= began+per {
				since[r.Key], count[r.Key] = at, 0
			}
			if count[r.Key]++; count[r.Key] <= most {
				t.pass(out, r)
			} else {
				t.pass(rest, r)
			}
		})
		t.onPass(func(to Time) { at = max(at, to) })
	})
	return out, rest
}

// Reorder passes each key's records on by number, from 1.
func (p *Topology) Reorder(in Stream, number func(string) int, grace Time) Stream {
	out := p.stream(in)
	p.add(func(t *Task) {
		at, next := Time(-1), map[Key]int{}
		waits := map[Key]map[int]Record{}
		goOn := func(k Key, n int) {
			r := waits[k][n]
			delete(waits[k], n)
			next[k] = n + 1
			t.letGo(func() { t.pass(out, r) })
		}
		follow := func(k Key) {
			for {
				if _, ok := waits[k][next[k]]; !ok {
					return
				}
				goOn(k, next[k])
			}
		}
		// due lets what has waited for grace go on, and before it what has lower numbers: by time, key and number.
		due := func() {
			for {
				var first Record
				n := 0
				for _, k := range sorted(waits) {
					for _, m := range order(waits[k]) {
						if r := waits[k][m]; r.Time <= at-grace && (n == 0 || r.Time < first.Time) {
							first, n = r, m
						}
					}
				}
				if n == 0 {
					return
				}
				for _, m := range order(waits[first.Key]) {
					if m <= n {
						goOn(first.Key, m)
					}
				}
				follow(first.Key)
			}
		}
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			at = max(at, r.Time)
			if waits[r.Key] == nil {
				waits[r.Key], next[r.Key] = map[int]Record{}, 1
			}
			switch n := number(r.Value); {
			case n == next[r.Key]:
				next[r.Key]++
				t.pass(out, r)
				follow(r.Key)
			case n > next[r.Key]:
				if _, ok := waits[r.Key][n]; !ok {
					waits[r.Key][n] = r
				}
			}
			due()
		})
		t.onPass(func(to Time) {
			at = max(at, to)
			due()
		})
	})
	return out
}

func order[K cmp.Ordered, V any](m map[K]V) (keys []K) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ToTableTTL is ToTable of which a row is deleted when the table's time is more than ttl past its own: before the record
// that moved the time meets the table, or behind it, where it is late itself.
func (p *Topology) ToTableTTL(in Stream, name string, ttl Time) Table {
	out := p.tableOf(in)
	p.add(func(t *Task) {
		rows, at := t.kept(out, name), Time(-1)
		expire := func() {
			for {
				var first Key
				found := false
				for _, k := range sorted(rows.rows) {
					if was := rows.rows[k].Time; was < at-ttl && (!found || was < rows.rows[first].Time) {
						first, found = k, true
					}
				}
				if !found {
					return
				}
				t.letGo(func() { rows.set(first, Opt{}, at, none) }, func() { delete(rows.rows, first) })
			}
		}
		t.hear(in, func(r Record) {
			if r.Key.Null {
				return
			}
			at = max(at, r.Time)
			expire()
			rows.set(r.Key, some(r.Value), r.Time, r.Headers)
			expire()
		})
		t.onPass(func(to Time) {
			at = max(at, to)
			expire()
		})
	})
	return out
}
