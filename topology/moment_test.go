package topology_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type momentPorts struct {
	Log  topology.Out[string]
	Now  topology.Moment[string]
	Soon topology.Timer
	Wall topology.WallTimer
}

func (p *momentPorts) say(what string) {
	by, _ := p.Now.Headers().Get("by")
	p.Log.Emit(fmt.Sprintf("%s %s at %d by %s", what, p.Now.Key(), p.Now.Time(), by))
}

func onWord(s, word string, p *momentPorts) string {
	p.say(word)
	p.Soon.In(time.Second)
	p.Wall.At(p.Now.Time().Add(time.Minute))
	return s
}

func moments() *topology.Builder {
	b := topology.New("moments")
	p := topology.NewProcessor(bids.Stream(b), "p", onWord)
	p.OnTimer(&p.Ports.Soon, func(s string, p *momentPorts) string { p.say("soon"); return s })
	p.OnTimer(&p.Ports.Wall, func(s string, p *momentPorts) string { p.say("wall"); return s })
	topology.Output(p, &p.Ports.Log).To(sales)
	return b
}

// A moment is the record's, and the alarm's that goes off behind another key's record.
func TestMoment(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		in, out := topologytest.Topic(d, bids), topologytest.Topic(d, sales)
		at := d.Now()
		by := func(who string) topology.Headers { return topology.Headers{}.With("by", who) }
		in.SendRecord(topology.Record[string, string]{Key: "a", Value: "x", Time: at, Headers: by("ada")})
		in.SendRecord(topology.Record[string, string]{Key: "b", Value: "y", Time: at.Add(time.Second), Headers: by("bob")})
		d.AdvanceTo(at.Add(time.Minute))
		want := []string{fmt.Sprintf("x a at %d by ada", at), fmt.Sprintf("y b at %d by bob", at+1000)}
		var alarms []string
		for _, v := range out.Values() {
			if strings.HasPrefix(v, "soon") || strings.HasPrefix(v, "wall") {
				alarms = append(alarms, v)
				continue
			}
			if len(want) == 0 || v != want[0] {
				d.T().Errorf("%q, want %q", v, want)
				return
			}
			want = want[1:]
		}
		// With one partition b's record moves the time to a's alarm; with four it may not.
		soon := fmt.Sprintf("soon a at %d by ada", at+1000)
		wall := fmt.Sprintf("wall a at %d by ada", at+60_000)
		if got := strings.Join(alarms, ", "); got != soon+", "+wall && got != wall {
			d.T().Errorf("alarms: %s", got)
		}
	}, moments())
}

// A step in a table test has the moment that the test gives it.
func TestMomentOf(t *testing.T) {
	p := momentPorts{Now: topology.MomentOf("k", 7, topology.Headers{}.With("by", "me"))}
	onWord("", "hi", &p)
	if got := p.Log.Values(); len(got) != 1 || got[0] != "hi k at 7 by me" || p.Wall.String() != "at 60007" {
		t.Errorf("%q, %v", got, &p.Wall)
	}
	if m := topology.MomentOf(3, 4); m.Key() != 3 || m.Time() != 4 {
		t.Errorf("%v", m)
	}
}

func TestMomentOfAnotherKey(t *testing.T) {
	b := topology.New("wrong")
	p := topology.NewProcessor(bids.Stream(b), "p", func(s, _ string, _ *struct {
		Log topology.Out[string]
		Now topology.Moment[int64]
	},
	) string {
		return s
	})
	topology.Output(p, &p.Ports.Log).To(sales)
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "port Now is a core.Moment[int64], but the processor's key is string") {
		t.Errorf("got %v", err)
	}
}

// Plans that share topics make one picture.
func TestDraw(t *testing.T) {
	words, counts := topology.NewTopic("words", codec.String, codec.String), topology.NewTopic("sales", codec.String, codec.String)
	b := topology.New("reader")
	words.Stream(b).To(bids)
	c := topology.New("counter")
	counts.Stream(c).To(topology.NewTopic("copies", codec.String, codec.String))
	var plans []*topology.Plan
	for _, b := range []*topology.Builder{b, moments(), c} {
		plan, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, plan)
	}
	const want = `flowchart LR
  t0[["words"]]
  t1[["bids"]]
  t2[["sales"]]
  t3[["copies"]]
  subgraph s1 ["moments"]
    n3[("p<br/>processor")]
    n4[("p-timers<br/>timers")]
  end
  t0 --> t1
  t1 -->|"onWord"| n3
  n3 -->|"Log"| t2
  n3 -->|"sets"| n4
  n4 -->|"Soon"| n3
  n4 -->|"Wall"| n3
  t2 --> t3
`
	if got := topology.Draw(topology.AsMermaid, plans...); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := topology.Draw(topology.AsDot, plans...); !strings.Contains(got, `n4 -> n3 [label="Soon"]`) || !strings.HasPrefix(got, `digraph "reader, moments, counter"`) {
		t.Errorf("got\n%s", got)
	}
}
