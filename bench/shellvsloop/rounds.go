package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/child"
	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// rounds runs both contenders on one workload, in turns.
type rounds struct {
	options
	cluster  *cluster.Cluster
	workload *workload.Workload
	filled   *workload.Filled
	dir      string
	quiet    time.Duration // the kernel's time at best, before anything ran

	loop, limpet figures
	ratio        measure.Sample
}

// figures are one contender's.
type figures struct {
	cpu, rate, stop, rss, log, noise measure.Sample
	restore, restoreCPU              measure.Sample
	flushes                          []int64
	commits                          measure.Sample
}

// flushesMin is how often the state must have gone to disk in the measured part of a
// count, or the store's cost is not in the figure.
const flushesMin = 3

func (r *rounds) run(ctx context.Context) (err error) {
	w := r.workload
	in := "in-" + w.Name
	fmt.Printf("\n%s: %d records, %d keys\n", w.Name, w.Records, w.Keys)
	if r.filled, err = w.Fill(ctx, r.cluster, in); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.cluster.Delete(context.WithoutCancel(ctx), in)) }()
	for n := range r.rounds {
		var cpu [2]float64
		// Who begins takes turns too.
		for i := range 2 {
			var err error
			if (n+i)%2 == 0 {
				cpu[0], err = r.once(ctx, loopRole, n, &r.loop)
			} else {
				cpu[1], err = r.once(ctx, limpetRole, n, &r.limpet)
			}
			if err != nil {
				return err
			}
		}
		r.ratio = append(r.ratio, cpu[1]/cpu[0])
	}
	return nil
}

// once runs one contender, checks what it made, and returns its CPU time per record in us.
func (r *rounds) once(ctx context.Context, role string, n int, f *figures) (float64, error) {
	w := r.workload
	app := fmt.Sprintf("%s-%s-%d", w.Name, role, n)
	j := job{
		Kind: w.Kind, Brokers: r.cluster.Brokers, In: r.filled.Topic, Out: "out-" + app, App: app,
		Partitions: w.Partitions, Records: int64(w.Records), Every: r.every,
		StateDir: filepath.Join(r.dir, app), Memory: r.memory, Flush: r.flush,
	}
	if r.profile != "" && n == 0 {
		j.Profile = filepath.Join(r.profile, w.Name+"-"+role+".pprof")
	}
	// The records' times lie in the past: with a retention a real Kafka would delete them.
	if err := r.cluster.Create(ctx, j.Out, w.Partitions, map[string]string{"retention.ms": "-1"}); err != nil {
		return 0, err
	}
	changelog := app + "-counts-changelog"
	topics := []string{j.Out}
	if w.Kind == workload.Count {
		topics = append(topics, changelog)
	}
	defer func() { _ = r.cluster.Delete(context.WithoutCancel(ctx), topics...) }() // memory only
	defer func() { _ = os.RemoveAll(j.StateDir) }()

	noise := float64(measure.Kernel()) / float64(r.quiet)
	rep, err := work(role, j)
	if err != nil {
		return 0, err
	}
	noise = (noise + float64(measure.Kernel())/float64(r.quiet)) / 2
	part, ok := measure.Between(rep.Marks, int64(warm*float64(w.Records)), int64(w.Records))
	if !ok {
		return 0, fmt.Errorf("%s made %d commits: too few to measure", role, len(rep.Marks))
	}
	last := rep.Marks[len(rep.Marks)-1]
	if last.Records != int64(w.Records) {
		return 0, fmt.Errorf("%s committed %d records of %d", role, last.Records, w.Records)
	}
	if err := r.filled.Check(ctx, r.cluster, j.Out); err != nil {
		return 0, fmt.Errorf("%s: %w", role, err)
	}
	logged := int64(0)
	if w.Kind == workload.Count {
		if logged, err = r.filled.CheckChangelog(ctx, r.cluster, changelog); err != nil {
			return 0, fmt.Errorf("%s: %w", role, err)
		}
	}
	if w.Kind == workload.Count && role == limpetRole && part.Flushes < flushesMin {
		if r.scale >= 1 {
			return 0, fmt.Errorf("only %d flushes of the state in the measured part, want %d: more records, or fewer -flush-records", part.Flushes, flushesMin)
		}
		fmt.Printf("  only %d flushes of the state in the measured part: what they cost is not in the figure\n", part.Flushes)
	}
	cpu := float64(part.CPU.Nanoseconds()) / 1e3 / float64(part.Records)
	f.cpu = append(f.cpu, cpu)
	f.rate = append(f.rate, part.Rate())
	f.stop = append(f.stop, float64((rep.Stopped-last.CPU).Nanoseconds())/1e3/float64(w.Records))
	f.rss = append(f.rss, float64(rep.PeakRSS)/(1<<20))
	f.log = append(f.log, float64(logged)/float64(w.Records))
	f.noise = append(f.noise, noise)
	f.commits = append(f.commits, float64(part.Commits))
	f.flushes = append(f.flushes, part.Flushes)
	line := fmt.Sprintf("  round %d %-6s %6.3f us/record, %4.0fk/s, %d commits, noise %.2f", n+1, role, cpu, part.Rate()/1e3, part.Commits, noise)
	if w.Kind == workload.Count && !r.norestore {
		if err := r.restore(role, j, logged, f); err != nil {
			return 0, err
		}
		k := len(f.restore) - 1
		line += fmt.Sprintf("; %d flushes; restore %4.0fk/s, %.2f us/record", part.Flushes, f.restore[k]/1e3, f.restoreCPU[k])
	}
	fmt.Println(line)
	return cpu, nil
}

// restore starts the contender again with no state of its own, until it has it back from
// its changelog, which has so many records.
func (r *rounds) restore(role string, j job, records int64, f *figures) error {
	j.Records, j.Profile = 0, ""
	j.StateDir += "-restored"
	if r.profile != "" && len(f.restore) == 0 {
		j.Profile = filepath.Join(r.profile, r.workload.Name+"-"+role+"-restore.pprof")
	}
	defer func() { _ = os.RemoveAll(j.StateDir) }()
	rep, err := work(role, j)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	f.restore = append(f.restore, float64(records)/rep.Restore.Seconds())
	f.restoreCPU = append(f.restoreCPU, float64(rep.RestCPU.Nanoseconds())/1e3/float64(records))
	return nil
}

// work has a child do a job.
func work(role string, j job) (rep report, err error) {
	arg, err := json.Marshal(j)
	if err != nil {
		return rep, err
	}
	p, err := child.Start(role, string(arg))
	if err != nil {
		return rep, err
	}
	guard := time.AfterFunc(10*time.Minute, p.Kill)
	defer guard.Stop()
	if err := p.Hear(&rep); err != nil {
		_ = p.Stop()
		return rep, err
	}
	return rep, p.Stop()
}
