package shell

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// topicBroker is a cluster that has topics and nothing else.
type topicBroker struct {
	Broker
	topics map[string]Topic
}

func (b *topicBroker) Topics(_ context.Context, names ...string) (map[string]Topic, error) {
	got := map[string]Topic{}
	for _, n := range names {
		if t, ok := b.topics[n]; ok {
			got[n] = t
		}
	}
	return got, nil
}

func (b *topicBroker) CreateTopics(_ context.Context, ts []Topic) error {
	for _, t := range ts {
		b.topics[t.Name] = t
	}
	return nil
}

func topic(name string, partitions int32, config ...string) Topic {
	t := Topic{Name: name, Partitions: partitions, Config: map[string]string{
		"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1",
	}}
	for _, c := range config {
		k, v, _ := strings.Cut(c, "=")
		t.Config[k] = v
	}
	return t
}

func cluster(ts ...Topic) *topicBroker {
	b := &topicBroker{topics: map[string]Topic{}}
	for _, t := range ts {
		b.topics[t.Name] = t
	}
	return b
}

// joined joins orders, by customer, with the customers' table, and counts the result.
func joined(t *testing.T, opts ...topology.TopicOption) *topology.Plan {
	t.Helper()
	customers := topology.NewTopic("customers", codec.String, codec.String, opts...)
	orders := topology.NewTopic("orders", codec.String, codec.String)
	out := topology.NewTopic("out", codec.String, codec.Int64)
	b := topology.New("app")
	byCustomer := topology.KeyBy(orders.Stream(b), "by-customer", func(s string) string { return s })
	both := topology.Join(byCustomer, customers.Table(b), "both", func(o, c string) string { return o + c })
	topology.Count(both, "count").To(out)
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestLayoutCreates(t *testing.T) {
	b := cluster(topic("customers", 6, "cleanup.policy=compact"), topic("orders", 4), topic("out", 2))
	l, err := newLayout(t.Context(), b, joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	// The repartition topic has as many partitions as the table that it is joined with.
	for name, want := range map[string]map[string]string{
		"app-by-customer-repartition": {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
		"app-count-changelog":         {"cleanup.policy": "compact"},
	} {
		if got := b.topics[name]; got.Partitions != 6 || !maps.Equal(got.Config, want) {
			t.Errorf("%s: got %d partitions, %v; want 6, %v", name, got.Partitions, got.Config, want)
		}
	}
	if _, ok := b.topics["app-customers-changelog"]; ok {
		t.Error("a compacted topic is its own changelog, but one was made for it")
	}
	if l.subs[0].partitions != 4 || l.subs[1].partitions != 6 {
		t.Errorf("%d and %d tasks", l.subs[0].partitions, l.subs[1].partitions)
	}
	// Once more, with everything there.
	if _, err := newLayout(t.Context(), b, joined(t), "app"); err != nil {
		t.Error(err)
	}
}

// TestLayoutOwnChangelog: a table that reads a topic which forgets needs a changelog.
func TestLayoutOwnChangelog(t *testing.T) {
	for _, policy := range []string{"delete", "compact,delete"} {
		b := cluster(topic("customers", 4, "cleanup.policy="+policy), topic("orders", 4), topic("out", 2))
		if _, err := newLayout(t.Context(), b, joined(t), "app"); err != nil {
			t.Fatal(err)
		}
		if got := b.topics["app-customers-changelog"]; got.Partitions != 4 {
			t.Errorf("%s: no changelog was made", policy)
		}
	}
}

// TestLayoutKeepsChangelog: a table that has a changelog goes on with it, also where the topic could be one.
func TestLayoutKeepsChangelog(t *testing.T) {
	const log = "app-customers-changelog"
	b := cluster(topic("customers", 4, "cleanup.policy=compact"), topic("orders", 4), topic("out", 2), topic(log, 4, "cleanup.policy=compact"))
	l, err := newLayout(t.Context(), b, joined(t), "app")
	if err != nil {
		t.Fatal(err)
	}
	if tl := l.subs[1].tables[0]; tl.topic != log || tl.source != -1 || tl.read != 0 || !tl.compacted {
		t.Errorf("%+v", tl)
	}
}

func TestLayoutRefuses(t *testing.T) {
	customers, orders, out := topic("customers", 4, "cleanup.policy=compact"), topic("orders", 4), topic("out", 2)
	for name, c := range map[string]struct {
		b    *topicBroker
		opts []topology.TopicOption
		says []string
	}{
		"missing topics, all of them": {cluster(customers), nil, []string{"orders: does not exist", "out: does not exist"}},
		"declared count":              {cluster(customers, orders, out), []topology.TopicOption{topology.Partitions(8)}, []string{"customers: has 4 partitions", "declares 8"}},
		"declared compacted":          {cluster(topic("customers", 4), orders, out), []topology.TopicOption{topology.Compacted()}, []string{`cleanup.policy is "delete"`, "cleanup.policy=compact"}},
		"repartition count":           {cluster(customers, orders, out, topic("app-by-customer-repartition", 3, "retention.ms=-1")), nil, []string{"app-by-customer-repartition: has 3 partitions and needs 4"}},
		"repartition retention":       {cluster(customers, orders, out, topic("app-by-customer-repartition", 4)), nil, []string{`retention.ms is "604800000" and must be "-1"`}},
		"changelog policy":            {cluster(customers, orders, out, topic("app-count-changelog", 4)), nil, []string{`app-count-changelog: cleanup.policy is "delete" and must be "compact"`}},
	} {
		before := maps.Clone(c.b.topics)
		_, err := newLayout(t.Context(), c.b, joined(t, c.opts...), "app")
		if !errors.Is(err, ErrTopic) {
			t.Errorf("%s: got %v, want ErrTopic", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
		if len(before) != len(c.b.topics) {
			t.Errorf("%s: topics were created before all was checked", name)
		}
	}
}

// TestLayoutCounts: topics that are joined without a repartition topic in between.
func TestLayoutCounts(t *testing.T) {
	a := topology.NewTopic("a", codec.String, codec.String)
	c := topology.NewTopic("c", codec.String, codec.String)
	b := topology.New("app")
	topology.Join(a.Stream(b), c.Table(b), "both", func(x, y string) string { return x + y }).To(topology.NewTopic("out", codec.String, codec.String))
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = newLayout(t.Context(), cluster(topic("a", 4), topic("c", 6), topic("out", 1)), plan, "app")
	if err == nil || !strings.Contains(err.Error(), "6 partitions and is joined with") || !strings.Contains(err.Error(), "which has 4") {
		t.Errorf("got %v", err)
	}
}
