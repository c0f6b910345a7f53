package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// frame is what there is to see at one moment.
type frame struct {
	elapsed    time.Duration
	phase      string // what is going on, if it is not just running
	in, out    string // the names of what is counted
	inputs     int64
	outputs    int64
	inRate     float64
	outRate    float64
	p50, p99   time.Duration
	commits    int64
	commitRate float64
	crashes    int64
	crashing   bool
	topics     []progress
	lag        int64
	last       string
}

// view shows frames: on a terminal redrawn in place, else as a line a second. What
// others have to say, logs, goes above the frame.
type view struct {
	mu    sync.Mutex
	out   io.Writer
	logs  io.Writer
	live  bool
	width func() int
	shown []string
}

func (v *view) show(f *frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.live {
		fmt.Fprintln(v.out, f.line())
		return
	}
	v.draw(f.lines(v.width()))
}

// draw replaces the lines on the screen in one write, so that nothing flickers.
func (v *view) draw(lines []string) {
	var b strings.Builder
	if n := len(v.shown); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n)
	}
	width := v.width()
	for _, l := range lines {
		b.WriteString(fit(l, width))
		b.WriteString("\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.shown = lines
	_, _ = io.WriteString(v.out, b.String())
}

// say prints a line that stays.
func (v *view) say(f string, a ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.above(v.out, []byte(fmt.Sprintf(f, a...)+"\n"))
}

// Write lets logs through.
func (v *view) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.above(v.logs, p)
	return len(p), nil
}

func (v *view) above(w io.Writer, p []byte) {
	if len(v.shown) == 0 {
		_, _ = w.Write(p)
		return
	}
	fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", len(v.shown))
	_, _ = w.Write(p)
	lines := v.shown
	v.shown = nil
	v.draw(lines)
}

// leave lets the last frame stand.
func (v *view) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown = nil
}

// line is a frame on one line.
func (f *frame) line() string {
	s := fmt.Sprintf("%5.1fs  %s %.0f/s  %s %.0f/s  p50 %s  p99 %s  lag %d  commits %.0f/s",
		f.elapsed.Seconds(), f.in, f.inRate, f.out, f.outRate, ms(f.p50), ms(f.p99), f.lag, f.commitRate)
	if f.crashing {
		s += fmt.Sprintf("  crashes %d", f.crashes)
	}
	if f.phase != "" {
		s += "  " + f.phase
	}
	if f.last != "" {
		s += "  | " + f.last
	}
	return s
}

// lines is a frame for a terminal.
func (f *frame) lines(width int) []string {
	head := fmt.Sprintf("  %s  %s in, %s out", clockOf(f.elapsed), number(f.inputs)+" "+f.in, number(f.outputs)+" "+f.out)
	if f.crashing {
		head += fmt.Sprintf(", worker killed %d times", f.crashes)
	}
	if f.phase != "" {
		head += "   " + f.phase
	}
	lines := []string{
		"",
		head,
		fmt.Sprintf("  rate     %8.0f/s in   %8.0f/s out   %5.1f commits/s", f.inRate, f.outRate, f.commitRate),
		fmt.Sprintf("  latency  %10s p50  %10s p99   from sent to visible", ms(f.p50), ms(f.p99)),
		"",
	}
	lines = append(lines, table(f.topics, width)...)
	last := f.last
	if last == "" {
		last = "-"
	}
	return append(lines, "", "  last  "+last)
}

// table shows position and lag of each partition, as many as there is room for.
func table(ps []progress, width int) []string {
	name, partitions := 0, 0
	for _, p := range ps {
		name, partitions = max(name, len(p.topic)), max(partitions, len(p.next))
	}
	name = min(name, 34)
	const cell = 17
	fits := max(1, (width-name-4)/cell)
	var b strings.Builder
	fmt.Fprintf(&b, "  %-*s", name, "position +lag")
	for i := range min(partitions, fits) {
		fmt.Fprintf(&b, "%*s", cell, "partition "+strconv.Itoa(i))
	}
	if partitions > fits {
		b.WriteString("  ...")
	}
	lines := []string{b.String()}
	for _, p := range ps {
		b.Reset()
		fmt.Fprintf(&b, "  %-*s", name, fit(p.topic, name))
		for i := range min(len(p.next), fits) {
			fmt.Fprintf(&b, "%*s", cell, number(p.next[i])+" +"+number(max(0, p.end[i]-p.next[i])))
		}
		lines = append(lines, b.String())
	}
	return lines
}

// fit cuts a line to a width.
func fit(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:max(0, width-1)]) + "…"
}

func ms(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func clockOf(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// number writes n in groups of three digits.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
