package conformance_test

import (
	"strconv"
	"strings"
)

// groupModel is a group of the rows of a table as Kafka Streams has it: a change takes the row as it was out of its group, and
// puts the row as it is into its own.
type groupModel struct {
	kind   string // the aggregate's
	groups map[string]tableRow
	out    []conformanceRecord
}

// fold puts an amount into a group's value, or takes it out of it; nil is no value.
func (m *groupModel) fold(group *string, sign, amount string) *string {
	if m.kind == "concat" || m.kind == "reduce" {
		switch {
		case group != nil:
			return some(*group + sign + amount)
		case m.kind == "reduce":
			return &amount
		}
		return some(sign + amount)
	}
	n := 1
	if m.kind != "count" {
		n, _ = strconv.Atoi(amount)
	}
	if sign == "-" {
		n = -n
	}
	if group != nil {
		before, _ := strconv.Atoi(*group)
		n += before
	}
	if n == 0 && m.kind == "sum-zero-is-null" {
		return nil
	}
	return some(strconv.Itoa(n))
}

// change takes the change of a group's rows.
func (m *groupModel) change(group string, c tableChange) {
	row := m.groups[group]
	value, at := row.value, c.at
	if value != nil && c.old != nil {
		value = m.fold(value, "-", *c.old)
	}
	if c.new != nil {
		value = m.fold(value, "+", *c.new)
	}
	if row.value != nil {
		at = max(at, row.at)
	}
	m.groups[group] = tableRow{value, at}
	m.out = append(m.out, conformanceRecord{"out", &group, value, at})
}

// groupTable is a case of such a group with what a model makes of it. The table may have versions: see tombstoneForgotten.
func groupTable(c *conformanceCase, stores versionStores) *conformanceCase {
	m := &groupModel{kind: c.str("aggregate"), groups: map[string]tableRow{}}
	rows, takes := map[string]*string{}, latestOnly(c, "versioned_history_ms", stores)
	part := func(row *string) (group string, amount *string) {
		if row == nil || c.str("filter_before") != "" && !even(*row) {
			return "-", nil
		}
		group, rest, _ := strings.Cut(*row, ":")
		return group, &rest
	}
	d := c.replay(func(in conformanceRecord) []conformanceRecord {
		if m.out = nil; in.Key == nil || !takes(in) {
			return nil
		}
		was, old := part(rows[*in.Key])
		is, amount := part(in.Value)
		rows[*in.Key] = in.Value
		switch {
		case was == is && was != "-":
			m.change(is, tableChange{old, amount, in.At})
		default:
			if was != "-" {
				m.change(was, tableChange{old, nil, in.At})
			}
			if is != "-" {
				m.change(is, tableChange{nil, amount, in.At})
			}
		}
		return m.out
	})
	d.States = map[string][]stateLine{}
	for store := range c.States {
		d.States[store] = linesOf(m.groups)
	}
	return d
}
