package shell

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// meta is what a task's committed offset carries in its metadata string: what a task
// that opens elsewhere needs and that has no place in Kafka Streams' formats. It is
// "limpet", a version, a colon and base64 of: the number of times and the times, as core.Commit.Times has them; then the number of
// changelogs and for each the FNV-1a hash of its topic's name and the offset behind its
// last record of the commit; then the number of tasks of the sub-topology; then the number of topics, and for each
// the hashes of its name and of its id, 4 bytes each; then the number of those among them that are changelogs which did not begin at offset 0,
// and for each the hash of its name, 4 bytes, and the offset. All other numbers are varints. docs/format.md describes it.
//
// Changelogs go by name, since another version of the topology may count them otherwise.
type meta struct {
	times []core.Time
	ends  []logEnd
	// partitions is how many tasks the sub-topology had, where it has tables; 0: it does not
	// say.
	partitions int32
	// topics are those that the offsets are of.
	topics []statestore.TopicMark
	// begun says that begins are known: of the changelogs among topics, 0 where there is none.
	begun  bool
	begins []logBegin
}

type logEnd struct {
	log uint32
	end core.Offset // -1: never written
}

// logBegin is the first offset that a changelog had when the application saw it first.
type logBegin struct {
	log   uint32
	begin core.Offset
}

func logHash(topic string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic))
	return h.Sum32()
}

// end returns where the commit ends in a changelog; -1: it does not say.
func (m meta) end(topic string) core.Offset {
	for _, e := range m.ends {
		if e.log == logHash(topic) {
			return e.end
		}
	}
	return -1
}

// begin returns the first offset of a changelog when it was seen first; -1: it does not say.
func (m meta) begin(topic string) core.Offset {
	if !m.begun || !marked(m.topics, topic) {
		return -1
	}
	for _, b := range m.begins {
		if b.log == logHash(topic) {
			return b.begin
		}
	}
	return 0
}

// tells reports whether the offsets are also of a topic.
func (m meta) tells(topic string) bool {
	return marked(m.topics, topic) || slices.ContainsFunc(m.ends, func(e logEnd) bool { return e.log == logHash(topic) })
}

// The metadata that Kafka Streams writes is base64 with a version in the first byte: ours must look
// like none of it, to us and to Kafka Streams, since an application can be taken over.
const metaName, metaVersion = "limpet", "1"

var errMeta = errors.New("shell: the committed offset's metadata is damaged, or of another version")

func (m meta) encode() string {
	b := binary.AppendUvarint(nil, uint64(len(m.times)))
	for _, t := range m.times {
		b = binary.AppendVarint(b, int64(t))
	}
	b = binary.AppendUvarint(b, uint64(len(m.ends)))
	for _, e := range m.ends {
		b = binary.AppendVarint(binary.AppendVarint(b, int64(e.log)), int64(e.end))
	}
	b = binary.AppendUvarint(b, uint64(m.partitions))
	b = binary.AppendUvarint(b, uint64(len(m.topics)))
	for _, t := range m.topics {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, t.Name), t.ID)
	}
	if m.begun {
		b = binary.AppendUvarint(b, uint64(len(m.begins)))
		for _, l := range m.begins {
			b = binary.AppendUvarint(binary.BigEndian.AppendUint32(b, l.log), uint64(l.begin))
		}
	}
	return metaName + metaVersion + ":" + base64.RawStdEncoding.EncodeToString(b)
}

// decodeMeta reads metadata. That of another tool says nothing.
func decodeMeta(s string) (m meta, err error) {
	if !strings.HasPrefix(s, metaName) {
		return m, nil
	}
	version, text, ok := strings.Cut(s[len(metaName):], ":")
	if !ok || version != metaVersion {
		return m, fmt.Errorf("%w: version %q at byte %d, this program knows %s", errMeta, version, len(metaName), metaVersion)
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return m, fmt.Errorf("%w: %w, behind the colon: %q", errMeta, err, s)
	}
	size := len(b)
	damaged := func() error {
		return fmt.Errorf("%w: at byte %d of the %d that it is base64 of: %q", errMeta, size-len(b), size, s)
	}
	list := func(each int) (vs []int64) {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)) {
			err = damaged()
			return nil
		}
		b = b[k:]
		for range int(n) * each {
			v, k := binary.Varint(b)
			if k <= 0 {
				err = damaged()
				return nil
			}
			vs, b = append(vs, v), b[k:]
		}
		return vs
	}
	for _, v := range list(1) {
		m.times = append(m.times, core.Time(v))
	}
	if err != nil {
		return m, err
	}
	ends := list(2)
	for i := 0; i+1 < len(ends); i += 2 {
		m.ends = append(m.ends, logEnd{uint32(ends[i]), core.Offset(ends[i+1])})
	}
	if n, k := binary.Uvarint(b); err == nil && k > 0 && n <= math.MaxInt32 { // an older version wrote none
		m.partitions, b = int32(n), b[k:]
		if len(b) == 0 {
			return m, nil // nor topics
		}
		if n, k = binary.Uvarint(b); k <= 0 || n > uint64(len(b)) || len(b[k:]) < int(n)*8 {
			return m, damaged()
		}
		for b = b[k:]; n > 0; n, b = n-1, b[8:] {
			m.topics = append(m.topics, statestore.TopicMark{Name: binary.BigEndian.Uint32(b), ID: binary.BigEndian.Uint32(b[4:])})
		}
		if len(b) == 0 {
			return m, nil // nor where changelogs began
		}
		if n, k = binary.Uvarint(b); k <= 0 || n > uint64(len(b)) {
			return m, damaged()
		}
		for b, m.begun = b[k:], true; n > 0; n-- {
			if len(b) < 4 {
				return m, damaged()
			}
			at, k := binary.Uvarint(b[4:])
			if k <= 0 || at > math.MaxInt64 {
				return m, damaged()
			}
			m.begins, b = append(m.begins, logBegin{binary.BigEndian.Uint32(b), core.Offset(at)}), b[4+k:]
		}
	}
	return m, err
}
