package kafka

import (
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/internal/kafkatest"
	"github.com/seed-81380e12/limpet/shell"
)

// Compaction takes the first records of a log, and leaves the log's first offset where it was, over a restart of the broker, too. Nor can
// records be deleted while the log is compacted and nothing else. So a changelog that begins later than it did had another policy meanwhile.
func realBegin(t *testing.T, c *kafkatest.Cluster) {
	b := open(t, testConfig(c.Brokers()))
	log := tp(realName(t, "log"), 0)
	must(t, b.CreateTopics(t.Context(), []shell.Topic{{Name: log.Topic, Partitions: 1, Config: map[string]string{
		"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0",
	}}}))
	p := producerFor(t, b, t.Name())
	ctx := limit(t, 90*time.Second)
	write := func(key string, value []byte) {
		t.Helper()
		must(t, p.Produce(ctx, []*shell.ProduceBatch{{Partition: log, Records: []core.RawRecord{{Key: []byte(key), Value: value, Time: 1}}}}))
		must(t, p.End(ctx))
	}
	begins := func() core.Offset {
		t.Helper()
		bounds, err := b.Bounds(ctx, []shell.Partition{log})
		must(t, err)
		return bounds[log].Start
	}
	left := func() (offsets []core.Offset) {
		t.Helper()
		bounds, err := b.Bounds(ctx, []shell.Partition{log})
		must(t, err)
		for _, r := range fetchUntil(t, b, map[shell.Partition]core.Offset{log: bounds[log].End})[log] {
			offsets = append(offsets, r.Offset)
		}
		return offsets
	}
	write("deleted", []byte("1"))
	write("deleted", nil)
	for i := range 4 {
		write("k", []byte{byte(i)})
	}
	const first = 6 // two records and two markers, and the first k with its marker
	for cleaned := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if os := left(); len(os) > 0 && os[0] >= first {
			t.Logf("after %v there are %v, and the log begins at %d", time.Since(cleaned).Round(time.Millisecond), os, begins())
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("it was not compacted: %v", left())
		}
		write("k", []byte("more")) // and a new segment, so that the ones before are looked at
	}
	if at := begins(); at != 0 {
		t.Errorf("compaction has moved the beginning to %d", at)
	}

	if err := b.DeleteRecords(ctx, map[shell.Partition]core.Offset{log: first}); !errors.Is(err, sarama.ErrPolicyViolation) {
		t.Errorf("DeleteRecords: %v", err)
	}
	if at := begins(); at != 0 {
		t.Errorf("it begins at %d", at)
	}
	must(t, c.Node(1).Stop())
	must(t, c.Node(1).Start())
	must(t, c.WaitReady(ctx))
	if at := begins(); at != 0 {
		t.Errorf("a restart has moved the beginning to %d", at)
	}

	policy := func(to string) {
		t.Helper()
		value := to
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		rt := kmsg.NewIncrementalAlterConfigsRequestResource()
		rt.ResourceType, rt.ResourceName = kmsg.ConfigResourceTypeTopic, log.Topic
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Value = "cleanup.policy", &value
		rt.Configs = append(rt.Configs, rc)
		req.Resources = append(req.Resources, rt)
		resp, err := req.RequestWith(ctx, c.Client(t))
		must(t, err)
		must(t, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
	}
	policy("compact,delete")
	for {
		if err := b.DeleteRecords(ctx, map[shell.Partition]core.Offset{log: first}); err == nil {
			break
		} else if !errors.Is(err, sarama.ErrPolicyViolation) || ctx.Err() != nil { // until the broker has heard of it
			t.Fatal(err)
		}
	}
	policy("compact")
	if at := begins(); at != first {
		t.Errorf("it begins at %d, and was cut off at %d", at, first)
	}
}
