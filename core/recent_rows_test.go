package core

import (
	"fmt"
	"testing"
)

// A key that comes again when its rows are in the view only is found, whatever the filters say of others, and as
// with all in memory: in windows that grow over many commits, and in a join.
func TestRecentKnowsRowsOfTheView(t *testing.T) {
	for name, shape := range map[string]func(*Task){
		"tumbling":          windowShape(Window{Size: 400, Advance: 400, Grace: 100}),
		"hopping, on close": windowShape(Window{Size: 400, Advance: 200, Grace: 100, OnClose: true}),
		"sliding":           windowShape(Window{Kind: SlidingWindow, Size: 150, Grace: 50}),
		"session":           windowShape(Window{Kind: SessionWindow, Size: 150, Grace: 50}),
		"session, on close": windowShape(Window{Kind: SessionWindow, Size: 150, Grace: 50, OnClose: true}),
		"join":              joinShape(150, 150, 10, false, false),
	} {
		t.Run(name, func(t *testing.T) {
			var states []string
			for _, cache := range []int{0, 1 << 20} {
				world := newWorld(TaskConfig{CacheBytes: cache}, shape)
				world.dated = true
				world.open()
				inputs := len(world.task.sources)
				next := make([]Offset, inputs)
				for n := range 1500 {
					// Each key comes again a hundred records later, and then no more, and some come at once.
					k := fmt.Sprint("k", n/200*100+n%100)
					if n%7 == 0 {
						k = fmt.Sprint("j", n/3)
					}
					var all []*Batch
					for s := range inputs {
						b := &Batch{Source: SourceID(s), CaughtUp: true, Next: next[s]}
						if s == n/100%inputs {
							b.Records = []RawRecord{{Key: []byte(k), Value: []byte{'a' + byte(n%26)}, Time: Time(n), Offset: next[s]}}
							next[s]++
							b.Next = next[s]
						}
						all = append(all, b)
					}
					if err := world.task.Step(all...); err != nil {
						t.Fatal(err)
					}
					if n%5 == 4 {
						c, err := world.task.Ready()
						if err != nil {
							t.Fatal(err)
						}
						world.settle(c)
					}
				}
				states = append(states, world.state())
			}
			if states[0] != states[1] {
				t.Errorf("got\n%s\nwant\n%s", states[0], states[1])
			}
		})
	}
}
