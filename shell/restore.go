package shell

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/invariant"
	"github.com/seed-81380e12/limpet/statestore"
)

// span is the part of a changelog that a table is restored from.
type span struct {
	Partition
	table    core.TableID
	versions bool // the table keeps versions of its rows
	from, to core.Offset
	at       core.Offset // where the state on disk is, then what is restored
	// stands is where the committed offsets say that the changelog ends: there is no
	// committed record from there on. -1: they do not say.
	stands core.Offset
	began  core.Offset   // where the changelog began when the application saw it first; -1: that is not known
	keeps  time.Duration // how long the log keeps tombstones
	// fresh says that the committed offsets know of no such changelog, though the table was read: see fill.go.
	fresh bool
	other string // the topic that the table would be restored from if not from this one, or ""
	rows  int    // records that were restored
	// left says that the log has records of which the committed offsets do not know, at least once: no rows are made of them.
	left bool
}

// whole refuses logs that have lost their beginning, and are to be read from there. Compaction leaves the first offset where it is, so
// there were records, of which nobody knows whether they were rows of the table.
func whole(spans []span) error {
	for i := range spans {
		if s := &spans[i]; s.began >= 0 && s.from > s.began && !invariant.Bug("what a changelog has lost at its beginning is not missed") {
			return &BeginError{s.Partition, s.began, s.from}
		}
	}
	return nil
}

// restoreBatch is how many records go to the store at once: large batches make large
// sorted runs on disk.
const restoreBatch = 20_000

// held bounds the bytes that a restore has fetched, and again those that it has gathered for
// the store. There are as many restores at a time as processors.
func (op *opener) held() int { return min(8<<20, max(1<<20, op.cfg.BufferBytes/2)) }

// restore reads the spans of a task and applies them. The store's checkpoint moves
// with what is applied, so a restore that is interrupted goes on where it was. Its time
// stays since, until all is restored: a row that was read may have been deleted farther
// behind, and that tombstone is kept for a time that began then.
func (op *opener) restore(ctx context.Context, o *opening, spans []span, since time.Time) error {
	r := &restorer{op: op, o: o, spans: spans, byLog: map[Partition]int{}, since: since, began: time.Now()}
	r.point.Wall, r.point.Topics = core.Time(since.UnixMilli()), o.point.Topics
	left := 0
	looks := slices.ContainsFunc(spans, func(s span) bool { return s.left }) // and restores nothing
	for i := range spans {
		s := &spans[i]
		s.at = s.from
		if r.point.Changelog = append(r.point.Changelog, s.from); s.fresh {
			r.point.Changelog[i] = 0 // it has nothing yet, of whichever log
		}
		if s.from < s.to {
			r.byLog[s.Partition] = i
			r.todo += int64(s.to - s.from)
			left++
		}
	}
	if left == 0 {
		return nil
	}
	if r.todo >= int64(op.batch) {
		o.store.Bulk(true)
		defer o.store.Bulk(false)
	}
	f := op.cfg.Broker.NewFetcher(FetchConfig{Name: "restore " + o.id.String(), PartitionBytes: min(4<<20, op.held()/2), BufferBytes: op.held()})
	defer f.Close()
	for i := range spans {
		if s := &spans[i]; s.from < s.to {
			f.Add(s.Partition, s.from, int64(i), 0)
		}
	}
	for left > 0 {
		got, err := f.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range got {
			done, err := r.take(&got[i])
			if err != nil {
				return err
			}
			if done {
				f.Remove(got[i].Partition)
				left--
				continue
			}
			if got[i].Batch.CaughtUp {
				if err := r.ends(ctx, got[i].Partition); err != nil {
					return err
				}
			}
			f.Release(got[i].Partition, got[i].Tag, got[i].Bytes)
		}
	}
	if looks {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	o.restored += r.done
	return nil
}

// intime refuses what took longer to restore than a log keeps its tombstones: some may
// have been cleaned away before they were read. It is asked before rows are applied: a checkpoint at
// the end is trusted however old it is, and a crash takes Reset back.
func (op *opener) intime(o *opening, spans []span, since time.Time) error {
	took := elapsed(op.cfg.Now(), since)
	for i := range spans {
		if invariant.Bug("a restore may take as long as it likes") || invariant.Bug("local state is kept however old it is") {
			break
		}
		if keeps := spans[i].keeps; spans[i].from < spans[i].to && tooOld(took, keeps) {
			invariant.Sometimes("shell: a restore took longer than tombstones are kept")
			if err := o.store.Reset(); err != nil {
				return err
			}
			return fmt.Errorf("%w: %v was read for %v, and keeps tombstones for %v", ErrMismatch, spans[i].Partition, took.Round(time.Second), keeps)
		}
	}
	return nil
}

type restorer struct {
	op    *opener
	o     *opening
	spans []span
	byLog map[Partition]int
	point statestore.Checkpoint
	since time.Time

	writes     []core.Write
	gathered   int // bytes of writes
	done, todo int64
	bytes      int64
	began      time.Time
	told       time.Time
}

// take adds what was fetched of one log and reports whether the log is done.
func (r *restorer) take(f *Fetched) (done bool, err error) {
	i, ok := r.byLog[f.Partition]
	if !ok {
		return false, nil // more of a log that is done
	}
	if f.Err != nil { // cut off under our hands: look again at what there is
		return false, fmt.Errorf("%w: %w", ErrMismatch, f.Err)
	}
	s := &r.spans[i]
	for k := range f.Batch.Records {
		rec := &f.Batch.Records[k]
		if rec.Offset >= s.to || invariant.Bug("the last record of a changelog is not restored") && rec.Offset == s.to-2 {
			break
		}
		if s.fresh && s.stands == 0 {
			if !r.op.cfg.AtLeastOnce {
				return false, fmt.Errorf("%w: %w", ErrMismatch, &LeftError{s.Partition})
			}
			s.left = true // to be filled anew: see origins
			continue
		}
		if s.left {
			if err := r.gone(s, rec.Key); err != nil {
				return false, err
			}
			continue
		}
		if s.stands >= 0 && rec.Offset >= s.stands {
			return false, fmt.Errorf("%w: %v has a committed record at %d, the group's offsets stand for those below %d",
				ErrMismatch, s.Partition, rec.Offset, s.stands)
		}
		if rec.Key == nil || rec.Value == nil && invariant.Bug("a restore passes over tombstones") {
			continue // a table has no such row
		}
		s.rows++
		r.writes = append(r.writes, core.Restored(s.table, s.versions, rec))
		r.bytes += int64(rec.Size())
		r.gathered += rec.Size()
	}
	next := min(f.Batch.Next, s.to)
	r.done += int64(next - s.at)
	if s.at = next; !s.fresh || s.rows > 0 { // else the table may yet be restored from another log
		r.point.Changelog[i] = next
	}
	if done = next == s.to; done {
		delete(r.byLog, f.Partition)
	}
	if len(r.writes) >= r.op.batch || r.gathered >= r.op.held() {
		err = r.flush()
	}
	r.tell()
	return done, err
}

// ends looks again at the end of a log that has no more to read than this, before the end that it
// had. A transaction may be open there, which is waited for. Or the log was deleted meanwhile and
// made again: then that end never comes.
func (r *restorer) ends(ctx context.Context, p Partition) error {
	i, ok := r.byLog[p]
	if !ok {
		return nil
	}
	now, err := r.op.cfg.Broker.Bounds(ctx, []Partition{p})
	if err != nil {
		return err
	}
	if has := now[p]; has.End < r.spans[i].to {
		return fmt.Errorf("%w: %w", ErrMismatch, &OffsetError{Partition: p, Want: r.spans[i].to, Has: has})
	}
	return nil
}

func (r *restorer) flush() error {
	if err := r.op.intime(r.o, r.spans, r.since); err != nil {
		return err
	}
	err := r.o.store.Apply(r.writes, r.point)
	clear(r.writes)
	r.writes, r.gathered = r.writes[:0], 0
	return err
}

// tell reports the progress about each second.
func (r *restorer) tell() {
	now := time.Now()
	if r.told.IsZero() {
		r.told = now
	}
	if now.Sub(r.told) < time.Second {
		return
	}
	r.told = now
	secs := now.Sub(r.began).Seconds()
	p := Progress{Task: r.o.id, Done: r.done, Todo: r.todo, PerSecond: float64(r.done) / secs, BytesPerSec: float64(r.bytes) / secs}
	if p.PerSecond > 0 {
		p.Remaining = time.Duration(float64(r.todo-r.done) / p.PerSecond * float64(time.Second)).Round(time.Second)
	}
	r.op.cfg.Logger.Info("restoring", "task", p.Task.String(), "done", p.Done, "of", p.Todo, "per_second", int64(p.PerSecond), "remaining", p.Remaining.String())
	if r.op.cfg.Events.Restoring != nil {
		r.op.cfg.Events.Restoring(p)
	}
}
