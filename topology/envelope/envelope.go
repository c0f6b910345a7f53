package envelope

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// Meta is an event's envelope, without the data.
type Meta struct {
	ID            string
	Type          string
	Version       int
	Time          topology.Time
	CorrelationID string
	CausationID   string
	Producer      string
}

// The headers that hold an envelope.
const (
	headerSpec        = "ce_specversion"
	headerID          = "ce_id"
	headerType        = "ce_type"
	headerVersion     = "ce_eventversion"
	headerSource      = "ce_source"
	headerTime        = "ce_time"
	headerCorrelation = "ce_correlationid"
	headerCausation   = "ce_causationid"
)

// Headers makes a topology write the envelope of each record into its headers.
func Headers() topology.BuilderOption { return topology.Stamp(stamp) }

func stamp(o topology.Origin) topology.Headers {
	in := Of(o.Headers)
	// Who wrote the cause may know nothing of envelopes.
	cause := in.ID
	if cause == "" {
		cause = o.Topic + "/" + strconv.Itoa(int(o.Partition)) + "@" + strconv.FormatInt(int64(o.Offset), 10)
	}
	if o.Internal { // the same event, on its way: say who it is, where nobody has
		if in.ID != "" {
			return o.Headers
		}
		return Meta{ID: cause, Time: o.Time, CorrelationID: cmp.Or(in.CorrelationID, cause), CausationID: in.CausationID}.Write(o.Headers)
	}
	return Meta{
		ID: o.ID, Type: codec.TypeName(o.Value), Version: version(o.Value), Time: o.Time, Producer: o.App,
		CausationID: cause, CorrelationID: cmp.Or(in.CorrelationID, cause),
	}.Write(o.Headers)
}

// Of reads the envelope in a record's headers. What is not there, or no number or time, is
// the zero value.
func Of(h topology.Headers) (m Meta) {
	for k, v := range h.All() {
		switch k {
		case headerID:
			m.ID = v
		case headerType:
			m.Type = v
		case headerVersion:
			m.Version, _ = strconv.Atoi(v)
		case headerSource:
			m.Producer = v
		case headerTime:
			m.Time, _ = parseTime(v)
		case headerCorrelation:
			m.CorrelationID = v
		case headerCausation:
			m.CausationID = v
		}
	}
	return m
}

// Write returns h with the envelope m in place of any other. Empty fields are left out.
func (m Meta) Write(h topology.Headers) topology.Headers {
	raw := make([]byte, 0, len(h.Raw())+256)
	for k, v := range h.All() {
		switch k {
		case headerSpec, headerID, headerType, headerVersion, headerSource, headerTime, headerCorrelation, headerCausation:
		default:
			raw = core.AppendHeader(raw, k, v)
		}
	}
	raw = core.AppendHeader(raw, headerSpec, "1.0")
	version := ""
	if m.Version != 0 {
		version = strconv.Itoa(m.Version)
	}
	for _, f := range [...][2]string{
		{headerID, m.ID},
		{headerType, m.Type},
		{headerVersion, version},
		{headerSource, m.Producer},
		{headerTime, formatTime(m.Time)},
		{headerCorrelation, m.CorrelationID},
		{headerCausation, m.CausationID},
	} {
		if f[1] != "" {
			raw = core.AppendHeader(raw, f[0], f[1])
		}
	}
	return core.HeadersOf(raw)
}

func formatTime(t topology.Time) string {
	return time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// parseTime reads a time that can be written again: of a year that has four digits, in UTC. Of others, and of
// what is no time, it is 0, as where there is none.
func parseTime(s string) (topology.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, err
	}
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return 0, fmt.Errorf("%s is of the year %d in UTC", s, year)
	}
	return topology.Time(t.UnixMilli()), nil
}

// Event is a value with its envelope, for topics that carry it in the value.
type Event[T any] struct {
	Meta
	Data T
}

// JSON is the codec of events as one JSON object around the data, which is JSON as well: a
// codec.JSON, codec.Union or codec.Upcast.
func JSON[T any](data topology.Codec[T]) topology.Codec[Event[T]] { return object[T]{data} }

type object[T any] struct{ data topology.Codec[T] }

type wire struct {
	ID            string          `json:"eventId"`
	Type          string          `json:"eventType"`
	Version       int             `json:"eventVersion"`
	Timestamp     string          `json:"timestamp"`
	CorrelationID string          `json:"correlationId"`
	CausationID   string          `json:"causationId"`
	Producer      string          `json:"producer"`
	Data          json.RawMessage `json:"data"`
}

var wireCodec = codec.JSON[wire]()

func (c object[T]) Append(dst []byte, e Event[T]) ([]byte, error) {
	data, err := c.data.Append([]byte{}, e.Data)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(wire{e.ID, e.Type, e.Version, formatTime(e.Time), e.CorrelationID, e.CausationID, e.Producer, data})
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return append(dst, b...), nil
}

func (c object[T]) Decode(src []byte) (e Event[T], err error) {
	w, err := wireCodec.Decode(src)
	if err != nil {
		return e, core.MalformedPart(0, "envelope", err)
	}
	if w.ID == "" || w.Data == nil {
		return e, core.Malformed(0, "envelope: an event has an eventId and data")
	}
	e.Meta = Meta{ID: w.ID, Type: w.Type, Version: w.Version, CorrelationID: w.CorrelationID, CausationID: w.CausationID, Producer: w.Producer}
	if e.Time, err = parseTime(w.Timestamp); err != nil {
		return Event[T]{}, core.MalformedPart(memberAt(src, "timestamp"), "envelope: timestamp", err)
	}
	if e.Data, err = c.data.Decode(w.Data); err != nil {
		return Event[T]{}, core.MalformedPart(memberAt(src, "data"), "envelope: data", err)
	}
	return e, nil
}

// memberAt is where the value of a member of an object begins; of several with the name, the last one's, which counts.
func memberAt(src []byte, name string) (at int) {
	d := json.NewDecoder(bytes.NewReader(src))
	_, _ = d.Token()
	for d.More() {
		member, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			break
		}
		if s, ok := member.(string); ok && strings.EqualFold(s, name) {
			at = int(d.InputOffset()) - len(value)
		}
	}
	return at
}

func (c object[T]) Schema() string { return "event(" + codec.SchemaOf(c.data) + ")" }
func (c object[T]) Check() error   { return codec.Check(c.data) }

// Unwrap moves the envelope of each event from the value into the headers.
func Unwrap[K comparable, T any](s topology.Stream[K, Event[T]]) topology.Stream[K, T] {
	return topology.Map(s.WithHeaders(toHeaders[T]), dataOf[T])
}

func toHeaders[T any](e Event[T], h topology.Headers) topology.Headers { return e.Write(h) }
func dataOf[T any](e Event[T]) T                                       { return e.Data }

// Wrap makes each value an event of the producer, caused by the record in hand.
func Wrap[K comparable, T any](s topology.Stream[K, T], producer string) topology.Stream[K, Event[T]] {
	return topology.FlatMap(topology.Records(s), func(r topology.Record[K, T], out *topology.Out[Event[T]]) {
		in, id := Of(r.Headers), out.ID()
		m := Meta{
			ID: id, Type: codec.TypeName(r.Value), Version: version(r.Value), Time: r.Time, Producer: producer,
			CorrelationID: cmp.Or(in.CorrelationID, in.ID, id), CausationID: cmp.Or(in.ID, id),
		}
		out.Emit(Event[T]{m, r.Value})
	})
}

func version(v any) int {
	if v, ok := v.(interface{ EventVersion() int }); ok {
		return v.EventVersion()
	}
	return 1
}

// CorrelationID is that of a record, for KeyBy on Records.
func CorrelationID[K, V any](r topology.Record[K, V]) string { return Of(r.Headers).CorrelationID }

// ByCorrelation gives each record its correlation id as key, as KeyBy does.
func ByCorrelation[K comparable, V any](s topology.Stream[K, V], name string) topology.Stream[string, V] {
	return topology.Values(topology.KeyBy(topology.Records(s), name, CorrelationID))
}
