package conformance_test

import (
	"strings"

	"github.com/seed-81380e12/limpet/topology"
)

func init() {
	conformanceOps["join-foreign-key"] = foreignCase
	conformanceRules["join-foreign-key"] = []conformanceRule{{"foreign-version", foreignVersion}}
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
	left := c.table(b, "left", "versioned_history_ms")
	right := left
	if c.str("right_table") != "left" {
		right = c.table(b, c.str("right_table"), "versioned_history_ms")
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
