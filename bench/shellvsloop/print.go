package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
)

// row is a line of the table.
type row struct {
	workload, who string
	ratio         measure.Sample // to the loop's, round by round
	figures
}

func (r *rounds) rows() []row {
	return []row{
		{r.workload.Name, "loop", nil, r.loop},
		{r.workload.Name, "limpet", r.ratio, r.limpet},
	}
}

func printTable(out io.Writer, rows []row) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nworkload\twho\tCPU us/record\tspread\tratio\tspread\trecords/s\tstop us/rec\tlog/in\tflushes\tpeak MiB\trestore/s\tus/rec\tnoise")
	for _, r := range rows {
		ratio, spread, flushes, restore, restoreCPU := "", "", "", "", ""
		if len(r.ratio) > 0 {
			ratio, spread = fmt.Sprintf("%.2f", r.ratio.Median()), r.ratio.Spread("%.2f")
		}
		if len(r.flushes) > 0 && slices.Max(r.flushes) > 0 {
			flushes = fmt.Sprintf("%d..%d", slices.Min(r.flushes), slices.Max(r.flushes))
		}
		if len(r.restore) > 0 {
			restore, restoreCPU = fmt.Sprintf("%.0fk", r.restore.Median()/1e3), fmt.Sprintf("%.2f", r.restoreCPU.Median())
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.3f\t%s\t%s\t%s\t%.0fk\t%.3f\t%.2f\t%s\t%.0f\t%s\t%s\t%.2f\n", r.workload, r.who,
			r.cpu.Median(), r.cpu.Spread("%.3f"), ratio, spread, r.rate.Median()/1e3, r.stop.Median(), r.log.Median(),
			flushes, r.rss.Median(), restore, restoreCPU, r.noise.Median())
	}
	_ = t.Flush()
}
