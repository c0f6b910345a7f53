/*
Package plain says once more what a topology does, as plainly as can be: an executable form of docs/semantics.md, to hold the
product against. It shares nothing with package core but the types of values (Opt, Headers, Time) and the functions of the
user, and is free to be slow: maps and slices, no caches, no indexes, and sums that are added up from the beginning each time.

A Topology is made operator by operator, in the order in which the product's is made:

	p := plain.New()
	words := p.Source("words", plain.Times{})
	p.To(p.Map(words, strings.ToUpper), "out", plain.Route{})

A Task is one partition of it. It is told what a task of the product has taken, in the same order, and what it wrote is
compared:

	t := p.Task(plain.Config{App: "app", Partition: 0, Partitions: count, Through: topics})
	t.Take(plain.In{Topic: "words", Offset: 7, Key: key, Value: value, Time: at})
	t.Commit()
	wrote := t.Out()

# How an operator is written

An operator is a method of Topology that takes and returns handles (Stream, Table), and tells p.add what is done in each
task. That is a function that is called once for a new task; what it declares is the operator's state there:

			// Count counts the records of each key.
			func (p *Topology) Count(in Stream) Stream {
				out := p.stream(in)
				p.add(func(t *Task) {
					count := map[Key]int{}
					t.hear(in, func(r Record) {
						if !r.Key.Null {
							count[r.Key]++
							t.pass(out, r)
						}
					})
				})
				return out
			}

		  - hear and follow take the records of a stream and the changes of a table, in the order in which operators were made:
		    so is the order of the product's branches.
		  - pass and change hand a record or a change to all who hear or follow, one after the other, each with all that it leads to.
		  - look says how a row of a table is found, row finds one.
		  - Task.passes, ticks and commits are for what goes on where no record comes.
		  - A table with rows of its own is a kept (tables.go); Task.Rows has them for comparison.
		  - letGo is for what comes of things that were held: one that fails is left out by itself. fail ends a record or such a thing; failing.go
	    takes back what it did.
	  - p.stream and p.table are told what the handle is made of, which says whether a join of tables keeps its rows.

All of an application is one Topology: a task has all operators, and those of other sub-topologies hear nothing there. An operator
that sends records through a topic of the topology's own asks t.through(name), see KeyBy.

Keys of random topologies have one byte. Nothing here depends on that but the order of windowed keys (Key.Less).
*/
package plain
