package conformance_test

import (
	"strings"

	"github.com/seed-81380e12/limpet/topology"
)

func init() {
	conformanceOps["join-foreign-key"] = foreignCase
	conformanceRules["join-foreign-key"] = conformanceRuleList{{"foreign-version", foreignVersion}}
}

// foreignKey is the foreign key of a left row, as the cases have it.
func foreignKey(key, value string) string {
	f, _, _ := strings.Cut(value, ":")
	if f == "@" {
		return key
	}
	return f
}

func foreignCase(c *conformanceCase) *conformanceSpec {
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
	s := newSpec(b)
	if c.has("result_store") {
		s.state(c.str("result_store"), "joined", wireText{plainText, plainText})
	}
	return s
}

// foreignVersion is the rule "foreign-version": each change of a left row has one result. In
// Kafka Streams a change to the same value has the same hash, so that an answer to the row
// as it was counts for the row as it is: where a row refers to itself, there are two.
func foreignVersion(c *conformanceCase) *conformanceCase {
	var steps []conformanceStep
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
	return c.with(steps)
}
