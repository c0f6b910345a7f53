package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// axis is what is made larger, step by step, while all else stays.
type axis struct {
	name  string // of -scale
	title string
	steps []scaleStep
}

// scaleStep is one run.
type scaleStep struct {
	label      string
	kind       string // of the workload; a count unless it is said
	keys       int    // or customers
	zipf       float64
	partitions int32
	processes  int
	env        []string
	idle       bool // nothing comes: what is measured is CPU of a core
}

// scaled are one peer's figures at one step, by run.
type scaled struct {
	axis, label, peer string
	cpu, broker       measure.Sample // us per record, noise divided out
	raw               measure.Sample // us per record, as counted
	busy              measure.Sample // processors, by all processes: as counted
	total             measure.Sample // seconds of CPU of the whole run, start-up too
	rate, rss, disk   measure.Sample // records/s; MiB of all processes
	idle              measure.Sample // parts of a core
}

const (
	scaleKeys  = 100_000
	scaleValue = 100
	idleFor    = 20 * time.Second
)

// axes are all that -scale knows; keys is how many keys there are at most.
func axes(keys int) []axis {
	all := []axis{
		{"partitions", "one process, 100k keys, by partitions, each of which is a task", nil},
		{"keys", "one process, 4 partitions, by keys, each as often", nil},
		{"memory", "one process, 4 partitions, keys by Zipf 1.1, by --memory", nil},
		{"processes", "8 partitions, 100k keys, by processes of a group, a processor each", nil},
		{"processors", "one process, 8 partitions, a count of 100k keys and the email join, by GOMAXPROCS with as many workers", nil},
		{"idle", "one process with nothing to do, by tasks", nil},
	}
	for _, n := range []int32{1, 4, 16, 64, 256} {
		all[0].steps = append(all[0].steps, scaleStep{label: fmt.Sprint(n), keys: scaleKeys, partitions: n, processes: 1})
	}
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000, 30_000_000} {
		if n <= keys {
			all[1].steps = append(all[1].steps, scaleStep{label: thousands(n), keys: n, partitions: 4, processes: 1})
		}
	}
	n := min(keys, 10_000_000)
	for _, mb := range []int{640, 1024, 16 << 10} {
		all[2].steps = append(all[2].steps, scaleStep{
			label: fmt.Sprintf("%s, %d MiB", thousands(n), mb), keys: n, zipf: 1.1, partitions: 4, processes: 1, env: []string{fmt.Sprintf("PEER_MEMORY_MB=%d", mb)},
		})
	}
	for _, n := range []int{1, 2, 4} {
		all[3].steps = append(all[3].steps, scaleStep{label: fmt.Sprint(n), keys: scaleKeys, partitions: 8, processes: n, env: []string{"GOMAXPROCS=1"}})
	}
	// A count waits for the broker, the join has work for its processors.
	for _, kind := range []string{workload.Count, workload.Join} {
		for _, n := range []int{1, 2} {
			all[4].steps = append(all[4].steps, scaleStep{
				label: fmt.Sprintf("%s, %d", kind, n), kind: kind, keys: scaleKeys, partitions: 8, processes: 1,
				env: []string{fmt.Sprintf("GOMAXPROCS=%d", n), fmt.Sprintf("PEER_WORKERS=%d", n)},
			})
		}
	}
	for _, n := range []int32{1, 64} {
		all[5].steps = append(all[5].steps, scaleStep{label: fmt.Sprint(n), keys: 1, partitions: n, processes: 1, idle: true})
	}
	return all
}

func axisNames() (names []string) {
	for _, a := range axes(0) {
		names = append(names, a.name)
	}
	return names
}

// thousands names a number: 10k, 1M.
func thousands(n int) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3gM", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.3gk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// scales runs all peers on each step of the axes that were asked for.
func (b *bench) scales(ctx context.Context) error {
	for _, a := range axes(b.keys) {
		if !slices.Contains(b.scale, a.name) {
			continue
		}
		fmt.Printf("\n%s: %s\n", a.name, a.title)
		for _, step := range a.steps {
			if err := b.scaleStep(ctx, a, step); err != nil {
				return fmt.Errorf("%s %s: %w", a.name, step.label, err)
			}
		}
	}
	return nil
}

// scaleStep runs all peers on one step, in turns. There are as many records as keys, and half of that
// again, or more.
func (b *bench) scaleStep(ctx context.Context, a axis, step scaleStep) (err error) {
	records := max(b.records, step.keys/2*3)
	if step.idle {
		records = 1
	}
	w := &workload.Workload{
		Name: fmt.Sprintf("scale-%d", b.apps+1), Kind: cmp.Or(step.kind, workload.Count), Records: records, Keys: step.keys, Zipf: step.zipf, Value: scaleValue,
		Partitions: step.partitions, Seed: 8,
	}
	filled, err := b.fill(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.empty(ctx, w)) }()
	rows := map[string]*scaled{}
	for _, p := range b.peers {
		rows[p.name] = &scaled{axis: a.name, label: step.label, peer: p.name}
		b.scaled = append(b.scaled, rows[p.name])
	}
	return b.alternate(func(run int, p *peer) error {
		if err := b.scaleOnce(ctx, p, filled, step, rows[p.name]); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		row := rows[p.name]
		if step.idle {
			fmt.Printf("  run %d %-15s %s tasks: %.2f %% of a core\n", run+1, p.name, step.label, last(row.idle)*100)
			return nil
		}
		fmt.Printf("  run %d %-15s %s: %.3f us/record (%.3f as counted), %.0fk/s, %.2f processors busy, %.0f MiB\n", run+1, p.name, step.label, last(row.cpu), last(row.raw), last(row.rate)/1e3, last(row.busy), last(row.rss))
		return nil
	})
}

// scaleOnce runs a peer in as many processes as the step has.
func (b *bench) scaleOnce(ctx context.Context, p *peer, f *workload.Filled, step scaleStep, row *scaled) (err error) {
	app, dir := b.app(p, f.Workload)
	if err := b.kafka.Create(ctx, app+"-out", step.partitions, map[string]string{"retention.ms": "-1"}); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, b.kafka.cleanUp(context.WithoutCancel(ctx), app), os.RemoveAll(dir))
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var procs []*process
	defer func() {
		for _, proc := range procs {
			proc.kill() // it has ended, or err says why not
		}
	}()
	own := *p
	own.env = append(slices.Clone(p.env), step.env...)
	var j job
	for i := range step.processes {
		j = job{kind: f.Kind, in: f.Inputs(), out: app + "-out", app: app, state: filepath.Join(dir, fmt.Sprint(i))}
		proc, err := b.start(&own, j)
		if err != nil {
			return err
		}
		procs = append(procs, proc)
	}
	marks, err := b.watch(ctx, procs, j, int64(f.Records), step.partitions)
	if err != nil {
		return err
	}
	if step.idle {
		cpu, err := idleCPU(ctx, procs[0])
		row.idle = append(row.idle, cpu)
		return errors.Join(err, procs[0].stop())
	}
	rss := int64(0)
	for _, proc := range procs {
		rss += measure.ProcessPeakRSS(proc.pid())
	}
	for _, proc := range procs {
		err = errors.Join(err, proc.stop())
	}
	if err == nil {
		err = b.kafka.settled(ctx, j.out, step.partitions)
	}
	if err == nil && p.skips {
		_, err = f.CheckLast(ctx, b.kafka.Cluster, j.out)
	} else if err == nil {
		err = f.Check(ctx, b.kafka.Cluster, j.out)
	}
	if err != nil {
		return err
	}
	from, to, ok := part(marks, int64(b.from*float64(f.Records)))
	if !ok {
		return errTooFast
	}
	noise, n := b.noise(marks, from, to), float64(to.records-from.records)
	row.cpu = append(row.cpu, (to.cpu-from.cpu).Seconds()*1e6/n/noise)
	row.raw = append(row.raw, (to.cpu-from.cpu).Seconds()*1e6/n)
	row.busy = append(row.busy, (to.cpu-from.cpu).Seconds()/to.at.Sub(from.at).Seconds())
	row.broker = append(row.broker, (to.broker-from.broker).Seconds()*1e6/n/noise)
	row.total = append(row.total, to.cpu.Seconds())
	row.rate = append(row.rate, n/to.at.Sub(from.at).Seconds())
	row.rss = append(row.rss, float64(rss)/(1<<20))
	row.disk = append(row.disk, float64(diskUse(dir))/(1<<20))
	return nil
}

var errTooFast = errors.New("it went too fast to measure: take more -records")

// idleCPU is what a process takes that has nothing to do, when it has come to rest.
func idleCPU(ctx context.Context, p *process) (ofCore float64, err error) {
	for _, d := range []time.Duration{5 * time.Second, idleFor} {
		began, cpu := time.Now(), measure.ProcessCPU(p.pid())
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		ofCore = (measure.ProcessCPU(p.pid()) - cpu).Seconds() / time.Since(began).Seconds()
	}
	return ofCore, p.ended()
}
