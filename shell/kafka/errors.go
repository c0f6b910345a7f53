package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/seed-81380e12/limpet/shell"
)

// code is an error code of the Kafka protocol. It prints with the protocol's name, by
// which it is found in documentation and broker logs; sarama knows some by number only.
type code = sarama.KError

var codeNames = map[code]string{
	-1: "UNKNOWN_SERVER_ERROR",
	1:  "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE",
	6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT", 8: "BROKER_NOT_AVAILABLE", 9: "REPLICA_NOT_AVAILABLE",
	10: "MESSAGE_TOO_LARGE", 12: "OFFSET_METADATA_TOO_LARGE", 13: "NETWORK_EXCEPTION", 14: "COORDINATOR_LOAD_IN_PROGRESS",
	15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR", 17: "INVALID_TOPIC_EXCEPTION", 18: "RECORD_LIST_TOO_LARGE",
	19: "NOT_ENOUGH_REPLICAS", 20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 22: "ILLEGAL_GENERATION",
	23: "INCONSISTENT_GROUP_PROTOCOL", 24: "INVALID_GROUP_ID", 25: "UNKNOWN_MEMBER_ID", 26: "INVALID_SESSION_TIMEOUT",
	27: "REBALANCE_IN_PROGRESS", 28: "INVALID_COMMIT_OFFSET_SIZE", 29: "TOPIC_AUTHORIZATION_FAILED",
	30: "GROUP_AUTHORIZATION_FAILED", 31: "CLUSTER_AUTHORIZATION_FAILED", 32: "INVALID_TIMESTAMP", 33: "UNSUPPORTED_SASL_MECHANISM",
	35: "UNSUPPORTED_VERSION", 36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS", 38: "INVALID_REPLICATION_FACTOR",
	40: "INVALID_CONFIG", 41: "NOT_CONTROLLER", 42: "INVALID_REQUEST", 44: "POLICY_VIOLATION",
	45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER", 47: "INVALID_PRODUCER_EPOCH", 48: "INVALID_TXN_STATE",
	49: "INVALID_PRODUCER_ID_MAPPING", 50: "INVALID_TRANSACTION_TIMEOUT", 51: "CONCURRENT_TRANSACTIONS",
	52: "TRANSACTION_COORDINATOR_FENCED", 53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 55: "OPERATION_NOT_ATTEMPTED",
	56: "KAFKA_STORAGE_ERROR", 58: "SASL_AUTHENTICATION_FAILED", 59: "UNKNOWN_PRODUCER_ID", 74: "FENCED_LEADER_EPOCH",
	75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE", 78: "OFFSET_NOT_AVAILABLE", 79: "MEMBER_ID_REQUIRED",
	81: "GROUP_MAX_SIZE_REACHED", 82: "FENCED_INSTANCE_ID", 87: "INVALID_RECORD", 88: "UNSTABLE_OFFSET_COMMIT",
	89: "THROTTLING_QUOTA_EXCEEDED", 90: "PRODUCER_FENCED", 100: "UNKNOWN_TOPIC_ID",
}

// answer is an error that a broker answered a request with.
type answer struct {
	req  string
	code code
}

func (e *answer) Error() string { return e.req + ": " + codeName(e.code) }
func (e *answer) Unwrap() error { return e.code }

func codeName(k code) string {
	if s := codeNames[k]; s != "" {
		return s + " (" + strconv.Itoa(int(k)) + ")"
	}
	return fmt.Sprintf("error %d (%v)", int16(k), k)
}

// Answers that repeating the request may change. What they have in common is that
// somebody else leads or coordinates, or that replicas are behind.
func moved(k code) bool {
	switch k {
	case sarama.ErrUnknownTopicOrPartition, // of fresh topics too
		sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition, sarama.ErrReplicaNotAvailable, sarama.ErrBrokerNotAvailable,
		sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer,
		sarama.ErrNotController, sarama.ErrKafkaStorageError, sarama.ErrListenerNotFound, sarama.ErrFencedLeaderEpoch,
		sarama.ErrUnknownLeaderEpoch, sarama.ErrOffsetNotAvailable, sarama.ErrEligibleLeadersNotAvailable, errUnknownTopicID:
		return true
	}
	return false
}

func retriable(k code) bool {
	switch k {
	case sarama.ErrConcurrentTransactions, sarama.ErrRequestTimedOut, sarama.ErrNetworkException, sarama.ErrNotEnoughReplicas,
		sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrThrottlingQuotaExceeded, sarama.ErrUnstableOffsetCommit:
		return true
	}
	return moved(k)
}

const errUnknownTopicID code = 100

// denied are answers to who may not do what he asks for.
func denied(k code) bool {
	switch k {
	case sarama.ErrTopicAuthorizationFailed, sarama.ErrGroupAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrSASLAuthenticationFailed, sarama.ErrUnsupportedSASLMechanism, sarama.ErrSecurityDisabled:
		return true
	}
	return false
}

// fatal puts an answer that no repetition changes into the words of the port.
func fatal(req string, k code) error {
	e := &answer{req, k}
	switch {
	case denied(k):
		return fmt.Errorf("%w: %w: check the ACLs of this client's user", shell.ErrUnreachable, e)
	case k == sarama.ErrUnknownMemberId:
		return fmt.Errorf("%w: %w", shell.ErrLost, e)
	case k == sarama.ErrFencedInstancedId:
		return fmt.Errorf("%w: %w", shell.ErrInstanceFenced, e)
	case k == sarama.ErrInvalidProducerEpoch, k == sarama.ErrProducerFenced, k == sarama.ErrTransactionCoordinatorFenced,
		// The brokers have forgotten the id: nobody used it for days.
		k == sarama.ErrInvalidProducerIDMapping, k == sarama.ErrUnknownProducerID,
		// Outside of a transaction: it has expired, and the markers are written already.
		k == sarama.ErrInvalidTxnState:
		return fmt.Errorf("%w: %w", shell.ErrFenced, e)
	case k == sarama.ErrOutOfOrderSequenceNumber:
		return fmt.Errorf("%w: %w", shell.ErrAborted, e)
	case k == sarama.ErrInvalidTransactionTimeout:
		return fmt.Errorf("%w: TransactionTimeout is longer than the brokers' transaction.max.timeout.ms: %w", ErrConfig, e)
	case k == sarama.ErrOffsetMetadataTooLarge:
		return fmt.Errorf("kafka: %w: the brokers' offset.metadata.max.bytes is less than 4096", e)
	}
	return fmt.Errorf("kafka: %w", e)
}

// refused tells whether a connection failed because the broker, or we, did not accept
// the other: waiting does not help.
func refused(err error) bool {
	var k code
	var cert *tls.CertificateVerificationError
	var rec tls.RecordHeaderError
	var host x509.HostnameError
	var auth x509.UnknownAuthorityError
	return errors.As(err, &k) && denied(k) || badPassword(err) || remoteAlert(err) || errors.As(err, &cert) || errors.As(err, &rec) ||
		errors.As(err, &host) || errors.As(err, &auth)
}

// badPassword looks for a code that sarama wraps so that errors.As does not find it.
func badPassword(err error) bool { return errors.Is(err, sarama.ErrSASLAuthenticationFailed) }

// remoteAlert tells whether the broker ended a TLS handshake, because of our certificate
// most likely. (The alert's type is private to crypto/tls.)
func remoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// explain says what may be wrong where no broker lets us in.
func (c *Config) explain(err error) error {
	hint := "is the address right, is Kafka up, and does its listener speak " + c.security() + "?"
	var k code
	var rec tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case badPassword(err):
		hint = "the broker does not accept user " + c.SASL.User + " with this password"
	case errors.As(err, &rec):
		hint = "the listener does not speak TLS: leave Config.TLS empty, or use the port of the TLS listener"
	case errors.As(err, &cert):
		hint = "the broker's certificate is not trusted: set TLS.CA to the PEM file of the authority that signed it, and TLS.ServerName where the address is not the name in it"
	case remoteAlert(err):
		hint = "the broker ended the TLS handshake: it may want a client certificate (TLS.Cert, TLS.Key), or another one"
	case errors.As(err, &k) && k == sarama.ErrUnsupportedSASLMechanism, ended && c.SASL.Mechanism != "":
		// A mechanism that the listener does not offer ends the connection; there is no code.
		hint = "the listener may not offer " + c.SASL.Mechanism + " (sasl.enabled.mechanisms), or may speak TLS where this client does not"
	case ended:
		hint = "the listener closes the connection: it may want TLS or SASL, which Config has not set"
	case errors.As(err, &op) && op.Op == "dial":
		hint = "is the address right, and is Kafka up?"
	}
	return fmt.Errorf("%w: %w (tried %v with %s; %s)", shell.ErrUnreachable, err, c.Brokers, c.security(), hint)
}

// outage is how long something has been tried, and how long to wait until the next try.
type outage struct {
	began time.Time
	limit time.Duration
	tries int
}

func newOutage(limit time.Duration) *outage { return &outage{began: time.Now(), limit: limit} }

// wait pauses before another try. After limit, or when ctx ends, it says so.
func (o *outage) wait(ctx context.Context, pause time.Duration, last error) error {
	o.tries++
	if time.Since(o.began)+pause > o.limit {
		return &timeout{time.Since(o.began), o.tries, last}
	}
	return sleep(ctx, pause)
}

// pause grows from 50 ms to half a second: an outage lasts seconds.
func (o *outage) pause() time.Duration {
	return min(50*time.Millisecond<<min(o.tries, 4), 500*time.Millisecond)
}

// soon is the pause for what lasts a millisecond, such as the markers of the previous
// transaction. 20 ms at once would cost a factor of four in throughput.
func (o *outage) soon() time.Duration {
	return min(200*time.Microsecond<<min(o.tries, 7), 20*time.Millisecond)
}

// timeout says that an outage was not waited out.
type timeout struct {
	after time.Duration
	tries int
	last  error
}

func (e *timeout) Error() string {
	return fmt.Sprintf("gave up after %v and %d tries: %v", e.after.Round(time.Millisecond), e.tries, e.last)
}
func (e *timeout) Unwrap() error { return e.last }

func timedOut(err error) bool {
	var t *timeout
	return errors.As(err, &t)
}

func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await runs f, and leaves it behind when ctx ends first: sarama's calls know no
// context. f must therefore touch nothing that its caller goes on to use.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	if ctx.Done() == nil {
		return f()
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
