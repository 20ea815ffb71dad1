package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/peers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// dialTimeout bounds one attempt: a way that is cut silently answers never.
const dialTimeout = 8 * time.Second

// maxHints bounds the addresses that full nodes named.
const maxHints = 64

// hello is this node's own at this time.
func (c *Cluster) hello() wire.Hello {
	report, vector := c.o.Report(), c.o.Replication.Vector()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.o.Self
	return wire.Hello{
		ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax, Program: s.Program, Cluster: s.Cluster,
		Node: s.Node, Name: s.Name, Address: s.Address, Location: s.Location, Incarnation: report.Incarnation, Boot: s.Boot,
		Wall: c.o.Now().UnixNano(), Free: uint8(min(c.peers.Free(len(c.links)), 255)), Alone: len(c.links) == 0, Vector: vector, // bounded
	}
}

// look checks a hello against what is known.
func (c *Cluster) look(mine, theirs wire.Hello) *wire.Refuse {
	known := c.o.Known()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seen
	return view{
		mine: mine, now: c.o.Now(), known: known,
		twin: func(node model.UID, boot uint64) bool {
			n := c.links[node]
			return n != nil && n.peer.Boot != boot
		},
		owner: func(name string) (model.UID, bool) {
			for _, m := range s.Members() {
				if m.LSA.Name == name && m.LSA.Node != theirs.Node && m.Reachable() {
					return m.LSA.Node, true
				}
			}
			return model.NilUID, false
		},
	}.check(theirs)
}

// incoming decides on a node that asks for a link.
func (c *Cluster) incoming(_ context.Context, p Pending) {
	mine, theirs := c.hello(), p.Hello()
	no := c.look(mine, theirs)
	var evict Link
	if no == nil {
		no, evict = c.admit(theirs)
	}
	if no != nil {
		p.Refuse(*no)
		return
	}
	l, err := p.Accept(mine)
	if err != nil {
		return // the other side went away; it tries again
	}
	old := c.install(l, mine) //nolint:contextcheck // the link lives as long as Run
	closeDuplicate(old)
	if evict != nil {
		evict.Close(wire.CodeRedundant, "given up for a node that has no other way: nothing to do")
	}
}

func closeDuplicate(l Link) {
	if l != nil {
		l.Close(wire.CodeDuplicate, "there is another link between the two nodes: nothing to do")
	}
}

// admit asks the rules whether there is room.
func (c *Cluster) admit(h wire.Hello) (*wire.Refuse, Link) {
	known, now := c.o.Known(), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.links[h.Node]; old != nil {
		if c.prefer(old, false, h.Wall) {
			return nil, nil // takes the old one's place
		}
		return refuse(wire.CodeDuplicate, "there is a link between the two nodes already: nothing to do"), nil
	}
	s := c.state(known, now)
	v := c.peers.Admit(s, peers.Asker{Node: h.Node, Alone: h.Alone, Reachable: c.seen.Reachable(h.Node)}, now)
	if !v.Take {
		r := refuse(wire.CodeBusy, "node %q has all the links that it takes: it names others", c.o.Self.Name)
		r.Try = v.Try
		return r, nil
	}
	if n := c.links[v.Evict]; n != nil {
		return nil, n.link
	}
	return nil, nil
}

// state is what the rules of peers look at. The caller holds mu.
func (c *Cluster) state(known []Known, now time.Time) peers.State {
	c.seen = c.db.Snapshot(now)
	var s peers.State
	for node, n := range c.links {
		m, _ := c.seen.Member(node)
		s.Links = append(s.Links, peers.Link{
			Node: node, Location: n.peer.Location, Outgoing: n.link.Outgoing(), Since: n.since,
			Degree: len(m.LSA.Neighbours), Bridge: c.seen.Bridge(c.o.Self.Node, node),
		})
	}
	retired := map[model.UID]bool{}
	for _, m := range c.seen.Members() {
		s.Candidates = append(s.Candidates, peers.Candidate{
			Address: m.LSA.Address, Node: m.LSA.Node, Location: m.LSA.Location, Full: m.LSA.Free == 0, Reachable: m.Reachable(),
		})
	}
	for _, k := range known {
		retired[k.Node] = k.Retired
		s.Candidates = append(s.Candidates, peers.Candidate{Address: k.Address, Node: k.Node, Location: k.Location, Reachable: c.seen.Reachable(k.Node)})
	}
	for _, hint := range c.hints {
		s.Candidates = append(s.Candidates, peers.Candidate{Address: hint.Address, Node: hint.Node, Reachable: c.seen.Reachable(hint.Node)})
	}
	s.Candidates = slices.DeleteFunc(s.Candidates, func(p peers.Candidate) bool { return retired[p.Node] || p.Node == c.o.Self.Node })
	for _, address := range c.o.Join {
		s.Candidates = append(s.Candidates, peers.Candidate{Address: address, Seed: true})
	}
	return s
}

// decide begins dials and returns the links to give up. The caller holds mu.
func (c *Cluster) decide(known []Known, now time.Time) ([]Link, time.Time) {
	actions, next := c.peers.Decide(c.state(known, now), now)
	var drops []Link
	for _, a := range actions {
		if a.Dial == nil {
			if n := c.links[a.Drop]; n != nil {
				drops = append(drops, n.link)
			}
			continue
		}
		candidate := *a.Dial
		c.begin(func(ctx context.Context) { c.dial(ctx, candidate) })
	}
	return drops, next
}

// dial tries to make a link.
func (c *Cluster) dial(ctx context.Context, to peers.Candidate) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var want *model.UID
	if to.Node != model.NilUID && !slices.Contains(c.o.Join, to.Address) { // who answers at an address of cluster_join may change
		want = &to.Node
	}
	mine := c.hello()
	l, err := c.o.Transport.Dial(ctx, to.Address, want, mine)
	if err != nil {
		c.failed(to.Address, err)
		return
	}
	theirs := l.Peer()
	if no := c.look(mine, theirs); no != nil {
		c.log.Warn("link refused", "node", theirs.Node, "node_name", theirs.Name, "address", to.Address, "code", int(no.Code), "reason", no.Text)
		l.Close(no.Code, no.Text)
		c.failed(to.Address, &Refused{Refuse: *no, Node: theirs.Node})
		return
	}
	old := c.install(l, mine) //nolint:contextcheck // the link lives as long as Run
	c.mu.Lock()
	c.peers.Linked(to.Address, theirs.Node, time.Now())
	c.mu.Unlock()
	closeDuplicate(old)
	poke(c.wake)
}

// failed notes a dial that came to nothing.
func (c *Cluster) failed(address string, err error) {
	now, node := time.Now(), model.NilUID
	var refused *Refused
	if errors.As(err, &refused) {
		node = refused.Node
	}
	c.mu.Lock()
	if refused != nil && refused.Code == wire.CodeSelf {
		node = c.o.Self.Node
	}
	c.peers.Failed(address, node, now)
	if refused != nil && refused.Code == wire.CodeBusy {
		c.peers.Hint(refused.Try, now)
		clear(c.hints)
		for _, m := range refused.Try[:min(len(refused.Try), maxHints)] {
			c.hints[m.Address] = m
		}
	}
	c.mu.Unlock()
	poke(c.wake)
	c.log.Debug("no link made", "address", address, "error", err)
}
