package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/bench/internal/measure"
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
		{workload: "count", peer: "limpet", cpu: measure.Sample{1, 2, 3}},
		{workload: "count", peer: "loop", cpu: measure.Sample{2, 2, 2}},
		{workload: "count", peer: "goka"},
	}}
	var out bytes.Buffer
	b.print(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[2], "| count | limpet | **2.00** | 1.00..3.00 | 1.00 |") || !strings.HasPrefix(lines[4], "| count | goka | - | - | - |") {
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
