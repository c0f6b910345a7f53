package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/plain"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var (
	lefts  = topology.NewTopic("lefts", codec.String, codec.String)
	rights = topology.NewTopic("rights", codec.String, codec.String)
	pairs  = topology.NewTopic("pairs", codec.String, codec.String)

	people  = topology.NewTopic("people", codec.String, codec.String, topology.Compacted())
	cities  = topology.NewTopic("cities", codec.String, codec.String, topology.Compacted())
	located = topology.NewTopic("located", codec.String, codec.String)
)

const (
	joinWindow = 15
	joinGrace  = 60 // more than records are out of order
)

// outer joins two streams. No record is so late that its partners could be gone.
var outer = scenario{
	name: "outer",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		l, r := lefts.Stream(b), rights.Stream(b)
		within := topology.Within(joinWindow * time.Millisecond).Grace(joinGrace * time.Millisecond)
		topology.OuterJoinStreams(l, r, "pair", within, func(a, b topology.Opt[string]) string {
			w.user()
			return a.Or("-") + "+" + b.Or("-")
		}).To(pairs)
		return b
	},
	topics: func(w *world) { w.make("lefts", "rights", "pairs") },
	next: func(w *world, n int, aborted bool) input {
		topic, v := "lefts", fmt.Sprint("l", n)
		if w.chance(2) {
			topic, v = "rights", fmt.Sprint("r", n)
		}
		if aborted {
			v = "aborted"
		}
		// Both sides' times go on together, so that merging them keeps order.
		return input{topic, fmt.Append(nil, "k", w.rng.IntN(5)), []byte(v), epoch + core.Time(1000+2*n-w.rng.IntN(10)), -1}
	},
	model: outerModel,
	says:  "those that are partners have met, once, and nobody else; who has none comes alone, once",
}

// outerModel looks at the records of each task in the order in which it took them. Partners
// that are there, and near enough to be there for sure, must have met, once; nobody else may.
// Who has no partner must have come alone, once, when none can come any more.
func outerModel(w *world) error {
	got := map[string]int{}
	for _, r := range w.history("pairs") {
		got[string(r.Value)]++
	}
	for _, id := range w.check.ids() {
		var seen [2][]core.RawRecord
		var newest [2]core.Time
		met := map[string]bool{} // who had a partner, near enough or not
		for _, c := range w.check.tasks[id].order {
			side := c.source
			for _, o := range seen[1-side] {
				a, b := o, c.rec
				if side == 0 {
					a, b = c.rec, o
				}
				if d := b.Time - a.Time; string(a.Key) != string(b.Key) || d < -joinWindow || d > joinWindow {
					continue
				}
				pair := string(a.Value) + "+" + string(b.Value)
				if n := got[pair]; n > 1 || n == 0 && newest[1-side]-o.Time <= joinWindow {
					return fmt.Errorf("task %v: %s come %d times", id, pair, n)
				}
				met[string(a.Value)], met[string(b.Value)] = true, true
				delete(got, pair)
			}
			seen[side] = append(seen[side], c.rec)
			newest[side] = max(newest[side], c.rec.Time)
		}
		for side, rs := range seen {
			for _, r := range rs {
				alone := string(r.Value) + "+-"
				if side == 1 {
					alone = "-+" + string(r.Value)
				}
				over := min(newest[0], newest[1]) > r.Time+joinWindow+joinGrace
				if n := got[alone]; n > 1 || n == 0 && over && !met[string(r.Value)] {
					return fmt.Errorf("task %v: %s comes %d times", id, alone, n)
				}
				delete(got, alone)
			}
		}
	}
	if len(got) > 0 {
		return fmt.Errorf("these are no partners: %v", got)
	}
	return nil
}

// foreign joins people with their cities, by way of the cities' partitions.
var foreign = scenario{
	name: "foreign",
	build: func(w *world) *topology.Builder {
		cityOf := func(person string) string { city, _, _ := strings.Cut(person, "/"); return city }
		in := func(person, city string) string { return person + " in " + city }
		b := topology.New(app)
		t := topology.JoinForeign(people.Table(b), cities.Table(b), "located", cityOf, in)
		topology.Map(topology.Changes(t), func(c topology.Change[string]) string { return c.New.Or("-") }).To(located)

		p := plain.New()
		joined := p.JoinForeign(p.TableSource(people.Name()), p.TableSource(cities.Name()), "located", cityOf, false, func(person string, city plain.Opt) string { return in(person, city.Value) })
		p.To(p.Changes(joined, func(_, now plain.Opt) string { return now.Or("-") }), located.Name(), plain.Route{})
		w.model = p
		return b
	},
	topics: func(w *world) {
		w.makeCompacted("people", "cities")
		w.make("located")
	},
	next: func(w *world, n int, aborted bool) input {
		at := epoch + core.Time(n)
		if w.chance(3) {
			v := fmt.Appendf(nil, "city%d", n)
			if w.chance(5) {
				v = nil
			}
			return input{"cities", fmt.Append(nil, "c", w.rng.IntN(4)), v, at, -1}
		}
		v := fmt.Appendf(nil, "c%d/%d", w.rng.IntN(4), n)
		if w.chance(6) {
			v = nil
		}
		if aborted && v != nil {
			v = []byte("c1/aborted")
		}
		return input{"people", fmt.Append(nil, "p", w.rng.IntN(6)), v, at, -1}
	},
	model: func(w *world) error {
		fold := func(topic string) map[string]string {
			m := map[string]string{}
			for _, r := range w.history(topic) {
				if m[string(r.Key)] = string(r.Value); r.Value == nil || string(r.Value) == "-" {
					delete(m, string(r.Key))
				}
			}
			return m
		}
		city, got, n := fold("cities"), fold("located"), 0
		for who, v := range fold("people") {
			c, _, _ := strings.Cut(v, "/")
			if city[c] == "" {
				continue
			}
			n++
			if want := v + " in " + city[c]; got[who] != want {
				return fmt.Errorf("%s is %q, not %q", who, got[who], want)
			}
		}
		if n != len(got) {
			return fmt.Errorf("%d results, not %d: %v", len(got), n, got)
		}
		return plainRows(w)
	},
	says: "what each transaction writes, subscriptions and answers, too, and the rows at the end are those of the plain interpreter; the last result of each person is that of the last rows",
}
