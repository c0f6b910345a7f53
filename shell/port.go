package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-81380e12/limpet/core"
)

// Broker is all that the shell sees of Kafka. Package shell/kafka implements it; so can
// a simulator. Its methods, and those of what it makes, retry what may be retried, as
// long as an outage may last, and return when the answer cannot change any more or ctx
// ends. An error that is none of the sentinels below stops the worker.
type Broker interface {
	// Topics describes the named topics. Those that do not exist are missing in the answer.
	Topics(ctx context.Context, names ...string) (map[string]Topic, error)
	// CreateTopics creates topics. One that exists already is no error: another process
	// may have been faster.
	CreateTopics(ctx context.Context, topics []Topic) error
	// Bounds returns the first offset and the high watermark of partitions.
	Bounds(ctx context.Context, ps []Partition) (map[Partition]Bounds, error)
	// TopicIDs returns the ids of topics. Those that do not exist are missing in the answer.
	TopicIDs(ctx context.Context, names ...string) (map[string]TopicID, error)
	// Committed returns the group's committed offsets, once no transaction is pending on
	// them (RequireStable, KIP-447). A partition without one is missing in the answer.
	Committed(ctx context.Context, group string, ps []Partition) (map[Partition]GroupOffset, error)
	// DeleteRecords deletes all records before the offsets.
	DeleteRecords(ctx context.Context, before map[Partition]core.Offset) error

	NewFetcher(FetchConfig) Fetcher
	NewProducer(ProducerConfig) Producer
	// Join joins the group and stays a member until the Group is closed.
	Join(ctx context.Context, cfg GroupConfig) (Group, error)
	Close() error
}

// The errors of a Broker that a worker acts on, beside stopping.
var (
	// ErrAborted: the transaction did not happen and the producer is ready for the next
	// one. The same input may be fed again.
	ErrAborted = errors.New("shell: transaction aborted")
	// ErrUnknown: whether the transaction was committed is not known. Open the producer
	// again, then read the committed offsets.
	ErrUnknown = errors.New("shell: outcome of the transaction unknown")
	// ErrFenced: the producer's id was opened elsewhere, or its transaction has expired.
	// Open it again, and the tasks at their committed offsets.
	ErrFenced = errors.New("shell: producer fenced")
	// ErrLost: the group goes on without this member. All tasks are somebody else's.
	ErrLost = errors.New("shell: membership lost")
	// ErrInstanceFenced: another process runs with the same instance id. Stop.
	ErrInstanceFenced = errors.New("shell: another process runs with the same instance id")
	// ErrOffsetLost: the broker no longer has the offset. It comes as an *OffsetError.
	ErrOffsetLost = errors.New("shell: offset out of range")
	// ErrUnreachable: no broker could be reached, or it refused the client (TLS, SASL, ACLs).
	ErrUnreachable = errors.New("shell: Kafka unreachable or refused")
)

// SizeError says that a topic does not take a record batch of so many bytes, before it is
// compressed.
type SizeError struct {
	Partition
	Records, Bytes int
	Err            error
}

func (e *SizeError) Error() string { return e.Err.Error() }
func (e *SizeError) Unwrap() error { return e.Err }

// OffsetError says which offset a partition does not have and which it has.
type OffsetError struct {
	Partition
	Want core.Offset
	Has  Bounds
}

// AnewError says that a changelog ends before where it has ended: it has lost records.
type AnewError struct {
	Partition
	Had, Has core.Offset // where it ended, and where it ends
}

func (e *AnewError) Error() string {
	return fmt.Sprintf("%v ends at %d, the group's offsets stand for %d: it has lost records (was the topic deleted, or made anew?); "+
		"stop all processes and reset the application", e.Partition, e.Has, e.Had)
}

// BeginError says that a changelog begins behind where it began: it has lost records. It is an ErrTopic.
type BeginError struct {
	Partition
	Had, Has core.Offset // where it began when the application saw it first, and where it begins
}

func (e *BeginError) Error() string {
	return fmt.Sprintf("%v %v begins at %d, and began at %d: it has lost records, perhaps rows of the table, which cannot be restored from it any more "+
		"(did it have another cleanup.policy than compact for a while?); a process with the task's local state can go on; else "+
		"stop all processes and reset the application", ErrTopic, e.Partition, e.Has, e.Had)
}

func (e *BeginError) Unwrap() error { return ErrTopic }

// LeftError says that a changelog has records of which the group's offsets do not know: those of a version of
// the topology that had it before, or of another application.
type LeftError struct{ Partition }

func (e *LeftError) Error() string {
	return fmt.Sprintf("%v has records, and the group's offsets know of no such changelog: what is in it was left behind by an earlier "+
		"version of the topology; stop all processes, delete the topic, and start again", e.Partition)
}

// RemadeError says that a topic was deleted and made again since the application had it: its offsets mean
// other records now. It is an ErrTopic.
type RemadeError struct{ Topic string }

func (e *RemadeError) Error() string {
	return fmt.Sprintf("%v %s was deleted and made again, and the group's offsets stand for records of the old one: "+
		"stop all processes and reset the application", ErrTopic, e.Topic)
}

func (e *RemadeError) Unwrap() error { return ErrTopic }

// Partition names a partition of a topic. It prints as "orders/3".
type Partition struct {
	Topic string
	ID    int32
}

// Bounds are the first offset of a partition and the offset behind its last record
// (the high watermark: open transactions included).
type Bounds struct{ Start, End core.Offset }

// TopicID is Kafka's id of a topic: one that is deleted and made again has another. Zero: not known.
type TopicID [16]byte

// Topic is a topic's name and settings.
type Topic struct {
	Name       string
	Partitions int32
	// Replicas is the replication factor; 0 when creating is the broker's default.
	Replicas int16
	// Config has the settings by their Kafka names. Topics fills in all that are in
	// force, CreateTopics sets those given.
	Config map[string]string
}

// FetchConfig is how a Fetcher reads: always read_committed.
type FetchConfig struct {
	Name string // for logs
	// PartitionBytes is the most that one fetch asks of a partition (default 1 MiB).
	PartitionBytes int
	// BufferBytes bounds, for each partition, the records that Poll has delivered and
	// Release has not given back. A partition that has nothing out is always fetched, so
	// one partition never starves another that a merge waits for.
	BufferBytes int
	// Rest is the least time from the beginning of one fetch to that of the next from the same
	// broker, where the first brought less than RestBytes: what comes meanwhile comes together. A
	// fetch costs as much as a hundred records or more, here and on the broker.
	Rest time.Duration
	// Merged says that what comes of several partitions is merged: then no broker rests while another one has
	// some of them, as what it had would be news that is older than the other's.
	Merged bool
}

// RestBytes is less than what a fetch brings of a broker that has more at hand.
const RestBytes = 64 << 10

// Fetcher keeps one long poll a broker under way for the partitions that it was told of.
// Partitions are asked for in the order of their Priority, so that a table that is read
// in the same request as a stream is at least as new as it.
//
// Add, Remove and Release are called by any goroutine, Poll by one.
type Fetcher interface {
	// Add begins to fetch a partition at an offset, in place of where it was. tag comes
	// back with all that is fetched from there on, so that what was fetched before the
	// call can be told apart.
	Add(p Partition, from core.Offset, tag, priority int64)
	Remove(p Partition)
	// Poll waits for records, or for the news that a partition has caught up. It returns
	// when ctx ends, with its error.
	Poll(ctx context.Context) ([]Fetched, error)
	// Release gives back the memory of delivered records.
	Release(p Partition, tag int64, bytes int)
	Close()
}

// Fetched is a run of committed records of one partition. Control records and aborted
// ones are left out; Batch.Next lies behind them. Batch.Source is not set.
//
// Batch.CaughtUp compares Next with the last stable offset in the same response. A change
// of it is reported once, with an empty batch where nothing was read: also when the
// partition is no longer asked for together with the others, since what they bring then
// may be newer. What was read in one response comes from one Poll.
type Fetched struct {
	Partition
	Tag   int64
	Batch core.Batch
	Bytes int // what Release gives back
	// Reuse, if not nil, gives the memory of the batch's records back, to be written again: nothing
	// may refer to it. Who does not call it leaves the memory to the garbage collector. It may be
	// called by any goroutine, once.
	Reuse func()
	// Err is an *OffsetError, or why the partition cannot be read at all: ErrUnreachable
	// after an outage that was too long, a damaged batch. Nothing more comes until the next Add.
	Err error
}

// ProducerConfig says whose a Producer is.
type ProducerConfig struct {
	// TransactionalID is stable over restarts. Empty: no transactions, at least once, but
	// idempotent.
	TransactionalID string
	Group           string // whose offsets it commits
}

// Producer writes the commits of one worker. It is not safe for concurrent use.
//
// A transaction is: Produce, SendOffsets, End. All three are needed even where there is
// nothing to produce: without SendOffsets nothing fences a zombie. Any error ends the
// transaction: the next call must be Abort or Open.
type Producer interface {
	// Open makes the transactional id this producer's: whoever used it before is fenced,
	// a transaction it left open is aborted. It must be called first.
	Open(ctx context.Context) error
	// Produce appends the batches, of which each is of another partition, and waits until they
	// are acknowledged. It sets each batch's End. The memory is the caller's again when it returns.
	Produce(ctx context.Context, batches []*ProduceBatch) error
	// SendOffsets adds the group's offsets to the transaction, as a member of g of the
	// current generation. It checks that g still holds the partitions. An illegal
	// generation is waited out while the membership lives.
	SendOffsets(ctx context.Context, g Group, offsets []GroupOffset) error
	// End commits. Its error is ErrUnknown unless the broker answered.
	End(ctx context.Context) error
	// Abort aborts what is open. Afterwards the producer is ready for a transaction.
	Abort(ctx context.Context) error
	Close() error
}

// ProduceBatch is what a transaction appends to one partition. Offsets in Records are
// not looked at.
type ProduceBatch struct {
	Partition
	Records []core.RawRecord
	// MaxBytes bounds the record batches that they are written in, where there are several
	// records; 0: as the Producer likes it.
	MaxBytes int
	End      core.Offset // behind the last record, once all are acknowledged
}

// GroupOffset is a committed offset of the group with its metadata (at most 4096 bytes).
type GroupOffset struct {
	Partition
	Next     core.Offset
	Metadata string
}

// GroupConfig is what a member brings to its group.
type GroupConfig struct {
	Group           string
	Instance        string // group.instance.id: static membership
	TransactionalID string // announced, so that whoever inherits tasks can fence this member
	// Sources are the source topics of each sub-topology, all of which a task holds or none.
	Sources [][]string
	// OnDisk lists tasks whose state is on this machine. Called before each rebalance, by
	// a goroutine of the group.
	OnDisk func() []core.TaskID
}

// Group is a membership. Tasks are assigned whole: task s_p has partition p of every
// source topic of sub-topology s that has that many.
type Group interface {
	// Events delivers assignments and revocations in their order. It is closed after
	// Close, when all tasks are revoked.
	Events() <-chan GroupEvent
	// Close revokes all tasks, through Events, and leaves the group. It blocks until the
	// worker has answered the revocations or ctx ends.
	Close(ctx context.Context) error
}

// GroupEvent is one change of a membership.
type GroupEvent struct {
	Kind GroupEventKind
	Task core.TaskID // of Assigned and Revoked
	// Done answers a Revoked, when the task is committed and closed: until then the next
	// owner waits.
	Done func()
	Err  error // of Failed
}

// GroupEventKind says what happened.
type GroupEventKind uint8

// The events of a membership.
const (
	// Assigned: the task is this member's.
	Assigned GroupEventKind = iota
	// Revoked: the task must be committed and closed.
	Revoked
	// Lost: the membership is over, all tasks are somebody else's already: drop them.
	// Revoked events of those tasks may follow. The group joins anew by itself, when these
	// are answered: what was begun under the old membership has then been stopped.
	Lost
	// Failed: the group cannot go on, because of Err.
	Failed
)

func (p Partition) String() string { return p.Topic + "/" + strconv.Itoa(int(p.ID)) }

func (e *OffsetError) Error() string {
	return fmt.Sprintf("%v: %v has offsets %d up to %d, wanted %d", ErrOffsetLost, e.Partition, e.Has.Start, e.Has.End, e.Want)
}

func (e *OffsetError) Unwrap() error { return ErrOffsetLost }
