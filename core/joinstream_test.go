package core

import (
	"reflect"
	"testing"
)

// The rows of joins are written as Kafka Streams writes them.
func TestJoinRowFormats(t *testing.T) {
	timed := Timed[string]{"key", 0x0102, 3}
	lonely := Lonely[string]{0x0102, true, "key"}
	check := func(got []byte, err error, want string) {
		t.Helper()
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	b, err := TimedCodec[string]{str{}}.Append(nil, timed)
	check(b, err, "key\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x03")
	if k, err := (TimedCodec[string]{str{}}).Decode(b); k != timed || err != nil {
		t.Errorf("%v, %v", k, err)
	}
	b, err = LonelyCodec[string]{str{}}.Append(nil, lonely)
	check(b, err, "\x00\x00\x00\x00\x00\x00\x01\x02\x01key")
	if k, err := (LonelyCodec[string]{str{}}).Decode(b); k != lonely || err != nil {
		t.Errorf("%v, %v", k, err)
	}
	lc := lonersCodec[string, string]{str{}, str{}}
	both := lonersOf[string, string]{true, Loners[string, string]{Left: "v", More: []Loners[string, string]{{Left: "ww"}}}}
	b, err = lc.Append(nil, both)
	check(b, err, "\x01\x00\x00\x00\x02\x00\x00\x00\x02\x01v\x00\x00\x00\x03\x01ww")
	if l, err := lc.Decode(b); !reflect.DeepEqual(l, both) || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	right := lonersOf[string, string]{false, Loners[string, string]{Right: "v"}}
	b, err = lc.Append(nil, right)
	check(b, err, "\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00v")
	for i := range b {
		if _, err := lc.Decode(b[:i]); err == nil {
			t.Errorf("%q decodes", b[:i])
		}
	}
}

// A join allocates nothing for a record once its tables are warm.
func TestStreamJoinAllocs(t *testing.T) {
	task := NewTask(TaskConfig{View: func(TableID) View { return emptyView{} }, CacheBytes: 1 << 20})
	n := task.Node("join", "")
	results := 0
	j := &StreamJoin[string, string, string, int]{
		Node: n, Before: 5, After: 5,
		Left:   NewBuffer(NewTable[Timed[string], string](task, "left", TimedCodec[string]{str{}}, str{})),
		Right:  NewBuffer(NewTable[Timed[string], string](task, "right", TimedCodec[string]{str{}}, str{})),
		Lonely: NewLonelyTable[string, string, string](task, "lonely", str{}, str{}, str{}), Outer: true,
		Clock: NewClock(task, "join"), Join: func(Opt[string], Opt[string]) int { return 0 },
		Next: func(*Tx, Record[string, int]) { results++ },
	}
	j.Init()
	self := &SelfJoin[string, Opt[string], int]{
		Node: n, Before: 5, After: 5, No: Missing[Opt[string]](),
		Buffer: NewBuffer(NewTable[Timed[string], Opt[string]](task, "self", TimedCodec[string]{str{}}, optStr{})),
		Join:   func(Opt[string], Opt[string]) int { return 0 },
		Next:   func(*Tx, Record[string, int]) { results++ },
	}
	self.Init()
	keys := []string{"a", "b", "c", "d"}
	at := Time(0)
	step := func() {
		for range 100 {
			at++
			j.FromLeft(&task.tx, Record[string, string]{Key: keys[at%4], Value: "v", Time: at})
			j.FromRight(&task.tx, Record[string, string]{Key: keys[at%3], Value: "v", Time: at})
			self.Step(&task.tx, Record[string, Opt[string]]{Key: keys[at%4], Value: Opt[string]{"v", at%5 > 0}, Time: at})
		}
		if _, err := task.Ready(); err != nil {
			t.Fatal(err)
		}
		task.Advance()
	}
	for range 50 {
		step()
	}
	if n := testing.AllocsPerRun(50, step); n > 20 { // a map grows now and then
		t.Errorf("%v allocations for 300 records", n)
	}
	if results == 0 {
		t.Error("no results")
	}
}
