package chaos

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
	"github.com/seed-81380e12/limpet/topology"
)

// A mail that was written with another row than its customer's must be reported.
func TestJudgeRows(t *testing.T) {
	orders, mails, _ := good()
	// Of c0 are the mails 0, 2, 4 and so on, of c1 the others.
	rows := history{"c0": {"v1", "", "v2"}, "c1": {"v3"}}
	check := func(names0, names1 string, to map[int]string) report {
		j := newJudge(orders)
		j.rows = rows
		for i, r := range mails {
			c, names := "c0", names0
			if i%2 == 1 {
				c, names = "c1", names1
			}
			name := map[byte]string{'-': "", '1': "v1", '2': "v2", '3': "v3", '9': "v9"}[names[i/2]]
			address := c + "@example.com"
			if name == "" {
				address = ""
			}
			if a, ok := to[i]; ok {
				address = a
			}
			var mail map[string]any
			if err := json.Unmarshal(r.Value, &mail); err != nil {
				t.Fatal(err)
			}
			mail["to"], mail["template"] = address, name
			b, _ := json.Marshal(mail)
			j.email(&kgo.Record{Key: r.Key, Value: b})
		}
		return j.report()
	}
	for _, names := range []string{"11-222", "111111", "222222", "------", "1-----", "1--222"} {
		if r := check(names, "333333", nil); !r.ok() {
			t.Errorf("%s: nothing is wrong, and: %v", names, r)
		}
	}
	for what, x := range map[string]struct{ c0, c1 string }{
		"an older row":                 {"112221", "333333"},
		"a row that was deleted":       {"1-1222", "333333"},
		"deleted once more":            {"1-222-", "333333"},
		"a row that never was":         {"119222", "333333"},
		"a row of another":             {"113222", "333333"},
		"nobody, who was always there": {"11-222", "33-333"},
	} {
		if r, want := check(x.c0, x.c1, nil), (report{orders: 12, found: 12, stale: 1}); r != want {
			t.Errorf("%s: %v, want %v", what, r, want)
		}
	}
	if r := check("1-2222", "333333", map[int]string{2: "c0@example.com"}); r.ok() || r.wrong != 1 {
		t.Errorf("a mail to somebody who was deleted: %v", r)
	}
}

// Offsets that are one too far, or one too few, are reported as that, and nothing else is.
func TestJudgeOffsets(t *testing.T) {
	last, ends := map[int32]int64{0: 7, 1: 4, 2: 0}, map[int32]int64{0: 7, 1: 5, 2: 0} // partition 1 ends with a marker
	for what, c := range map[string]struct {
		committed map[int32]int64
		want      []string
	}{
		"good":                     {map[int32]int64{0: 7, 1: 4, 2: -1}, nil},
		"behind the marker":        {map[int32]int64{0: 7, 1: 5, 2: 0}, nil},
		"one too few":              {map[int32]int64{0: 6, 1: 4, 2: -1}, []string{"orders/0: committed offset 6, the last record ends at 7"}},
		"one too far":              {map[int32]int64{0: 8, 1: 4, 2: -1}, []string{"orders/0: committed offset 8, the topic ends at 7"}},
		"one too far, of a marker": {map[int32]int64{0: 7, 1: 6, 2: -1}, []string{"orders/1: committed offset 6, the topic ends at 5"}},
		"of an empty partition":    {map[int32]int64{0: 7, 1: 4, 2: 1}, []string{"orders/2: committed offset 1, the topic ends at 0"}},
		"none":                     {map[int32]int64{0: 7, 1: -1, 2: -1}, []string{"orders/1: committed offset 0, the last record ends at 4"}},
	} {
		if got := judgeOffsets("orders", c.committed, last, ends); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func TestJudgeCities(t *testing.T) {
	n := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	customers := map[string]string{"a": `{"city":"Rome"}`, "b": `{"city":"Rome"}`, "c": `{"city":"Oslo"}`}
	for what, c := range map[string]struct {
		counts map[string]string
		want   []string
	}{
		"good":       {map[string]string{"Rome": n(2), "Oslo": n(1)}, nil},
		"one more":   {map[string]string{"Rome": n(3), "Oslo": n(1)}, []string{"city Rome: 3 are counted, and there are 2"}},
		"one less":   {map[string]string{"Rome": n(1), "Oslo": n(1)}, []string{"city Rome: 1 are counted, and there are 2"}},
		"missing":    {map[string]string{"Rome": n(2)}, []string{"city Oslo: 0 are counted, and there are 1"}},
		"not gone":   {map[string]string{"Rome": n(2), "Oslo": n(1), "Bern": n(1)}, []string{"city Bern: 1 are counted, and there are none"}},
		"no counts":  {map[string]string{"Rome": "x", "Oslo": n(1)}, []string{"city Rome: -1 are counted, and there are 2"}},
		"below none": {map[string]string{"Rome": n(2), "Oslo": n(1<<64 - 1)}, []string{"city Oslo: -1 are counted, and there are 1"}},
	} {
		if got := judgeCities(customers, c.counts); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// evidence is what the judge of state has: directories, logs and offsets.
type evidence struct {
	dirs [][]stored
	w    logged
}

// goodState is two directories: the first one's process has owned all tasks last, the second one's has
// left one of them before.
func goodState() *evidence {
	log := func(changes ...change) tableLog { return tableLog{0: changes} }
	one := string(binary.BigEndian.AppendUint64(nil, 1))
	joined := core.TaskID{Sub: 1}
	return &evidence{
		dirs: [][]stored{
			{
				{task: core.TaskID{}, input: map[string]int64{"orders": 3}},
				{task: joined, input: map[string]int64{"customers": 4, internal[0]: 3}, tables: []storedTable{
					{"customers", "customers", 4, map[string]string{"c0": "ada", "c1": "bea"}},
					{"seen", "shop-seen-changelog", 5, map[string]string{"c0": "2 9 o2", "c1": "1 4 o3"}},
				}},
				{task: core.TaskID{Sub: 2}, input: map[string]int64{internal[1]: 2}, tables: []storedTable{
					{"by-city", "shop-by-city-changelog", 3, map[string]string{"Rome": one}},
				}},
			},
			{
				{task: joined, input: map[string]int64{"customers": 3, internal[0]: 1}, tables: []storedTable{
					{"customers", "customers", 3, map[string]string{"c0": "ada"}},
					{"seen", "shop-seen-changelog", 2, map[string]string{"c0": "1 5 o1"}},
				}},
			},
		},
		w: logged{
			logs: map[string]tableLog{
				"customers":              log(change{0, "c0", []byte("ada")}, change{1, "c1", []byte("bob")}, change{2, "c1", nil}, change{3, "c1", []byte("bea")}),
				"shop-seen-changelog":    log(change{0, "c0", []byte("1 5 o1")}, change{2, "c0", []byte("2 9 o2")}, change{3, "c1", []byte("1 4 o3")}),
				"shop-by-city-changelog": log(change{0, "Oslo", []byte(one)}, change{1, "Oslo", nil}, change{2, "Rome", []byte(one)}),
			},
			committed: map[string]map[int32]int64{"orders": {0: 3}, "customers": {0: 4}, internal[0]: {0: 3}, internal[1]: {0: 2}},
			tasks:     []core.TaskID{{}, joined, {Sub: 2}},
		},
	}
}

// judge writes the directories, and reads them as the checker does.
func (e *evidence) judge(t *testing.T) stateReport {
	t.Helper()
	plan := planOf(t, shop)
	var all []stored
	for i, tasks := range e.dirs {
		dir := filepath.Join(t.TempDir(), "state")
		writeDir(t, filepath.Join(dir, shop, "db"), plan, tasks)
		got, err := readDir([]string{"first", "second"}[i], dir, shop, plan)
		if err != nil {
			t.Fatal(err)
		}
		for k := range got {
			want := tasks[k]
			want.dir = got[k].dir
			if len(want.tables) == 0 {
				want.tables = got[k].tables
			}
			if !reflect.DeepEqual(got[k], want) {
				t.Fatalf("read as %+v, want %+v", got[k], want)
			}
		}
		all = append(all, got...)
	}
	return judgeState(all, e.w)
}

func writeDir(t *testing.T, path string, plan *topology.Plan, tasks []stored) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fatal(os.MkdirAll(path, 0o755))
	db, err := statestore.OpenPebble(statestore.PebbleConfig{Dir: path, App: shop})
	fatal(err)
	for _, s := range tasks {
		sub := plan.Subtopologies()[s.task.Sub]
		st, err := db.Open(s.task, specsOf(sub))
		fatal(err)
		var cp statestore.Checkpoint
		for _, src := range sub.Sources {
			cp.Input = append(cp.Input, core.Offset(s.input[src.TopicName(shop)]))
		}
		var writes []core.Write
		for i, spec := range sub.Tables {
			table := s.tables[slices.IndexFunc(s.tables, func(t storedTable) bool { return t.name == spec.Name })]
			cp.Changelog = append(cp.Changelog, core.Offset(table.next))
			for k, v := range table.rows {
				writes = append(writes, core.Write{Table: core.TableID(i), Key: []byte(k), Value: []byte(v)})
			}
		}
		fatal(st.Apply(writes, cp))
		fatal(st.Close())
	}
	fatal(db.Close())
}

// Each damage to state, changelogs and offsets must be reported as what it is, and nothing else.
func TestJudgeState(t *testing.T) {
	good := goodState().judge(t)
	if want := (stateReport{dirs: 1, tasks: 3, rows: 5, older: 1, olderRows: 2}); !reflect.DeepEqual(good, want) || !good.ok() {
		t.Fatalf("nothing is damaged: %+v, want %+v", good, want)
	}
	for what, c := range map[string]struct {
		damage func(*evidence)
		want   []string
	}{
		"a row on disk is another":     {func(e *evidence) { e.dirs[0][1].tables[1].rows["c0"] = "2 8 o2" }, []string{`first, task 1_0, seen: row "c0" is "2 8 o2" on disk, "2 9 o2" in the log`}},
		"a row on disk is missing":     {func(e *evidence) { delete(e.dirs[0][1].tables[1].rows, "c1") }, []string{`first, task 1_0, seen: row "c1" is in the log, "1 4 o3", and not on disk`}},
		"a row on disk too many":       {func(e *evidence) { e.dirs[0][2].tables[0].rows["Oslo"] = "x" }, []string{`first, task 2_0, by-city: row "Oslo" is on disk, "x", and not in the log`}},
		"a row of an older copy":       {func(e *evidence) { e.dirs[1][0].tables[0].rows["c1"] = "bea" }, []string{`second, task 1_0, customers: row "c1" is on disk, "bea", and not in the log`}},
		"an older copy's row is newer": {func(e *evidence) { e.dirs[1][0].tables[1].rows["c0"] = "2 9 o2" }, []string{`second, task 1_0, seen: row "c0" is "2 9 o2" on disk, "1 5 o1" in the log`}},
		"a record of the log is another": {
			func(e *evidence) { e.w.logs["shop-seen-changelog"][0][2].value = []byte("1 5 o3") },
			[]string{`first, task 1_0, seen: row "c1" is "1 4 o3" on disk, "1 5 o3" in the log`},
		},
		"a record of the log is missing": {func(e *evidence) { e.w.cut("shop-seen-changelog", 2) }, []string{`first, task 1_0, seen: row "c1" is on disk, "1 4 o3", and not in the log`}},
		"a record of the log too many": {
			func(e *evidence) { e.w.append("shop-seen-changelog", change{4, "c7", []byte("x")}) },
			[]string{`first, task 1_0, seen: row "c7" is in the log, "x", and not on disk`},
		},
		"a deletion is missing":  {func(e *evidence) { e.w.cut("shop-by-city-changelog", 1) }, []string{"first, task 2_0, by-city: row \"Oslo\" is in the log, \"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\", and not on disk"}},
		"a deletion too many":    {func(e *evidence) { e.w.append("shop-seen-changelog", change{4, "c0", nil}) }, []string{`first, task 1_0, seen: row "c0" is on disk, "2 9 o2", and not in the log`}},
		"a commit more in a log": {func(e *evidence) { e.w.append("shop-seen-changelog", change{5, "c1", []byte("2 5 o4")}) }, []string{`first, task 1_0, seen: is at 5 of its log, whose last record ends at 6`}},
		"a checkpoint one too few": {
			func(e *evidence) { e.dirs[0][1].tables[1].next = 3 },
			[]string{`first, task 1_0, seen: is at 3 of its log, whose last record ends at 4`, `first, task 1_0, seen: row "c1" is on disk, "1 4 o3", and not in the log`},
		},
		"an older checkpoint too far":   {func(e *evidence) { e.dirs[1][0].tables[1].next = 3 }, []string{`second, task 1_0, seen: row "c0" is "1 5 o1" on disk, "2 9 o2" in the log`}},
		"an offset is one too far":      {func(e *evidence) { e.w.committed["orders"][0] = 4 }, []string{`task 0_0: nowhere as it was committed; first has it at map[orders:3]`}},
		"an offset is one too few":      {func(e *evidence) { e.w.committed["orders"][0] = 2 }, []string{`task 0_0: nowhere as it was committed; first has it at map[orders:3]`}},
		"an offset is gone":             {func(e *evidence) { e.w.committed["orders"][0] = -1 }, []string{`task 0_0: nowhere as it was committed; first has it at map[orders:3]`}},
		"a directory has lost a task":   {func(e *evidence) { e.dirs[0] = e.dirs[0][:2] }, []string{`task 2_0: nowhere as it was committed`}},
		"only an older copy is left":    {func(e *evidence) { e.dirs[0] = slices.Delete(e.dirs[0], 1, 2) }, []string{`task 1_0: nowhere as it was committed; second has it at map[customers:3 shop-by-customer-repartition:1]`}},
		"a log has begun anew, at once": {func(e *evidence) { e.w.logs["customers"] = tableLog{} }, []string{`first, task 1_0, customers: row "c0" is on disk, "ada", and not in the log`, `first, task 1_0, customers: row "c1" is on disk, "bea", and not in the log`, `second, task 1_0, customers: row "c0" is on disk, "ada", and not in the log`}},
	} {
		e := goodState()
		c.damage(e)
		if got := e.judge(t); got.ok() || !slices.Equal(got.wrong, c.want) {
			t.Errorf("%s: %q, want %q", what, got.wrong, c.want)
		}
	}
	// A task that was moved, and had nothing to do since, is there twice.
	e := goodState()
	e.dirs[1] = append(e.dirs[1], e.dirs[0][2])
	if got := e.judge(t); !got.ok() || got.tasks != 4 || got.dirs != 2 {
		t.Errorf("a task is there twice: %+v", got)
	}
	e = goodState()
	e.dirs = nil
	e.w.tasks = nil
	if got := e.judge(t); got.ok() {
		t.Error("no state at all, and all is well")
	}
}

// cut takes a record out of a log.
func (w *logged) cut(log string, i int) { w.logs[log][0] = slices.Delete(w.logs[log][0], i, i+1) }

func (w *logged) append(log string, c change) { w.logs[log][0] = append(w.logs[log][0], c) }
