package conformance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// The cases of Kafka's own tests tell their topology in words.

func init() {
	conformanceOps["KStreamWindowAggregateTest"] = windowTestCase
	conformanceOps["KStreamSlidingWindowAggregateTest"] = windowTestCase
	conformanceOps["SuppressScenarioTest"] = suppressCase
}

// number is the number of milliseconds that follows a word in a text.
func number(text, after string) time.Duration {
	m := regexp.MustCompile(after + ` (\d+)`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return time.Duration(n) * time.Millisecond
}

func windowTestCase(c *conformanceCase) *conformanceSpec {
	words := c.str("topology")
	size := number(words, "size")
	w := topology.Hopping(size, number(words, "advance"))
	if strings.Contains(words, "sliding") {
		size = number(words, "timeDifference")
		w = topology.Sliding(size)
	}
	var opts []topology.AggregateOption
	if c.str("emit") == "on close" {
		opts = append(opts, topology.EmitOnClose())
	}
	b := topology.New("case")
	keys := codec.Windowed(codec.String, size)
	out := topology.NewTopic("out", keys, codec.String)
	in := caseTopic(c.Steps[0].In[0].Topic).Stream(b).Window(w.Grace(number(words, "grace")))
	if strings.Contains(words, "reduce") {
		topology.Reduce(in, "win", func(a, v string) string { return a + "+" + v }, opts...).To(out)
	} else {
		topology.Aggregate(in, "win", func(a, v string) string {
			if a == "" {
				a = "0"
			}
			return a + "+" + v
		}, opts...).To(out)
	}
	s := newSpec(b)
	s.outs["out"] = wireText{decodedText(keys), plainText}
	return s
}

// suppressCase makes the topology of a case of SuppressScenarioTest.
func suppressCase(c *conformanceCase) *conformanceSpec {
	words := c.str("topology")
	s := newSpec(topology.New("case"))
	until := topology.UntilTimeLimit(number(words, "time limit"))
	var opts []topology.SuppressOption
	if strings.Contains(words, "max time, max 1 record") {
		until, opts = topology.UntilTimeLimit(1000*time.Hour), []topology.SuppressOption{topology.MaxRecords(1), topology.EmitEarly()}
	}
	table := func(name string) strTable { return caseTopic(name).Table(s.b) }
	numbers := wireText{plainText, decodedText(codec.Int64)}
	join := func(l, r strTable) *conformanceSpec {
		topology.OuterJoinTables(l, r, "joined", joinText("(%s,%s)")).To(caseTopic("out"))
		return s
	}
	twice := func(w wireText) *conformanceSpec {
		delete(s.outs, "out")
		s.outs["output-raw"], s.outs["output-suppressed"] = w, w
		return s
	}
	switch {
	case strings.HasPrefix(words, "table(input)"):
		counts := topology.CountTable(table("input"), "counts", func(v string) string { return v })
		counts.To(topology.NewTopic("output-raw", codec.String, codec.Int64))
		topology.Suppress(counts, "held", until, opts...).To(topology.NewTopic("output-suppressed", codec.String, codec.Int64))
		return twice(numbers)
	case strings.HasPrefix(words, "table(topic)"):
		// Keys are the values in capitals; a group is made of values.
		topology.CountTable(topology.Suppress(table("topic"), "held", until), "counts", strings.ToUpper).To(topology.NewTopic("out", codec.String, codec.Int64))
		s.outs["out"] = numbers
		return s
	case strings.HasPrefix(words, "table(left)"):
		return join(table("left"), topology.Suppress(table("right"), "held", until))
	case strings.HasPrefix(words, "(table(left)"):
		return join(topology.Suppress(table("left"), "held", until), table("right"))
	}
	size := number(words, "tumbling")
	w, keys := topology.Tumbling(size), codec.Windowed(codec.String, size)
	if strings.Contains(words, "session") {
		w, keys = topology.Session(number(words, "gap")), codec.SessionWindowed(codec.String)
	}
	counts := topology.Count(caseTopic("input").Stream(s.b).Window(w.Grace(number(words, "grace"))), "counts")
	counts.To(topology.NewTopic("output-raw", keys, codec.Int64))
	topology.Suppress(counts, "held", topology.UntilClosed()).To(topology.NewTopic("output-suppressed", keys, codec.Int64))
	// There a key is told as "[k1@0/2]".
	return twice(wireText{func(b []byte) string {
		k, err := keys.Decode(b)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("[%s@%d/%d]", k.Key, k.Start, k.End)
	}, decodedText(codec.Int64)})
}
