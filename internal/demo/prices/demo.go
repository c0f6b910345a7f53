package prices

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	rr "github.com/seed-81380e12/limpet/examples/requestresponse"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

// Demo is request and response at work.
func Demo() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "request-response",
		Short:      "questions over one topic, answers over another, matched by correlation id",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: rr.Questions.Name()},
			{Name: rr.Requests.Name()},
			{Name: rr.Responses.Name()},
			{Name: rr.Outcomes.Name()},
		},
		Input: rr.Questions.Name(), Output: rr.Outcomes.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return demo.Sending(f, 4, func(rng *rand.Rand, _ string) error {
				return demo.Send(f, rr.Questions, fmt.Sprint(rng.IntN(1000)), rr.Request{Product: strings.Repeat("x", 1+rng.IntN(30))})
			})
		},
		Show:  show,
		Audit: audit,
	})
}

// Topologies are the client and the service.
func Topologies() []*topology.Builder { return []*topology.Builder{rr.Client(), rr.Service()} }

func show(r *kgo.Record) string {
	o, err := demo.Decode(rr.Outcomes, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: a %s is %d cents", o.Key, o.Value.Product, o.Value.Cents)
}

// audit wants one outcome for each question, with the service's answer, found by the
// question's place.
func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	want, got := map[string]rr.Outcome{}, map[string][]rr.Outcome{}
	err := demo.Read(ctx, log, rr.Questions, func(r demo.Record[string, rr.Request]) {
		id := fmt.Sprintf("%s/%d@%d", rr.Questions.Name(), r.Partition, r.Offset)
		want[id] = rr.Outcome{Product: r.Value.Product, Cents: int64(100 * len(r.Value.Product)), Answered: true}
	})
	if err == nil {
		got, err = demo.ByKey(ctx, log, rr.Outcomes)
	}
	if err != nil {
		return nil, err
	}
	return judge(want, got), nil
}

func judge(want map[string]rr.Outcome, got map[string][]rr.Outcome) *demo.Report {
	r := new(demo.Report)
	questions, outcomes := r.Seen("questions"), r.Seen("outcomes")
	questions.N = int64(len(want))
	missing, duplicated, wrong := r.Fault("missing"), r.Fault("duplicated"), r.Fault("wrong")
	unanswered := r.Fault("unanswered")
	for id, os := range got {
		outcomes.N += int64(len(os))
		for i, o := range os {
			switch w, ok := want[id]; {
			case !ok:
				wrong.Found("%s: nobody asked", id)
			case i > 0:
				duplicated.Found("%s: %+v", id, o)
			case !o.Answered && o.Product == w.Product:
				unanswered.Found("%s", id)
			case o != w:
				wrong.Found("%s: %+v, not %+v", id, o, w)
			}
		}
	}
	for id := range want {
		if len(got[id]) == 0 {
			missing.Found("%s", id)
		}
	}
	return r
}
