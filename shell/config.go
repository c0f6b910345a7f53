package shell

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/statestore"
)

// Config says how Run runs a topology. The zero value of a field is its default;
// Broker alone is required.
type Config struct {
	Broker Broker
	// AppID names the group, the internal topics and the transactional ids. Default: the
	// topology's name.
	AppID string
	// StateDir is where the state lives: in a folder named after AppID. Empty: in memory,
	// restored from the changelogs at each start.
	StateDir string
	// StateMaxBytes bounds the rows in StateDir; with more of them Run ends with an error. 0: what
	// the disk has room for.
	StateMaxBytes int64
	// Store is a store opened by the caller, in place of one in StateDir. What else is kept
	// there, the name that this process has in its group, still is.
	Store statestore.DB
	// Workers is the number of members that this process joins the group with. Each runs
	// its tasks on a processor of its own. Default 1.
	Workers int

	// AtLeastOnce gives up transactions: outputs are visible at once, and after a crash
	// records since the last commit are processed again. Default: exactly once.
	AtLeastOnce bool
	// CommitEvery is the time between two commits under load, while there is something to
	// commit. Default 100 ms; a transaction costs the brokers several replicated writes, so
	// less than 10 ms is refused.
	CommitEvery time.Duration
	// CommitMin is the least time between two commits. The less there is to do, the nearer
	// they come to it, so that results are seen early; but transactions take a third of
	// the time at most (worker.go: pace). The same as CommitEvery makes the interval fixed.
	// Default 10 ms, or CommitEvery where that is less.
	CommitMin time.Duration
	// MemoryBytes bounds what the process takes, about, where the state is on disk: the bounds
	// below and those of the store are shares of it, unless they are set; docs/memory.md has the
	// split, and what is not in it. The rows of a state in memory come on top. Default 640 MiB;
	// 128 MiB at least.
	MemoryBytes int
	// CommitBytes bounds a commit: with so many bytes of input and output it is made early.
	// Default: 2/64 of MemoryBytes less 96 MiB, divided by Workers.
	CommitBytes int
	// RecordBytes bounds each record that is written, before it is compressed, as a batch of
	// its own (78 bytes and more beside key, value and headers). A larger one is an error of
	// the record that led to it. Default: the max.message.bytes of each topic. More than that
	// is for topics whose records are compressed by much.
	RecordBytes int
	// BufferBytes bounds what all workers of this process have fetched and not yet
	// stepped. Default: 1/64 of MemoryBytes less 96 MiB; more than 16 MiB takes memory and no less time.
	BufferBytes int
	// CacheBytes bounds the decoded rows that tables keep. Default: 14/64 of MemoryBytes less 96 MiB.
	CacheBytes int
	// RefreshEvery is the time between two looks at the partition counts of the topics that
	// are read: new partitions are taken over, or refused. Default 30 s.
	RefreshEvery time.Duration
	// HangAfter is how long a user function may take. Then the worker leaves the group and
	// Run returns an error that names the function. Default 5 minutes.
	HangAfter time.Duration
	// CheckMutation finds user functions that change values in place. It is slow.
	CheckMutation bool

	Logger *slog.Logger // default: slog.Default
	Events Events
	// Now is the wall clock: what wall timers and AdvanceIdle go by. Default: the machine's.
	Now func() time.Time
}

// Events are called as things happen, by the worker that they happen in: they must not
// block. nil means ignore.
type Events struct {
	// Restoring tells the progress of a task's restore, about each second.
	Restoring func(Progress)
	// Running: the task is restored and processes records.
	Running func(core.TaskID)
	// Closed: the task has left this process, or failed.
	Closed func(core.TaskID)
	// Committed tells of each commit.
	Committed func(CommitInfo)
}

// Progress is how far a restore is.
type Progress struct {
	Task        core.TaskID
	Done, Todo  int64 // offsets, so compacted topics have fewer records
	PerSecond   float64
	Remaining   time.Duration // estimated
	BytesPerSec float64
}

// CommitInfo tells what a commit held.
type CommitInfo struct {
	Worker   int
	Took     time.Duration
	Records  int64 // input
	Outputs  int
	Rows     int
	Drops    []TaskDrop                // records that went no further, by task, node and reason
	Position map[Partition]core.Offset // of the source partitions that moved: the next offset
	Stream   map[core.TaskID]core.Time // stream time of the tasks in the commit
}

// TaskDrop counts the records that went no further in one place of a task, in one commit.
type TaskDrop struct {
	Task core.TaskID
	core.Drop
}

// ErrConfig marks a configuration that Run refuses.
var ErrConfig = errors.New("shell: invalid configuration")

// commitLeast is the least time between two commits.
const commitLeast = 10 * time.Millisecond

// rest is how long a fetch waits behind one that brought little, and how much earlier a commit may
// be than it is due, right behind what a fetch brought. So nothing is seen later for it: what came
// since is in the next commit in any case. A tenth of an interval of 100 ms or more, and nothing of the least
// one, where it is transactions that cost, not fetches.
func (c *Config) rest() time.Duration {
	return min(10*time.Millisecond, max(0, c.CommitMin-commitLeast)/9)
}

func (c Config) withDefaults(name string) Config {
	if c.AppID == "" {
		c.AppID = name
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = 100 * time.Millisecond
	}
	if c.CommitMin == 0 {
		c.CommitMin = min(commitLeast, c.CommitEvery)
	}
	c.divide()
	if c.RefreshEvery == 0 {
		c.RefreshEvery = refreshEvery
	}
	if c.HangAfter == 0 {
		c.HangAfter = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate says what Run would refuse of the configuration, all at once; name is the
// topology's. Broker may still be missing: so it can be asked before connecting.
func (c Config) Validate(name string) error {
	c = c.withDefaults(name)
	var errs []error
	bad := func(f string, a ...any) { errs = append(errs, fmt.Errorf("%w: "+f, append([]any{ErrConfig}, a...)...)) }
	if err := checkAppID(c.AppID); err != nil {
		bad("AppID: %v", err)
	}
	if c.Workers < 0 || c.Workers > 64*runtime.NumCPU() {
		bad("Workers is %d", c.Workers)
	}
	if c.CommitEvery < commitLeast {
		bad("CommitEvery is %v: less than 10ms spends more on transactions than on records", c.CommitEvery)
	}
	if c.CommitMin < commitLeast && c.CommitEvery >= commitLeast || c.CommitMin > c.CommitEvery {
		bad("CommitMin is %v: 10ms at least, and not above CommitEvery, which is %v", c.CommitMin, c.CommitEvery)
	}
	for name, n := range map[string]int{"CommitBytes": c.CommitBytes, "BufferBytes": c.BufferBytes, "CacheBytes": c.CacheBytes, "RecordBytes": c.RecordBytes} {
		if n < 0 {
			bad("%s is %d", name, n)
		}
	}
	if c.StateMaxBytes < 0 || c.StateMaxBytes > 0 && (c.StateDir == "" || c.Store != nil) {
		bad("StateMaxBytes is %d: it bounds what lies in StateDir", c.StateMaxBytes)
	}
	if err := c.checkMemory(); err != nil {
		bad("%v", err)
	}
	if c.RefreshEvery < 0 {
		bad("RefreshEvery is %v", c.RefreshEvery)
	}
	if c.HangAfter < time.Second {
		bad("HangAfter is %v: less than 1s", c.HangAfter)
	}
	return errors.Join(errs...)
}

// checkAppID refuses what cannot be part of a topic name or of a folder name.
func checkAppID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > 150 {
		return fmt.Errorf("%q: needs 1 to 150 characters", id)
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return fmt.Errorf("%q: letters, digits, '.', '_' and '-' only", id)
		}
	}
	return nil
}
