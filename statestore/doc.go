/*
Package statestore keeps the committed state of tasks: their tables, each with the
checkpoint that its rows are of. [NewMemory] and [OpenPebble] make a [DB] for a process;
both hold the same contract, which package storetest tests.

The changelog is the log, and the store its materialized view. The shell writes a commit
to Kafka first and applies it here second, so the store may always be behind, and is
rolled forward from the changelog:

	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: dir, App: app})
	...
	s, err := db.Open(id, tables)
	cp, _ := s.Checkpoint()          // nothing here yet: restore from the beginning
	s.Bulk(true)
	for records := range changelog(cp.Changelog) {
		if err := s.Apply(writes(records), next(records)); err != nil {
			return err
		}
	}
	s.Bulk(false)
	for commit := range commits {    // durable in Kafka by now
		if err := s.Apply(commit.Writes, checkpointOf(commit)); err != nil {
			return err
		}
		task.Advance()               // whose views read s
	}
	return s.Close()                 // flushes: the next start restores nothing

# The crash contract

Apply is atomic: rows and checkpoint, all or nothing. It is not durable. After a crash,
of the process or of the machine, each task reopens at one of its commits: that of the
last Flush or a later one, never between two, and the checkpoint is that of the rows.
Different tasks may have gone back by different amounts. Reset counts as a commit.

What a crash undoes has to be read again from the changelog. PebbleConfig.FlushRecords
bounds how much that is; Close and Flush make it nothing. Two cases are the caller's: rows
whose Checkpoint.Wall is further back than the changelog's delete.retention.ms, and a
checkpoint below the changelog's first offset. Both call for Reset.

# Errors

A directory that is not ours, damaged, another application's, or of other tables is
refused when it is opened, and nothing in it is changed. A full or failing disk shows as
an error of the next Apply, Flush or Close. Nothing is half-applied then: the same call
may be tried again, and succeeds when the disk does. The process is never ended from here.

# How it works

writeback.go is the table that holds rows in memory, task.go what a task does with two of
them for each of its tables, flush.go their way to disk and why a crash leaves a whole
commit, pebble.go how the files are opened, disk.go what becomes of disk errors, scan.go
ordered reads, filter.go which keys disk does not have, due.go the order in which rows come due, global.go tables that all tasks share, keys.go and format.go the bytes on disk (docs/format.md), mem.go the store
without a disk.
*/
package statestore
