package shell

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// Topics that are deleted and made again have their old name, and soon as many records as
// before; the offsets that are kept of them mean others then. Kafka's id of a topic tells. It is kept beside
// the offsets: in the committed offset's metadata, in the checkpoint of local state. Where either
// has none, as an earlier version wrote it, only the ends are compared.

// marks are the topics' marks, by name. The id is 0 where it is not known: the cluster has none.
func marks(names []string, ids map[string]TopicID) []statestore.TopicMark {
	var ms []statestore.TopicMark
	for _, name := range names {
		m := statestore.TopicMark{Name: logHash(name)}
		if id := ids[name]; id != (TopicID{}) {
			h := fnv.New32a()
			_, _ = h.Write(id[:])
			m.ID = h.Sum32()
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b statestore.TopicMark) int { return cmp.Compare(a.Name, b.Name) })
	return ms
}

// marked reports whether a topic is among those that have marks.
func marked(ms []statestore.TopicMark, topic string) bool {
	return slices.ContainsFunc(ms, func(m statestore.TopicMark) bool { return m.Name == logHash(topic) })
}

// remade looks for a topic that is not the one that it was.
func remade(was []statestore.TopicMark, ids map[string]TopicID) error {
	if invariant.Bug("topics are told apart by name") {
		return nil
	}
	names := slices.Sorted(maps.Keys(ids))
	is := marks(names, ids)
	for _, w := range was {
		for _, m := range is {
			if m.Name != w.Name || m.ID == w.ID || m.ID == 0 || w.ID == 0 {
				continue
			}
			for _, name := range names {
				if logHash(name) == w.Name {
					return &RemadeError{name}
				}
			}
		}
	}
	return nil
}

// topicsOf lists the topics of partitions.
func topicsOf(ps []Partition) (names []string) {
	for _, p := range ps {
		names = append(names, p.Topic)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
