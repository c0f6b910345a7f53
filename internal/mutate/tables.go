package main

// Rules of tables, their groups and versions.
var tableMutants = []mutant{
	{"a row that stays in its group is one record", "jointable.go", "c.Old.OK && c.New.OK && from == to {", "false {", inConformance},
	{"a row is not taken out of a group that is not there", "jointable.go", "if r.Value.Old.OK && row.OK {", "if r.Value.Old.OK {", inTopology},
	{"a group has the greatest time", "jointable.go", "\t\tif c.ok {\n\t\t\tr.Time = max(r.Time, c.at)\n\t\t}\n\t\tset(tx, tb, i, row, Record[G", "\t\tset(tx, tb, i, row, Record[G", inConformance},
	{"an aggregate has the greatest time", "process.go", "r.Time = max(r.Time, c.at)", "r.Time = min(r.Time, c.at)", inConformance},
	{"a row that leaves a filter is deleted", "op.go", "c.Old.OK || c.New.OK || every {", "c.New.OK || every {", inConformance},
	{"what does not pass a filter before and now goes no further", "op.go", "c.Old.OK || c.New.OK || every {", "true {", inConformance},
	{"deletions of a table are no records of a stream", "op.go", "\t\tif r.Value.New.OK {\n\t\t\tnext(tx, Record[K, V]{r.Key, r.Value.New.Value", "\t\tif true {\n\t\t\tnext(tx, Record[K, V]{r.Key, r.Value.New.Value", inCore},
	{"a null key is that of one branch only", "op.go", "\t\ttx.nullKey = had // for the branches beside this one\n", "\t\t_ = had\n", inTopology},
	{"a row that came and went is not in the changelog", "table.go", "if !e.ok && !e.below && !e.last {", "if false {", inCore},
	{"a committed row that goes is deleted in the changelog", "table.go", "\t\te.below = e.ok\n", "\t\te.below = false\n", inCore},
	{"an abort drops what was written", "table.go", "for _, list := range [2][]int32{t.dirty, t.sealed} {", "for _, list := range [2][]int32{nil, t.sealed} {", inCore},

	{"a row lives for the whole time to live", "ttl.go", "e.due.due(tx, e.clock.at-e.ttl-1);", "e.due.due(tx, e.clock.at-e.ttl);", inTopology},
	{"an expired row's deletion has the operator's time", "ttl.go", "Time: e.clock.at}\n", "Time: e.tb.cells[i].at}\n", inTopology},
	{"a row that was written since lives on", "ttl.go", "case c.at != d.at:", "case c.at < d.at:", inTopology},
	{"rows expire before the record that moved the time", "ttl.go", "\te.clock.move(at)\n\te.end(tx)\n", "\te.clock.move(at)\n", inTopology},

	{"a version as old as the history is put", "versioned.go", "if r.Time < v.clock.at-v.history {", "if r.Time <= v.clock.at-v.history {", inConformance},
	{"a version as old as the history is found", "versioned.go", "asOf < v.clock.at-v.history {", "asOf <= v.clock.at-v.history {", inConformance},
	{"a version is valid from its own time on", "versioned.go", "for i >= 0 && list[i] > asOf {", "for i >= 0 && list[i] >= asOf {", inConformance},
	{"only changes of the latest version go downstream", "versioned.go", "if at < len(list)-1 {", "if at < len(list)-2 {", inConformance},
	{"versions stay for the history", "versioned.go", "v.due.due(tx, v.clock.at-v.history) {", "v.due.due(tx, v.clock.at) {", inConformance},
	{"the latest version follows a late one in the changelog", "versioned.go", "\t\t\tv.tb.again(last)\n", "", inTopology},
	{"a deletion that is past the history is forgotten", "versioned.go", "\tif !o.OK {\n\t\tn++\n\t}\n", "\tif !o.OK && n < 0 {\n\t\tn++\n\t}\n", inTopology},
	{"a version that was told in the changelog is not told again", "versioned.go", "= at == k.At && !told\n", "= at == k.At\n\t\t_ = told\n", inTopology},
	{"a version is told as it is, not as it was", "versioned.go", " && v.tb.cells[i].state&cellDirty == 0\n", "\n", inTopology},
	{"versions of the same time are one", "versioned.go", "\tif !found {\n\t\tlist = slices.Insert", "\tif !found || r.Time > 0 {\n\t\tlist = slices.Insert", inConformance},
}
