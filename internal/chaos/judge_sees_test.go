package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// good is what went in, and mails and counts as they should be.
func good() (orders map[string]order, mails, counts []*kgo.Record) {
	orders = map[string]order{}
	seen := map[string]Seen{}
	for i := range 12 {
		id, c := fmt.Sprint("o", i), fmt.Sprint("c", i%2)
		o := order{partition: int32(i / 2 % 2), offset: int64(i), customer: c, cents: int64(i)}
		orders[id] = o
		seen[c] = Seen{seen[c].N + 1, seen[c].Cents + o.cents, id}
		mails = append(mails, &kgo.Record{Key: []byte(c), Value: fmt.Appendf(nil, `{"orderId":%q,"customerId":%q,"to":"%s@example.com","cents":%d}`, id, c, c, o.cents)})
		counts = append(counts, &kgo.Record{Key: []byte(c), Value: fmt.Appendf(nil, "%d %d %s", seen[c].N, seen[c].Cents, id)})
	}
	return orders, mails, counts
}

// Each damage must be reported as what it is.
func TestJudge(t *testing.T) {
	cases := map[string]struct {
		damage func([]*kgo.Record) []*kgo.Record
		field  func(report) int
	}{
		"lost":    {func(rs []*kgo.Record) []*kgo.Record { return slices.Delete(rs, 5, 6) }, func(r report) int { return r.missing }},
		"last":    {func(rs []*kgo.Record) []*kgo.Record { return rs[:11] }, func(r report) int { return r.missing }},
		"none":    {func([]*kgo.Record) []*kgo.Record { return nil }, func(r report) int { return r.missing }},
		"doubled": {func(rs []*kgo.Record) []*kgo.Record { return slices.Insert(rs, 8, rs[2]) }, func(r report) int { return r.doubled }},
		"at once": {func(rs []*kgo.Record) []*kgo.Record { return slices.Insert(rs, 2, rs[2]) }, func(r report) int { return r.doubled }},
		"overtaken": {func(rs []*kgo.Record) []*kgo.Record {
			rs[4], rs[8] = rs[8], rs[4] // of one customer and one partition
			return rs
		}, func(r report) int { return r.unordered }},
		"foreign": {func(rs []*kgo.Record) []*kgo.Record {
			rs[3] = &kgo.Record{Key: rs[3].Key, Value: []byte(strings.Replace(string(rs[3].Value), "o3", "a3", 1))}
			return rs
		}, func(r report) int { return r.foreign }},
		"of another customer": {func(rs []*kgo.Record) []*kgo.Record {
			rs[3].Key = []byte("c0")
			return rs
		}, func(r report) int { return r.wrong }},
		"undecodable": {func(rs []*kgo.Record) []*kgo.Record {
			rs[3].Value = []byte("{")
			return rs
		}, func(r report) int { return r.wrong }},
	}
	check := func(t *testing.T, counting bool, damage func([]*kgo.Record) []*kgo.Record) report {
		orders, mails, counts := good()
		j := newJudge(orders)
		if counting {
			for _, r := range damage(counts) {
				j.count(r)
			}
		} else {
			for _, r := range damage(mails) {
				j.email(r)
			}
		}
		return j.report()
	}
	for _, counting := range []bool{false, true} {
		if r := check(t, counting, func(rs []*kgo.Record) []*kgo.Record { return rs }); !r.ok() {
			t.Errorf("counting %v: nothing is wrong, and: %v", counting, r)
		}
		for name, c := range cases {
			if r := check(t, counting, c.damage); r.ok() || c.field(r) == 0 {
				t.Errorf("counting %v, %s: not seen: %v", counting, name, r)
			}
		}
	}
	sum := check(t, true, func(rs []*kgo.Record) []*kgo.Record {
		rs[11].Value = []byte("6 37 o11")
		return rs
	})
	if sum.ok() || sum.wrong == 0 {
		t.Errorf("a wrong sum is not seen: %v", sum)
	}
	if r := newJudge(map[string]order{}).report(); r.ok() {
		t.Error("no orders at all, and all is well")
	}
}
