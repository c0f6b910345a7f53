package core

import (
	"slices"
	"testing"
)

// byByte is str, but a key is partitioned by its first byte.
type byByte struct{ str }

func (byByte) AppendPartition(dst []byte, k string) ([]byte, error) { return append(dst, k[0]), nil }

// A codec may say by which bytes keys are partitioned: of records, and of rows, deletions too; unless
// a function chooses.
func TestPartitionCodec(t *testing.T) {
	const parts = 7
	task := NewTask(TaskConfig{Sink: func(SinkID) SinkInfo { return SinkInfo{Partitions: parts} }})
	stream := Sink(task, 0, "stream", byByte{}, str{}, nil)
	table := TableSink(task, 1, "table", byByte{}, str{}, nil)
	chosen := Sink(task, 2, "chosen", byByte{}, str{}, func(Record[string, string], int) int { return 5 })
	tx := &task.tx
	put := func() {
		stream(tx, Record[string, string]{Key: "abc", Value: "v"})
		table(tx, Record[string, Change[string]]{Key: "b1", Value: Change[string]{New: Some("v")}})
		table(tx, Record[string, Change[string]]{Key: "c1"})
		chosen(tx, Record[string, string]{Key: "abc", Value: "v"})
		tx.nullKey = true
		stream(tx, Record[string, string]{Value: "v"})
		tx.nullKey = false
	}
	put()
	var got []int32
	for i := range tx.c.Outputs {
		got = append(got, tx.c.Outputs[i].Partition(TaskID{Partition: 3}, parts))
	}
	want := []int32{HashPartition([]byte("a"), parts), HashPartition([]byte("b"), parts), HashPartition([]byte("c"), parts), 5, 3}
	if !slices.Equal(got, want) {
		t.Errorf("partitions %v, want %v", got, want)
	}
}
