package measure

import (
	"syscall"
	"time"
)

// CPU is the user and system time that this process has used.
func CPU() time.Duration { return usage(syscall.RUSAGE_SELF) }

func usage(who int) time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(who, &ru); err != nil {
		panic(err) // it cannot fail for this process or thread
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// Mark is what a process had done at a moment.
type Mark struct {
	Records int64         `json:"records"` // input that is committed
	CPU     time.Duration `json:"cpu"`
	Wall    time.Duration `json:"wall"` // since the process began to measure
	Flushes int64         `json:"flushes,omitempty"`
}

// Marks are taken at each commit, so that the CPU of a part of a run can be told from
// the rest: start-up and warm-up.
type Marks struct {
	began time.Time
	list  []Mark
	total int64
}

// NewMarks begins to measure.
func NewMarks() *Marks { return &Marks{began: time.Now()} }

// Add notes that so many more records are committed.
func (m *Marks) Add(records, flushes int64) int64 {
	m.total += records
	m.list = append(m.list, Mark{m.total, CPU(), time.Since(m.began), flushes})
	return m.total
}

// Since is the time on the clock since the process began to measure.
func (m *Marks) Since() time.Duration { return time.Since(m.began) }

// List returns the marks so far.
func (m *Marks) List() []Mark { return m.list }

// Part is what lies between two marks.
type Part struct {
	Records int64
	CPU     time.Duration
	Wall    time.Duration
	Commits int
	Flushes int64
}

// Between is the part of a run from the first mark with at least from records to the
// first with at least to.
func Between(marks []Mark, from, to int64) (Part, bool) {
	a, b := -1, -1
	for i, m := range marks {
		if a < 0 && m.Records >= from {
			a = i
		}
		if b < 0 && m.Records >= to {
			b = i
		}
	}
	if a < 0 || b <= a {
		return Part{}, false
	}
	x, y := marks[a], marks[b]
	return Part{y.Records - x.Records, y.CPU - x.CPU, y.Wall - x.Wall, b - a, y.Flushes - x.Flushes}, true
}

// PerRecord is the CPU time per record.
func (p Part) PerRecord() time.Duration {
	return time.Duration(float64(p.CPU) / float64(max(1, p.Records)))
}

// Rate is records per second on the clock.
func (p Part) Rate() float64 { return float64(p.Records) / p.Wall.Seconds() }
