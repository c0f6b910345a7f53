package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/examples/emailservice"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// planOf is an application's topology.
func planOf(t *testing.T, app string) *topology.Plan {
	t.Helper()
	b := map[string]func() *topology.Builder{"email-service": emailservice.Topology, "order-count": CountTopology, shop: ShopTopology}[app]()
	plan, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// tableLog is what was committed to the log of a table, by partition, in the order of offsets. All
// of it is there: no segment is closed in the time of a storm, so nothing is compacted.
type tableLog map[int32][]change

type change struct {
	at    int64
	key   string
	value []byte // nil: a deletion
}

func (l tableLog) add(r *kgo.Record) {
	l[r.Partition] = append(l[r.Partition], change{r.Offset, string(r.Key), r.Value})
}

// rows are those that a partition's records below an offset leave.
func (l tableLog) rows(partition int32, below int64) map[string]string {
	rows := map[string]string{}
	for _, c := range l[partition] {
		switch {
		case c.at >= below:
		case c.value == nil:
			delete(rows, c.key)
		default:
			rows[c.key] = string(c.value)
		}
	}
	return rows
}

// next is the offset behind a partition's last record.
func (l tableLog) next(partition int32) int64 {
	if n := len(l[partition]); n > 0 {
		return l[partition][n-1].at + 1
	}
	return 0
}

// all are the rows of all partitions.
func (l tableLog) all() map[string]string {
	rows := map[string]string{}
	for p := range l {
		for k, v := range l.rows(p, l.next(p)) {
			rows[k] = v
		}
	}
	return rows
}

// stored is what a state directory has of a task.
type stored struct {
	dir    string
	task   core.TaskID
	input  map[string]int64 // by source topic: the next offset to consume; -1: it was being restored
	tables []storedTable
}

type storedTable struct {
	name, log string
	next      int64 // of the log: the rows are what lies below leaves
	rows      map[string]string
}

// readDir reads the state directory of a process that has stopped; one that is not there has nothing.
func readDir(name, dir, app string, plan *topology.Plan) (all []stored, err error) {
	path := filepath.Join(dir, app, "db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: path, App: app})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, id := range db.Tasks() {
		s, err := readTask(db, app, plan.Subtopologies()[id.Sub], id)
		if err != nil {
			return nil, fmt.Errorf("%s, task %v: %w", dir, id, err)
		}
		s.dir = name
		all = append(all, s)
	}
	return all, nil
}

func readTask(db statestore.DB, app string, sub *topology.Subtopology, id core.TaskID) (s stored, err error) {
	st, err := db.Open(id, specsOf(sub))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	point, ok := st.Checkpoint()
	if !ok {
		return s, errors.New("it has no checkpoint")
	}
	s = stored{task: id, input: map[string]int64{}}
	for i, src := range sub.Sources {
		if s.input[src.TopicName(app)] = -1; i < len(point.Input) {
			s.input[src.TopicName(app)] = int64(point.Input[i])
		}
	}
	for i, spec := range sub.Tables {
		t := storedTable{name: spec.Name, log: logOf(app, sub, i), next: int64(max(0, point.Changelog[i])), rows: map[string]string{}}
		err := st.Scan(core.TableID(i), nil, nil, func(k, v []byte, _ core.Time) bool {
			t.rows[string(k)] = string(v)
			return true
		})
		if err != nil {
			return s, err
		}
		s.tables = append(s.tables, t)
	}
	return s, nil
}

// logOf is where a table is restored from. All topics that the applications read as tables are compacted.
func logOf(app string, sub *topology.Subtopology, table int) string {
	if src := sub.Tables[table].Source; src >= 0 {
		return sub.Sources[src].TopicName(app)
	}
	return sub.Tables[table].ChangelogTopic(app)
}

func specsOf(sub *topology.Subtopology) (specs []statestore.TableSpec) {
	for _, tb := range sub.Tables {
		specs = append(specs, statestore.TableSpec{Name: tb.Name, Schema: tb.Schema, DueOf: tb.DueOf})
	}
	return specs
}

// stateReport is how state directories compare with the logs, and with what the group has committed.
type stateReport struct {
	dirs, tasks, rows int // of the tasks that a directory's process owned last
	older, olderRows  int // what others have left behind of tasks, as of an earlier commit
	wrong             []string
}

func (r stateReport) ok() bool { return len(r.wrong) == 0 && r.rows > 0 }

func (r stateReport) String() string {
	return fmt.Sprintf("dirs=%d tasks=%d rows=%d older=%d olderrows=%d wrong=%d", r.dirs, r.tasks, r.rows, r.older, r.olderRows, len(r.wrong))
}

// lines are the first of what is wrong.
func (r stateReport) lines() []string { return r.wrong[:min(len(r.wrong), 20)] }

// logged is all that state is compared with.
type logged struct {
	logs      map[string]tableLog        // by topic
	committed map[string]map[int32]int64 // the group's offsets, by source topic
	tasks     []core.TaskID              // that the application has
}

// judgeState wants the rows of each task, in each directory, to be what its logs leave up to where it
// is; and each task to be somewhere as it was committed last.
func judgeState(all []stored, w logged) stateReport {
	var rep stateReport
	last, dirs := map[core.TaskID]bool{}, map[string]bool{}
	for _, s := range all {
		final := w.isLast(s)
		where := fmt.Sprintf("%s, task %v", s.dir, s.task)
		rows := 0
		for _, t := range s.tables {
			log := w.logs[t.log]
			if end := log.next(s.task.Partition); final && t.next < end {
				rep.wrong = append(rep.wrong, fmt.Sprintf("%s, %s: is at %d of its log, whose last record ends at %d", where, t.name, t.next, end))
			}
			rep.wrong = append(rep.wrong, differences(where+", "+t.name, t.rows, log.rows(s.task.Partition, t.next))...)
			rows += len(t.rows)
		}
		if final {
			rep.tasks++
			rep.rows += rows
			last[s.task], dirs[s.dir] = true, true
		} else {
			rep.older++
			rep.olderRows += rows
		}
	}
	rep.dirs = len(dirs)
	for _, id := range w.tasks {
		if last[id] {
			continue
		}
		text := fmt.Sprintf("task %v: nowhere as it was committed", id)
		for _, s := range all {
			if s.task == id {
				text += fmt.Sprintf("; %s has it at %v", s.dir, s.input)
			}
		}
		rep.wrong = append(rep.wrong, text)
	}
	return rep
}

// isLast reports whether a task is where the group's offsets are. Others may have owned it since, and
// had nothing to do.
func (w logged) isLast(s stored) bool {
	for topic, next := range s.input {
		if at, ok := w.committed[topic][s.task.Partition]; ok && next != max(0, at) {
			return false
		}
	}
	return true
}

// differences are how rows on disk differ from those of their log.
func differences(where string, disk, log map[string]string) (wrong []string) {
	for k, v := range disk {
		if want, ok := log[k]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: row %q is on disk, %q, and not in the log", where, k, v))
		} else if v != want {
			wrong = append(wrong, fmt.Sprintf("%s: row %q is %q on disk, %q in the log", where, k, v, want))
		}
	}
	for k, v := range log {
		if _, ok := disk[k]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: row %q is in the log, %q, and not on disk", where, k, v))
		}
	}
	slices.Sort(wrong)
	return wrong
}
