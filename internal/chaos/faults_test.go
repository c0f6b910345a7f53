package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-81380e12/limpet/internal/kafkatest"
)

// The times that Limpet and Kafka give up after, by default: a zombie has been away longer.
const (
	session       = 10 * time.Second // transactions expire then, memberships at 8 s
	brokerSession = 9 * time.Second
)

// fault is a kind of harm. It is over, and what it harmed works again as far as it was
// broken by the fault, when harm returns.
type fault struct {
	name   string
	weight int
	harm   func(s *storm, i int, r *rand.Rand) error // i: process, or door
}

// between draws a time.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

// downtime is how long a process stays down: mostly short, sometimes until others have
// its tasks.
func downtime(r *rand.Rand) time.Duration {
	switch r.IntN(6) {
	case 0:
		return between(r, session+time.Second, session+5*time.Second)
	case 1, 2:
		return between(r, 300*time.Millisecond, 4*time.Second)
	}
	return between(r, 0, 300*time.Millisecond)
}

// processFaults are done to one process, one after another.
var processFaults = []fault{
	{"process: kill -9", 8, func(s *storm, i int, r *rand.Rand) error {
		s.procs[i].kill()
		time.Sleep(downtime(r))
		s.procs[i].start()
		return nil
	}},
	{"process: kill -9, and again while it starts", 3, func(s *storm, i int, r *rand.Rand) error {
		s.procs[i].kill()
		s.procs[i].start()
		time.Sleep(between(r, 0, 1500*time.Millisecond))
		s.procs[i].kill()
		s.procs[i].start()
		return nil
	}},
	{"process: clean stop, and back", 4, func(s *storm, i int, r *rand.Rand) error {
		s.stop(i)
		time.Sleep(downtime(r))
		s.procs[i].start()
		return nil
	}},
	{"process: SIGSTOP, shorter than its session", 3, func(s *storm, i int, r *rand.Rand) error {
		s.procs[i].signal(syscall.SIGSTOP)
		time.Sleep(between(r, 100*time.Millisecond, 7*time.Second))
		s.procs[i].signal(syscall.SIGCONT)
		return nil
	}},
	{"process: SIGSTOP past session and transaction timeout, and back", 4, func(s *storm, i int, r *rand.Rand) error {
		s.procs[i].signal(syscall.SIGSTOP)
		time.Sleep(between(r, session+time.Second, session+6*time.Second))
		s.procs[i].signal(syscall.SIGCONT)
		return nil
	}},
	{"process: kill -9, state directory deleted", 2, func(s *storm, i int, r *rand.Rand) error {
		s.procs[i].kill()
		if err := os.RemoveAll(s.procs[i].dir); err != nil {
			return err
		}
		time.Sleep(downtime(r))
		s.procs[i].start()
		return nil
	}},
	{"process: disk full, with kill -9 or clean stop", 3, func(s *storm, i int, r *rand.Rand) error {
		if !s.disks {
			return errSkipped
		}
		full := filepath.Join(filepath.Dir(s.procs[i].dir), "full")
		if err := fill(full); err != nil {
			return err
		}
		s.full[i].Store(true)
		time.Sleep(between(r, 0, time.Second))
		if r.IntN(2) == 0 {
			s.procs[i].kill()
		} else {
			s.stop(i)
		}
		s.procs[i].start()
		time.Sleep(between(r, time.Second, 6*time.Second))
		if err := os.Remove(full); err != nil {
			return err
		}
		time.Sleep(time.Second) // until it is up again, if it was not
		s.full[i].Store(false)
		return nil
	}},
}

// networkFaults are done to the network of one process.
var networkFaults = []fault{
	{"network: delayed", 4, func(s *storm, i int, r *rand.Rand) error {
		up, down := between(r, 0, 300*time.Millisecond), between(r, 0, 300*time.Millisecond)
		return s.harmed(i, r, between(r, time.Second, 8*time.Second), func(p *kafkatest.Proxy) {
			p.Delay(kafkatest.Up, up)
			p.Delay(kafkatest.Down, down)
		})
	}},
	{"network: cut", 4, func(s *storm, i int, r *rand.Rand) error {
		return s.harmed(i, r, between(r, 100*time.Millisecond, 12*time.Second), (*kafkatest.Proxy).Cut)
	}},
	{"network: black hole", 4, func(s *storm, i int, r *rand.Rand) error {
		return s.harmed(i, r, between(r, 500*time.Millisecond, 15*time.Second), func(p *kafkatest.Proxy) {
			p.Hold(kafkatest.Up)
			p.Hold(kafkatest.Down)
		})
	}},
	{"network: nothing comes to the process", 3, func(s *storm, i int, r *rand.Rand) error {
		return s.harmed(i, r, between(r, 500*time.Millisecond, 15*time.Second), func(p *kafkatest.Proxy) { p.Hold(kafkatest.Down) })
	}},
	{"network: nothing goes from the process", 3, func(s *storm, i int, r *rand.Rand) error {
		return s.harmed(i, r, between(r, 500*time.Millisecond, 15*time.Second), func(p *kafkatest.Proxy) { p.Hold(kafkatest.Up) })
	}},
	{"network: connections reset", 3, func(s *storm, i int, r *rand.Rand) error {
		for range 1 + r.IntN(4) {
			for id := 1; id <= nodes; id++ {
				s.c.Proxy(i, id).Reset()
			}
			time.Sleep(between(r, 0, time.Second))
		}
		return nil
	}},
}

// harmed does harm to the ways to one broker, or to all of them, for a time. Then, as with
// a router that comes back, connections go on or are reset.
func (s *storm) harmed(door int, r *rand.Rand, during time.Duration, harm func(*kafkatest.Proxy)) error {
	var ps []*kafkatest.Proxy
	one, reset := 0, r.IntN(3) == 0
	if r.IntN(2) == 0 {
		one = 1 + r.IntN(nodes)
	}
	for id := 1; id <= nodes; id++ {
		if one == 0 || one == id {
			ps = append(ps, s.c.Proxy(door, id))
		}
	}
	s.apart[door].Add(1)
	for _, p := range ps {
		harm(p)
	}
	time.Sleep(during)
	for _, p := range ps {
		if reset {
			p.Reset()
		}
		p.Heal()
	}
	time.AfterFunc(dialTime, func() { s.apart[door].Add(-1) })
	return nil
}

// dialTime is how long a process tries to reach a broker when it starts, at most.
const dialTime = 15 * time.Second

// clusterFaults are done to the brokers, one after another: with two of them down
// nothing could be written.
var clusterFaults = []fault{
	{"broker: kill -9", 4, func(s *storm, _ int, r *rand.Rand) error {
		return s.killed(1+r.IntN(nodes), r)
	}},
	{"broker: kill -9 of the controller", 2, func(s *storm, _ int, r *rand.Rand) error {
		id, err := s.controller()
		if err != nil {
			return err
		}
		return s.killed(id, r)
	}},
	{"broker: SIGSTOP, shorter than its session", 2, func(s *storm, _ int, r *rand.Rand) error {
		return s.paused(1+r.IntN(nodes), between(r, time.Second, brokerSession-2*time.Second))
	}},
	{"broker: SIGSTOP past its session, and back", 3, func(s *storm, _ int, r *rand.Rand) error {
		return s.paused(1+r.IntN(nodes), between(r, brokerSession+2*time.Second, brokerSession+6*time.Second))
	}},
	{"broker: clean stop, and back", 2, func(s *storm, _ int, r *rand.Rand) error {
		n := s.c.Node(1 + r.IntN(nodes))
		if err := n.Stop(); err != nil {
			return err
		}
		time.Sleep(between(r, 0, 5*time.Second))
		if err := n.Start(); err != nil {
			return err
		}
		return s.ready()
	}},
	{"broker: rolling restart of all", 1, func(s *storm, _ int, _ *rand.Rand) error {
		for id := 1; id <= nodes; id++ {
			if err := s.c.Node(id).Stop(); err != nil {
				return err
			}
			if err := s.c.Node(id).Start(); err != nil {
				return err
			}
			if err := s.ready(); err != nil {
				return err
			}
		}
		return nil
	}},
	{"cluster: all partitions get another leader", 6, func(s *storm, _ int, r *rand.Rand) error {
		return s.moveLeaders(1 + r.IntN(nodes-1))
	}},
	{"cluster: the orders' topic grows by a partition", 1, func(s *storm, _ int, _ *rand.Rand) error {
		ends, err := s.check.ends("orders")
		if err != nil || len(ends) >= partitionsMax {
			return errSkipped
		}
		return s.grow("orders", len(ends)+1)
	}},
}

func (s *storm) ready() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	return s.c.WaitReady(ctx)
}

func (s *storm) killed(id int, r *rand.Rand) error {
	n := s.c.Node(id)
	if err := n.Kill(); err != nil {
		return err
	}
	if r.IntN(2) == 0 { // else it is back before the others have noticed
		time.Sleep(between(r, 0, brokerSession+3*time.Second))
	}
	if err := n.Start(); err != nil {
		return err
	}
	return s.ready()
}

func (s *storm) paused(id int, during time.Duration) error {
	if err := s.c.Node(id).Pause(); err != nil {
		return err
	}
	time.Sleep(during)
	if err := s.c.Node(id).Resume(); err != nil {
		return err
	}
	return s.ready()
}

// ask sends a request until it is answered: brokers may have other things to do now.
func ask[R any](s *storm, f func(context.Context, *kgo.Client) (R, error)) (r R, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		if r, err = f(ctx, s.check.cl); err == nil || ctx.Err() != nil {
			return r, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// controller is the node that is now.
func (s *storm) controller() (int, error) {
	return ask(s, func(ctx context.Context, cl *kgo.Client) (int, error) {
		req := kmsg.NewPtrDescribeQuorumRequest()
		t := kmsg.NewDescribeQuorumRequestTopic()
		t.Topic = "__cluster_metadata"
		t.Partitions = append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return 0, err
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return 0, err
		}
		id := int(resp.Topics[0].Partitions[0].LeaderID)
		if id < 1 || id > nodes {
			return 0, fmt.Errorf("the controller is node %d", id)
		}
		return id, nil
	})
}

// moveLeaders gives each partition, of Kafka's own topics too, the next replica but some
// as its leader.
func (s *storm) moveLeaders(by int) error {
	_, err := ask(s, func(ctx context.Context, cl *kgo.Client) (struct{}, error) {
		var none struct{}
		m, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl)
		if err != nil {
			return none, err
		}
		move := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		move.TimeoutMillis = 20_000
		for _, t := range m.Topics {
			mt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			mt.Topic = *t.Topic
			for _, p := range t.Partitions {
				mp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
				mp.Partition = p.Partition
				for i := range nodes {
					mp.Replicas = append(mp.Replicas, 1+(max(p.Leader, 1)-1+int32(by+i))%nodes)
				}
				mt.Partitions = append(mt.Partitions, mp)
			}
			move.Topics = append(move.Topics, mt)
		}
		moved, err := move.RequestWith(ctx, cl)
		if err != nil {
			return none, err
		}
		if err := kerr.ErrorForCode(moved.ErrorCode); err != nil {
			return none, err
		}
		elect := kmsg.NewPtrElectLeadersRequest() // the first replica, of all partitions
		elect.TimeoutMillis = 20_000
		elected, err := elect.RequestWith(ctx, cl)
		if err != nil {
			return none, err
		}
		return none, kerr.ErrorForCode(elected.ErrorCode)
	})
	if err != nil {
		return err
	}
	return s.ready()
}

// grow gives a topic more partitions.
func (s *storm) grow(topic string, to int) error {
	_, err := ask(s, func(ctx context.Context, cl *kgo.Client) (struct{}, error) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 20_000
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = topic, int32(to)
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return struct{}{}, err
		}
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
		if errors.Is(err, kerr.InvalidPartitions) { // asked for twice, and done
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
