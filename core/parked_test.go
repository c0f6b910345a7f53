package core

import (
	"fmt"
	"slices"
	"testing"
)

// A record that Kafka Streams has kept for a join with grace has the time of its key: that of its row is when
// the row was written.
func TestParkedTimeIsThatOfTheKey(t *testing.T) {
	var got []string
	w := newWorld(TaskConfig{}, func(t *Task) {
		waiting(t, Waiting{Grace: 5}, false, func(_ *Tx, r Record[string, string]) {
			got = append(got, fmt.Sprintf("%s %s @%d", r.Key, r.Value, r.Time))
		})
	})
	for i, at := range []Time{10, 12, 11} {
		k, err := ParkedCodec[string]{str{}}.Append(nil, Timed[string]{"k", at, 7 + uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		v, err := parkedStr{}.Append(nil, Parked[string]{Value: fmt.Sprint("v", i)})
		if err != nil {
			t.Fatal(err)
		}
		w.views[0].rows[string(k)] = memRow{string(v), 1 << 40}
	}
	if err := w.task.Step(&Batch{Records: []RawRecord{{Key: []byte("k"), Value: []byte("v"), Time: 16}}, Next: 1, CaughtUp: true}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"k v0 @10", "k v2 @11"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
