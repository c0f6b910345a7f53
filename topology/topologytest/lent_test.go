package topologytest

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// A codec that keeps what it was given to decode is found, unless it says that it borrows.
func TestSpoil(t *testing.T) {
	keeping := codec.Func(
		func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil },
		func(src []byte) ([]byte, error) { return src, nil },
	)
	for _, c := range []struct {
		name  string
		in    topology.Topic[string, []byte]
		wrong bool
	}{
		{"keeps", topology.NewTopic("kept", codec.String, keeping), true},
		{"copies", topology.NewTopic("copied", codec.String, codec.Bytes), false},
		{"borrows", topology.NewTopic("borrowed", codec.String, codec.BorrowedBytes), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := topology.New("all")
			all := topology.Reduce(c.in.Stream(b), "all", func(a, b []byte) []byte { return slices.Concat(a, b) })
			to := topology.NewTopic("all", codec.String, codec.Bytes)
			all.To(to)
			got := said(func(t testing.TB) {
				d := New(t, b)
				Topic(d, c.in).Send("k", []byte("1"))
				Topic(d, c.in).Send("k", []byte("2"))
				Topic(d, to).Want([]byte("1"), []byte("12"))
			})
			if strings.Contains(got, "219") != c.wrong || (got == "") == c.wrong { // 0xdb
				t.Error(got)
			}
		})
	}
}
