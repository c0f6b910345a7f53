package topology_test

import (
	"strings"

	"github.com/seed-81380e12/limpet/topology"
)

func init() {
	conformanceOps["join-foreign-key"] = foreignCase
	conformanceRules["join-foreign-key"] = []conformanceRule{
		{"foreign-deleted", foreignDeleted},
		{"foreign-version", foreignVersion},
		{"foreign-deleted and foreign-version", func(c *conformanceCase) []conformanceStep {
			return foreignVersion(&conformanceCase{Params: c.Params, Steps: foreignDeleted(c)})
		}},
	}
}

// foreignKey is the foreign key of a left row, as the cases have it.
func foreignKey(key, value string) string {
	f, _, _ := strings.Cut(value, ":")
	if f == "@" {
		return key
	}
	return f
}

func foreignCase(c *conformanceCase) *topology.Builder {
	b := topology.New("case")
	left := caseTopic("left").Table(b)
	right := left
	if c.str("right_table") != "left" {
		right = caseTopic(c.str("right_table")).Table(b)
	}
	// The foreign key may be the left one, so that is put into the value.
	keyed := topology.Map(topology.Records(topology.Changes(left)), func(r topology.Record[string, topology.Change[string]]) string {
		if !r.Value.New.OK {
			return noValue
		}
		return r.Key + "|" + r.Value.New.Value
	}).ToTable("keyed", topology.DeleteWhen(isNoValue))
	foreign := func(s string) string {
		key, value, _ := strings.Cut(s, "|")
		return foreignKey(key, value)
	}
	f := func(a string, b topology.Opt[string]) string {
		return joinText("%s+%s")(topology.Some(a[strings.IndexByte(a, '|')+1:]), b)
	}
	if c.str("join") == "inner" {
		keyed = keyed.Filter(func(s string) bool { return foreign(s) != "-" })
		topology.JoinForeign(keyed, right, "joined", foreign, func(a, b string) string { return f(a, topology.Some(b)) }).To(caseTopic("out"))
	} else {
		topology.LeftJoinForeign(keyed, right, "joined", foreign, f).To(caseTopic("out"))
	}
	return b
}

// foreignDeleted is the rule "foreign-deleted": the result of a left row that is gone is
// deleted at once, at the time of its deletion, and not by way of the right side.
func foreignDeleted(c *conformanceCase) (steps []conformanceStep) {
	for _, s := range c.Steps {
		in := s.In[0]
		gone := in.Topic == "left" && in.Key != nil &&
			(in.Value == nil || c.str("join") == "inner" && foreignKey(*in.Key, *in.Value) == "-")
		if gone {
			var out []conformanceRecord
			found := false
			for _, r := range s.Want["out"] {
				if !found && *r.Key == *in.Key && r.Value == nil {
					r.At, found = in.At, true
					out = append([]conformanceRecord{r}, out...)
					continue
				}
				out = append(out, r)
			}
			s.Want = map[string][]conformanceRecord{"out": out}
		}
		steps = append(steps, s)
	}
	return steps
}

// foreignVersion is the rule "foreign-version": each change of a left row has one result. In
// Kafka Streams a change to the same value has the same hash, so that an answer to the row
// as it was counts for the row as it is: where a row refers to itself, there are two.
func foreignVersion(c *conformanceCase) (steps []conformanceStep) {
	rows := map[string]string{}
	for _, s := range c.Steps {
		in := s.In[0]
		if in.Topic == "left" && in.Key != nil && in.Value != nil {
			if rows[*in.Key] == *in.Value && c.str("right_table") == "left" && foreignKey(*in.Key, *in.Value) == *in.Key {
				var out []conformanceRecord
				found := false
				for _, r := range s.Want["out"] {
					if *r.Key == *in.Key && !found {
						found = true
						continue
					}
					out = append(out, r)
				}
				s.Want = map[string][]conformanceRecord{"out": out}
			}
			rows[*in.Key] = *in.Value
		} else if in.Topic == "left" && in.Key != nil {
			delete(rows, *in.Key)
		}
		steps = append(steps, s)
	}
	return steps
}
