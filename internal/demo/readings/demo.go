package readings

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-81380e12/limpet/examples/reorder"
	"github.com/seed-81380e12/limpet/internal/demo"
	"github.com/seed-81380e12/limpet/shell/cli"
	"github.com/seed-81380e12/limpet/topology"
)

const (
	sensors = 100
	// grace is so short that the demo has readings that are late.
	grace = 500 * time.Millisecond
)

// Demo is reordering at work.
func Demo() cli.Demo {
	return demo.New(demo.Spec{
		Name:       "reorder",
		Short:      "readings that overtake each other, by number again; what is late or lost is told",
		Topologies: Topologies,
		Topics: []demo.Topic{
			{Name: reorder.Readings.Name()},
			{Name: reorder.Ordered.Name()},
			{Name: reorder.Gaps.Name()},
		},
		Input: reorder.Readings.Name(), Output: reorder.Ordered.Name(),
		NewFeeder: func(f *demo.Feed) demo.Feeder {
			return &feeder{feed: f, rng: rand.New(rand.NewPCG(1, 9)), numbers: map[string]int64{}, clocks: map[int32]string{}}
		},
		Show:  show,
		Audit: audit,
	})
}

// Topologies brings readings into order.
func Topologies() []*topology.Builder { return []*topology.Builder{reorder.Sorting(grace)} }

func show(r *kgo.Record) string {
	x, err := demo.Decode(reorder.Ordered, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s: %.1f, its number %d", x.Key, x.Value.Celsius, x.Value.Number)
}

// feeder is the sensors and the ways to here.
type feeder struct {
	feed     *demo.Feed
	rng      *rand.Rand
	numbers  map[string]int64 // the last one of each sensor
	clocks   map[int32]string // by partition: a sensor that moves time in the end
	newest   int64            // greatest time that was written, ms
	since    time.Duration
	underway []underway
	err      error
}

// underway is a reading that takes its time.
type underway struct {
	*kgo.Record
	due time.Duration
}

// Prepare reads what earlier runs left, and finds a sensor for each partition.
func (f *feeder) Prepare(ctx context.Context) error {
	err := f.feed.Read(ctx, reorder.Readings.Name(), func(raw *kgo.Record) error {
		r, err := demo.Decode(reorder.Readings, raw)
		f.numbers[r.Key] = max(f.numbers[r.Key], r.Value.Number)
		f.newest = max(f.newest, r.Time.UnixMilli())
		return err
	})
	for i := 0; err == nil && len(f.clocks) < len(f.feed.Ends(reorder.Readings.Name())); i++ {
		var r *kgo.Record
		sensor := fmt.Sprintf("clock-%d", i)
		if r, err = f.measure(sensor); err == nil {
			err = f.feed.Write(ctx, r)
			f.clocks[r.Partition] = sensor
		}
	}
	return err
}

// Run sends readings until ctx ends, then those that are on their way, and moves time so far
// that none waits any more.
func (f *feeder) Run(ctx context.Context) error {
	err := f.feed.Pace(ctx, f.read, func(since time.Duration) error {
		f.since = since
		f.arrive(since)
		return f.err
	})
	f.arrive(time.Duration(1 << 62))
	f.newest = f.feed.Now(f.newest).UnixMilli() + grace.Milliseconds()
	for _, sensor := range f.clocks {
		r, e := f.measure(sensor)
		if err == nil {
			err = e
		}
		f.feed.Send(r)
	}
	return err
}

func (f *feeder) arrive(since time.Duration) {
	f.underway = slices.DeleteFunc(f.underway, func(u underway) bool {
		if u.due <= since {
			f.feed.Send(u.Record)
		}
		return u.due <= since
	})
}

// measure makes the next reading of a sensor.
func (f *feeder) measure(sensor string) (*kgo.Record, error) {
	f.numbers[sensor]++
	r, err := demo.Encode(reorder.Readings, sensor, reorder.Reading{Sensor: sensor, Number: f.numbers[sensor], Celsius: float64(f.rng.IntN(400)) / 10})
	r.Timestamp = f.feed.Now(f.newest)
	return r, err
}

// read sends a reading at once, or by a longer way, or loses it.
func (f *feeder) read() {
	r, err := f.measure(fmt.Sprintf("sensor-%03d", f.rng.IntN(sensors)))
	if err != nil {
		f.err = err
		return
	}
	switch n := f.rng.IntN(100); {
	case n == 0: // lost
	case n == 1: // late
		f.underway = append(f.underway, underway{r, f.since + 2*grace + time.Duration(f.rng.IntN(500))*time.Millisecond})
	case n < 20:
		f.underway = append(f.underway, underway{r, f.since + time.Duration(f.rng.IntN(300))*time.Millisecond})
	default:
		f.feed.Send(r)
	}
}

// came is a reading as it lies in its partition.
type came struct {
	reorder.Reading
	partition int32
	at        time.Time
}

func audit(ctx context.Context, log demo.Log) (*demo.Report, error) {
	var readings []came
	err := demo.Read(ctx, log, reorder.Readings, func(r demo.Record[string, reorder.Reading]) {
		readings = append(readings, came{r.Value, r.Partition, r.Time})
	})
	if err != nil {
		return nil, err
	}
	ordered, err := demo.ByKey(ctx, log, reorder.Ordered)
	if err != nil {
		return nil, err
	}
	gaps, err := demo.ByKey(ctx, log, reorder.Gaps)
	if err != nil {
		return nil, err
	}
	return judge(readings, ordered, gaps), nil
}

// judge wants the readings of each sensor strictly ascending, each that came within grace
// there once, and each number that is not there in a gap.
func judge(readings []came, ordered map[string][]reorder.Reading, gaps map[string][]reorder.Gap) *demo.Report {
	r := new(demo.Report)
	in, out := r.Seen("readings"), r.Seen("ordered")
	late, missed := r.Told("late"), r.Told("gaps")
	faults := r.Faults()
	sent, there := map[string]map[reorder.Reading]bool{}, map[reorder.Reading]bool{}
	for sensor, xs := range ordered {
		var last int64
		var want []reorder.Gap
		for _, x := range xs {
			out.N++
			switch {
			case there[x]:
				faults.Duplicated.Found("%s: %d", sensor, x.Number)
			case x.Number <= last:
				faults.OutOfOrder.Found("%s: %d behind %d", sensor, x.Number, last)
			case x.Number > last+1:
				want = append(want, reorder.Gap{From: last + 1, To: x.Number - 1})
			}
			there[x] = true
			last = max(last, x.Number)
		}
		for _, g := range gaps[sensor] {
			missed.N += g.To - g.From + 1
		}
		demo.Compare(faults, "gap of "+sensor, gaps[sensor], want)
	}
	clock := map[int32]time.Time{} // by partition: the greatest time
	for _, x := range readings {
		in.N++
		if sent[x.Sensor] == nil {
			sent[x.Sensor] = map[reorder.Reading]bool{}
		}
		sent[x.Sensor][x.Reading] = true
		switch {
		case there[x.Reading]:
		case clock[x.partition].Before(x.at.Add(grace)):
			faults.Missing.Found("%s: %d came in time", x.Sensor, x.Number)
		default:
			late.N++
		}
		if x.at.After(clock[x.partition]) {
			clock[x.partition] = x.at
		}
	}
	for sensor, xs := range ordered {
		for _, x := range xs {
			if !sent[sensor][x] {
				faults.Wrong.Found("%s: %v was never read", sensor, x)
			}
		}
	}
	return r
}
