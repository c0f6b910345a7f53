package kafka

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/shell"
)

// TestMain sees that no test leaves a goroutine behind. It is also the fake cluster of the
// benchmarks: in a process of its own, its CPU is not counted.
func TestMain(m *testing.M) {
	if os.Getenv("LIMPET_KFAKE_CHILD") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(c.ListenAddrs(), ","))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
	c.Close()
}

func fakeProcess(b *testing.B) []string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LIMPET_KFAKE_CHILD=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	must(b, err)
	return strings.Split(strings.TrimSpace(line), ",")
}

func cpu() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

const (
	benchParts   = 4
	benchRecords = 400_000
	benchCommit  = 20_000 // records in a transaction
)

// BenchmarkPassThrough reads 100-byte records (16-byte keys) and writes them again, in
// transactions. What counts is cpu-ns/record: of this process, system time included.
func BenchmarkPassThrough(b *testing.B) {
	for _, codec := range []string{"none", "lz4"} {
		for _, mode := range []string{"fetch", "fetch+produce"} {
			b.Run(codec+"/"+mode, func(b *testing.B) { passThrough(b, codec, mode == "fetch+produce") })
		}
	}
}

func passThrough(b *testing.B, codec string, write bool) {
	cfg := testConfig(fakeProcess(b))
	cfg.Compression = codec
	br := open(b, cfg)
	topics(b, br, benchParts, "in", "out")
	p := producerFor(b, br, "bench")
	ctx := limit(b, 10*time.Minute)
	batches := make([]*shell.ProduceBatch, benchParts)
	for i := range batches {
		rs := make([]core.RawRecord, 5000)
		for k := range rs {
			rs[k] = core.RawRecord{Key: fmt.Appendf(nil, "%016d", k*7919), Value: fmt.Appendf(nil, `{"id":%030d,"name":"somebody","more":"%040d"}`, k, k*31), Time: core.Time(1e12 + k)}
		}
		batches[i] = &shell.ProduceBatch{Partition: tp("in", int32(i)), Records: rs}
	}
	size := batches[0].Records[0].Size()
	for n := 0; n < benchRecords; n += benchParts * 5000 {
		must(b, p.Produce(ctx, batches))
		must(b, p.End(ctx))
	}
	for i := range batches {
		batches[i] = &shell.ProduceBatch{Partition: tp("out", int32(i))}
	}
	b.ReportAllocs()
	b.ResetTimer()
	began, done := cpu(), 0
	for range b.N {
		f := br.NewFetcher(shell.FetchConfig{Name: "bench"})
		for i := range int32(benchParts) {
			f.Add(tp("in", i), 0, 1, 0)
		}
		pending, in := 0, 0
		for in < benchRecords {
			fs, err := f.Poll(ctx)
			must(b, err)
			for _, x := range fs {
				o := batches[x.ID]
				o.Records = append(o.Records, x.Batch.Records...)
				in += len(x.Batch.Records)
				pending += len(x.Batch.Records)
				f.Release(x.Partition, x.Tag, x.Bytes)
			}
			if pending < benchCommit && in < benchRecords {
				continue
			}
			if write {
				must(b, p.Produce(ctx, batches))
				must(b, p.SendOffsets(ctx, nil, []shell.GroupOffset{{Partition: tp("in", 0), Next: 1}}))
				must(b, p.End(ctx))
			}
			for _, o := range batches {
				o.Records = o.Records[:0]
			}
			pending = 0
		}
		f.Close()
		done += in
	}
	b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(done), "cpu-ns/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/record")
	b.ReportMetric(float64(size), "B/record")
}
