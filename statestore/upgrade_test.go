package statestore

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-81380e12/limpet/core"
)

// testdata/format-N.tar.gz is what the last commit with format version N has written: a store of
// two tasks and a global table, and the changelogs of the first task, a record a line: table, key
// and value in hexadecimal digits, time between them; no value deletes. Whoever raises the
// version adds the one that was before.

func unpack(t *testing.T, version int) (db string, log []byte) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("testdata/format-%d.tar.gz", version))
	fatal(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	fatal(t, err)
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, "db"), log
		}
		fatal(t, err)
		b, err := io.ReadAll(r)
		fatal(t, err)
		switch name := filepath.Join(dir, filepath.Base(filepath.Dir(h.Name)), filepath.Base(h.Name)); {
		case h.Typeflag == tar.TypeDir:
			fatal(t, os.MkdirAll(filepath.Join(dir, filepath.Base(h.Name)), 0o755))
		case filepath.Base(h.Name) == "changelog.txt":
			log = b
		default:
			fatal(t, os.WriteFile(name, b, 0o644))
		}
	}
}

func upgradeTables() []TableSpec {
	return []TableSpec{
		{Name: "orders", Schema: "string -> string"},
		{Name: "windows", Schema: "window -> string", DueOf: &core.DueOrder{Of: func(key, _ []byte, _ core.Time) (at, then core.Time, ok bool) { return core.DueTail(key, 4) }}},
		{Name: "timers", Schema: "timer -> alarm"},
	}
}

// rowsOf folds a changelog, and gives its records as a restore would apply them.
func rowsOf(t *testing.T, log []byte) (rows map[string]string, writes []core.Write) {
	t.Helper()
	rows = map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(log)); s.Scan(); {
		var w core.Write
		fields := strings.Fields(s.Text())
		for i, spec := range upgradeTables() {
			if spec.Name == fields[0] {
				w.Table = core.TableID(i)
			}
		}
		var err error
		w.Key, err = hex.DecodeString(fields[1])
		fatal(t, err)
		_, err = fmt.Sscan(fields[2], &w.Time)
		fatal(t, err)
		if len(fields) == 4 {
			w.Value, err = hex.DecodeString(fields[3])
			fatal(t, err)
			rows[rowKey(w.Table, w.Key)] = fmt.Sprintf("%s@%d", w.Value, w.Time)
		} else {
			delete(rows, rowKey(w.Table, w.Key))
		}
		writes = append(writes, w)
	}
	if len(rows) < 30 {
		t.Fatalf("%d rows: this proves nothing", len(rows))
	}
	return rows, writes
}

func scanAll(t *testing.T, s Store) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for i := range upgradeTables() {
		fatal(t, s.Scan(core.TableID(i), nil, nil, func(k, v []byte, at core.Time) bool {
			rows[rowKey(core.TableID(i), k)] = fmt.Sprintf("%s@%d", v, at)
			return true
		}))
	}
	return rows
}

// A store of an earlier format opens with the rows that it had, those of its changelog, goes on,
// and is then of this format.
func TestUpgrade(t *testing.T) {
	for version := 1; version <= formatVersion; version++ {
		t.Run(fmt.Sprint("format ", version), func(t *testing.T) {
			dir, log := unpack(t, version)
			want, writes := rowsOf(t, log)
			want[rowKey(0, []byte("new"))] = "row@9"
			for start := range 2 {
				db, err := openPebble(PebbleConfig{Dir: dir, App: "shop", Topology: "shop"})
				fatal(t, err)
				if got := db.Tasks(); len(got) != 2 {
					t.Fatalf("tasks %v", got)
				}
				for p := range int32(2) {
					s, err := db.Open(core.TaskID{Sub: 1, Partition: p}, upgradeTables())
					fatal(t, err)
					cp, ok := s.Checkpoint()
					if start == 0 {
						old := Checkpoint{Changelog: []core.Offset{30, 60, -1}, Input: []core.Offset{300, 7}, Times: []core.Time{3000, -1}, Wall: 1_800_000_000_000}
						if !ok || !cp.equal(&old) {
							t.Fatalf("checkpoint %v, want %v", cp, old)
						}
						cp.Input[0]++
						fatal(t, s.Apply([]core.Write{{Key: []byte("new"), Value: []byte("row"), Time: 9}}, cp))
					} else if cp.Input[0] != 301 {
						t.Fatalf("checkpoint %v", cp)
					}
					if got := scanAll(t, s); !maps.Equal(got, want) {
						t.Fatalf("%d rows, want %d", len(got), len(want))
					}
					if p == 0 {
						readTimer(t, s)
					}
					// What was stored before there was an order of rows by time has none.
					if dated, ok := s.View(1).(core.Dated); ok && version > 1 {
						n := 0
						whole, err := dated.Due(0, 0, nil, func([]byte, core.Time, core.Time) bool { n++; return true })
						fatal(t, err)
						if whole && n == 0 {
							t.Fatal("no row comes due")
						}
					}
				}
				g, err := db.OpenGlobal(TableSpec{Name: "rates", Schema: "string -> string"})
				fatal(t, err)
				v, err := g.Version()
				fatal(t, err)
				if value, at, ok, err := v.Get([]byte("EUR"), nil); string(value) != "1.08" || at != 4 || !ok || err != nil {
					t.Fatalf("%q at %d, %v, %v", value, at, ok, err)
				}
				v.Release()
				fatal(t, g.Close())
				fatal(t, db.Close())
			}
			db, err := openPebble(PebbleConfig{Dir: dir, App: "shop", Topology: "shop"})
			fatal(t, err)
			b, closer, err := db.pdb.Get(metaKey)
			fatal(t, err)
			m, err := parseMeta(dir, b)
			fatal(t, err)
			if m.Format != formatVersion {
				t.Errorf("it is of format %d still", m.Format)
			}
			fatal(t, closer.Close())
			// The changelog alone leads to the same rows.
			s, err := db.Open(core.TaskID{Sub: 1, Partition: 5}, upgradeTables())
			fatal(t, err)
			fatal(t, s.Apply(writes, Checkpoint{Changelog: []core.Offset{30, 60, -1}}))
			delete(want, rowKey(0, []byte("new")))
			if got := scanAll(t, s); !maps.Equal(got, want) {
				t.Fatalf("restored: %d rows, want %d", len(got), len(want))
			}
			fatal(t, db.Close())
		})
	}
}

// readTimer reads a row with today's codecs.
func readTimer(t *testing.T, s Store) {
	t.Helper()
	keys := core.TimerKeyCodec[string]{Names: []string{"Due"}, Key: text{}}
	n := 0
	fatal(t, s.Scan(2, nil, nil, func(k, v []byte, _ core.Time) bool {
		n++
		key, err := keys.Decode(k)
		fatal(t, err)
		alarm, err := core.AlarmCodec{}.Decode(v)
		fatal(t, err)
		if from, _ := alarm.Headers.Get("from"); key.Key != fmt.Sprint(n) || alarm.At != core.Time(5000+n) || from != "order" {
			t.Fatalf("alarm %v of %v", alarm, key)
		}
		return true
	}))
	if n != 3 {
		t.Fatalf("%d alarms", n)
	}
}

type text struct{}

func (text) Append(b []byte, s string) ([]byte, error) { return append(b, s...), nil }
func (text) Decode(b []byte) (string, error)           { return string(b), nil }
