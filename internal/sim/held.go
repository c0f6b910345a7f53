package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

var copies = topology.NewTopic("copies", codec.String, codec.String)

type heldPorts struct {
	Out   topology.Out[string]
	Quiet topology.Timer
}

type restlessPorts struct{ Wall topology.WallTimer }

// restless is for how many ticks behind each record something changes a row.
const restless = 20

// unlucky says which results fail: those of windows with so many records, and alarms behind such
// records.
func unlucky(text string) bool { return strings.HasSuffix(text, "3") || strings.HasSuffix(text, "6") }

// held are windows and alarms of which some fail when a record moves time and lets them go. They
// alone are missing, and in the dead letters; no record is.
var held = scenario{
	name: "held",
	build: func(w *world) *topology.Builder {
		b := topology.New(app)
		in := words.Stream(b, w.onError())
		in.To(copies)
		windows := in.Window(topology.Tumbling(windowSize * time.Millisecond).Grace(windowGrace * time.Millisecond))
		var t topology.Table[topology.Windowed[string], int64]
		if w.chance(2) {
			t = topology.Count(windows, "closing", topology.EmitOnClose())
		} else {
			t = topology.Suppress(topology.Count(windows, "per-window"), "closing", topology.UntilClosed())
		}
		results := topology.Map(topology.Records(t.ToStream()), func(r windowResult) string {
			text := resultText(r)
			if unlucky(text) {
				panic(text)
			}
			return text
		}, topology.Named("unlucky"))
		topology.KeyBy(results, "by-key", keyOfResult).To(closed)

		p := topology.NewProcessor(in, "watch", func(_, v string, p *heldPorts) string {
			p.Quiet.In(silence * time.Millisecond)
			return v
		})
		p.OnTimer(&p.Ports.Quiet, func(last string, p *heldPorts) string {
			if unlucky(last) {
				p.Out.Reject(errors.New(last))
			}
			p.Out.Emit("quiet after " + last)
			return last
		})
		topology.Output(p, &p.Ports.Out).To(alarms)

		// What fails behind changes runs again where nothing is changed: ticks, which write, come between.
		ticks := topology.NewProcessor(in, "restless", func(_ int64, _ string, p *restlessPorts) int64 {
			p.Wall.In(time.Millisecond)
			return restless
		})
		ticks.OnTimer(&ticks.Ports.Wall, func(left int64, p *restlessPorts) int64 {
			if left > 1 {
				p.Wall.In(time.Millisecond)
			}
			return left - 1
		})
		return b
	},
	topics: func(w *world) { w.make("words", "copies", "closed", "alarms") },
	next: func(w *world, n int, aborted bool) input {
		at := 1000 + 3*n - w.rng.IntN(30)
		if w.chance(30) {
			at += 100
		}
		v := fmt.Sprint("v", n)
		if aborted {
			v, at = "aborted", at+5000
		}
		return input{"words", fmt.Append(nil, "k", w.rng.IntN(4)), []byte(v), epoch + core.Time(at), -1}
	},
	model: func(w *world) error {
		var texts, want, quiet, bad []string
		alarm := func(key, last string, at core.Time) {
			if unlucky(last) {
				bad = append(bad, fmt.Sprintf("%s alarm %d", key, at))
			} else {
				quiet = append(quiet, "quiet after "+last)
			}
		}
		for _, p := range w.kafka.topics["words"].parts {
			for _, text := range closedWindows(p) {
				if unlucky(text) {
					bad = append(bad, text[:strings.LastIndex(text, "=")])
				} else {
					want = append(want, text)
				}
			}
			now := core.NoTime
			type last struct {
				value string
				alarm core.Time
			}
			keys := map[string]last{}
			for i := range p.log {
				e := &p.log[i]
				if !e.committed() {
					continue
				}
				key, value := string(e.rec.Key), string(e.rec.Value)
				texts = append(texts, value)
				now = max(now, e.rec.Time)
				keys[key] = last{value, e.rec.Time + silence}
				for k, l := range keys { // behind the record's own step, which has set its key's alarm
					if l.alarm <= now {
						alarm(k, l.value, l.alarm)
						delete(keys, k)
					}
				}
			}
		}
		if err := sameValues(w.history("copies"), texts); err != nil {
			return fmt.Errorf("records: %w", err)
		}
		if err := sameValues(w.history("closed"), want); err != nil {
			return fmt.Errorf("windows: %w", err)
		}
		if err := sameValues(w.history("alarms"), quiet); err != nil {
			return fmt.Errorf("alarms: %w", err)
		}
		if !w.deadLetters {
			return nil
		}
		var letters []string
		for _, r := range w.history(app + deadLetterSuffix) {
			letter, err := heldLetter(&r)
			if err != nil {
				return err
			}
			letters = append(letters, letter)
		}
		if err := sameTexts(letters, bad); err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		return nil
	},
	says: "of windows and alarms those that fail when they are let go are missing, are in the dead letters, and nothing else is",
}

// heldLetter is what was let go, by its dead letter: a window or an alarm.
func heldLetter(r *core.RawRecord) (string, error) {
	by, _ := core.HeadersOf(r.Headers).Get(core.HeaderHeldBy)
	switch {
	case by == "watch.Quiet" && len(r.Key) > 0 && int(r.Key[0]) < len(r.Key):
		return fmt.Sprintf("%s alarm %d", r.Key[1+r.Key[0]:], binary.BigEndian.Uint64(r.Value)), nil
	case by == "closing" && len(r.Key) > 8:
		n := len(r.Key) - 8
		if tail := r.Key[n:]; binary.BigEndian.Uint32(tail[4:]) == 0 { // the number of a window's row
			n -= 4
		}
		return fmt.Sprintf("%s@%d", r.Key[:n], binary.BigEndian.Uint64(r.Key[n:])), nil
	}
	return "", fmt.Errorf("a dead letter of %q has the key %q", by, r.Key)
}
