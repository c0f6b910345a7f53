package kafka

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"pgregory.net/rapid"
)

// The same group as in plan_test, but through sarama's types: members die, members come, the leader changes every time.
// No task is torn, and whoever has gone stays announced until somebody who stayed has fenced him.
func TestStrategy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subs := [][]string{{"orders"}, {"customers", "by-customer"}}
		topics := map[string][]int32{"orders": {0, 1, 2}, "customers": {0, 1, 2, 3}, "by-customer": {0, 1, 2, 3}}
		type planned struct {
			s      *strategy
			claims map[string][]int32
			gen    int32
		}
		group := map[string]*planned{}
		open := map[string]bool{} // ids of the departed that nobody has fenced
		n, knowing := 0, false    // knowing: somebody of the last generation is still here
		add := func() {
			n++
			id := fmt.Sprintf("tx%d", n)
			group[fmt.Sprintf("m%02d", (n*7)%100)] = &planned{gen: -1, s: &strategy{id: id, sources: subs, fence: func(x string) bool {
				for _, m := range group {
					if m.s.id == x {
						t.Fatalf("%s fences the living %s", id, x)
					}
				}
				delete(open, x)
				return true
			}}}
		}
		for gen := range int32(rapid.IntRange(2, 12).Draw(t, "generations")) {
			for range rapid.IntRange(0, 2).Draw(t, "join") {
				add()
			}
			if len(group) == 0 {
				continue
			}
			metas := map[string]sarama.ConsumerGroupMemberMetadata{}
			var ids []string
			for id, m := range group {
				d, _ := m.s.SubscriptionUserData(nil)
				meta := sarama.ConsumerGroupMemberMetadata{Version: 2, Topics: []string{"orders", "customers", "by-customer"}, UserData: d, GenerationID: m.gen}
				for topic, ps := range m.claims {
					meta.OwnedPartitions = append(meta.OwnedPartitions, &sarama.OwnedPartition{Topic: topic, Partitions: ps})
				}
				metas[id], ids = meta, append(ids, id)
			}
			slices.Sort(ids)
			lead := group[rapid.SampledFrom(ids).Draw(t, "leader")].s
			plan, err := lead.Plan(metas, topics)
			if err != nil {
				t.Fatal(err)
			}
			answers := map[string]*sarama.ConsumerGroupMemberAssignment{}
			for _, id := range ids {
				d, _ := lead.AssignmentData(id, plan[id], gen)
				answers[id] = &sarama.ConsumerGroupMemberAssignment{Topics: plan[id], UserData: d}
				a, b := slices.Clone(plan[id]["customers"]), slices.Clone(plan[id]["by-customer"])
				if !slices.Equal(a, b) {
					t.Fatalf("torn: %v %v", a, b)
				}
				var x assignment
				_ = json.Unmarshal(d, &x)
				for o := range open {
					if knowing && !slices.Contains(x.Gone, o) {
						t.Fatalf("%s is forgotten: %v", o, x)
					}
				}
			}
			for _, id := range rapid.Permutation(ids).Draw(t, "order") {
				m := group[id]
				if knowing = true; rapid.IntRange(0, 4).Draw(t, "dies") == 0 { // before it sees its assignment
					delete(group, id)
					open[m.s.id] = true
					continue
				}
				m.s.OnAssignment(answers[id], gen)
				m.claims, m.gen = plan[id], gen
			}
			if len(group) == 0 {
				open, knowing = map[string]bool{}, false // all that is known is lost: stable ids, or ListTransactions
			}
		}
	})
}
