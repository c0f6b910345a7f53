package reorder

import (
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Reading is what a sensor has measured. Number counts the readings of the sensor, from 1. The
// time of its record is when it was measured; it may come much later, by another way.
type Reading struct {
	Sensor  string
	Number  int64
	Celsius float64
}

// Place is where a reading stands among those of its sensor.
func (r Reading) Place() int64 { return r.Number }

// Gap is a run of numbers that did not come in time; both ends are part of it.
type Gap struct{ From, To int64 }

// Series is a sensor's readings so far.
type Series struct {
	Last   int64 // number of the last one
	Missed int64 // how many before it did not come in time
}

// Ports of a series.
type Ports struct {
	Readings topology.Out[Reading]
	Gaps     topology.Out[Gap]
}

// Follow passes a reading on, and tells what is missing before it.
func Follow(s Series, r Reading, out *Ports) Series {
	if missed := r.Number - s.Last - 1; missed > 0 {
		out.Gaps.Emit(Gap{s.Last + 1, r.Number - 1})
		s.Missed += missed
	}
	out.Readings.Emit(r)
	s.Last = r.Number
	return s
}

// The topics, keyed by sensor.
var (
	Readings = topology.NewTopic("readings", codec.String, codec.JSON[Reading]())
	Ordered  = topology.NewTopic("readings-in-order", codec.String, codec.JSON[Reading]())
	Gaps     = topology.NewTopic("reading-gaps", codec.String, codec.JSON[Gap]())
)

// Grace is how long a reading waits for those before it, where there is no reason for
// another time.
const Grace = time.Minute

// Sorting brings readings into order. One that is overtaken by more than grace may be lost.
func Sorting(grace time.Duration) *topology.Builder {
	b := topology.New("readings-sorting")
	ordered := topology.Reorder(Readings.Stream(b), "by-number", Reading.Place, grace)
	series := topology.NewProcessor(ordered, "series", Follow)
	topology.Output(series, &series.Ports.Readings).To(Ordered)
	topology.Output(series, &series.Ports.Gaps).To(Gaps)
	return b
}
