package core

import "testing"

// lender tells who decoded.
type lender struct{ str }

func (lender) Decode([]byte) (string, error) { return "row", nil }
func (lender) Borrowing() Codec[string]      { return borrowedStr{} }

type borrowedStr struct{ str }

func (borrowedStr) Decode([]byte) (string, error) { return "stream", nil }

// Streams borrow, tables do not.
func TestBorrower(t *testing.T) {
	var got string
	see := func(_ *Tx, r Record[string, string]) { got = r.Value }
	task := NewTask(TaskConfig{App: "a", View: func(TableID) View { return emptyView{} }})
	Source(task, "in", str{}, Codec[string](lender{}), see)
	TableSource(task, "rows", NewTable(task, "rows", str{}, Codec[string](lender{})), ToStream(see))
	for i, want := range []string{"stream", "row"} {
		b := &Batch{Source: SourceID(i), Records: []RawRecord{{Key: []byte("k"), Value: []byte("v")}}, Next: 1, CaughtUp: true}
		if err := task.Step(b); err != nil {
			t.Fatal(err)
		}
		if err := task.Step(&Batch{Source: SourceID(1 - i), Next: Offset(i), CaughtUp: true}); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("source %d: decoded as that of a %s, want a %s", i, got, want)
		}
	}
}
