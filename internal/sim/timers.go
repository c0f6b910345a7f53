package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// silence is after which a key is told of, by event time and by the wall clock.
const (
	silence     = 25
	wallSilence = 120
)

var alarms = topology.NewTopic("alarms", codec.String, codec.String)

type timerPorts struct {
	Out   topology.Out[string]
	Quiet topology.Timer
	Wall  topology.WallTimer
}

// timers say when nothing came for a key for a while: by event time, and by the wall clock.
var timers = scenario{
	name: "timers",
	build: func(*world) *topology.Builder {
		b := topology.New(app)
		p := topology.NewProcessor(words.Stream(b), "watch", func(_, v string, p *timerPorts) string {
			p.Quiet.In(silence * time.Millisecond)
			p.Wall.In(wallSilence * time.Millisecond)
			return v
		})
		p.OnTimer(&p.Ports.Quiet, func(last string, p *timerPorts) string {
			p.Out.Emit("quiet after " + last)
			return last
		})
		p.OnTimer(&p.Ports.Wall, func(last string, p *timerPorts) string {
			p.Out.Emit("silence after " + last)
			return last
		})
		topology.Output(p, &p.Ports.Out).To(alarms)
		return b
	},
	topics: func(w *world) { w.make("words", "alarms") },
	next: func(w *world, n int, aborted bool) input {
		v := fmt.Sprint("v", n)
		if aborted {
			v = "aborted"
		}
		return input{"words", fmt.Append(nil, "k", w.rng.IntN(6)), []byte(v), epoch + core.Time(1000+4*n), -1}
	},
	// Event time alone decides about the one kind: at each record those keys are told of whose
	// last record is old enough. The other kind comes with the first tick that is late enough
	// behind a key's last record, which took the tick before it for its time.
	model: func(w *world) error {
		var want, wantWall []string
		last := map[string]core.RawRecord{}
		for _, p := range w.kafka.topics["words"].parts {
			clear(last)
			for i := range p.log {
				e := &p.log[i]
				if !e.committed() {
					continue
				}
				for k, r := range last {
					if r.Time+silence <= e.rec.Time && k != string(e.rec.Key) {
						want = append(want, "quiet after "+string(r.Value))
						delete(last, k)
					}
				}
				last[string(e.rec.Key)] = e.rec // which sets the key's alarm anew before it can go off
			}
		}
		for _, id := range w.check.ids() {
			s, last := w.check.tasks[id], map[string]consumed{}
			until := func(c consumed, wall core.Time) {
				if wall >= c.wall+wallSilence {
					wantWall = append(wantWall, "silence after "+string(c.rec.Value))
				}
			}
			for _, c := range s.order {
				if was, ok := last[string(c.rec.Key)]; ok {
					until(was, c.wall)
				}
				last[string(c.rec.Key)] = c
			}
			for _, c := range last {
				until(c, s.wall)
			}
		}
		var quiet, wall []core.RawRecord
		for _, r := range w.history("alarms") {
			if strings.HasPrefix(string(r.Value), "quiet") {
				quiet = append(quiet, r)
			} else {
				wall = append(wall, r)
			}
		}
		if err := sameValues(quiet, want); err != nil {
			return err
		}
		return sameValues(wall, wantWall)
	},
	says: "each silence is told of once, by event time and by the wall clock",
}
