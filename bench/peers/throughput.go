package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// figures are one peer's on one workload, by run.
type figures struct {
	workload, peer   string
	cpu, broker      measure.Sample // us per record, noise divided out
	raw              measure.Sample // us per record, as counted
	rate, rss, disk  measure.Sample // records/s; MiB
	changelog, out   measure.Sample // bytes per input byte; outputs per input
	flushes, noise   measure.Sample
	restore, restCPU measure.Sample // records/s; us per record
	kill             measure.Sample // seconds until it goes on
	lost             bool           // a run of it failed: it has no figures
}

// mark is what was seen at a moment.
type mark struct {
	at          time.Time
	records     int64
	cpu, broker time.Duration
	kernel      time.Duration // what measure.Kernel took; 0: it was not asked
}

// workload runs all peers on one workload, in turns.
func (b *bench) workload(ctx context.Context, w *workload.Workload) (err error) {
	fmt.Printf("\n%s: %d records, %d keys\n", w.Name, w.Records, w.Keys)
	var filled *workload.Filled
	if !w.Closes() {
		began := time.Now()
		if filled, err = b.fill(ctx, w); err != nil {
			return err
		}
		fmt.Printf("  its topics were written in %v\n", time.Since(began).Round(time.Second/10))
		defer func() { err = errors.Join(err, b.empty(ctx, w)) }()
	}
	rows := map[string]*figures{}
	for _, p := range b.peers {
		rows[p.name] = &figures{workload: w.Name, peer: p.name}
		b.rows = append(b.rows, rows[p.name])
	}
	b.first = nil
	return b.alternate(func(run int, p *peer) error {
		if !p.has(w.Kind) {
			return nil
		}
		return b.attempt(ctx, run, p, w.Name, func() (err error) {
			if w.Closes() {
				err = b.refilled(ctx, run, p, w, rows[p.name])
			} else {
				err = b.once(ctx, run, p, filled, rows[p.name])
			}
			rows[p.name].lost = rows[p.name].lost || err != nil
			return err
		})
	})
}

// fill writes a workload's topics.
func (b *bench) fill(ctx context.Context, w *workload.Workload) (*workload.Filled, error) {
	if w.Compared() {
		return &workload.Filled{Workload: w}, w.FillAll(ctx, b.kafka.Cluster)
	}
	in := w.Inputs()
	if len(in) > 1 {
		if err := w.FillCustomers(ctx, b.kafka.Cluster, in[1]); err != nil {
			return nil, err
		}
	}
	return w.Fill(ctx, b.kafka.Cluster, in[0])
}

// empty deletes a workload's topics.
func (b *bench) empty(ctx context.Context, w *workload.Workload) error {
	return b.kafka.Delete(context.WithoutCancel(ctx), w.Inputs()...)
}

// refilled is once with topics of its own. What makes the windows close stays in the topics: for the
// next peer it would be in between, since it does not read all partitions at the same speed.
func (b *bench) refilled(ctx context.Context, run int, p *peer, w *workload.Workload, row *figures) (err error) {
	own := *w
	own.Name = fmt.Sprintf("%s-%d", w.Name, b.apps+1)
	began := time.Now()
	filled, err := b.fill(ctx, &own)
	if err != nil {
		return err
	}
	fmt.Printf("  run %d %-15s its topics were written in %v\n", run+1, p.name, time.Since(began).Round(time.Second/10))
	defer func() { err = errors.Join(err, b.empty(ctx, &own)) }()
	return b.once(ctx, run, p, filled, row)
}

// once runs a peer on a workload, checks what it made, and notes the figures.
func (b *bench) once(ctx context.Context, run int, p *peer, f *workload.Filled, row *figures) (err error) {
	var t phases
	t.next("")
	app, dir := b.app(p, f.Workload)
	j := job{kind: f.Kind, in: f.Inputs(), out: app + "-out", app: app, state: dir}
	if b.profile != "" && run == 0 && !strings.HasPrefix(p.name, "streams") {
		j.profile = filepath.Join(b.profile, f.Name+"-"+p.name+".pprof")
	}
	// The records' times lie in the past: with a retention Kafka would delete them.
	if err := b.kafka.Create(ctx, j.out, partitions, map[string]string{"retention.ms": "-1"}); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, b.kafka.cleanUp(context.WithoutCancel(ctx), app), os.RemoveAll(dir), os.RemoveAll(flushes(j)))
		t.next("cleaning up")
		if err == nil {
			fmt.Printf("    took %s\n", &t)
		}
	}()
	t.next("making topics")
	proc, err := b.start(p, j)
	if err != nil {
		return err
	}
	marks, err := b.watch(ctx, []*process{proc}, j, int64(f.Records), partitions)
	if err == nil && f.Compared() {
		err = b.finish(ctx, proc, j, f.Workload, marks)
	}
	if err != nil {
		proc.kill()
		return err
	}
	t.next("running")
	rss := measure.ProcessPeakRSS(proc.pid())
	if err := proc.stop(); err != nil {
		return err
	}
	t.next("stopping")
	from, to, ok := part(marks, int64(b.from*float64(f.Records)))
	if !ok {
		return errTooFast
	}
	t.measured = to.at.Sub(from.at)
	outputs, err := b.outputs(ctx, p, f, j)
	if err != nil {
		return err
	}
	t.next("checking the output")
	sizes, err := b.kafka.sizes(ctx)
	if err != nil {
		return err
	}
	noise := b.noise(marks, from, to)
	n := float64(to.records - from.records)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / n }
	row.raw = append(row.raw, us(to.cpu-from.cpu))
	row.cpu = append(row.cpu, us(to.cpu-from.cpu)/noise)
	row.broker = append(row.broker, us(to.broker-from.broker)/noise)
	row.rate = append(row.rate, n/to.at.Sub(from.at).Seconds())
	row.rss = append(row.rss, float64(rss)/(1<<20))
	row.disk = append(row.disk, float64(diskUse(dir))/(1<<20))
	row.changelog = append(row.changelog, float64(changelogs(sizes, app))/float64(sizes[j.in[0]]))
	row.out = append(row.out, float64(outputs)/float64(f.Records))
	row.noise = append(row.noise, noise)
	row.flushes = append(row.flushes, float64(flushesIn(flushes(j), from.at, to.at)))
	fmt.Printf("  run %d %-15s %7.3f us/record (%.3f as counted, noise %.2f), broker %.3f, %4.0fk/s, %4.0f MiB\n", run+1, p.name,
		last(row.cpu), last(row.raw), noise, last(row.broker), last(row.rate)/1e3, last(row.rss))
	if (f.Kind == workload.Count || f.Kind == workload.Join) && b.restore {
		err = b.again(ctx, p, f, j, row)
		t.next("coming back")
	}
	return err
}

// phases are what a run spends its time with.
type phases struct {
	since    time.Time
	text     []string
	measured time.Duration // of the running
}

// next ends a phase; one without a name does not count.
func (t *phases) next(name string) {
	now := time.Now()
	if name != "" {
		t.text = append(t.text, fmt.Sprintf("%s %.1f s", name, now.Sub(t.since).Seconds()))
	}
	t.since = now
}

func (t *phases) String() string {
	return fmt.Sprintf("%s; of the running %.1f s are measured", strings.Join(t.text, ", "), t.measured.Seconds())
}

func last(s measure.Sample) float64 { return s[len(s)-1] }

// most is how long a peer may make no progress.
const most = 10 * time.Minute

// watch takes a mark each 50 ms until all records are committed.
func (b *bench) watch(ctx context.Context, procs []*process, j job, records int64, partitions int32) (marks []mark, err error) {
	moved, asked := time.Now(), time.Now()
	for {
		m := mark{at: time.Now(), broker: measure.ProcessCPU(b.kafka.pid())}
		for _, p := range procs {
			m.cpu += measure.ProcessCPU(p.pid())
		}
		if m.records, err = b.kafka.committed(ctx, j.app, j.in[0], partitions); err != nil {
			return nil, err
		}
		if n := len(marks); n == 0 || marks[n-1].records < m.records {
			if m.at.Sub(asked) > kernelEvery {
				m.kernel, asked = measure.Kernel(), m.at
			}
			marks, moved = append(marks, m), m.at
		}
		if m.records >= records {
			return marks, nil
		}
		if time.Since(moved) > most {
			return nil, fmt.Errorf("no progress for %v at %d of %d records\n%s", most, m.records, records, procs[0].stderr.Bytes())
		}
		for _, p := range procs {
			if err := p.ended(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// kernelEvery is how often it is measured what neighbours cost: it takes 5 % of a core.
const kernelEvery = 500 * time.Millisecond

// noise is by how much neighbours stretch CPU time between two marks, or in the whole run
// where nothing was asked between them.
func (b *bench) noise(marks []mark, from, to mark) float64 {
	var in, all measure.Sample
	for _, m := range marks {
		if m.kernel == 0 {
			continue
		}
		n := float64(m.kernel) / float64(b.quiet)
		all = append(all, n)
		if !m.at.Before(from.at) && !m.at.After(to.at) {
			in = append(in, n)
		}
	}
	switch {
	case len(in) > 0:
		return in.Median()
	case len(all) > 0:
		return all.Median()
	}
	return float64(measure.Kernel()) / float64(b.quiet)
}

// part is the measured part of a run.
func part(marks []mark, from int64) (a, z mark, ok bool) {
	z = marks[len(marks)-1]
	for _, m := range marks {
		if m.records >= from {
			return m, z, m.records < z.records
		}
	}
	return a, z, false
}

// flushesIn counts Limpet's flushes between two moments.
func flushesIn(file string, from, to time.Time) (n int) {
	f, err := os.Open(file)
	if err != nil {
		return 0 // another peer
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if ms, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil && ms >= from.UnixMilli() && ms <= to.UnixMilli() {
			n++
		}
	}
	return n
}

// again measures how a peer that has processed all comes back: with no local state, and
// where it was killed. One more record in each partition tells when it has.
func (b *bench) again(ctx context.Context, p *peer, f *workload.Filled, j job, row *figures) error {
	records, err := b.kafka.changelogRecords(ctx, j.app, partitions)
	if err != nil {
		return err
	}
	n := float64(records)
	if f.Kind == workload.Join { // customers are restored from their topic
		n = float64(f.Keys)
	}
	if n == 0 {
		return fmt.Errorf("%s has no changelog to restore from", j.app)
	}
	if err := os.RemoveAll(j.state); err != nil {
		return err
	}
	took, cpu, proc, err := b.comesBack(ctx, p, f, j)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	row.restore = append(row.restore, n/took.Seconds())
	row.restCPU = append(row.restCPU, float64(cpu.Nanoseconds())/1e3/n)
	fmt.Printf("    restore: %v, %.0fk records/s, %.2f us/record\n", took.Round(time.Millisecond), last(row.restore)/1e3, last(row.restCPU))
	if b.kill {
		proc.kill()
		if took, _, proc, err = b.comesBack(ctx, p, f, j); err != nil {
			return fmt.Errorf("kill -9: %w", err)
		}
		row.kill = append(row.kill, took.Seconds())
		fmt.Printf("    goes on after kill -9: %v\n", took.Round(time.Millisecond))
	}
	if err := proc.stop(); err != nil {
		return err
	}
	// What it made is right only if its state was.
	_, err = b.outputs(ctx, p, f, j)
	return err
}

// comesBack adds a record to each partition, starts the peer, and waits until they are committed.
func (b *bench) comesBack(ctx context.Context, p *peer, f *workload.Filled, j job) (took, cpu time.Duration, proc *process, err error) {
	if err := f.More(ctx, b.kafka.Cluster); err != nil {
		return 0, 0, nil, err
	}
	began := time.Now()
	if proc, err = b.start(p, j); err != nil {
		return 0, 0, nil, err
	}
	if _, err := b.watch(ctx, []*process{proc}, j, int64(f.Records), partitions); err != nil {
		proc.kill()
		return 0, 0, nil, err
	}
	return time.Since(began), measure.ProcessCPU(proc.pid()), proc, nil
}

// outputs reads the output back, compares it with what it must be, and counts the records.
func (b *bench) outputs(ctx context.Context, p *peer, f *workload.Filled, j job) (int, error) {
	if err := b.kafka.settled(ctx, j.out, partitions); err != nil {
		return 0, err
	}
	if f.Compared() {
		return b.compare(ctx, p, f.Workload, j)
	}
	if p.skips && (f.Kind == workload.Count || f.Kind == workload.Window) {
		return f.CheckLast(ctx, b.kafka.Cluster, j.out)
	}
	return f.Records, f.Check(ctx, b.kafka.Cluster, j.out)
}
