package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// globalLog is the topic of a global table, and the view that all tasks share.
type globalLog struct {
	parts [][][2]string // by partition: key and value; "" deletes
	at    []Offset
	view  memView
}

// move shows the log up to at, and returns the keys in between.
func (g *globalLog) move(at ...Offset) (changed [][]byte) {
	old := g.at
	g.at, g.view.rows = at, map[string]memRow{}
	for p, log := range g.parts {
		for o, r := range log[:at[p]] {
			w := Write{Key: []byte(r[0]), Value: []byte(r[1])}
			if r[1] == "" {
				w.Value = nil
			}
			g.view.apply(w)
			if p >= len(old) || Offset(o) >= old[p] {
				changed = append(changed, w.Key)
			}
		}
	}
	return changed
}

// globalChain joins values such as "k:text" with the row of k, and counts them in a table. Each commit joins
// how many there were with a row, too.
func globalChain(t *Task) {
	counts := NewTable(t, "counts", str{}, str{})
	global := NewGlobal(t, "global", str{}, str{})
	later := NewTable(t, "later", str{}, str{}) // its id is not the global table's
	key := func(v string) string { k, _, _ := strings.Cut(v, ":"); return k }
	inner, left, ported := Sink(t, 0, "inner", str{}, str{}, nil), Sink(t, 1, "left", str{}, str{}, nil), Sink(t, 2, "ported", str{}, str{}, nil)
	type ports struct {
		Out  Out[string]
		Rows Rows[string, string]
	}
	ps := &Ports[string, ports]{User: new(ports)}
	AddOut(ps, &ps.User.Out, ported)
	AddRows(ps, &ps.User.Rows, global.Get)
	Source(t, "stream", str{}, str{}, Fan(
		JoinGlobal(t.Node("join", ""), global.Get, key, func(v, g string) string { return v + "+" + g }, inner),
		LeftJoinGlobal(t.Node("left", ""), global.Get, key, func(v string, g Opt[string]) string { return v + "+" + g.Or("-") }, left),
		ProcessPorts(t.Node("ports", ""), counts, ps, func(s, v string, p *ports) string {
			a, ok := p.Rows.Get(key(v))
			b, _ := p.Rows.Get("k1")
			p.Out.Emit(fmt.Sprint(a, ok, b))
			return s + "."
		}, nil, nil),
		ToTable[string](t.Node("later", ""), later, nil, nil),
		Aggregate(t.Node("n", ""), NewTable(t, "n", str{}, i64{}), nil, func(n int64, _ string) int64 { return n + 1 }, nil, new(PerCommit[string, int64]).Connect(t, ToStream(
			LeftJoinGlobal(t.Node("at the commit", ""), global.Get, func(n int64) string { return fmt.Sprint("k", n%8) }, func(n int64, g Opt[string]) string { return fmt.Sprint(n, g) },
				Sink(t, 3, "late", str{}, str{}, nil)),
		))),
	))
}

// What a task makes of a global table follows from the positions it is told, and the
// decisions hold them: so the commits can be made again. The naive model is a map at a position.
func TestGlobalReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &globalLog{parts: make([][][2]string, 2)}
		for p := range g.parts {
			for n := rapid.IntRange(0, 12).Draw(t, "updates"); n > 0; n-- {
				k := fmt.Sprint("k", 2*rapid.IntRange(0, 3).Draw(t, "key")+p)
				g.parts[p] = append(g.parts[p], [2]string{k, rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "value")})
			}
		}
		var stream []RawRecord
		for o := range rapid.IntRange(0, 30).Draw(t, "records") {
			v := fmt.Sprintf("k%d:%d", rapid.IntRange(0, 8).Draw(t, "lookup"), o)
			r := RawRecord{Key: []byte("s"), Value: []byte(v), Time: Time(o), Offset: Offset(o)}
			if rapid.IntRange(0, 9).Draw(t, "no key") == 0 {
				r.Key = nil
			}
			stream = append(stream, r)
		}
		cfg := TaskConfig{
			CacheBytes:    rapid.SampledFrom([]int{0, 300, 1 << 20}).Draw(t, "cache"),
			CheckMutation: rapid.Bool().Draw(t, "check"),
			Global:        func(GlobalID) View { return &g.view },
		}
		w := newWorld(cfg, globalChain)
		move := func(task *Task, all bool, at ...Offset) {
			changed := g.move(at...)
			if all {
				changed = nil
			}
			task.Move(GlobalMove{At: at, Changed: changed, All: all})
		}
		move(w.task, true, 0, 0)
		fed := Offset(0)
		seek := func() { fed = w.task.Next(nil)[0] }
		var want []string // what the left join must make, from the model
		var settled int
		var commits []*Commit
		var texts []string
		commit := func() {
			c := w.ready(t)
			commits = append(commits, &Commit{Decisions: slices.Clone(c.Decisions)})
			texts = append(texts, c.String())
			w.settle(c)
			settled = len(want)
		}
		for s := rapid.IntRange(0, 40).Draw(t, "steps"); s > 0; s-- {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				commit()
			case 1:
				w.task.Abort()
				want = want[:settled]
				seek()
			case 2:
				if rapid.Bool().Draw(t, "crash") {
					w.open()
					move(w.task, true, g.at...)
					want = want[:settled]
					seek()
				}
			case 3:
				var at []Offset
				for p := range g.parts {
					at = append(at, Offset(rapid.IntRange(int(g.at[p]), len(g.parts[p])).Draw(t, "at")))
				}
				move(w.task, rapid.Bool().Draw(t, "all"), at...)
			default:
				n := min(Offset(len(stream)), fed+Offset(rapid.IntRange(0, 5).Draw(t, "n")))
				for _, r := range stream[fed:n] {
					k, _, _ := strings.Cut(string(r.Value), ":")
					row := g.view.rows[k].value
					if row == "" {
						row = "-"
					}
					want = append(want, string(r.Value)+"+"+row)
				}
				if err := w.task.Step(&Batch{Records: stream[fed:n], Next: n, CaughtUp: true}); err != nil {
					t.Fatal(err)
				}
				fed = n
			}
		}
		commit()
		var got []string
		for _, line := range w.outputs {
			if rest, ok := strings.CutPrefix(line, "out 1 "); ok {
				got = append(got, strings.Split(rest, `"`)[len(strings.Split(rest, `"`))-2])
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("left join: got\n%v\nwant\n%v", got, want)
		}

		// Again, from the decisions alone.
		cfg.CheckMutation, cfg.CacheBytes = false, 0
		g.at = nil
		r := newWorld(cfg, globalChain)
		at := []Offset{0, 0}
		next := Offset(0)
		for i, c := range commits {
			for _, d := range c.Decisions {
				if d.Source == Moved {
					at[d.Partition] = Offset(d.N)
					r.task.Move(GlobalMove{Global: d.Global, At: at, All: true})
					g.move(slices.Clone(at)...)
					continue
				}
				if err := r.task.Step(&Batch{Records: stream[next : next+Offset(d.N)], Next: next + Offset(d.N), CaughtUp: true}); err != nil {
					t.Fatal(err)
				}
				next += Offset(d.N)
			}
			c, err := r.task.Ready()
			if err != nil {
				t.Fatal(err)
			}
			if outs(c.String()) != outs(texts[i]) {
				t.Fatalf("commit %d: got\n%s\nwant\n%s", i, c, texts[i])
			}
			r.settle(c)
		}
	})
}

// outs is a commit's text but for the order of positions: told one by one here.
func outs(text string) string {
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if !strings.HasPrefix(l, "  global ") {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// Each commit says at which position it began, and when that moved; a commit with nothing
// but positions is none.
func TestGlobalDecisions(t *testing.T) {
	g := &globalLog{parts: [][][2]string{{{"k", "v"}}, {}}}
	w := newWorld(TaskConfig{Global: func(GlobalID) View { return &g.view }, CacheBytes: 1 << 20}, globalChain)
	w.task.Move(GlobalMove{At: []Offset{0, 0}, Changed: g.move(0, 0)})
	next := Offset(0)
	step := func() {
		t.Helper()
		r := RawRecord{Key: []byte("s"), Value: []byte("k:x"), Time: 1, Offset: next}
		next++
		if err := w.task.Step(&Batch{Records: []RawRecord{r}, Next: next, CaughtUp: true}); err != nil {
			t.Fatal(err)
		}
	}
	decisions := func() string {
		c := w.ready(t)
		if len(c.Outputs) == 0 && !c.Empty() {
			t.Error("a commit of positions only is not empty")
		}
		var lines []string
		for _, l := range strings.Split(c.String(), "\n") {
			if strings.HasPrefix(l, "  global") || strings.HasPrefix(l, "  took") {
				lines = append(lines, strings.TrimSpace(l))
			}
		}
		w.task.Advance()
		return strings.Join(lines, ", ")
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	step()
	step()
	w.task.Move(GlobalMove{At: []Offset{1, 0}, Changed: g.move(1, 0)})
	step()
	want(decisions(), "global 0/0 at 0, global 0/1 at 0, took 2 of 0, global 0/0 at 1, took 1 of 0")
	step()
	want(decisions(), "global 0/0 at 1, global 0/1 at 0, took 1 of 0")
	if err := w.task.Step(); err != nil {
		t.Fatal(err)
	}
	decisions() // nothing was stepped
	step()
	w.task.Abort()
	next--
	step()
	want(decisions(), "global 0/0 at 1, global 0/1 at 0, took 1 of 0")
}

// A view that fails, and a row that does not decode, stop the task at the record.
func TestGlobalFails(t *testing.T) {
	for _, c := range []struct {
		name string
		view memView
		is   error
	}{
		{"read", memView{err: errors.New("disk")}, ErrState},
		{"row", memView{rows: map[string]memRow{"k": {value: "bad"}}}, ErrDecode},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(TaskConfig{Global: func(GlobalID) View { return &c.view }}, globalChain)
			w.task.Move(GlobalMove{At: []Offset{1}, All: true})
			err := w.task.Step(&Batch{Records: []RawRecord{{Key: []byte("s"), Value: []byte("k:x"), Offset: 7}}, Next: 8, CaughtUp: true})
			var re *RecordError
			if !errors.Is(err, c.is) || !errors.As(err, &re) || re.Offset != 7 || re.Node != "global" {
				t.Fatalf("got %v", err)
			}
			c.view = memView{rows: map[string]memRow{"k": {value: "good"}}}
			w.task.Abort()
			if err := w.task.Step(&Batch{Records: []RawRecord{{Key: []byte("s"), Value: []byte("k:x"), Offset: 7}}, Next: 8, CaughtUp: true}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A lookup of a decoded row allocates nothing, and moves of other rows do not change that.
func TestGlobalAllocations(t *testing.T) {
	g := &globalLog{parts: [][][2]string{{{"k", "v"}, {"other", "w"}}}}
	task := NewTask(TaskConfig{Global: func(GlobalID) View { return &g.view }, View: func(TableID) View { return &memView{} }, CacheBytes: 1 << 20})
	global := NewGlobal(task, "global", str{}, list{})
	n := 0
	Source(task, "stream", list{}, list{}, JoinGlobal(task.Node("join", ""), global.Get, func([]string) string { return "k" },
		func(v, row []string) int { n += len(row); return n }, func(*Tx, Record[[]string, int]) {}))
	task.Move(GlobalMove{At: []Offset{2}, Changed: g.move(2)})
	other := [][]byte{[]byte("other")}
	next := Offset(0)
	batch := &Batch{Records: make([]RawRecord, 10), CaughtUp: true}
	step := func() {
		for i := range batch.Records {
			batch.Records[i] = RawRecord{Key: []byte{}, Value: []byte{}, Offset: next}
			next++
		}
		batch.Next = next
		task.Move(GlobalMove{At: g.at, Changed: other})
		if err := task.Step(batch); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Ready(); err != nil {
			t.Fatal(err)
		}
		task.Advance()
	}
	step()
	step()
	if got := testing.AllocsPerRun(50, step); got > 1 { // the key that was told is decoded: a string
		t.Errorf("%v allocations", got)
	}
	if n == 0 {
		t.Error("nothing was joined")
	}
}
