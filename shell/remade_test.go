package shell

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// A topic that was deleted and made again, and is as long as before, is known by its id: from what is
// committed, and from what lies on disk. Without ids only ends are compared.
func TestRemade(t *testing.T) {
	const changelog = "app-count-changelog"
	old, other := TopicID{1}, TopicID{1, 15: 1}
	for _, c := range []struct {
		name      string
		committed map[string]TopicID // nil: the group's offsets are gone
		disk      map[string]TopicID
		is        map[string]TopicID
		want      string
	}{
		{"as before", map[string]TopicID{"S": old, changelog: old}, map[string]TopicID{"S": old, changelog: old}, map[string]TopicID{"S": old, changelog: old}, ""},
		{"the changelog", map[string]TopicID{"S": old, changelog: old}, nil, map[string]TopicID{"S": old, changelog: other}, changelog},
		{"the source", map[string]TopicID{"S": old, changelog: old}, nil, map[string]TopicID{"S": other, changelog: old}, "S"},
		{"the source, and its offsets with it", nil, map[string]TopicID{"S": old, changelog: old}, map[string]TopicID{"S": other, changelog: old}, "S"},
		{"an earlier version wrote it", map[string]TopicID{}, map[string]TopicID{}, map[string]TopicID{"S": other, changelog: other}, ""},
		{"a cluster that has no ids", map[string]TopicID{"S": old, changelog: old}, nil, map[string]TopicID{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := cluster(topic("customers", 1, "cleanup.policy=compact"), topic("orders", 1), topic("out", 1))
			l, err := newLayout(t.Context(), b, joined(t), "app")
			if err != nil {
				t.Fatal(err)
			}
			sub := l.subs[1]
			src := sub.sources[0].topic
			all := []string{changelog}
			for _, s := range sub.sources {
				all = append(all, s.topic)
			}
			named := func(ids map[string]TopicID) map[string]TopicID {
				m := map[string]TopicID{}
				for n, id := range ids {
					if n == "S" {
						n = src
					}
					m[n] = id
				}
				return m
			}
			lb := &logBroker{start: map[Partition]core.Offset{}, logs: map[Partition][]core.RawRecord{}, offsets: map[Partition]GroupOffset{}, ids: named(c.is)}
			for i := range 5 {
				lb.logs[Partition{src, 0}] = append(lb.logs[Partition{src, 0}], core.RawRecord{Key: []byte("k"), Value: make([]byte, 8), Offset: core.Offset(i)})
				lb.logs[Partition{changelog, 0}] = append(lb.logs[Partition{changelog, 0}], core.RawRecord{Key: []byte("k"), Value: make([]byte, 8), Offset: core.Offset(i)})
			}
			if c.committed != nil {
				lb.offsets[Partition{src, 0}] = GroupOffset{Partition{src, 0}, 4, meta{
					times: []core.Time{77, -1}, ends: []logEnd{{logHash(changelog), 5}}, partitions: 1, topics: marks(all, named(c.committed)),
				}.encode()}
			}
			db := statestore.NewMemory()
			now := time.UnixMilli(1_800_000_000_000)
			cfg := Config{Broker: lb, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}.withDefaults("app")
			op := newOpener(&cfg, l, db)
			if c.disk != nil {
				o := &opening{id: core.TaskID{Sub: 1}, sub: sub}
				st, err := op.openStore(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				cp := statestore.Checkpoint{Changelog: make([]core.Offset, len(sub.tables)), Input: []core.Offset{4}, Wall: core.Time(now.UnixMilli()), Topics: marks(all, named(c.disk))}
				if err := st.Apply(nil, cp); err != nil {
					t.Fatal(err)
				}
				if err := st.Close(); err != nil {
					t.Fatal(err)
				}
			}
			o := &opening{id: core.TaskID{Sub: 1}, sub: sub}
			op.run(t.Context(), o)
			var re *RemadeError
			switch {
			case c.want == "" && o.err != nil:
				t.Fatal(o.err)
			case c.want == "":
				if want := marks(all, named(c.is)); !slices.Equal(o.point.Topics, want) {
					t.Errorf("the checkpoint has %v, want %v", o.point.Topics, want)
				}
				o.discard()
			case !errors.As(o.err, &re) || !errors.Is(o.err, ErrTopic) || re.Topic != cmp.Or(map[string]string{"S": src}[c.want], c.want):
				t.Fatalf("%v, want %s", o.err, c.want)
			}
		})
	}
}
