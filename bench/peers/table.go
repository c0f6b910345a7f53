package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

// print prints what was measured, as Markdown.
func (b *bench) print(out io.Writer) {
	if len(b.rows) > 0 {
		b.printThroughput(out)
	}
	if len(b.lates) > 0 {
		b.printLatency(out)
	}
	if len(b.recovered) > 0 {
		b.printRecovery(out)
	}
	if len(b.scaled) > 0 {
		b.printScaled(out)
	}
}

func (b *bench) printThroughput(out io.Writer) {
	names := []string{
		"workload", "peer", "CPU us/record", "least..greatest", "as counted", "to the loop's", "Kafka Streams' to it", "both as counted", "broker us", "records/s", "peak MiB", "disk MiB",
		"changelog/input bytes", "outputs/input", "flushes", "noise", "p50 ms", "p99 ms", "p99.9 ms", "restore/s", "restore us", "after kill, s",
	}
	head(out, names...)
	loops, streams := map[string]figures{}, map[string]figures{}
	for _, r := range b.rows {
		switch {
		case r.lost:
		case r.peer == "loop":
			loops[r.workload] = *r
		case r.peer == "streams-nocache":
			streams[r.workload] = *r
		}
	}
	for _, r := range b.rows {
		if len(r.cpu) == 0 || r.lost { // the peer does not have it, or failed
			line(out, append([]string{r.workload, r.peer}, slices.Repeat([]string{"-"}, len(names)-2)...)...)
			continue
		}
		loop, stream := loops[r.workload], streams[r.workload]
		var late latency
		for _, l := range b.lates {
			if l.workload == r.workload && l.peer == r.peer {
				late = *l
			}
		}
		line(out, r.workload, r.peer, "**"+fmt.Sprintf("%.2f", r.cpu.Median())+"**", r.cpu.Spread("%.2f"), f("%.2f", r.raw, 1),
			ratio(r.cpu, loop.cpu), ratio(stream.cpu, r.cpu), strings.Trim(ratio(r.raw, loop.raw)+", "+ratio(stream.raw, r.raw), ", "),
			f("%.2f", r.broker, 1), f("%.0fk", r.rate, 1e-3), f("%.0f", r.rss, 1), f("%.0f", r.disk, 1), f("%.2f", r.changelog, 1), f("%.2f", r.out, 1),
			f("%.0f", r.flushes, 1), f("%.2f", r.noise, 1), f("%.1f", late.p50, 1), f("%.1f", late.p99, 1), f("%.1f", late.p999, 1), f("%.0fk", r.restore, 1e-3), f("%.2f", r.restCPU, 1), f("%.1f", r.kill, 1))
	}
}

// ratio is the median of the ratios of each run.
func ratio(a, to measure.Sample) string {
	var s measure.Sample
	for i := range min(len(a), len(to)) {
		s = append(s, a[i]/to[i])
	}
	return f("%.2f", s, 1)
}

func (b *bench) printLatency(out io.Writer) {
	head(out, "workload", "records/s", "peer", "p50 ms", "p99 ms", "least..greatest", "p99.9 ms", "greatest ms", "CPU of a core", "broker", "peak MiB")
	for _, l := range b.lates {
		line(out, l.workload, fmt.Sprint(l.rate), l.peer, f("%.1f", l.p50, 1), f("%.1f", l.p99, 1), l.p99.Spread("%.1f"), f("%.1f", l.p999, 1), f("%.1f", l.most, 1),
			f("%.1f %%", l.cpu, 100), f("%.1f %%", l.broker, 100), f("%.0f", l.rss, 1))
	}
}

func (b *bench) printRecovery(out io.Writer) {
	head(out, "peer", "kill -9, restarted, s", "kill -9, moved, s", "SIGTERM, moved, s", "SIGTERM to its end, s", "longest stop of tasks that stay, s")
	for _, r := range b.recovered {
		cell := func(s measure.Sample) string {
			var secs measure.Sample
			for _, ms := range s {
				secs = append(secs, ms/1e3)
			}
			return f("**%.1f**", secs, 1) + " (" + secs.Spread("%.1f") + ")"
		}
		line(out, r.peer, cell(r.restarted), cell(r.moved), cell(r.left), cell(r.stopped), cell(r.kept))
	}
}

// printScaled prints a table and a plot for each axis.
func (b *bench) printScaled(out io.Writer) {
	for _, a := range axes(b.keys) {
		var rows []*scaled
		for _, r := range b.scaled {
			if r.axis == a.name {
				rows = append(rows, r)
			}
		}
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", a.name, a.title)
		figure, unit := func(r *scaled) measure.Sample { return r.cpu }, "us of CPU a record"
		if rows[0].idle != nil {
			figure, unit = func(r *scaled) measure.Sample { return r.idle }, "parts of a core"
			head(out, a.name, "peer", "CPU of a core", "least..greatest")
			for _, r := range rows {
				line(out, r.label, r.peer, f("%.2f %%", r.idle, 100), r.idle.Spread("%.4f"))
			}
		} else {
			head(out, a.name, "peer", "CPU us/record", "least..greatest", "as counted", "broker us", "records/s", "processors busy", "CPU of the whole run, s", "peak MiB", "disk MiB")
			for _, r := range rows {
				line(out, r.label, r.peer, "**"+f("%.2f", r.cpu, 1)+"**", r.cpu.Spread("%.2f"), f("%.2f", r.raw, 1), f("%.2f", r.broker, 1), f("%.0fk", r.rate, 1e-3), f("%.2f", r.busy, 1),
					f("%.1f", r.total, 1), f("%.0f", r.rss, 1), f("%.0f", r.disk, 1))
			}
		}
		plot(out, unit, rows, figure)
	}
}

// plot draws a bar for each row: what stays the same per record grows in a straight line.
func plot(out io.Writer, unit string, rows []*scaled, figure func(*scaled) measure.Sample) {
	const width = 50
	most, label := 0.0, 0
	for _, r := range rows {
		most, label = max(most, figure(r).Median()), max(label, len(r.label)+len(r.peer))
	}
	fmt.Fprintf(out, "\n    %s\n", unit)
	for _, r := range rows {
		v := figure(r).Median()
		bar := 0
		if most > 0 {
			bar = int(v/most*width + 0.5)
		}
		fmt.Fprintf(out, "    %*s |%s %.3g\n", label+1, r.label+" "+r.peer, strings.Repeat("#", bar), v)
	}
}

func f(format string, s measure.Sample, times float64) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf(format, s.Median()*times)
}

func head(out io.Writer, columns ...string) {
	fmt.Fprintln(out)
	line(out, columns...)
	line(out, strings.Split(strings.Repeat("---,", len(columns)-1)+"---", ",")...)
}

func line(out io.Writer, cells ...string) {
	fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
}
