package statestore

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-81380e12/limpet/core"
)

// Keys on disk; docs/format.md describes them. All integers are big-endian, so that rows
// sort by task, then table, then key.
//
//	01                               what the store is (meta)
//	02 name                          table registry
//	03 sub32 partition32 00000000    checkpoint of the task
//	03 sub32 partition32 table32 key row
//	03 sub32 partition32 1+table31 at64 then64 key
//	                                 a row in the order in which rows come due; no value
//	04 table32 00                    checkpoint of a global table
//	04 table32 01 key                its row
const (
	kindMeta  = 0x01
	kindTable = 0x02
	kindTask  = 0x03

	kindGlobal = 0x04

	taskPrefixLen = 1 + 4 + 4
	rowPrefixLen  = taskPrefixLen + 4
)

var metaKey = []byte{kindMeta}

func registryKey(name string) []byte { return append([]byte{kindTable}, name...) }

// taskPrefix is where everything of the task begins.
func taskPrefix(id core.TaskID) []byte {
	b := make([]byte, 0, rowPrefixLen)
	b = append(b, kindTask)
	b = binary.BigEndian.AppendUint32(b, uint32(id.Sub))
	return binary.BigEndian.AppendUint32(b, uint32(id.Partition))
}

// tablePrefix is where the rows of one table of the task begin; table 0 is its checkpoint.
func tablePrefix(id core.TaskID, table uint32) []byte {
	return binary.BigEndian.AppendUint32(taskPrefix(id), table)
}

// duePrefix is where the order begins in which the rows of a table come due.
func duePrefix(id core.TaskID, table uint32) []byte { return tablePrefix(id, table|1<<31) }

// dueLen is how much longer a key is there.
const dueLen = 16

// appendDue appends what stands before a key in the order in which rows come due.
func appendDue(b []byte, at, then core.Time) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(at)), uint64(then))
}

func checkpointKey(id core.TaskID) []byte { return tablePrefix(id, 0) }

// parseTask reads the task of a key behind kindTask.
func parseTask(key []byte) (core.TaskID, error) {
	switch {
	case len(key) < rowPrefixLen:
		return core.TaskID{}, fmt.Errorf("%w: key %x is none of a task: cut short at byte %d", ErrCorrupt, key, len(key))
	case key[0] != kindTask:
		return core.TaskID{}, fmt.Errorf("%w: key %x is none of a task: byte 0", ErrCorrupt, key)
	}
	id := core.TaskID{
		Sub:       int32(binary.BigEndian.Uint32(key[1:])),
		Partition: int32(binary.BigEndian.Uint32(key[5:])),
	}
	if id.Sub < 0 || id.Partition < 0 {
		return core.TaskID{}, fmt.Errorf("%w: key %x is none of a task: byte 1 and on are no sub-topology and partition", ErrCorrupt, key)
	}
	return id, nil
}

// after is the first key behind all that begin with prefix, which must not be all 0xff.
func after(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
}

// A row's value on disk is its timestamp and its value, as Kafka Streams'
// ValueAndTimestamp has it.
const stampLen = 8

func parseRow(b []byte) (value []byte, at core.Time, err error) {
	if len(b) < stampLen {
		return nil, 0, fmt.Errorf("%w: row has no timestamp: it ends at byte %d", ErrCorrupt, len(b))
	}
	return b[stampLen:], core.Time(binary.BigEndian.Uint64(b)), nil
}
