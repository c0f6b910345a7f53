package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// inputs is how many input topics each workload has.
var inputs = map[string]int{
	"passthrough": 1, "count": 1, "window": 1, "join": 2, "streamjoin": 2,
	"nexmark-q0": 1, "nexmark-q1": 1, "nexmark-q2": 1, "nexmark-q3": 2, "nexmark-q5": 1, "nexmark-q7": 1,
	"nexmark-q8": 2, "nexmark-q11": 1, "nexmark-q13": 2, "nexmark-q17": 1, "nexmark-q18": 1, "nexmark-q20": 2,
}

// build describes a workload. table says what the topics of tables are, where there are any; of
// counts, perCommit lets the last change of a commit go on, not every one.
func build(workload string, in []string, out string, table []topology.TopicOption, perCommit bool) (*topology.Plan, error) {
	if n, ok := inputs[workload]; !ok || n != len(in) {
		return nil, fmt.Errorf("no workload %q with %d input topics", workload, len(in))
	}
	b := topology.New(workload)
	if strings.HasPrefix(workload, "nexmark-") {
		buildNexmark(b, workload, in, out, table)
		return b.Build()
	}
	input := topology.NewTopic(in[0], codec.String, codec.BorrowedBytes)
	switch workload {
	case "streamjoin": // keeps the values
		input = topology.NewTopic(in[0], codec.String, codec.Bytes)
		right := topology.NewTopic(in[1], codec.String, codec.Bytes)
		topology.JoinStreams(input.Stream(b), right.Stream(b), "pairs", topology.Within(time.Minute), pairOf).
			To(topology.NewTopic(out, codec.String, codec.Func(appendPair, decodePair)))
	case "passthrough":
		all := input.Stream(b).Filter(func(v []byte) bool { return v != nil })
		same := topology.Map(all, func(v []byte) []byte { return v })
		same.To(topology.NewTopic(out, codec.String, codec.Bytes))
	case "count":
		emitted(topology.Count(input.Stream(b), "counts"), perCommit).To(topology.NewTopic(out, codec.String, codec.Int64))
	case "window":
		table := emitted(topology.Count(input.Stream(b).Window(topology.Tumbling(time.Minute)), "counts"), perCommit)
		rows := topology.KeyBy(topology.Records(table.ToStream()), "by-key", func(r row) string { return r.Key.Key })
		topology.Map(rows, func(r row) windowCount { return windowCount{r.Key.Start, r.Value} }).
			To(topology.NewTopic(out, codec.String, codec.Func(appendWindowCount, decodeWindowCount)))
	case "join":
		orders := topology.NewTopic(in[0], codec.String, codec.JSON[emailservice.Order]())
		customers := topology.NewTopic(in[1], codec.String, codec.JSON[emailservice.Customer](), table...)
		emails := topology.NewTopic(out, codec.String, codec.JSON[emailservice.Email]())
		topology.Join(orders.Stream(b), customers.Table(b), "with-customer", emailservice.Compose).To(emails)
	}
	return b.Build()
}

func emitted[K comparable](counts topology.Table[K, int64], perCommit bool) topology.Table[K, int64] {
	if perCommit {
		return topology.EmitPerCommit(counts)
	}
	return counts
}

type row = topology.Record[topology.Windowed[string], int64]

// windowCount is what is known of a key's window.
type windowCount struct {
	start topology.Time
	n     int64
}

func appendWindowCount(dst []byte, w windowCount) ([]byte, error) {
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.start))
	return binary.BigEndian.AppendUint64(dst, uint64(w.n)), nil
}

func decodeWindowCount(b []byte) (windowCount, error) {
	if len(b) != 16 {
		return windowCount{}, fmt.Errorf("%d bytes where 16 were expected", len(b))
	}
	return windowCount{topology.Time(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

// pair is what two values begin with.
type pair struct{ left, right [4]byte }

func pairOf(left, right []byte) (p pair) {
	copy(p.left[:], left)
	copy(p.right[:], right)
	return p
}

func appendPair(dst []byte, p pair) ([]byte, error) {
	return append(append(dst, p.left[:]...), p.right[:]...), nil
}

func decodePair(b []byte) (pair, error) {
	if len(b) != 8 {
		return pair{}, fmt.Errorf("%d bytes where 8 were expected", len(b))
	}
	return pairOf(b, b[4:]), nil
}
