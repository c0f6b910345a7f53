package sim

import (
	"fmt"
	"slices"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// watched is a disk whose checkpoints are looked at. The rule is that of statestore.Store: what is applied
// is durable when it was flushed, or its store was closed. So
//
//   - each Apply leads on from the checkpoint before, and Reset is the one way back: to none;
//   - a store is opened with the checkpoint with which it was closed; after a crash it may
//     have lost what was not flushed, and so be at the last flush, or at any Apply or Reset behind it.
//
// A checkpoint may so go back by a crash, and the rows go back with it. A disk that is lost or taken away as damaged is
// followed by another one, which begins with nothing.
type watched struct {
	disk
	w    *world
	logs map[string]*pointLog // by task, or global table
}

// pointLog are the checkpoints that a store may be opened with: the last one that is durable, and those behind it.
type pointLog struct {
	points []point
	open   bool
}

// point is a checkpoint, or none. What a restore applies has no input and times: those that the rows had
// before stand for them, until the restore is done.
type point struct {
	ok bool
	cp statestore.Checkpoint
	// before are the input and times of the last checkpoint that had some, since the last Reset.
	input []core.Offset
	times []core.Time
}

func (p *point) String() string {
	if !p.ok {
		return "none"
	}
	return fmt.Sprintf("changelogs %v, input %v, times %v", p.cp.Changelog, p.cp.Input, p.cp.Times)
}

func (w *world) watch(d disk) disk { return &watched{d, w, map[string]*pointLog{}} }

// log is what is known of a store; a new one has no checkpoint.
func (d *watched) log(name string) *pointLog {
	if d.logs[name] == nil {
		d.logs[name] = &pointLog{points: []point{{}}}
	}
	return d.logs[name]
}

// last is where the store is.
func (l *pointLog) last() *point { return &l.points[len(l.points)-1] }

// settle forgets all but the i-th: that is what the store has, for good.
func (l *pointLog) settle(i int) { l.points = slices.Clone(l.points[i : i+1]) }

func (l *pointLog) flushed() { l.settle(len(l.points) - 1) }

// opened looks at the checkpoint of a store that was just opened.
func (d *watched) opened(name string, cp statestore.Checkpoint, ok bool) {
	l := d.log(name)
	l.open = true
	for i := len(l.points) - 1; i >= 0; i-- {
		if p := &l.points[i]; p.ok == ok && samePoint(&p.cp, &cp) {
			l.settle(i)
			return
		}
	}
	d.w.failf(checkFlushed, "%s is opened with %v; it was flushed with %v, and is %d checkpoints farther", name, &point{ok: ok, cp: cp}, &l.points[0], len(l.points)-1)
}

func samePoint(a, b *statestore.Checkpoint) bool {
	return slices.Equal(a.Changelog, b.Changelog) && slices.Equal(a.Input, b.Input) && slices.Equal(a.Times, b.Times)
}

// applied looks at a checkpoint that was applied.
func (d *watched) applied(name string, cp *statestore.Checkpoint) {
	l := d.log(name)
	was, now := l.last(), point{ok: true, cp: cp.Clone()}
	now.input, now.times = was.input, was.times
	if len(cp.Input) > 0 {
		now.input, now.times = now.cp.Input, now.cp.Times
	}
	sameLogs := slices.Equal(cp.Topics, was.cp.Topics) // a table's log may be another one: see release
	if sameLogs && behind(cp.Changelog, was.cp.Changelog) >= 0 || behind(now.input, was.input) >= 0 || behind(now.times, was.times) >= 0 {
		d.w.failf(checkPointsBack, "%s goes back from %v to %v", name, was, &now)
	}
	l.points = append(l.points, now)
}

func (d *watched) reset(name string) {
	l := d.log(name)
	l.points = append(l.points, point{})
}

func (d *watched) Open(id core.TaskID, tables []statestore.TableSpec) (statestore.Store, error) {
	s, err := d.disk.Open(id, tables)
	if err != nil {
		return s, err
	}
	name := fmt.Sprintf("store of task %v", id)
	cp, ok := s.Checkpoint()
	d.opened(name, cp, ok)
	return watchedStore{s, d, name}, nil
}

func (d *watched) OpenGlobal(table statestore.TableSpec) (statestore.Global, error) {
	g, err := d.disk.OpenGlobal(table)
	if err != nil {
		return g, err
	}
	name := "global table " + table.Name
	cp, ok := g.Checkpoint()
	d.opened(name, cp, ok)
	return watchedGlobal{g, d, name}, nil
}

// Flush makes all stores that are open durable. What another one has, which a crash has closed, is seen when it is opened.
func (d *watched) Flush() error {
	err := d.disk.Flush()
	if err == nil {
		d.flushed()
	}
	return err
}

func (d *watched) Close() error {
	err := d.disk.Close()
	if err == nil {
		d.flushed()
	}
	d.ended()
	return err
}

func (d *watched) Crash() {
	d.ended()
	d.disk.Crash()
}

func (d *watched) flushed() {
	for _, l := range d.logs {
		if l.open {
			l.flushed()
		}
	}
}

func (d *watched) ended() {
	for _, l := range d.logs {
		l.open = false
	}
}

type watchedStore struct {
	statestore.Store
	d    *watched
	name string
}

func (s watchedStore) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	err := s.Store.Apply(writes, cp)
	if err == nil {
		s.d.applied(s.name, &cp)
	}
	return err
}

func (s watchedStore) Reset() error {
	err := s.Store.Reset()
	if err == nil {
		s.d.reset(s.name)
	}
	return err
}

func (s watchedStore) Flush() error {
	err := s.Store.Flush()
	if err == nil {
		s.d.log(s.name).flushed()
	}
	return err
}

func (s watchedStore) Close() error {
	err := s.Store.Close()
	if err == nil {
		l := s.d.log(s.name)
		l.flushed()
		l.open = false
	}
	return err
}

type watchedGlobal struct {
	statestore.Global
	d    *watched
	name string
}

func (g watchedGlobal) Apply(writes []core.Write, cp statestore.Checkpoint) error {
	err := g.Global.Apply(writes, cp)
	if err == nil {
		g.d.applied(g.name, &statestore.Checkpoint{Input: cp.Input}) // the rest is not kept
	}
	return err
}

func (g watchedGlobal) Reset() error {
	err := g.Global.Reset()
	if err == nil {
		g.d.reset(g.name)
	}
	return err
}
