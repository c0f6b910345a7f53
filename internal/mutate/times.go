package main

// Rules of time and order.
var timeMutants = []mutant{
	// The bounds go with it, or a source would be chosen again and again with nothing that it may take.
	{"of equal times the first source goes first", "merge.go", "case h < at:\n\t\t\tlast, best, at = at-1, SourceID(i), h // the earlier source wins ties\n\t\tdefault:\n\t\t\tlast = min(last, h) // this one wins ties\n", "case h <= at:\n\t\t\tlast, best, at = at, SourceID(i), h\n\t\tdefault:\n\t\t\tlast = min(last, h-1)\n", inCore},
	{"a source goes on until another one is older", "merge.go", "last, best, at = at-1, SourceID(i), h", "last, best, at = at, SourceID(i), h", inCore},
	{"a source with nothing waiting is waited for", "merge.go", "\t\t\tif !s.caughtUp {\n\t\t\t\treturn 0, 0, false\n\t\t\t}\n", "", inCore},
	{"stream time never goes back", "merge.go", "t.times.stream = max(t.times.stream, at)", "t.times.stream = at", inCore},
	{"an operator's time never goes back", "clock.go", "if at > c.at {", "if at != c.at {", inConformance},
	{"an operator's time survives a restart", "clock.go", "\t\t\tc.at = t.cfg.Times[i+1]\n", "", inConformance},
	{"what is due at a time goes by the key's bytes", "due.go", "return bytes.Compare(d.ab, d.bb) < 0", "return bytes.Compare(d.ab, d.bb) > 0", inTopology},
	{"rows that are not committed come due, too", "agenda.go", "\t\t\ta.find(c.key, c.val, c.at)\n", "\t\t\t_ = c\n", inCore},
	{"rows beyond those in memory come due at their time", "agenda.go", "a.far.at > limit ||", "a.far.at >= limit ||", inCore},
	{"windows that close at a time go by the key's bytes", "calendar.go", "return bytes.Compare(c.arena[a.from:a.to], c.arena[b.from:b.to])", "return bytes.Compare(c.arena[b.from:b.to], c.arena[a.from:a.to])", inConformance},
	{"a key's partition is that of Kafka's clients", "partition.go", "(murmur2(key) & 0x7fffffff) % n", "max(murmur2(key), 0) % n", inCore},
	{"a table's deletion is a tombstone", "sink.go", "\t\tif r.Value.New.OK {\n\t\t\ts.put(tx, &row, to)", "\t\tif r.Time >= 0 {\n\t\t\ts.put(tx, &row, to)", inCore},
	{"a row that moves to another topic is deleted where it was", "sink.go", "\t\tif from >= 0 {\n\t\t\tnexts[from]", "\t\tif false {\n\t\t\tnexts[from]", inTopology},
	{"a row that moves to another partition is deleted where it was", "sink.go", "if !r.Value.New.OK || r.Value.Old.OK && from != to {", "if !r.Value.New.OK {", inTopology},

	{"an alarm goes off when time reaches it", "timer.go", "q.list[0].at <= now;", "q.list[0].at < now;", inCore},
	{"an alarm that is set to a later time goes off then", "timer.go", "if c.val.At > e.at { // set anew, to a later time", "if c.val.At < e.at {", inCore},
	{"In counts from the record in hand", "timer.go", "ts.base, ts.least = [2]Time{at, tx.t.times.wall}, [2]Time{}", "ts.base, ts.least = [2]Time{ts.clock.at, tx.t.times.wall}, [2]Time{}", inConformance},
	{"alarms of a time and key go by the timer's name", "timer.go", "uint32(k.Timer)), nil", "-uint32(k.Timer)), nil", inTopology},
	{"alarms of a time go by the key's bytes", "timer.go", "\tfor i := from; i < len(dst); i++ {\n", "\tfor i := from; i < len(dst); i++ {\n\t\tdst[i] = ^dst[i]\n", inTopology},
	{"a wall timer goes off at a tick", "timer.go", "ts.run(tx, wallTimer, tx.t.times.wall)", "ts.run(tx, wallTimer, tx.t.times.wall-1)", inCore},
	{"a step's alarm has the headers of what set it", "timer.go", "Time: a.At, Headers: a.Headers})", "Time: a.At})", inTopology},

	{"an id is known for the whole time", "dedup.go", "if r.Time.plus(e.ttl) < e.clock.at {", "if r.Time.plus(e.ttl) <= e.clock.at {", inTopology},
	{"a duplicate does not prolong its id", "dedup.go", "\t\t\ttx.drop(n, Duplicate)\n", "\t\t\ttb.put(i, Seen{}, r.Time)\n\t\t\ttx.drop(n, Duplicate)\n", inTopology},
	{"a period of Throttle ends when it is over", "dedup.go", "since < c.at.plus(e.ttl) {", "since <= c.at.plus(e.ttl) {", inTopology},
	{"Throttle lets go as many as it may", "dedup.go", "if count < most {", "if count <= most {", inTopology},
	{"Reorder gives up when grace has passed", "reorder.go", "o.due.due(tx, o.Clock.at-o.Grace);", "o.due.due(tx, o.Clock.at-o.Grace-1);", inTopology},
	{"Reorder counts each number that it gives up", "reorder.go", "missing := number - o.next(i);", "missing := min(number-o.next(i), 1);", inTopology},
	{"gaps that a record has led to are taken back with it", "reorder.go", "tx.count(o.Node, Gap, missing)", "tx.t.nodes[o.Node].dropped[Gap] += missing", inTopology},
	{"a number that has gone on is late", "reorder.go", "case number < next:", "case number < next-1:", inTopology},
	{"time that passes with no record closes what is due", "clock.go", "\t\tif p.due(tx); tx.err != nil {\n\t\t\treturn\n\t\t}\n", "\t\t_ = p.due\n", inTopology},
}
