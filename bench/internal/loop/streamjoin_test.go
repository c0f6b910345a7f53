package loop

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A row goes when the other side is past it by more than the window, and not before.
func TestExpire(t *testing.T) {
	p := newPairs()
	p.keep(0, []byte("a"), row{at: 1000})
	p.keep(0, []byte("a"), row{at: 1001})
	p.keep(0, []byte("b"), row{at: 1001})
	for _, step := range []struct{ right, a, b int }{{1000 + window, 2, 1}, {1001 + window, 1, 1}, {1002 + window, 0, 0}} {
		p.keep(1, []byte("c"), row{at: int64(step.right)})
		p.expire()
		if a, b := len(p.rows[0]["a"]), len(p.rows[0]["b"]); a != step.a || b != step.b {
			t.Errorf("at %d: %d and %d rows, want %d and %d", step.right, a, b, step.a, step.b)
		}
	}
	if len(p.rows[0]) != 0 || p.order[0].n() != 0 {
		t.Errorf("%d keys and %d times are left", len(p.rows[0]), p.order[0].n())
	}
}

// What the changelog has is what was kept.
func TestKept(t *testing.T) {
	p := newPairs()
	at := time.UnixMilli(5)
	if err := p.kept(&kgo.Record{Key: []byte("a"), Value: []byte("\x01value"), Timestamp: at}); err != nil {
		t.Fatal(err)
	}
	if r := p.rows[1]["a"]; len(r) != 1 || r[0].at != 5 || string(r[0].value) != "value" {
		t.Errorf("%v", r)
	}
	for _, wrong := range []string{"", "\x02value"} {
		if err := p.kept(&kgo.Record{Key: []byte("a"), Value: []byte(wrong), Timestamp: at}); err == nil {
			t.Errorf("%q was read", wrong)
		}
	}
}

// A queue is first in, first out, however it is cut.
func TestQueue(t *testing.T) {
	var q queue
	next, first := int64(0), int64(0)
	r := rand.New(rand.NewPCG(1, 1))
	for range 50_000 {
		if q.n() == 0 || r.IntN(100) < 49 {
			q.push(waiting{at: next})
			next++
			continue
		}
		if got := q.first().at; got != first {
			t.Fatalf("%d comes, want %d", got, first)
		}
		q.pop()
		first++
	}
	if int64(q.n()) != next-first || first < 10_000 {
		t.Errorf("%d are left, want %d", q.n(), next-first)
	}
}
