package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// ack is an order that was acknowledged, or committed, and where.
type ack struct {
	id        string
	partition int32
	offset    int64
	at        time.Time
}

// missing are the acknowledged orders that are not in the topic, or not where they were acknowledged.
func missing(acked []ack, orders map[string]order) []ack {
	var miss []ack
	for _, a := range acked {
		if o, ok := orders[a.id]; !ok || o.partition != a.partition || o.offset != a.offset {
			miss = append(miss, a)
		}
	}
	slices.SortStableFunc(miss, func(a, b ack) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	return miss
}

// foreign are the ids of orders in the topic that were not acknowledged, and whose transaction was aborted, if they
// had one; unknown are those of which that cannot be told.
func foreign(acked []ack, unknown map[string]bool, orders map[string]order) []string {
	rest := maps.Clone(orders)
	for _, a := range acked {
		delete(rest, a.id)
	}
	maps.DeleteFunc(rest, func(id string, _ order) bool { return unknown[id] })
	return slices.Sorted(maps.Keys(rest))
}

// view is a partition as one sees it who reads what is not committed, too.
type view struct {
	first, stable, high int64
	at                  map[int64]held
	open                []string // transactions
}

// held is what is at an offset.
type held struct {
	what        string // an order's id, or what marker it is
	producer    string // its id and epoch, in a transaction
	leaderEpoch int32
	written     time.Time
}

func (h held) String() string {
	return strings.TrimRight(fmt.Sprintf("%s (leader epoch %d, made %s) %s", h.what, h.leaderEpoch, h.written.Format(stamp), h.producer), " ")
}

const (
	stamp   = "15:04:05.000"
	tellMax = 20 // orders that are told of one by one
)

// tellMissing says what has become of acknowledged orders.
func tellMissing(miss []ack, views map[int32]view) []string {
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(views)) {
		v := views[p]
		of := slices.DeleteFunc(slices.Clone(miss), func(a ack) bool { return a.partition != p })
		from, to := of[0], of[0]
		for _, a := range of {
			if a.at.Before(from.at) {
				from = a
			}
			if a.at.After(to.at) {
				to = a
			}
		}
		lines = append(lines, fmt.Sprintf("orders/%d: %d, of offsets %d to %d, acknowledged %s to %s; the partition begins at %d, its last stable offset is %d, its high watermark %d, open transactions: %q",
			p, len(of), of[0].offset, of[len(of)-1].offset, from.at.Format(stamp), to.at.Format(stamp), v.first, v.stable, v.high, v.open))
	}
	for _, a := range miss[:min(len(miss), tellMax)] {
		lines = append(lines, fmt.Sprintf("order %s, acknowledged %s at orders/%d/%d: %s", a.id, a.at.Format(stamp), a.partition, a.offset, views[a.partition].fate(a)))
	}
	if more := len(miss) - tellMax; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// fate is what has become of an order that was acknowledged in this partition.
func (v view) fate(a ack) string {
	there, ok := v.at[a.offset]
	for offset, h := range v.at {
		if h.what == a.id && offset != a.offset {
			return fmt.Sprintf("it is at %d, and here is %v", offset, there)
		}
	}
	switch {
	case ok && there.what == a.id && a.offset >= v.stable:
		return fmt.Sprintf("is there, behind the last stable offset: who reads what is committed does not see it yet: %v", there)
	case ok && there.what == a.id && there.producer != "":
		return fmt.Sprintf("is there, and was aborted: %v", there)
	case ok && there.what == a.id:
		return fmt.Sprintf("is there, and was not read: %v", there)
	case ok:
		return fmt.Sprintf("is nowhere; another record is there: %v", there)
	case a.offset >= v.high:
		return "is nowhere; the partition ends before it"
	case a.offset < v.first:
		return "is nowhere; the partition begins behind it"
	default:
		return "is nowhere; no record is there"
	}
}

// views are the partitions of a topic that orders are missing of.
func (ck *checker) views(topic string, miss []ack) map[int32]view {
	ck.t.Helper()
	all := map[int32]view{}
	for _, a := range miss {
		all[a.partition] = view{at: map[int64]held{}}
	}
	for which := range 3 {
		bounds, err := ck.bounds(topic, which)
		if err != nil {
			ck.t.Fatal(err)
		}
		for p, v := range all {
			*[]*int64{firstOffset: &v.first, lastStable: &v.stable, highWatermark: &v.high}[which] = bounds[p]
			all[p] = v
		}
	}
	ck.scan(topic, highWatermark, kgo.ReadUncommitted(), func(r *kgo.Record) {
		if v, ok := all[r.Partition]; ok {
			v.at[r.Offset] = holds(r)
		}
	})
	for p, v := range all {
		v.open = ck.openTransactions(topic, p)
		all[p] = v
	}
	return all
}

func holds(r *kgo.Record) held {
	h := held{what: string(r.Key), leaderEpoch: r.LeaderEpoch, written: r.Timestamp}
	if r.Attrs.IsTransactional() {
		h.producer = fmt.Sprintf("of producer %d, epoch %d", r.ProducerID, r.ProducerEpoch)
	}
	if r.Attrs.IsControl() {
		h.what = "a marker"
		var key kmsg.ControlRecordKey
		if key.ReadFrom(r.Key) == nil {
			h.what = "marker " + key.Type.String()
		}
	}
	return h
}

// stillOpen waits until no transaction is open in topics that nobody writes to, or says which are after that time.
func (ck *checker) stillOpen(within time.Duration, topics ...string) (open []string) {
	ck.t.Helper()
	began := time.Now()
	for _, topic := range topics {
		for ; ; time.Sleep(200 * time.Millisecond) {
			stable, err1 := ck.bounds(topic, lastStable)
			high, err2 := ck.bounds(topic, highWatermark)
			err := errors.Join(err1, err2)
			if err == nil && maps.Equal(stable, high) {
				break
			}
			if time.Since(began) < within {
				continue
			}
			if err != nil {
				ck.t.Fatal(err)
			}
			for _, p := range slices.Sorted(maps.Keys(high)) {
				if stable[p] < high[p] {
					open = append(open, fmt.Sprintf("%s/%d: who reads what is committed gets to %d of %d, by %q", topic, p, stable[p], high[p], ck.openTransactions(topic, p)))
				}
			}
			break
		}
	}
	return open
}

// openTransactions are those of the partition's producers that are not ended there.
func (ck *checker) openTransactions(topic string, p int32) (open []string) {
	ck.t.Helper()
	req := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{p}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ck.t.Context(), ck.cl)
	if err != nil {
		ck.t.Fatal(err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				ck.t.Fatalf("producers of %s/%d: %v", topic, p.Partition, err)
			}
			for _, a := range p.ActiveProducers {
				if a.CurrentTxnStartOffset >= 0 {
					open = append(open, fmt.Sprintf("producer %d, epoch %d, from offset %d, last written %s", a.ProducerID, a.ProducerEpoch, a.CurrentTxnStartOffset, time.UnixMilli(a.LastTimestamp).Format(stamp)))
				}
			}
		}
	}
	return open
}

// An acknowledged order that is missing is told with what has become of it.
func TestMissing(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 3, 44, 0, time.UTC)
	orders := map[string]order{"o1": {partition: 1, offset: 4}, "o2": {partition: 1, offset: 5}, "o3": {partition: 0, offset: 5}, "o4": {partition: 1, offset: 8}}
	acked := []ack{{"o7", 1, 9, at}, {"o1", 1, 4, at}, {"o2", 1, 5, at}, {"o3", 1, 5, at}, {"o4", 1, 7, at}, {"o5", 1, 6, at.Add(time.Second)}, {"o6", 0, 3, at}}
	var got []string
	for _, a := range missing(acked, orders) {
		got = append(got, a.id)
	}
	if want := []string{"o6", "o3", "o5", "o4", "o7"}; !slices.Equal(got, want) {
		t.Errorf("missing are %v, want %v", got, want)
	}
	if miss := missing(acked[1:3], orders); len(miss) > 0 {
		t.Errorf("all are there, and missing are %v", miss)
	}
	orders["a8"], orders["a9"] = order{partition: 1, offset: 10}, order{partition: 1, offset: 11}
	if got := foreign(acked, map[string]bool{"a9": true, "a7": true}, orders); !slices.Equal(got, []string{"a8"}) {
		t.Errorf("foreign are %v, want a8", got)
	}

	v := view{first: 2, stable: 8, high: 10, open: []string{"x"}, at: map[int64]held{
		3: {what: "o3", leaderEpoch: 4, written: at}, 4: {what: "marker COMMIT"}, 5: {what: "t5", producer: "of producer 1, epoch 2"}, 7: {what: "o9", leaderEpoch: 6}, 8: {what: "o8"}, 9: {what: "o4"},
	}}
	for want, a := range map[string]ack{
		"is nowhere; the partition begins behind it":   {id: "o0", offset: 1},
		"is nowhere; no record is there":               {id: "o0", offset: 6},
		"is nowhere; the partition ends before it":     {id: "o0", offset: 10},
		"is nowhere; another record is there: o9 (lea": {id: "o0", offset: 7},
		"is nowhere; another record is there: marker ": {id: "o0", offset: 4},
		"is there, behind the last stable offset: who": {id: "o8", offset: 8},
		"is there, and was aborted: t5 (leader epoch ": {id: "t5", offset: 5},
		"is there, and was not read: o3 (leader epoch": {id: "o3", offset: 3},
		"it is at 9, and here is o9 (leader epoch 6, ": {id: "o4", offset: 7},
	} {
		if got := v.fate(a); !strings.HasPrefix(got, want) {
			t.Errorf("%s at %d: %q, want %q", a.id, a.offset, got, want)
		}
	}

	miss := []ack{{"o3", 1, 3, at}, {"o0", 1, 6, at.Add(-time.Second)}, {"o8", 1, 8, at}}
	want := []string{
		`orders/1: 3, of offsets 3 to 8, acknowledged 18:03:43.000 to 18:03:44.000; the partition begins at 2, its last stable offset is 8, its high watermark 10, open transactions: ["x"]`,
		`order o3, acknowledged 18:03:44.000 at orders/1/3: is there, and was not read: o3 (leader epoch 4, made 18:03:44.000)`,
		`order o0, acknowledged 18:03:43.000 at orders/1/6: is nowhere; no record is there`,
		`order o8, acknowledged 18:03:44.000 at orders/1/8: is there, behind the last stable offset: who reads what is committed does not see it yet: o8 (leader epoch 0, made 00:00:00.000)`,
	}
	if got := tellMissing(miss, map[int32]view{1: v}); !slices.Equal(got, want) {
		t.Errorf("told is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	many := make([]ack, tellMax+7)
	if got := tellMissing(many, map[int32]view{0: v}); len(got) != tellMax+2 || got[tellMax+1] != "and 7 more" {
		t.Errorf("of %d are told %d, and last %q", len(many), len(got), got[len(got)-1])
	}
}

// A fetch that may have passed something over ends the check.
func TestUnread(t *testing.T) {
	fetch := func(errs ...error) kgo.Fetches {
		ft := kgo.FetchTopic{Topic: "orders"}
		for i, err := range errs {
			ft.Partitions = append(ft.Partitions, kgo.FetchPartition{Partition: int32(i), Err: err, Records: []*kgo.Record{{Offset: 1}}})
		}
		return kgo.Fetches{{Topics: []kgo.FetchTopic{ft}}}
	}
	given := func(topic string, p int32) int64 { return map[string]int64{"orders/1": 5}[fmt.Sprint(topic, "/", p)] }
	loss := func(from, to int64) error { return &kgo.ErrDataLoss{Topic: "orders", ConsumedTo: from, ResetTo: to} }
	for _, err := range []error{nil, loss(7, 5), loss(7, 6)} { // no record was given behind 5
		if got := unread(fetch(nil, err), given); got != nil {
			t.Errorf("%v: nothing was passed over, and: %v", err, got)
		}
	}
	for _, err := range []error{loss(7, 4), loss(7, 7), kerr.CorruptMessage, kerr.UnknownTopicID} {
		if got := unread(fetch(nil, err), given); got == nil || !strings.HasPrefix(got.Error(), "orders/1 was not read whole: ") {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// A feeder whose last transaction has no known end, and is open, waits until it has one: else what it writes last
// would be acknowledged and not be seen.
func TestRealKafkaLeftOpen(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{})
	c.CreateTopic(t, "orders", partitions, nil)
	c.CreateTopic(t, "customers", partitions, nil)
	ck := newChecker(t, c)
	f := newFeeder(t, c, newInput(t, c), 1, 300)
	f.start()
	time.Sleep(time.Second)
	f.halt()
	tx := c.Client(t, kgo.TransactionalID("left open"), kgo.TransactionTimeout(5*time.Second))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	orders := f.batch("a")
	if err := tx.ProduceSync(t.Context(), orders...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, r := range orders {
		f.unknown[string(r.Key)] = true
	}
	tx.Close()

	f.end(ck)
	if err := f.last(partitions); err != nil {
		t.Fatal(err)
	}
	all, _ := ck.orders()
	f.check(ck, all)
}

// What became of orders is read from a broker: one that is whole, one of a transaction that is open, one that was
// aborted, and one that never was.
func TestRealKafkaMissing(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{})
	c.CreateTopic(t, "orders", 1, nil)
	write := func(cl *kgo.Client, id string) ack {
		t.Helper()
		r := &kgo.Record{Topic: "orders", Key: []byte(id)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return ack{id, r.Partition, r.Offset, time.Now()}
	}
	plain := c.Client(t)
	tx := c.Client(t, kgo.TransactionalID("orders"))
	begin := func() {
		t.Helper()
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	acked := []ack{write(plain, "o0")}
	begin()
	acked = append(acked, write(tx, "t1"))
	if err := tx.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	acked = append(acked, ack{"o2", 0, 2, time.Now()}) // the marker's
	begin()
	acked = append(acked, write(tx, "t3"), write(plain, "o4"), ack{"o5", 0, 5, time.Now()})

	ck := newChecker(t, c)
	if open := ck.stillOpen(time.Second, "orders"); len(open) != 1 || !strings.HasPrefix(open[0], `orders/0: who reads what is committed gets to 3 of 5, by ["producer `) {
		t.Errorf("open are %q", open)
	}
	orders := map[string]order{}
	ck.read("orders", func(r *kgo.Record) { orders[string(r.Key)] = order{partition: r.Partition, offset: r.Offset} })
	miss := missing(acked, orders)
	got := tellMissing(miss, ck.views("orders", miss))
	for i, want := range []string{
		"orders/0: 5, of offsets 1 to 5, .* begins at 0, its last stable offset is 3, its high watermark 5, .* from offset 3, last written .*",
		"order t1, acknowledged .* at orders/0/1: is there, and was aborted: t1 .leader epoch 0, made .* of producer .*, epoch .*",
		"order o2, acknowledged .* at orders/0/2: is nowhere; another record is there: marker ABORT .*",
		"order t3, acknowledged .* at orders/0/3: is there, behind the last stable offset: .* of producer .*, epoch .*",
		"order o4, acknowledged .* at orders/0/4: is there, behind the last stable offset: .*",
		"order o5, acknowledged .* at orders/0/5: is nowhere; the partition ends before it",
	} {
		if i >= len(got) || !regexp.MustCompile("^"+want+"$").MatchString(got[i]) {
			t.Errorf("line %d is not %q:\n%s", i, want, strings.Join(got, "\n"))
		}
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Error(err)
	}
}
