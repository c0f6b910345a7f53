package conformance_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/core"
)

// streamJoinModel is a join of two streams as a nested loop over the whole history.
type streamJoinModel struct {
	before, after, grace core.Time
	left, outer          bool // left, right records come out alone
	self                 bool // both sides are the same stream
	single               bool // JoinSelf
	format               string
	sums                 bool // joined values are the sum of both
	// Where Kafka Streams differs by design; see docs/semantics.md.
	lateLook bool // "unmatched-late": it does not look for unmatched records each time
	clamped  bool // "before-zero": it takes the bounds of a window that are less than 0 for 0
	forgets  bool // "nothing-kept": a window and grace of 0 in all keep no record

	clock, oldest core.Time
	newest        [2]core.Time
	all           [2][]modelRecord
	alone         []modelRecord
	out           []conformanceRecord
}

type modelRecord struct {
	side       int // 0: left, 1: right
	key, value string
	at         core.Time
}

func (m *streamJoinModel) begin() {
	m.clock, m.oldest, m.newest = -1, 1<<62, [2]core.Time{-1, -1}
	m.all, m.alone = [2][]modelRecord{}, nil
}

// run returns the case's steps with what the model makes of them.
func (m *streamJoinModel) run(steps []conformanceStep, left string) (res []conformanceStep) {
	m.begin()
	for _, s := range steps {
		m.out = nil
		for _, in := range s.In {
			side := 1
			if in.Topic == left {
				side = 0
			}
			m.step(side, in)
			if m.self {
				m.step(1, in)
			}
		}
		res = append(res, conformanceStep{In: s.In, Want: map[string][]conformanceRecord{"out": m.out}})
	}
	return res
}

// reach is how much later a partner of a side's record may be.
func (m *streamJoinModel) reach(side int) core.Time {
	return [2]core.Time{m.after, m.before}[side]
}

func (m *streamJoinModel) step(side int, in conformanceRecord) {
	m.clock = max(m.clock, in.At)
	if in.Value == nil {
		return
	}
	r := modelRecord{side, text(in.Key), *in.Value, in.At}
	waits := side == 0 && m.left || side == 1 && m.outer
	if in.Key == nil {
		if waits {
			m.emit(nil, &r, nil)
		}
		return
	}
	retain := m.before + m.after + m.grace
	if !m.forgets {
		retain = max(retain, 1)
	}
	least, most := r.at-m.reach(1-side), r.at+m.reach(side)
	if m.clamped {
		least, most = max(least, 0), max(most, 0)
	}
	m.newest[side] = max(m.newest[side], r.at)
	m.all[side] = append(m.all[side], r)
	if r.at == m.clock {
		m.close(side)
	}
	var found []modelRecord
	for _, o := range m.all[1-side] {
		if o.key == r.key && o.at >= least && o.at <= most && o.at > m.newest[1-side]-retain {
			if m.single && side == 1 && o == (modelRecord{0, r.key, r.value, r.at}) && o.at == m.newest[0]-retain+1 && retain > 1 {
				continue
			}
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(a, b modelRecord) int { return cmp.Compare(a.at, b.at) })
	for i := range found {
		m.emit(in.Key, &r, &found[i])
		m.alone = slices.DeleteFunc(m.alone, func(a modelRecord) bool {
			return a.side == 1-side && a.key == r.key && a.at == found[i].at
		})
	}
	switch {
	case len(found) > 0 || !waits:
	case most < m.clock:
		m.emit(in.Key, &r, nil)
	default:
		m.oldest = min(m.oldest, r.at)
		m.alone = append(m.alone, r)
	}
}

// close emits what no partner can come for any more.
func (m *streamJoinModel) close(side int) {
	if m.lateLook && m.oldest+m.reach(side)+m.grace >= m.clock {
		return
	}
	m.oldest = 1 << 62
	slices.SortStableFunc(m.alone, func(a, b modelRecord) int {
		return cmp.Or(cmp.Compare(a.at, b.at), -cmp.Compare(a.side, b.side), cmp.Compare(a.key, b.key))
	})
	var rest []modelRecord
	var open [2]bool
	for i, a := range m.alone {
		m.oldest = a.at // also of the row at which Kafka Streams sees that it can stop
		if m.lateLook && open[0] && open[1] {
			rest = append(rest, m.alone[i:]...)
			break
		}
		if a.at+m.reach(a.side)+m.grace >= m.clock {
			open[a.side] = true
			rest = append(rest, a)
			continue
		}
		m.emit(&a.key, &a, nil)
	}
	m.alone = rest
}

func (m *streamJoinModel) emit(key *string, r, o *modelRecord) {
	v, at := [2]string{"null", "null"}, r.at
	v[r.side] = r.value
	if o != nil {
		v[o.side], at = o.value, max(at, o.at)
	}
	s := fmt.Sprintf(m.format, v[0], v[1])
	if m.sums {
		x, _ := strconv.Atoi(v[0])
		y, _ := strconv.Atoi(v[1])
		s = strconv.Itoa(x + y)
	}
	m.out = append(m.out, conformanceRecord{Key: key, Value: &s, At: at})
}

// streamJoinRules are the rules of joins of streams. "unmatched-late": unmatched records come out as soon as no
// partner can come any more; Kafka Streams' model looks for them only when that does. "before-zero": a window that ends
// before time 0 is empty; there it is the time 0. "nothing-kept": with a window and grace of 0 in all,
// records of the same time meet; there they do not. The last two are the names for such windows alone.
func streamJoinRules(of func(c *conformanceCase) (m *streamJoinModel, left string)) []conformanceRule {
	rule := func(name string, about func(c *conformanceCase, m *streamJoinModel) bool) conformanceRule {
		return conformanceRule{name, func(c *conformanceCase) (streams, limpet *conformanceCase) {
			if c.is("legacy_eager_outer") {
				return nil, nil // another join
			}
			m, left := of(c)
			if !about(c, m) {
				return nil, nil
			}
			m.lateLook, m.clamped, m.forgets = true, true, true
			streams = c.with(m.run(c.Steps, left))
			m.lateLook, m.clamped, m.forgets = false, false, false
			return streams, c.with(m.run(c.Steps, left))
		}}
	}
	return []conformanceRule{
		rule("nothing-kept", func(_ *conformanceCase, m *streamJoinModel) bool { return m.before+m.after+m.grace == 0 }),
		rule("before-zero", func(c *conformanceCase, m *streamJoinModel) bool {
			for _, s := range c.Steps {
				for _, in := range s.In {
					if in.At+min(m.before, m.after) < 0 && min(m.before, m.after) < 0 {
						return true
					}
				}
			}
			return false
		}),
		rule("unmatched-late", func(*conformanceCase, *streamJoinModel) bool { return true }),
	}
}

func modelOf(kind string, w [3]int64, format string) *streamJoinModel {
	return &streamJoinModel{
		before: core.Time(w[0]), after: core.Time(w[1]), grace: core.Time(w[2]), format: format,
		left: kind != "inner", outer: kind == "outer",
	}
}

func init() {
	conformanceRules["join-stream-stream"] = streamJoinRules(func(c *conformanceCase) (*streamJoinModel, string) {
		return modelOf(c.str("join"), c.windowMs(), "%s+%s"), "left"
	})
	conformanceRules["join-self"] = streamJoinRules(func(c *conformanceCase) (*streamJoinModel, string) {
		m := modelOf("inner", c.windowMs(), "%s+%s")
		m.self, m.single = true, c.is("single_store")
		return m, "input"
	})
	conformanceRules["KStreamKStreamJoin"] = streamJoinRules(func(c *conformanceCase) (*streamJoinModel, string) {
		kind := map[string]string{"join": "inner", "leftJoin": "left", "outerJoin": "outer"}[c.str("op")]
		m := modelOf(kind, c.windowMs(), "%s+%s")
		m.sums = strings.HasPrefix(c.str("joiner"), "int")
		return m, "topic1"
	})
}

func (c *conformanceCase) windowMs() (w [3]int64) {
	for i, name := range []string{"before_ms", "after_ms", "grace_ms"} {
		w[i] = c.ms(name).Milliseconds()
	}
	return w
}
