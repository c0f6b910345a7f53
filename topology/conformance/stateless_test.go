package conformance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

func init() {
	conformanceOps["stateless"] = statelessCase
	conformanceOps["table"] = tableCase
	conformanceRules["table"] = []conformanceRule{{"version-late", versionLate}}
	conformanceOps["to-table"] = toTableCase
}

// A value of these cases may be null, and so may a key.
type nullStream = topology.Stream[nullable, nullable]

func nullTopic(name string) topology.Topic[nullable, nullable] {
	return topology.NewTopic(name, codec.Optional(codec.String), codec.Optional(codec.String))
}

var comparison = regexp.MustCompile(`^v (?:% (\d+) )?(==|!=|<|>|<=|>=) (-?\d+)$`)

// predicateOf is the predicate that a case tells in words.
func predicateOf(words string) func(nullable) bool {
	notNull := strings.HasPrefix(words, "v is not null and ")
	m := comparison.FindStringSubmatch(strings.TrimPrefix(words, "v is not null and "))
	if m == nil {
		panic("predicate " + words)
	}
	mod, _ := strconv.Atoi(m[1])
	with, _ := strconv.Atoi(m[3])
	return func(v nullable) bool {
		n, err := strconv.Atoi(v.Value)
		if !v.OK && notNull {
			return false
		}
		if err != nil {
			panic(err)
		}
		if mod > 0 {
			n %= mod
		}
		return map[string]bool{"==": n == with, "!=": n != with, "<": n < with, ">": n > with, "<=": n <= with, ">=": n >= with}[m[2]]
	}
}

var (
	arithmetic = regexp.MustCompile(`^v ([-+*/%]) (\d+)(, null stays null)?$`)
	nullIf     = regexp.MustCompile(`^null if (.*), else v$`)
)

// mapperOf is the function that a case tells in words.
func mapperOf(words string) func(nullable) nullable {
	if m := nullIf.FindStringSubmatch(words); m != nil {
		none := predicateOf(m[1])
		return func(v nullable) nullable {
			if none(v) {
				return topology.None[string]()
			}
			return v
		}
	}
	m := arithmetic.FindStringSubmatch(words)
	if m == nil {
		panic("function " + words)
	}
	with, _ := strconv.Atoi(m[2])
	return func(v nullable) nullable {
		if !v.OK {
			return v
		}
		n, err := strconv.Atoi(v.Value)
		if err != nil {
			panic(err)
		}
		switch m[1] {
		case "+":
			n += with
		case "-":
			n -= with
		case "*":
			n *= with
		case "/":
			n /= with
		case "%":
			n %= with
		}
		return topology.Some(strconv.Itoa(n))
	}
}

func not[V any](f func(V) bool) func(V) bool { return func(v V) bool { return !f(v) } }

func statelessCase(c *conformanceCase) *conformanceSpec {
	s := newSpec(topology.New("case"))
	parts := func(v nullable, out *topology.Out[nullable]) {
		for p := range strings.SplitSeq(v.Value, ",") {
			if p != "" {
				out.Emit(topology.Some(p))
			}
		}
	}
	input := func() nullStream { return nullTopic("input").Stream(s.b) }
	both := func() nullStream { return nullTopic("first").Stream(s.b).Merge(nullTopic("second").Stream(s.b)) }
	keys := topology.KeyCodec(codec.Optional(codec.String))
	switch shape := c.str("shape"); shape {
	case "merge":
		both().To(nullTopic("out"))
	case "split":
		s.branches(c, input())
	case "merge-split":
		s.branches(c, both())
	case "flatMapValues":
		topology.FlatMap(input(), parts).To(nullTopic("out"))
	case "flatMap":
		topology.KeyBy(topology.FlatMap(input(), parts), "by", func(v nullable) nullable { return topology.Some(v.Value[:1]) }, keys).To(nullTopic("out"))
	case "chain":
		in := input()
		for i, op := range list(c.Params["ops"]) {
			kind, words, _ := strings.Cut(fmt.Sprint(op), ": ")
			switch {
			case kind == "filter":
				in = in.Filter(predicateOf(words))
			case kind == "filterNot":
				in = in.Filter(not(predicateOf(words)))
			case kind == "mapValues":
				in = topology.Map(in, mapperOf(words))
			case kind == "selectKey" && words == "v as a string, null if v is null":
				in = topology.KeyBy(in, fmt.Sprint("key", i), func(v nullable) nullable { return v }, keys)
			case kind == "map" && strings.HasSuffix(words, ", value v"):
				key := strings.Trim(strings.TrimSuffix(strings.TrimPrefix(words, "key "), ", value v"), "\"")
				in = topology.KeyBy(in, fmt.Sprint("key", i), func(nullable) nullable { return topology.Some(key) }, keys)
			default:
				panic(fmt.Sprint("operation ", op))
			}
		}
		in.To(nullTopic("out"))
	default:
		panic("shape " + shape)
	}
	return s
}

// branches splits a stream: the first match wins, the rest goes to the default or nowhere.
func (s *conformanceSpec) branches(c *conformanceCase, in nullStream) {
	delete(s.outs, "out")
	for _, v := range list(c.Params["branches"]) {
		branch := v.(map[string]any)
		to := branch["to"].(string)
		s.outs[to] = wireText{plainText, plainText}
		var yes nullStream
		yes, in = in.Split(predicateOf(branch["if"].(string)))
		yes.To(nullTopic(to))
	}
	if to := c.str("default"); to != "" {
		s.outs[to] = wireText{plainText, plainText}
		in.To(nullTopic(to))
	} else {
		in.Filter(func(nullable) bool { return false }).To(nullTopic("nowhere"))
	}
}

// tableCase is a table with filters and maps on it. Where such a view has a store, its
// changes go to a topic of their own, and folded they must be the store's rows.
func tableCase(c *conformanceCase) *conformanceSpec {
	s := newSpec(topology.New("case"))
	const history = "versioned_history_ms"
	t := c.table(s.b, "input", history)
	versions, stored := c.has(history), c.has("source_store")
	switch {
	case versions:
		t.To(caseTopic("latest"))
		s.folded(c.str("source_store"), "latest")
	case stored:
		s.state(c.str("source_store"), "input", wireText{plainText, plainText})
	}
	for _, op := range list(c.Params["ops"]) {
		op := op.(map[string]any)
		words := func(name string) string { w, _ := op[name].(string); return w }
		switch words("do") {
		case "filter", "filterNot":
			keep := predicateOf(words("predicate"))
			if words("do") == "filterNot" {
				keep = not(keep)
			}
			t = filterBy(t, stored && !versions, func(v string) bool { return keep(topology.Some(v)) })
		case "mapValues":
			f := mapperOf(words("result"))
			t = topology.MapTable(t, func(v string) string { return f(topology.Some(v)).Or(noValue) })
			if nullIf.MatchString(words("result")) {
				t = filterBy(t, false, not(isNoValue))
			}
		default:
			panic(fmt.Sprint("operation ", op))
		}
		if store := words("store"); store != "" {
			t.To(caseTopic("rows-of-" + store))
			s.folded(store, "rows-of-"+store)
			stored, versions = true, false
		}
	}
	t.To(caseTopic("out"))
	return s
}

// filterBy filters a table. Kafka Streams holds back the change of a row that was not there
// before and is not there now where it is told the old value: because a store stands in front
// of the filter, or because somebody behind it asks. Here it is an option.
func filterBy[K comparable](t topology.Table[K, string], told bool, keep func(string) bool) topology.Table[K, string] {
	if told {
		return t.Filter(keep)
	}
	return t.Filter(keep, topology.EveryDeletion())
}

func toTableCase(c *conformanceCase) *conformanceSpec {
	s := newSpec(topology.New("case"))
	in := nullStrings("input").Stream(s.b)
	none := topology.DeleteWhen(func(v nullable) bool { return !v.OK })
	rows := topology.StateCodec(codec.Optional(codec.String))
	switch c.str("shape") {
	case "plain":
	case "mapValues":
		in = topology.Map(in, func(v nullable) nullable {
			if !v.OK || strings.HasSuffix(v.Value, "3") {
				return topology.None[string]()
			}
			return topology.Some(v.Value + "!")
		})
	case "rekey":
		keyed := topology.Records(in).Filter(func(r topology.Record[string, nullable]) bool { return r.Key != "" })
		in = topology.Values[string, string](topology.KeyBy(keyed, "lower", func(r topology.Record[string, nullable]) string { return strings.ToLower(r.Key) }))
	case "join":
		t := topology.MapTable(in.ToTable("t", none, rows), func(v nullable) string { return v.Value })
		joinTableBy(c.str("join"), caseTopic("probe").Stream(s.b), t, joinText("%s+%s")).To(caseTopic("out"))
	default:
		panic("shape " + c.str("shape"))
	}
	if c.str("shape") != "join" {
		in.ToTable("t", none, rows).To(nullStrings("out"))
	}
	if c.has("store") {
		s.state(c.str("store"), "t", wireText{plainText, plainText})
	}
	return s
}

// nullStrings is a topic whose values may be null.
func nullStrings(name string) topology.Topic[string, nullable] {
	return topology.NewTopic(name, codec.String, codec.Optional(codec.String))
}
