package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func someFrame() *frame {
	return &frame{
		elapsed: 72 * time.Second, in: "orders", out: "emails", inputs: 144012, outputs: 144003, inRate: 2000.4, outRate: 1999.6,
		p50: 61 * time.Millisecond, p99: 118 * time.Millisecond, commits: 700, commitRate: 9.8, crashing: true, crashes: 3, lag: 12,
		topics: []progress{
			{"customers", []int64{500, 12345}, []int64{500, 12346}},
			{"a-repartition-topic-of-a-very-long-name", []int64{72000, 72003}, []int64{72010, 72004}},
		},
		last: "to ada@example.com: Your order order-0144003.",
	}
}

func TestFrameOnOneLine(t *testing.T) {
	want := " 72.0s  orders 2000/s  emails 2000/s  p50 61 ms  p99 118 ms  lag 12  commits 10/s  crashes 3  | to ada@example.com: Your order order-0144003."
	if got := someFrame().line(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFrameOnATerminal(t *testing.T) {
	f := someFrame()
	want := `
  01:12  144 012 orders in, 144 003 emails out, worker killed 3 times
  rate         2000/s in       2000/s out     9.8 commits/s
  latency       61 ms p50      118 ms p99   from sent to visible

  position +lag                           partition 0      partition 1
  customers                                    500 +0        12 345 +1
  a-repartition-topic-of-a-very-lon…       72 000 +10        72 003 +1

  last  to ada@example.com: Your order order-0144003.`
	if got := strings.Join(f.lines(100), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(f.lines(60), "\n"); !strings.Contains(got, "partition 0  ...") || strings.Contains(got, "partition 1") {
		t.Errorf("on 60 columns:\n%s", got)
	}
}

// screen is as much of a terminal as a view needs.
type screen struct {
	rows   []string
	row    int
	writes int
}

func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	text := string(p)
	for text != "" {
		var n int
		switch {
		case strings.HasPrefix(text, "\x1b[K"): // what is there was overwritten by longer ones: not modelled
			text = text[3:]
		case strings.HasPrefix(text, "\x1b[J"):
			s.rows, text = s.rows[:min(s.row, len(s.rows))], text[3:]
		case strings.HasPrefix(text, "\x1b["):
			if _, err := fmt.Sscanf(text, "\x1b[%dA", &n); err != nil {
				panic(text)
			}
			s.row, text = s.row-n, text[strings.IndexByte(text, 'A')+1:]
		default:
			end := strings.IndexAny(text, "\n\x1b")
			for len(s.rows) <= s.row {
				s.rows = append(s.rows, "")
			}
			s.rows[s.row] = text[:end]
			if text = text[end:]; text[0] != '\n' { // \x1b[K comes before each line break
				text = strings.TrimPrefix(text, "\x1b[K")
			}
			s.row++
			text = strings.TrimPrefix(text, "\n")
		}
	}
	return len(p), nil
}

func TestViewRedrawsInPlace(t *testing.T) {
	s := &screen{}
	v := &view{out: s, logs: s, live: true, width: func() int { return 60 }}
	f := someFrame()
	v.say("begins")
	v.show(f)
	height := len(s.rows)
	for range 5 {
		v.show(f)
	}
	if len(s.rows) != height || s.writes != 7 || s.rows[0] != "begins" {
		t.Fatalf("%d rows, were %d; %d writes:\n%s", len(s.rows), height, s.writes, strings.Join(s.rows, "\n"))
	}
	if _, err := v.Write([]byte("level=WARN msg=something\n")); err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != height+1 || s.rows[1] != "level=WARN msg=something" || !strings.HasPrefix(s.rows[height], "  last") {
		t.Fatalf("after a log line:\n%s", strings.Join(s.rows, "\n"))
	}
	for _, r := range s.rows {
		if utf8.RuneCountInString(r) > 60 {
			t.Errorf("too wide: %s", r)
		}
	}
	v.leave()
	v.say("ends")
	if s.rows[len(s.rows)-1] != "ends" || len(s.rows) != height+2 {
		t.Fatalf("at the end:\n%s", strings.Join(s.rows, "\n"))
	}
}

func TestViewOfAPipe(t *testing.T) {
	var out, logs bytes.Buffer
	v := &view{out: &out, logs: &logs}
	v.say("begins")
	v.show(someFrame())
	if _, err := v.Write([]byte("log\n")); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "\n") != 2 || strings.Contains(out.String(), "\x1b") || logs.String() != "log\n" {
		t.Errorf("got %q and %q", out.String(), logs.String())
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567", -1000: "-1 000", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
