/*
Package core is the functional core: deterministic state machines over typed records.

A [Task] takes batches of records and accumulates effects: a [Commit], which is data.
It starts no goroutine, takes no lock, reads no clock, draws no random number and does
no I/O. Whoever runs it (package shell) makes each commit durable and then calls
Advance, or calls Abort and feeds the same input again:

	for batch := range input {
		if err := t.Step(batch); err != nil { // pure: state + input -> effects
			return err
		}
		c, err := t.Ready() // seals a generation: effects as data
		if err != nil {
			return err
		}
		if err := durable(c); err != nil { // outputs, changelog, offsets: all or none
			t.Abort() // as after the last Advance
			seek(t.Next(nil))
			continue
		}
		store.Apply(c) // what the task's views read
		t.Advance()
	}

# The contract

Given the same views and the same sequence of calls, a task yields the same commits,
byte for byte. All that a caller decides is in that sequence: which batches come when,
which sources have caught up, when a generation ends, what time a tick tells, at which position
a global table is seen. Nothing else may decide; [Commit.Decisions] records it.

Between Ready and Advance, Step may go on: into a second generation. There are never
more than two. Advance settles the older one; Abort drops both, so it may only be
called when the older one is known not to have been committed.

A view must show a commit from Advance on, and not before. That of a global table must
show the position that Move told last.

After an error of Step or Ready the task takes no input until Abort; what was committed
is untouched.

# Memory

A batch belongs to the task until its records have run; its bytes must never change,
since headers and what codecs make of them may refer to them. A commit, and every byte
slice in it, belongs to the task and is valid until the Advance or Abort that settles
it. Step allocates nothing once its tables are warm, apart from what the user's
functions and codecs allocate.

# Reading the package

task.go holds the calls of the task, merge.go which record is next, source.go and
sink.go where records come in and go out, tx.go the record in hand, policy.go deadletter.go
undo.go what becomes of one that fails, letgo.go of what an operator has held, partition.go, op.go join.go parked.go jointable.go
joinstream.go joinself.go joinforeign.go process.go timer.go dedup.go reorder.go
the operators,
window.go the state of windows and window_time.go sliding.go session.go their rules, agenda.go
bykey.go what of their index is in memory,
suppress.go percommit.go every.go which changes go on and when, global.go the tables that
all tasks see, out.go what a function emits, table.go the overlay of uncommitted rows,
index.go how it finds them, recent.go of which keys there are none, scan.go and range.go its rows in order, versioned.go tables that keep versions, clock.go
tick.go due.go calendar.go ttl.go what happens at a time, effect.go the commit, describe.go its text,
mutation.go the check for functions that change rows. core imports the standard library only.

testdata has scenarios: commands in, effects out. They are the rules by example.
*/
package core
