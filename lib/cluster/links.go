package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/peers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// neighbour is a link and what goes over it. Fields that change are guarded
// by the cluster's mu.
type neighbour struct {
	link    Link
	peer    wire.Hello
	since   time.Time
	stamp   int64 // time of day in the dialler's hello
	session Session
	wake    chan struct{} // holds a token when there is something to send

	outbox  *topo.Outbox
	votes   []wire.Votes  // to be passed on
	packer  wire.Packer   // of what is sent
	voted   time.Time     // when votes were sent last
	beat    time.Duration // until the next ones are
	asks    []model.UID   // LSAs to ask for
	answers []model.UID   // LSAs that it asked for
	theirs  replica.Vector
	clock   clock
}

// maxVotes bounds the batches of votes that wait for a slow neighbour; beyond
// it the oldest go: yes-votes are repeated every second.
const maxVotes = 1024

// maxOrigins bounds what is remembered of a neighbour: as many as one vector may
// name, which is far more than a cluster has.
const maxOrigins = 1 << 16

// install makes a link a neighbour. It returns a link that is to be closed:
// the new one, or an old one between the same nodes; nil if there is none.
func (c *Cluster) install(l Link, mine wire.Hello) (closing Link) {
	now, peer := time.Now(), l.Peer()
	stamp := peer.Wall
	if l.Outgoing() {
		stamp = mine.Wall
	}
	n := &neighbour{
		link: l, peer: peer, since: now, stamp: stamp, clock: newClock(peer.Time().Sub(c.o.Now()), now),
		wake: make(chan struct{}, 1), theirs: maps.Clone(peer.Vector),
	}
	if n.theirs == nil {
		n.theirs = replica.Vector{}
	}
	n.session = c.o.Replication.Session(SessionOptions{
		Name: peer.Name, Conn: l, Told: mine.Vector, Theirs: peer.Vector, Outgoing: l.Outgoing(),
		Advertise: func(ctx context.Context, advert wire.Advert) error { return l.Send(ctx, advert) },
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.links[peer.Node]
	if old != nil && !c.prefer(old, l.Outgoing(), stamp) {
		return l
	}
	n.outbox = topo.NewOutbox(c.db, now)
	if !c.begin(func(ctx context.Context) { c.serve(ctx, n) }) {
		return l
	}
	c.links[peer.Node] = n
	c.ready.begin(peer.Node, peer.Vector)
	delete(c.causes, peer.Node)
	poke(c.wake)
	if old != nil {
		return old.link
	}
	return nil
}

// prefer reports whether a new link takes the place of an old one with the same
// node. Both sides find the same: of two that one side dialled it is the later.
func (c *Cluster) prefer(old *neighbour, outgoing bool, stamp int64) bool {
	if old.link.Outgoing() == outgoing {
		return stamp >= old.stamp
	}
	return peers.Prefer(c.o.Self.Node, old.peer.Node, outgoing)
}

// serve runs all that belongs to a link until it ends.
func (c *Cluster) serve(ctx context.Context, n *neighbour) {
	c.mu.Lock()
	offset := n.clock.offset
	c.mu.Unlock()
	c.log.Info("link is up", "node", n.peer.Node, "node_name", n.peer.Name, "outgoing", n.link.Outgoing(), "clock_offset", offset)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var owned sync.WaitGroup
	for _, part := range []func(context.Context, *neighbour) error{c.receive, c.send, c.replicate} {
		owned.Go(func() { cancel(part(ctx, n)) })
	}
	select {
	case <-ctx.Done():
	case <-n.link.Done():
		cancel(n.link.Err())
	}
	cause := context.Cause(ctx)
	c.remove(n, cause)
	n.link.Close(closing(cause))
	owned.Wait()
	<-n.link.Done()
}

// errLeft says that the neighbour said goodbye.
var errLeft = errors.New("the neighbour stopped in order")

// closing is the reason that the other side gets for an end that this side
// found.
func closing(cause error) (wire.Code, string) {
	switch {
	case errors.Is(cause, context.Canceled):
		return wire.CodeStopping, "the node stops"
	case errors.Is(cause, errLeft):
		return wire.CodeStopping, errLeft.Error()
	}
	if no, ok := errors.AsType[*Refused](cause); ok { // it is of no use for the same reason as a new one
		return no.Code, no.Text
	}
	return wire.CodeMisbehaving, "the link is of no use: " + cause.Error()
}

// replicate runs the replication of a link.
func (c *Cluster) replicate(ctx context.Context, n *neighbour) error {
	if err := n.session.Run(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// remove forgets a link that has ended.
func (c *Cluster) remove(n *neighbour, cause error) {
	reason := "unknown"
	if cause != nil {
		reason = cause.Error()
	}
	node, now := n.peer.Node, time.Now()
	c.mu.Lock()
	current := c.links[node] == n
	if current {
		delete(c.links, node)
		c.causes[node] = reason
		c.ready.end(node, c.links, now)
		c.peers.Lost(node, now.Sub(n.since), now)
	}
	c.mu.Unlock()
	poke(c.wake)
	c.log.Info("link is down", "node", node, "node_name", n.peer.Name, "replaced", !current, "reason", reason)
}

// receive takes in what a neighbour says.
func (c *Cluster) receive(ctx context.Context, n *neighbour) error {
	var votes wire.Unpacker
	for {
		message, err := n.link.Receive(ctx)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case wire.Topology:
			c.learn(n, m)
			if left(m, n.peer) {
				return errLeft
			}
		case wire.TopologyAsk:
			c.mu.Lock()
			n.answers = append(n.answers, m.Nodes[:min(len(m.Nodes), 1000)]...)
			n.answers = n.answers[max(0, len(n.answers)-1000):] // nobody lacks more at a time
			c.mu.Unlock()
			poke(n.wake)
		case wire.Ballots:
			batches, err := votes.Unpack(m)
			if err != nil {
				return err
			}
			c.pass(n, batches...)
		case wire.Advert:
			if err := c.advertised(n, m); err != nil {
				return err
			}
		case wire.ClockAsk:
			c.mu.Lock()
			n.clock.answer = m.Number
			c.mu.Unlock()
			poke(n.wake)
		case wire.ClockTold:
			if err := c.clockTold(n, m); err != nil {
				return err
			}
		case wire.Unknown: // of a later version
		default:
			return errors.New("a message that does not belong on the control stream")
		}
	}
}

// clockTold takes in a neighbour's time of day: as at the hello, there is no link
// between clocks that are too far apart.
func (c *Cluster) clockTold(n *neighbour, m wire.ClockTold) error {
	now, wall := time.Now(), c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer poke(n.wake) // it may have to be asked again
	if !n.clock.told(m, now, wall) {
		return nil
	}
	return &Refused{Refuse: *clocksApart(n.clock.offset, n.peer.Name, c.o.Self.Name), Node: n.peer.Node}
}

// advertised takes in what rows a neighbour has.
func (c *Cluster) advertised(n *neighbour, m wire.Advert) error {
	c.mu.Lock()
	n.theirs.Merge(m.Vector)
	many := len(n.theirs) > maxOrigins
	c.mu.Unlock()
	if many {
		return fmt.Errorf("it knows more than %d origins of rows", maxOrigins)
	}
	n.session.Advert(m)
	return nil
}

// left reports whether it is the neighbour's last word. It waits for the end of
// the link, to know that the word was heard.
func left(t wire.Topology, peer wire.Hello) bool {
	return slices.ContainsFunc(t.LSAs, func(l wire.LSA) bool { return l.Gone && l.Node == peer.Node && l.Boot == peer.Boot })
}

// learn takes in news of the network.
func (c *Cluster) learn(n *neighbour, t wire.Topology) {
	known, now := c.o.Known(), time.Now()
	gone := func(node model.UID) bool {
		return slices.ContainsFunc(known, func(k Known) bool { return k.Node == node && k.Retired })
	}
	t.LSAs = slices.DeleteFunc(t.LSAs, func(l wire.LSA) bool { return gone(l.Node) })
	t.Pulses = slices.DeleteFunc(t.Pulses, func(p wire.Pulse) bool { return gone(p.Node) })
	c.mu.Lock()
	defer c.mu.Unlock()
	n.outbox.Heard(t)
	news := c.db.Apply(t, now)
	c.flood(news.Topology, n, now)
	if len(news.Ask) > 0 {
		n.asks = append(n.asks, news.Ask...)
		poke(n.wake)
	}
	if len(news.Topology.LSAs) > 0 || !c.db.Due().IsZero() && !now.Before(c.db.Due()) {
		poke(c.wake)
	}
}

// flood gives news to all neighbours but the one they came from. The caller
// holds mu.
func (c *Cluster) flood(t wire.Topology, from *neighbour, now time.Time) {
	if len(t.LSAs)+len(t.Pulses) == 0 {
		return
	}
	for _, n := range c.links {
		if n != from {
			n.outbox.Add(t, now)
			poke(n.wake)
		}
	}
}

// send says to a neighbour what it is to know. While that one is slow, what
// waits is merged, not queued.
func (c *Cluster) send(ctx context.Context, n *neighbour) error {
	for {
		messages, due := c.outgoing(n)
		for _, m := range messages {
			if err := n.link.Send(ctx, m); err != nil {
				return err
			}
		}
		wait := time.Minute // wake tells of what comes
		if !due.IsZero() {
			wait = time.Until(due)
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-n.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// outgoing takes what is to be sent now, and says when there will be more.
func (c *Cluster) outgoing(n *neighbour) ([]any, time.Time) {
	now, wall := time.Now(), c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []any
	for _, t := range n.outbox.Take(c.db, now) {
		out = append(out, t)
	}
	votes, due := n.takeVotes(now)
	out = append(out, votes...)
	out = append(out, n.clock.take(now, wall)...)
	if len(n.asks) > 0 {
		out = append(out, wire.TopologyAsk{Nodes: n.asks})
	}
	for nodes := range slices.Chunk(n.answers, 500) {
		out = append(out, wire.Topology{LSAs: c.db.Answer(nodes, now)})
	}
	n.asks, n.answers = nil, nil
	for _, at := range []time.Time{n.outbox.Due(), n.clock.due} {
		if due.IsZero() || !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return out, due
}
