package shell

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
)

// meta is what a task's committed offset carries in its metadata string: what a task
// that opens elsewhere needs and that has no place in Kafka Streams' formats. It is
// base64 of: version 1, the number of operator times and the times, the number of
// changelogs and the offset behind each one's last record of the commit (-1: never
// written). All numbers are varints. docs/format.md describes it.
type meta struct {
	times []core.Time
	ends  []core.Offset // by table
}

const metaVersion = 1

var errMeta = errors.New("shell: the committed offset's metadata is not ours")

func (m meta) encode() string {
	b := []byte{metaVersion}
	b = binary.AppendUvarint(b, uint64(len(m.times)))
	for _, t := range m.times {
		b = binary.AppendVarint(b, int64(t))
	}
	b = binary.AppendUvarint(b, uint64(len(m.ends)))
	for _, o := range m.ends {
		b = binary.AppendVarint(b, int64(o))
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

func decodeMeta(s string) (m meta, err error) {
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return m, fmt.Errorf("%w: %q", errMeta, s)
	}
	if b[0] != metaVersion {
		return m, fmt.Errorf("%w: version %d, this program knows %d", errMeta, b[0], metaVersion)
	}
	b = b[1:]
	list := func() (vs []int64) {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)) {
			err = fmt.Errorf("%w: %q", errMeta, s)
			return nil
		}
		for b = b[k:]; n > 0 && err == nil; n-- {
			v, k := binary.Varint(b)
			if k <= 0 {
				err = fmt.Errorf("%w: %q", errMeta, s)
				return nil
			}
			vs, b = append(vs, v), b[k:]
		}
		return vs
	}
	for _, v := range list() {
		m.times = append(m.times, core.Time(v))
	}
	if err == nil {
		for _, v := range list() {
			m.ends = append(m.ends, core.Offset(v))
		}
	}
	return m, err
}
