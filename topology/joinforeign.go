package topology

import (
	"encoding/binary"
	"errors"

	"github.com/seed-81380e12/limpet/core"
	"github.com/seed-81380e12/limpet/topology/codec"
)

// JoinForeign joins each left row with the right row that foreign names.
func JoinForeign[K, F comparable, A, B, R any](left Table[K, A], right Table[F, B], name string, foreign func(A) F, f func(A, B) R, opts ...StateOption) Table[K, R] {
	return joinForeign(left, right, "joinForeign", name, foreign, func(a A, b Opt[B]) R { return f(a, b.Value) }, f, opts)
}

// LeftJoinForeign keeps the left rows whose foreign row is missing.
func LeftJoinForeign[K, F comparable, A, B, R any](left Table[K, A], right Table[F, B], name string, foreign func(A) F, f func(A, Opt[B]) R, opts ...StateOption) Table[K, R] {
	return joinForeign(left, right, "leftJoinForeign", name, foreign, f, f, opts)
}

// joinForeign is both of them. Two nodes do it: n, which has the left rows and the results,
// and m, which has the right rows and who waits for them. Between them are two topics.
func joinForeign[K, F comparable, A, B, R any](left Table[K, A], right Table[F, B], kind, name string, foreign func(A) F, f func(A, Opt[B]) R, user any, opts []StateOption) Table[K, R] {
	if left.b == nil || right.b == nil {
		zero(kind)
	}
	b, set := left.b, apply(opts)
	n := b.addNamed(kind, name)
	b.configure(n, set, foreign, user)
	b.noTTL(n, set, "a join's rows follow from those of its tables: give them the TTL")
	n.clock = true
	kc, fc := or(left.kc), or(right.kc)
	t := newTable(b, n, left.kc, stateCodecOf[R](b, n, set, nil))
	done := doneOf[R](b, n, set)
	if b.foreign(n, right.b, "the right table") {
		return t
	}

	l := b.side("left", n, left.n)
	l.name, l.named = name+"-versions", true
	versions := newState(l, kc, codec.Int64)

	m := b.add("subscriptions", name+"-subscription-store")
	subscribed := newState(m, core.Codec[core.Subscriber[F, K]](subscriberCodec[F, K]{core.SubscriberCodec[F, K]{Foreign: fc, Key: kc}}), codec.Int64)

	toRight := b.wire("subscription", name+"-subscription", l, m)
	subscription := toRight.subs[0]
	sc := subscriptionCodec[K]{kc}
	toRight.key, toRight.value = infoOf(fc), infoOf[core.Subscription[K]](sc)
	toRight.enter = func(c *compiler) any { return through(c, toRight, b, fc, sc) }
	toRight.source = func(c *compiler) {
		core.Source(c.t, c.topic(toRight), fc, sc, next[F, core.Subscription[K]](c, toRight))
	}
	r := b.side("right", m, right.n)

	toLeft := b.wire("answer", name+"-answer", m, n)
	answer := toLeft.subs[0]
	ac := answerCodec[B]{or(right.vc)}
	toLeft.key, toLeft.value = infoOf(kc), infoOf[core.Answer[B]](ac)
	toLeft.enter = func(c *compiler) any { return through(c, toLeft, b, kc, ac) }
	toLeft.source = func(c *compiler) { core.Source(c.t, c.topic(toLeft), kc, ac, next[K, core.Answer[B]](c, toLeft)) }

	join := shared(n, func(c *compiler) *core.ForeignJoin[K, F, A, B, R] {
		return &core.ForeignJoin[K, F, A, B, R]{
			Node: c.nodeID(n), Left: left.find(c), Foreign: foreign, Join: f, Inner: kind == "joinForeign", Done: done,
			Versions: versions(c), Results: tableOf[K, R](c, n), Last: c.clock(n),
			Send: c.chain(toRight).(core.Next[F, core.Subscription[K]]), Next: changes[K, R](c, n),
		}
	})
	subscriptions := shared(m, func(c *compiler) *core.Subscriptions[F, K, B] {
		return core.NewSubscriptions(subscribed(c), kc, right.find(c), c.chain(toLeft).(core.Next[K, core.Answer[B]]))
	})
	l.enter = func(c *compiler) any { return core.Next[K, core.Change[A]](join(c).FromLeft) }
	answer.enter = func(c *compiler) any { return core.Next[K, core.Answer[B]](join(c).FromAnswers) }
	subscription.enter = func(c *compiler) any { return core.Next[F, core.Subscription[K]](subscriptions(c).FromLeft) }
	r.enter = func(c *compiler) any { return core.Next[F, core.Change[B]](subscriptions(c).FromRight) }
	return t
}

// wire adds a topic that leads from one node to an input of another.
func (b *Builder) wire(kind, name string, from, to *node) *node {
	w := b.add(kind, name, from)
	w.rekeyed, w.always = true, true
	s := b.side("from "+kind, to, w)
	s.table = false
	return w
}

// newState gives n rows of its own, though it is no table.
func newState[K comparable, V any](n *node, kc core.Codec[K], vc core.Codec[V]) func(*compiler) *core.Table[K, V] {
	n.state = &stateInfo{key: infoOf(kc), value: infoOf(vc)}
	n.state.make = func(c *compiler) any { return core.NewTable(c.t, n.name, kc, vc) }
	return func(c *compiler) *core.Table[K, V] { return tableOf[K, V](c, n) }
}

// shared makes what the inputs of n share once for each task.
func shared[T any](n *node, begin func(*compiler) T) func(*compiler) T {
	return func(c *compiler) T {
		if t, ok := c.shared[n.id].(T); ok {
			return t
		}
		t := begin(c)
		c.shared[n.id] = t
		return t
	}
}

// subscriberCodec has a schema.
type subscriberCodec[F, K comparable] struct{ core.SubscriberCodec[F, K] }

func (c subscriberCodec[F, K]) Schema() string {
	return "subscriber(" + codec.SchemaOf(c.Foreign) + ", " + codec.SchemaOf(c.Key) + ")"
}

func (c subscriberCodec[F, K]) Check() error {
	if err := codec.Check(c.Foreign); err != nil {
		return err
	}
	return codec.Check(c.Key)
}

// subscriptionCodec writes what is done, the version and the left key.
type subscriptionCodec[K comparable] struct{ kc core.Codec[K] }

func (c subscriptionCodec[K]) Append(dst []byte, s core.Subscription[K]) ([]byte, error) {
	return c.kc.Append(binary.AppendVarint(append(dst, byte(s.Do)), s.Version), s.Key)
}

func (c subscriptionCodec[K]) Decode(src []byte) (s core.Subscription[K], err error) {
	if len(src) < 2 || src[0] > byte(core.Leave) {
		return s, core.Malformed(0, "subscription: %q", src)
	}
	s.Do = core.SubscriptionKind(src[0])
	in := cutter{src: src, at: 1}
	s.Version = in.varint()
	if err := in.err("subscription"); err != nil {
		return s, err
	}
	s.Key, err = c.kc.Decode(in.rest())
	return s, core.MalformedPart(in.at, "subscription", err)
}

func (c subscriptionCodec[K]) Schema() string { return "subscription(" + codec.SchemaOf(c.kc) + ")" }
func (c subscriptionCodec[K]) Check() error   { return codec.Check(c.kc) }

// answerCodec writes the version, whether it is quiet, and the right row, if there is one.
type answerCodec[B any] struct{ vc core.Codec[B] }

func (c answerCodec[B]) Append(dst []byte, a core.Answer[B]) ([]byte, error) {
	flags := byte(0)
	if a.Quiet {
		flags |= 1
	}
	if a.Right.OK {
		flags |= 2
	}
	if a.Gone {
		flags |= 4
	}
	dst = binary.AppendVarint(append(dst, flags), a.Version)
	if !a.Right.OK {
		return dst, nil
	}
	dst, err := c.vc.Append(dst, a.Right.Value)
	if err == nil && dst == nil {
		return nil, errors.New("answer: a row is null")
	}
	return dst, err
}

func (c answerCodec[B]) Decode(src []byte) (a core.Answer[B], err error) {
	if len(src) < 2 || src[0] > 7 {
		return a, core.Malformed(0, "answer: %q", src)
	}
	a.Quiet, a.Right.OK, a.Gone = src[0]&1 != 0, src[0]&2 != 0, src[0]&4 != 0
	in := cutter{src: src, at: 1}
	a.Version = in.varint()
	if err := in.err("answer"); err != nil {
		return a, err
	}
	if a.Right.OK {
		a.Right.Value, err = c.vc.Decode(in.rest())
	}
	return a, core.MalformedPart(in.at, "answer", err)
}

func (c answerCodec[B]) Schema() string { return "answer(" + codec.SchemaOf(c.vc) + ")" }
func (c answerCodec[B]) Check() error   { return codec.Check(c.vc) }
