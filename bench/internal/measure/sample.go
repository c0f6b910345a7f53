package measure

import (
	"fmt"
	"slices"
	"time"
)

// Sample is one figure, measured several times.
type Sample []float64

// Median is the middle one.
func (s Sample) Median() float64 { return s.Quantile(0.5) }

// Quantile is the value below which a part q of the sample lies, interpolated.
func (s Sample) Quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	t := slices.Sorted(slices.Values(s))
	at := q * float64(len(t)-1)
	i := int(at)
	if i+1 == len(t) {
		return t[i]
	}
	return t[i] + (at-float64(i))*(t[i+1]-t[i])
}

// Spread prints the least and the greatest.
func (s Sample) Spread(format string) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf(format+".."+format, slices.Min(s), slices.Max(s))
}

// Durations is a large sample of times.
type Durations []time.Duration

// Quantile is the duration that a part q of all does not exceed. It sorts d.
func (d Durations) Quantile(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}
