package requestresponse

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/topology/envelope"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

func TestMatch(t *testing.T) {
	if got := Answer(Request{"book"}); got != (Response{400}) {
		t.Error(got)
	}
}

func TestAnswered(t *testing.T) {
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		questions := topologytest.Topic(d, Questions)
		for i := range 6 {
			questions.Send(fmt.Sprint(i), Request{fmt.Sprintf("%*s", i, "")})
		}
		got := map[Outcome]int{}
		for _, o := range topologytest.Topic(d, Outcomes).Values() {
			got[o]++
		}
		for i := range 6 {
			if want := (Outcome{fmt.Sprintf("%*s", i, ""), int64(100 * i), true}); got[want] != 1 {
				t.Errorf("got %v, want %v once", got, want)
			}
		}
	}, Client(), Service())
}

// The same question asked twice is two conversations.
func TestCorrelation(t *testing.T) {
	d := topologytest.New(t, Client(), Service())
	questions, outcomes := topologytest.Topic(d, Questions), topologytest.Topic(d, Outcomes)
	questions.Send("ada", Request{"book"})
	questions.Send("ada", Request{"book"})
	rs := outcomes.Records()
	if len(rs) != 2 || rs[0].Key != "price-questions/0@0" || rs[1].Key != "price-questions/0@1" {
		t.Fatal(rs)
	}
	if m := envelope.Of(rs[1].Headers); m.CorrelationID != rs[1].Key {
		t.Error(m)
	}
}

func TestServiceDown(t *testing.T) {
	d := topologytest.New(t, Client(), Service())
	questions, outcomes := topologytest.Topic(d, Questions), topologytest.Topic(d, Outcomes)
	d.Pause("price-service")
	questions.Send("ada", Request{"book"})
	d.Advance(Patience + time.Second)
	questions.Send("bob", Request{"ink"}) // its time says that the first one's is up
	outcomes.Want(Outcome{Product: "book"})
	d.Resume("price-service")
	outcomes.Want(Outcome{"ink", 300, true}) // and the late answer of the first goes nowhere
}
