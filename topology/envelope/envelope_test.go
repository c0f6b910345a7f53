package envelope_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/allocated"
	at "github.com/seed-81380e12/limpet/internal/placed"
	"github.com/seed-81380e12/limpet/topology"
	"github.com/seed-81380e12/limpet/topology/codec"
	"github.com/seed-81380e12/limpet/topology/envelope"
	"github.com/seed-81380e12/limpet/topology/topologytest"
)

type placed struct{ OrderID, CustomerID string }

func (placed) EventType() string { return "OrderPlaced" }
func (placed) EventVersion() int { return 3 }

func (p placed) customer() string { return p.CustomerID }

type mail struct{ To string }

var (
	orders    = topology.NewTopic("orders", codec.String, codec.JSON[placed]())
	customers = topology.NewTopic("customers", codec.String, codec.String, topology.Compacted())
	checked   = topology.NewTopic("checked", codec.String, codec.JSON[placed]())
	mails     = topology.NewTopic("mails", codec.String, codec.JSON[mail]())
	perMinute = topology.NewTopic("per-minute", codec.Windowed(codec.String, time.Minute), codec.Int64)
)

// Two services: the first passes orders on, the second joins them with customers and counts.
func services() (check, notify *topology.Builder) {
	check = topology.New("check", envelope.Headers())
	orders.Stream(check).To(checked)

	notify = topology.New("notify", envelope.Headers())
	byCustomer := topology.KeyBy(checked.Stream(notify), "by-customer", placed.customer)
	topology.Join(byCustomer, customers.Table(notify), "with-customer", func(_ placed, to string) mail { return mail{to} }).To(mails)
	counts := topology.Count(byCustomer.Window(topology.Tumbling(time.Minute)), "counts")
	counts.To(perMinute)
	return check, notify
}

func TestFlow(t *testing.T) {
	check, notify := services()
	d := topologytest.New(t, check, notify)
	topologytest.Topic(d, customers).Send("c1", "ada@example.com")
	topologytest.Topic(d, orders).Send("o1", placed{"o1", "c1"})
	topologytest.Topic(d, orders).Send("o2", placed{"o2", "c1"})

	ok := topologytest.Topic(d, checked).Records()
	at := ok[0].Time
	first := envelope.Of(ok[0].Headers)
	if want := (envelope.Meta{
		ID: "check/checked/orders/0@0/0", Type: "OrderPlaced", Version: 3, Time: at,
		CorrelationID: "orders/0@0", CausationID: "orders/0@0", Producer: "check",
	}); first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	// The second service's records belong to the same conversation, caused by the first's.
	for i, h := range []topology.Headers{topologytest.Topic(d, mails).Records()[0].Headers, topologytest.Topic(d, perMinute).Records()[0].Headers} {
		m := envelope.Of(h)
		if m.CorrelationID != "orders/0@0" || m.CausationID != first.ID || m.Producer != "notify" || m.Type != []string{"mail", "int64"}[i] || m.Version != 1 {
			t.Errorf("got %+v", m)
		}
		for _, name := range []string{"ce_id", "ce_correlationid"} {
			if n := strings.Count(string(h.Raw()), name); n != 1 {
				t.Errorf("%d headers %s", n, name)
			}
		}
	}
}

type reminders struct {
	Mails topology.Out[mail]
	Soon  topology.Timer
	Late  topology.WallTimer
}

// What comes of an alarm belongs to the conversation of the record that set it, and was caused
// by it: with no code of the user, by the event's time and by the clock.
func TestTimers(t *testing.T) {
	b := topology.New("remind", envelope.Headers())
	p := topology.NewProcessor(checked.Stream(b), "reminders", func(_ string, o placed, p *reminders) string {
		p.Soon.In(time.Minute)
		p.Late.In(time.Hour)
		return o.CustomerID
	})
	p.OnTimer(&p.Ports.Soon, func(c string, p *reminders) string { p.Mails.Emit(mail{"soon " + c}); return c })
	p.OnTimer(&p.Ports.Late, func(c string, p *reminders) string { p.Mails.Emit(mail{"late " + c}); return c })
	topology.Output(p, &p.Ports.Mails).To(mails)
	check, _ := services()

	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		topologytest.Topic(d, orders).Send("o1", placed{"o1", "c1"})
		cause := envelope.Of(topologytest.Topic(d, checked).Records()[0].Headers)
		d.Elapse(time.Minute)
		d.Crash()
		d.Advance(time.Hour)
		rs := topologytest.Topic(d, mails).Records()
		if len(rs) != 2 || rs[0].Value != (mail{"soon c1"}) || rs[1].Value != (mail{"late c1"}) {
			d.T().Fatalf("got %v", rs)
		}
		seen := map[string]bool{cause.ID: true}
		for _, r := range rs {
			m := envelope.Of(r.Headers)
			if m.CorrelationID != cause.CorrelationID || m.CausationID != cause.ID || m.Producer != "remind" || m.Time != r.Time || seen[m.ID] {
				d.T().Errorf("%v: %+v, of %+v", r.Value, m, cause)
			}
			seen[m.ID] = true
		}
	}, check, b)
}

// Ids are the same, however often records are run again.
func TestReplay(t *testing.T) {
	ids := func(crash bool) (ids []string) {
		check, notify := services()
		d := topologytest.New(t, check, notify)
		topologytest.Topic(d, customers).Send("c1", "ada@example.com")
		for i := range 5 {
			topologytest.Topic(d, orders).Send(fmt.Sprint(i), placed{fmt.Sprint(i), "c1"})
			if crash {
				d.Crash()
			}
		}
		for _, r := range topologytest.Topic(d, mails).Records() {
			ids = append(ids, envelope.Of(r.Headers).ID)
		}
		return ids
	}
	a, b := ids(false), ids(true)
	seen := map[string]bool{}
	for i := range a {
		if seen[a[i]] || a[i] == "" || a[i] != b[i] {
			t.Errorf("got %v and %v", a, b)
		}
		seen[a[i]] = true
	}
}

func TestInTheValue(t *testing.T) {
	in := topology.NewTopic("in", codec.String, envelope.JSON(codec.JSON[placed]()))
	out := topology.NewTopic("out", codec.String, envelope.JSON(codec.JSON[mail]()))
	topologytest.EveryWay(t, func(d *topologytest.Driver) {
		topologytest.Topic(d, in).SendRaw([]byte("o1"), []byte(`{"eventId":"e1","eventType":"OrderPlaced","eventVersion":3,`+
			`"timestamp":"2026-01-02T03:04:05Z","correlationId":"c9","causationId":"e0","producer":"shop","data":{"OrderID":"o1","CustomerID":"c1"},"more":1}`))
		got := topologytest.Topic(d, out).Values()
		if len(got) != 1 {
			t.Fatal(got)
		}
		m := got[0].Meta
		if m.CorrelationID != "c9" || m.CausationID != "e1" || m.Type != "mail" || m.Version != 1 || m.Producer != "mailer" || m.ID == "" || got[0].Data.To != "c1" {
			t.Errorf("got %+v", got[0])
		}
	}, func() *topology.Builder {
		b := topology.New("mailer")
		events := envelope.Unwrap(in.Stream(b))
		envelope.Wrap(topology.Map(events, func(p placed) mail { return mail{p.CustomerID} }), "mailer").To(out)
		return b
	}())
}

func TestJSON(t *testing.T) {
	c := envelope.JSON(codec.JSON[mail]())
	e := envelope.Event[mail]{Meta: envelope.Meta{ID: "e1", Type: "mail", Version: 1, Time: 1767323045678, CorrelationID: "c", CausationID: "a", Producer: "p"}, Data: mail{"ada"}}
	b, err := c.Append(nil, e)
	want := `{"eventId":"e1","eventType":"mail","eventVersion":1,"timestamp":"2026-01-02T03:04:05.678Z","correlationId":"c","causationId":"a","producer":"p","data":{"To":"ada"}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v", b, err)
	}
	if got, err := c.Decode(b); err != nil || got != e {
		t.Errorf("got %+v, %v", got, err)
	}
	for src, why := range map[string]string{
		`{}`: "eventId", `{"eventId":"x"}`: "data", `{"eventId":"x","data":{},"timestamp":"yesterday"}`: "timestamp",
		`{"eventId":"x","data":3,"timestamp":"2026-01-02T03:04:05Z"}`: "data", `[`: "unexpected end",
	} {
		if _, err := c.Decode([]byte(src)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v", src, err)
		}
	}
	if codec.SchemaOf(c) != "event(json(mail))" {
		t.Error(codec.SchemaOf(c))
	}
}

func TestByCorrelation(t *testing.T) {
	answers := topology.NewTopic("answers", codec.String, codec.String)
	b := topology.New("ask", envelope.Headers())
	byID := envelope.ByCorrelation(checked.Stream(b), "by-correlation")
	topology.Map(byID, func(p placed) string { return p.OrderID }).To(answers)
	d := topologytest.New(t, b)
	r := topologytest.RecordOf(topologytest.At("10:00"), "o1", placed{"o1", "c1"})
	r.Headers = envelope.Meta{ID: "e", CorrelationID: "talk"}.Write(r.Headers)
	topologytest.Topic(d, checked).SendRecord(r)
	if got := topologytest.Topic(d, answers).Records(); len(got) != 1 || got[0].Key != "talk" {
		t.Error(got)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("e", "mail", 3, int64(5), "c", "a", "p")
	f.Fuzz(func(t *testing.T, id, kind string, version int, at int64, correlation, causation, producer string) {
		if at < 0 || at > 253402300799999 { // four digits of a year
			t.Skip()
		}
		m := envelope.Meta{ID: id, Type: kind, Version: version, Time: topology.Time(at), CorrelationID: correlation, CausationID: causation, Producer: producer}
		h := m.Write(topology.Headers{}.With("mine", "x"))
		if got := envelope.Of(h); got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
		if v, ok := h.Get("mine"); !ok || v != "x" {
			t.Error("a header of the user was lost")
		}
	})
}

// Whatever headers a record has: an envelope is read from them, and is the same when written.
func FuzzOf(f *testing.F) {
	f.Add([]byte("\x02\x05ce_id"), "1", "2020-01-01T00:00:00Z")
	f.Add([]byte(nil), "99999999999999999999", "0000-00-00T99:99:99Z")
	f.Add([]byte(nil), "0", "9999-12-31T23:59:59-01:00")
	f.Fuzz(func(t *testing.T, raw []byte, version, at string) {
		h := core.HeadersOf(raw).With("ce_eventversion", version).With("ce_time", at)
		var m envelope.Meta
		allocated.Within(t, "Of", allocated.For(len(h.Raw())), func() { m = envelope.Of(h) })
		if got := envelope.Of(m.Write(h)); got != m {
			t.Fatalf("%q %q: %+v, and then %+v", version, at, m, got)
		}
	})
}

// Whatever a record holds where an event in an object should be: what is read can be written, and is
// then the same.
func FuzzJSON(f *testing.F) {
	c := envelope.JSON(codec.JSON[mail]())
	b, err := c.Append(nil, envelope.Event[mail]{Meta: envelope.Meta{ID: "e", Type: "mail", Version: 1, Time: 5}, Data: mail{"a@b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"eventId":"e","timestamp":"0000-01-01T00:00:00+01:00","data":{}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		var e envelope.Event[mail]
		var err error
		allocated.Within(t, "Decode", allocated.For(len(src)), func() { e, err = c.Decode(src) })
		if err != nil {
			at.Error(t, err, len(src))
			return
		}
		b, err := c.Append(nil, e)
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be written: %v", src, e, err)
		}
		if again, err := c.Decode(b); err != nil || again != e {
			t.Fatalf("%q is read as %+v, then as %+v, %v", src, e, again, err)
		}
	})
}
