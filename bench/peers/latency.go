package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

// latency are one peer's figures at a fixed rate, by run.
type latency struct {
	workload, peer       string
	rate                 int            // records/s
	p50, p99, p999, most measure.Sample // ms
	cpu, broker          measure.Sample // of a core
	rss                  measure.Sample // MiB
}

const (
	fixedRate = 5000
	// What is waited for has to come from the processor, not from a queue before it.
	rateOfSlowest = 0.7
	// The sender is one goroutine, beside broker and peer: what it sends late would be their latency.
	mostRate = 100_000
)

// slowest is the rate at which all peers that were measured can keep up; 0: none was.
func (b *bench) slowest(w *workload.Workload) int {
	least := 0.0
	for _, r := range b.rows {
		if r.workload == w.Name && len(r.rate) > 0 && !r.lost && (least == 0 || r.rate.Median() < least) {
			least = r.rate.Median()
		}
	}
	return min(int(rateOfSlowest*least), mostRate)
}

// latencies runs all peers at a fixed rate, in turns.
func (b *bench) latencies(ctx context.Context, w *workload.Workload, rate int) error {
	if b.during == 0 || rate == 0 {
		return nil
	}
	if w.Kind != workload.Passthrough && w.Kind != workload.Count {
		if b.latency {
			fmt.Printf("\n%s: latency is measured of passthrough and counts\n", w.Name)
		}
		return nil
	}
	fmt.Printf("\n%s: %d records/s, %v after %v\n", w.Name, rate, b.during, b.warmup)
	rows := map[string]*latency{}
	for _, p := range b.peers {
		rows[p.name] = &latency{workload: w.Name, peer: p.name, rate: rate}
		b.lates = append(b.lates, rows[p.name])
	}
	return b.alternate(func(run int, p *peer) error {
		return b.attempt(ctx, run, p, w.Name+": latency", func() error { return b.late(ctx, run, p, w, rows[p.name]) })
	})
}

// late runs a peer at a fixed rate.
func (b *bench) late(ctx context.Context, run int, p *peer, w *workload.Workload, row *latency) (err error) {
	app, dir := b.app(p, w)
	j := job{kind: w.Kind, in: []string{app + "-in"}, out: app + "-out", app: app, state: dir}
	if b.profile != "" && run == 0 && !strings.HasPrefix(p.name, "streams") {
		j.profile = filepath.Join(b.profile, w.Name+"-latency-"+p.name+".pprof")
	}
	for _, t := range []string{j.in[0], j.out} {
		if err := b.kafka.Create(ctx, t, partitions, nil); err != nil {
			return err
		}
	}
	defer func() {
		err = errors.Join(err, b.kafka.cleanUp(context.WithoutCancel(ctx), app), os.RemoveAll(dir), os.RemoveAll(flushes(j)))
	}()
	proc, err := b.start(p, j)
	if err != nil {
		return err
	}
	load := &load{w: w, skips: p.skips && w.Kind == workload.Count, rate: row.rate, began: time.Now(), warm: b.warmup, during: b.during, sent: map[string][]time.Duration{}}
	var cpu, broker [2]time.Duration
	marked := make(chan struct{})
	go func() { // the CPU of the measured part
		defer close(marked)
		time.Sleep(time.Until(load.began.Add(b.warmup)))
		cpu[0], broker[0] = measure.ProcessCPU(proc.pid()), measure.ProcessCPU(b.kafka.pid())
		time.Sleep(time.Until(load.began.Add(b.warmup + b.during)))
		cpu[1], broker[1] = measure.ProcessCPU(proc.pid()), measure.ProcessCPU(b.kafka.pid())
	}()
	late, err := load.run(ctx, b.kafka.Brokers, j.in[0], j.out)
	<-marked
	rss := measure.ProcessPeakRSS(proc.pid())
	err = errors.Join(err, proc.ended(), proc.stop())
	if err != nil {
		return err
	}
	ms := func(q float64) float64 { return float64(late.Quantile(q).Microseconds()) / 1e3 }
	row.p50, row.p99, row.p999, row.most = append(row.p50, ms(0.5)), append(row.p99, ms(0.99)), append(row.p999, ms(0.999)), append(row.most, ms(1))
	row.cpu = append(row.cpu, (cpu[1]-cpu[0]).Seconds()/b.during.Seconds())
	row.broker = append(row.broker, (broker[1]-broker[0]).Seconds()/b.during.Seconds())
	row.rss = append(row.rss, float64(rss)/(1<<20))
	fmt.Printf("  run %d %-15s p50 %.1f ms, p99 %.1f, p99.9 %.1f; %.1f %% of a core; %d records\n", run+1, p.name, last(row.p50), last(row.p99), last(row.p999), last(row.cpu)*100, len(late))
	return nil
}

// load sends records at a fixed rate and sees their results come. It is an open loop: a
// record's time is that at which it was to be sent, however late the sender is.
type load struct {
	w            *workload.Workload
	skips        bool // a result may stand for several records
	rate         int
	began        time.Time
	warm, during time.Duration

	mu   sync.Mutex
	sent map[string][]time.Duration // of a key's records, since began
}

// latencyKeys is few enough for each key to come often.
const latencyKeys = 10_000

// Before latency counts, records come faster, so that a JVM has compiled what is used often: ten times as fast, and no
// faster than each peer can take them for that; they do no more for the last while, so that nothing of them is left.
const (
	warmFaster = 10
	warmRate   = 50_000
	warmCalm   = 5 * time.Second
)

// hot is how long records come faster.
func (l *load) hot() time.Duration { return max(0, l.warm-warmCalm) }

// faster is how many times as fast records come then.
func (l *load) faster() int { return max(1, min(warmFaster, warmRate/l.rate)) }

// due is how many records are to be sent until then.
func (l *load) due(at time.Duration) int {
	return int((at + time.Duration(l.faster()-1)*min(at, l.hot())).Seconds() * float64(l.rate))
}

// at is when a record is to be sent: what due goes back from.
func (l *load) at(record int) time.Duration {
	t := time.Duration(float64(record) / float64(l.rate) * 1e9)
	faster, hot := int64(l.faster()), l.hot()
	if more := time.Duration(int64(hot) * (faster - 1)); t > hot+more {
		return t - more
	}
	return time.Duration(int64(t) / faster)
}

// keys draws them, each as often or as the workload's exponent has it.
func (l *load) keys() func() int {
	r := rand.New(rand.NewPCG(l.w.Seed, 7))
	if l.w.Zipf == 0 {
		return func() int { return r.IntN(latencyKeys) }
	}
	z := rand.NewZipf(r, l.w.Zipf, 1, latencyKeys-1)
	return func() int { return int(z.Uint64()) }
}

func (l *load) run(ctx context.Context, brokers []string, in, out string) (late measure.Durations, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.warm+l.during+time.Minute)
	defer cancel()
	total := l.due(l.warm + l.during)
	failed := make(chan error, 1)
	go func() { failed <- l.send(ctx, brokers, in, total) }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(out),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	seen := map[string]int{} // passed through: records of the key so far
	done := false            // the last one came: it may overtake those of other partitions
	for {
		fs := cl.PollFetches(ctx)
		now := time.Since(l.began)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d results came, the last of %d records did not: %w", len(late), total, ctx.Err())
		}
		l.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			key := string(r.Key)
			n := seen[key] + 1
			if l.w.Kind == workload.Count {
				n = int(binary.BigEndian.Uint64(r.Value))
			}
			seen[key] = n
			done = done || key == lastKey
			if n > len(l.sent[key]) {
				err = fmt.Errorf("result %d of key %q, which was sent %d times", n, key, len(l.sent[key]))
				return
			}
			if at := l.sent[key][n-1]; at >= l.warm && key != lastKey {
				late = append(late, now-at)
			}
		})
		l.mu.Unlock()
		select {
		case e := <-failed:
			err = errors.Join(err, e)
		default:
		}
		if err != nil || done && l.complete(seen, len(late)) {
			return late, err
		}
	}
}

// complete reports whether all results are there, the slowest too: of each key the last one, and of each
// record that counts, unless one may stand for several.
func (l *load) complete(seen map[string]int, late int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	counted := 0
	for key, sent := range l.sent {
		if seen[key] < len(sent) {
			return false
		}
		if first, _ := slices.BinarySearch(sent, l.warm); key != lastKey {
			counted += len(sent) - first
		}
	}
	return l.skips || late >= counted
}

// lastKey is that of the last record, sent when all others should be back.
const lastKey = "the last one"

func (l *load) send(ctx context.Context, brokers []string, topic string, total int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer cl.Close()
	key := l.keys()
	value := []byte(strings.Repeat("v", max(l.w.Value, 100)))
	for i := 0; i < total && ctx.Err() == nil; {
		for due := l.due(time.Since(l.began)); i < min(due, total); i++ {
			l.produce(ctx, cl, "key-"+strconv.Itoa(key()), value, l.at(i))
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond) // so that nothing is left behind the last one
	l.produce(ctx, cl, lastKey, value, time.Since(l.began))
	return cl.Flush(ctx)
}

func (l *load) produce(ctx context.Context, cl *kgo.Client, key string, value []byte, at time.Duration) {
	l.mu.Lock()
	l.sent[key] = append(l.sent[key], at)
	l.mu.Unlock()
	cl.Produce(ctx, &kgo.Record{Key: []byte(key), Partition: workload.Partition([]byte(key), partitions), Value: value}, nil)
}
