package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/bench/internal/cluster"
	"github.com/seed-81380e12/limpet/bench/internal/measure"
	"github.com/seed-81380e12/limpet/bench/internal/workload"
)

func TestPart(t *testing.T) {
	marks := []mark{{records: 0}, {records: 40}, {records: 70}, {records: 100}}
	if a, z, ok := part(marks, 60); !ok || a.records != 70 || z.records != 100 {
		t.Errorf("from %d to %d, %v", a.records, z.records, ok)
	}
	if _, _, ok := part(marks, 90); ok {
		t.Error("a part of one mark was measured")
	}
}

func TestNoise(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	b := &bench{quiet: 10 * time.Millisecond}
	marks := []mark{{at: at(0), kernel: 90 * time.Millisecond}, {at: at(1)}, {at: at(2), kernel: 20 * time.Millisecond}, {at: at(3)}}
	if n := b.noise(marks, marks[1], marks[3]); n != 2 {
		t.Errorf("noise of the measured part is %v, want 2", n)
	}
	if n := b.noise(marks[:2], marks[1], marks[1]); n != 9 {
		t.Errorf("noise of the run is %v, want 9", n)
	}
}

func TestFlushesIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flushes")
	if err := os.WriteFile(file, []byte("100\n200\n300\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := flushesIn(file, time.UnixMilli(150), time.UnixMilli(300)); n != 2 {
		t.Errorf("%d flushes, want 2", n)
	}
	if n := flushesIn(file+"-none", time.UnixMilli(0), time.UnixMilli(300)); n != 0 {
		t.Errorf("%d flushes of a peer that has none", n)
	}
}

func TestChangelogs(t *testing.T) {
	sizes := map[string]int64{"a-1-counts-changelog": 3, "a-1-table": 4, "a-1-out": 50, "a-11-counts-changelog": 600, "in": 7000}
	if n := changelogs(sizes, "a-1"); n != 7 {
		t.Errorf("%d bytes, want 7", n)
	}
}

// Each peer begins a run as often as any other.
func TestAlternate(t *testing.T) {
	b := &bench{options: options{runs: 3}, peers: []peer{{name: "a"}, {name: "b"}, {name: "c"}}}
	order := ""
	if err := b.alternate(func(_ int, p *peer) error { order += p.name; return nil }); err != nil || order != "abcbcacab" {
		t.Errorf("%s, %v", order, err)
	}
}

func TestTable(t *testing.T) {
	b := &bench{rows: []*figures{
		{workload: "count", peer: "limpet", cpu: measure.Sample{1, 2, 3}, raw: measure.Sample{3, 3, 3}},
		{workload: "count", peer: "loop", cpu: measure.Sample{2, 2, 2}, raw: measure.Sample{2, 2, 2}},
		{workload: "count", peer: "goka"},
		{workload: "count", peer: "streams-nocache", cpu: measure.Sample{8, 8, 8}, raw: measure.Sample{6, 6, 6}},
	}}
	var out bytes.Buffer
	b.print(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[2], "| count | limpet | **2.00** | 1.00..3.00 | 3.00 | 1.00 | 4.00 | 1.50, 2.00 |") || !strings.HasPrefix(lines[4], "| count | goka | - | - | - |") {
		t.Errorf("%s", out.String())
	}
}

// A peer that fails has no figures, the others go on, and the command says so at the end.
func TestOneFails(t *testing.T) {
	b := &bench{options: options{runs: 2}, peers: []peer{{name: "loop"}, {name: "limpet"}}, rows: []*figures{
		{workload: "count", peer: "loop", cpu: measure.Sample{2}, raw: measure.Sample{2}, rate: measure.Sample{1}, lost: true},
		{workload: "count", peer: "limpet", cpu: measure.Sample{1, 1}, raw: measure.Sample{1, 1}, rate: measure.Sample{9, 9}},
	}}
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	err := b.alternate(func(run int, p *peer) error {
		return b.attempt(ctx, run, p, "count", func() error {
			if calls++; p.name == "loop" && run == 1 {
				return errTooFast
			}
			return nil
		})
	})
	if err != nil || calls != 4 || len(b.failed) != 1 || !errors.Is(b.failed[0], errTooFast) || !strings.HasPrefix(b.failed[0].Error(), "count: run 2: loop: ") {
		t.Errorf("%d calls, %v; noted: %v", calls, err, b.failed)
	}
	var out bytes.Buffer
	b.print(&out)
	if !strings.Contains(out.String(), "| count | loop | - | - |") || !strings.Contains(out.String(), "| count | limpet | **1.00** | 1.00..1.00 | 1.00 |  |") {
		t.Errorf("%s", out.String())
	}
	if rate := b.slowest(&workload.Workload{Name: "count"}); rate != 6 {
		t.Errorf("latency at %d records/s, 70 %% of 9 are 6", rate)
	}
	stop()
	if err := b.attempt(ctx, 0, &b.peers[0], "count", func() error { return errTooFast }); !errors.Is(err, errTooFast) {
		t.Errorf("it goes on when it is stopped: %v", err)
	}
}

// Latency is measured at what the slowest can take, and stands in the same line.
func TestLatencyBesideThroughput(t *testing.T) {
	count := &workload.Workload{Name: "count", Kind: workload.Count}
	b := &bench{rows: []*figures{
		{workload: "count", peer: "limpet", cpu: measure.Sample{1}, rate: measure.Sample{1e6}},
		{workload: "count", peer: "goka", cpu: measure.Sample{9}, rate: measure.Sample{90e3, 100e3, 110e3}},
		{workload: "count", peer: "none"},
		{workload: "other", peer: "goka", rate: measure.Sample{10}},
	}}
	if r := b.slowest(count); r != 70_000 {
		t.Errorf("%d records/s", r)
	}
	b.rows[1].rate = measure.Sample{2e6}
	if r := b.slowest(count); r != mostRate {
		t.Errorf("%d records/s, more than the sender can hold", r)
	}
	if r := b.slowest(&workload.Workload{Name: "third"}); r != 0 {
		t.Errorf("%d records/s of nobody", r)
	}
	b.lates = []*latency{{workload: "other", peer: "limpet", p50: measure.Sample{7}}, {workload: "count", peer: "limpet", rate: 70_000, p50: measure.Sample{51}, p99: measure.Sample{102}, p999: measure.Sample{103}}}
	var out bytes.Buffer
	b.print(&out)
	if lines := strings.Split(out.String(), "\n"); !strings.Contains(lines[3], "| 51.0 | 102.0 | 103.0 |") || strings.Contains(lines[4], "| 51.0 |") {
		t.Errorf("%s", out.String())
	}
}

func TestOptions(t *testing.T) {
	good := options{runs: 1, records: 10_000, from: 0.5, rate: 1, peers: []string{"limpet"}, workloads: []string{"join"}}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	bad := options{peers: []string{"nobody"}, workloads: []string{"nothing"}}
	if err := bad.check(); err == nil || !strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("%v", err)
	}
}

// Each axis has steps, those of keys no more than asked for, and only peers' doors are used.
func TestAxes(t *testing.T) {
	for _, a := range axes(1_000_000) {
		if len(a.steps) < 2 {
			t.Errorf("%s does not grow", a.name)
		}
		for _, s := range a.steps {
			if s.keys > 1_000_000 || s.keys < 1 || s.processes < 1 || s.partitions < int32(s.processes) {
				t.Errorf("%s: %+v", a.name, s)
			}
		}
	}
}

func TestPlot(t *testing.T) {
	var out bytes.Buffer
	rows := []*scaled{{label: "1k", peer: "a", cpu: measure.Sample{0.5, 9, 0.1}}, {label: "10k", peer: "a", cpu: measure.Sample{1}}}
	plot(&out, "us", rows, func(r *scaled) measure.Sample { return r.cpu })
	want := "\n    us\n     1k a |" + strings.Repeat("#", 25) + " 0.5\n    10k a |" + strings.Repeat("#", 50) + " 1\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{7: "7", 1000: "1k", 100_000: "100k", 30_000_000: "30M"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// Records come ten times as fast until shortly before latency counts, and each when as many are due.
func TestLoadIsWarm(t *testing.T) {
	for _, warm := range []time.Duration{0, 3 * time.Second, 60 * time.Second} {
		l := &load{rate: 5000, warm: warm, during: 20 * time.Second}
		want := 5000 * int((warm+20*time.Second+9*l.hot())/time.Second)
		if n := l.due(warm + 20*time.Second); n != want {
			t.Errorf("warm for %v: %d records, want %d", warm, n, want)
		}
		for record := 0; record < want; record += 997 {
			if at := l.at(record); l.due(at-time.Microsecond) > record || l.due(at+time.Microsecond) < record {
				t.Fatalf("warm for %v: record %d is sent after %v, when %d to %d are due", warm, record, at, l.due(at-time.Microsecond), l.due(at+time.Microsecond))
			}
		}
		if n := l.due(warm+time.Second) - l.due(warm); n != 5000 {
			t.Errorf("warm for %v: %d records in the first second that counts", warm, n)
		}
		// What is near a peer's capacity is not sent faster.
		l.rate = 70_000
		if n := l.due(warm + 20*time.Second); n != 70_000*int((warm+20*time.Second)/time.Second) {
			t.Errorf("warm for %v: %d records at 70 000 a second", warm, n)
		}
	}
}

// What comes back behind the last record counts, too: it is what took longest.
func TestLateResultsCount(t *testing.T) {
	c, err := cluster.InProcess()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, topic := range []string{"in", "out"} {
		if err := c.Create(t.Context(), topic, partitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, stop := context.WithCancel(t.Context())
	relayed := make(chan struct{})
	go func() { // a peer that keeps one partition back until the last record has gone
		defer close(relayed)
		slow := (workload.Partition([]byte(lastKey), partitions) + 1) % partitions
		var kept []*kgo.Record
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				r = &kgo.Record{Topic: "out", Partition: r.Partition, Key: r.Key, Value: r.Value}
				if r.Partition == slow {
					kept = append(kept, r)
					return
				}
				cl.Produce(ctx, r, nil)
				if string(r.Key) == lastKey {
					_ = cl.Flush(ctx)
					time.Sleep(300 * time.Millisecond)
					cl.ProduceSync(ctx, kept...)
				}
			})
		}
	}()
	l := &load{w: &workload.Workload{Kind: workload.Passthrough}, rate: 1000, began: time.Now(), during: time.Second, sent: map[string][]time.Duration{}}
	late, err := l.run(t.Context(), c.Brokers, "in", "out")
	stop()
	<-relayed
	if err != nil || len(late) != 1000 || late.Quantile(0.9) < 500*time.Millisecond {
		t.Errorf("%d results of 1000 came, %v; nine of ten within %v", len(late), err, late.Quantile(0.9))
	}
}

// Where a result may stand for several records, the last one of each key must come, and else one for each.
func TestComplete(t *testing.T) {
	s := time.Second
	l := &load{warm: 2 * s, sent: map[string][]time.Duration{"a": {s, 2 * s, 3 * s}, "b": {s}, lastKey: {4 * s}}}
	for _, c := range []struct {
		skips  bool
		a, b   int
		late   int
		wanted bool
	}{
		{false, 3, 1, 2, true},
		{false, 2, 1, 2, false},
		{false, 3, 0, 2, false},
		{false, 3, 1, 1, false},
		{true, 3, 1, 1, true},
		{true, 2, 1, 1, false},
	} {
		l.skips = c.skips
		if got := l.complete(map[string]int{"a": c.a, "b": c.b, lastKey: 1}, c.late); got != c.wanted {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
