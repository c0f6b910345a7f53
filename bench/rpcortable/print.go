package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

func ms(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f ms", float64(d)/1e6)
}

func (p phase) perSecond() float64 { return float64(p.emails) / p.length.Seconds() }

func (p phase) perThousand(n int) float64 { return 1000 * float64(n) / float64(max(1, p.orders)) }

// line sums a trial up while the command runs.
func (o outcome) line() string {
	return fmt.Sprintf("start %s; steady p50 %s p99 %s; slow p99 %s; down p99 %s; full load %.0f emails/s",
		ms(o.start), ms(o.steady.p50), ms(o.steady.p99), ms(o.slow.p99), ms(o.down.p99), o.full.perSecond())
}

// column is a figure of the tables.
type column struct {
	name string
	of   func(outcome) float64
	show func(float64) string
}

func millis(name string, of func(outcome) time.Duration) column {
	return column{name, func(o outcome) float64 { return float64(of(o)) }, func(v float64) string { return ms(time.Duration(v)) }}
}

func plain(name, format string, of func(outcome) float64) column {
	return column{name, of, func(v float64) string { return fmt.Sprintf(format, v) }}
}

// faultColumns are those of a phase at the fixed rate.
func faultColumns(of func(outcome) phase) []column {
	return []column{
		millis("p50", func(o outcome) time.Duration { return of(o).p50 }),
		millis("p99", func(o outcome) time.Duration { return of(o).p99 }),
		millis("worst", func(o outcome) time.Duration { return of(o).worst }),
		plain("emails during it, %", "%.1f", func(o outcome) float64 { p := of(o); return 100 * float64(p.during) / float64(max(1, p.orders)) }),
		millis("then until all are out", func(o outcome) time.Duration { return of(o).drain }),
		plain("calls/1000 orders", "%.0f", func(o outcome) float64 { p := of(o); return p.perThousand(int(p.calls)) }),
		plain("stale/1000", "%.2f", func(o outcome) float64 { p := of(o); return p.perThousand(p.stale) }),
		plain("newer/1000", "%.2f", func(o outcome) float64 { p := of(o); return p.perThousand(p.newer) }),
	}
}

func printTables(out io.Writer, all map[string][]outcome) {
	printTable(out, "Steady", all, append(faultColumns(func(o outcome) phase { return o.steady }),
		plain("CPU %", "%.0f", func(o outcome) float64 { return 100 * o.steady.cpu.Seconds() / o.steady.length.Seconds() }),
		plain("customer service CPU %", "%.0f", func(o outcome) float64 { return 100 * o.steady.service.Seconds() / o.steady.length.Seconds() })))
	printTable(out, "The customer service is slow", all, faultColumns(func(o outcome) phase { return o.slow }))
	printTable(out, "The customer service is down", all, faultColumns(func(o outcome) phase { return o.down }))
	printTable(out, "Full load", all, []column{
		plain("emails/s", "%.0f", func(o outcome) float64 { return o.full.perSecond() }),
		millis("p50", func(o outcome) time.Duration { return o.full.p50 }),
		plain("CPU us/email", "%.1f", func(o outcome) float64 { return perEmail(o.full, o.full.cpu) }),
		plain("customer service CPU us/email", "%.1f", func(o outcome) float64 { return perEmail(o.full, o.full.service) }),
		plain("calls/1000 emails", "%.0f", func(o outcome) float64 { return 1000 * float64(o.full.calls) / float64(max(1, o.full.emails)) }),
		millis("from start to first emails", func(o outcome) time.Duration { return o.start }),
		plain("peak MiB", "%.0f", func(o outcome) float64 { return float64(o.peak) / (1 << 20) }),
	})
}

func perEmail(p phase, d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(max(1, p.emails))
}

// printTable prints medians, and the spread where there was more than one round.
func printTable(out io.Writer, title string, all map[string][]outcome, columns []column) {
	_, _ = fmt.Fprintf(out, "\n%s\n", title)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range columns {
		_, _ = fmt.Fprintf(t, "\t%s", c.name)
	}
	for _, v := range variants {
		if len(all[v]) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(t, "\n%s", v)
		for _, c := range columns {
			var s measure.Sample
			for _, o := range all[v] {
				s = append(s, c.of(o))
			}
			_, _ = fmt.Fprintf(t, "\t%s", c.show(s.Median()))
			if len(s) > 1 && s.Quantile(0) != s.Quantile(1) {
				_, _ = fmt.Fprintf(t, " (%s..%s)", c.show(s.Quantile(0)), c.show(s.Quantile(1)))
			}
		}
	}
	_, _ = fmt.Fprintln(t)
	_ = t.Flush()
}
