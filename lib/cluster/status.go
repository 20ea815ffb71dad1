package cluster

import (
	"bytes"
	"encoding/hex"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Status is what there is to see of the cluster from here.
type Status struct {
	Cluster    string // for people: first 8 bytes of its UID
	Self       model.UID
	Ready      bool   // this node has caught up since it started
	Unhealthy  string // why this node is not healthy; empty if it is
	Twin       bool   // another live process speaks for this node
	Members    []MemberStatus
	Links      []LinkStatus  // of this node
	Graph      []topo.Edge   // all links that both ends tell of
	Bridges    []topo.Edge   // those without which the cluster would fall apart
	Components [][]model.UID // the parts that reach each other; one is best
}

// MemberStatus is a member and how far its data is here.
type MemberStatus struct {
	Member
	Name     string
	Degree   int       // links that it tells of
	Lag      uint64    // sequence numbers of its rows that are not here yet
	NotAfter time.Time // of its certificate; zero if it says nothing
}

// LinkStatus is a link of this node.
type LinkStatus struct {
	Node     model.UID
	Name     string
	Outgoing bool // this node dialled
	Since    time.Time
	RTT      time.Duration
	Clock    time.Duration // its time of day against ours when it answered last: it is asked each half minute, and may be slow
	Bridge   bool
	Ahead    uint64 // sequence numbers that it knows and this node does not
	Behind   uint64 // the other way round
}

// Status tells what there is to see.
func (c *Cluster) Status() Status {
	mine, now := c.o.Replication.Vector(), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	snapshot := c.db.Snapshot(now)
	s := Status{
		Cluster: short(c.o.Self.Cluster), Self: c.o.Self.Node, Ready: c.ready.done, Twin: c.db.Twin(now),
		Graph: snapshot.Links(), Bridges: snapshot.Bridges(), Components: snapshot.Components(),
	}
	switch {
	case c.health.err != nil:
		s.Unhealthy = c.health.err.Error()
	case !c.health.good(now):
		s.Unhealthy = "the look at its health hangs"
	}
	for _, m := range snapshot.Members() {
		s.Members = append(s.Members, memberStatus(m, mine))
	}
	for node, n := range c.links {
		s.Links = append(s.Links, LinkStatus{
			Node: node, Name: n.peer.Name, Outgoing: n.link.Outgoing(), Since: n.since, RTT: n.link.RTT(), Clock: n.clock.offset,
			Bridge: snapshot.Bridge(c.o.Self.Node, node), Ahead: lag(mine, n.theirs), Behind: lag(n.theirs, mine),
		})
	}
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return bytes.Compare(a.Node[:], b.Node[:]) })
	return s
}

func memberStatus(m Member, mine replica.Vector) MemberStatus {
	origin := replica.Origin{Node: m.LSA.Node, Incarnation: m.LSA.Incarnation}
	out := MemberStatus{Member: m, Name: m.LSA.Name, Degree: len(m.LSA.Neighbours), Lag: lag(mine, replica.Vector{origin: m.LSA.RowSeq})}
	if m.LSA.NotAfter > 0 {
		out.NotAfter = time.Unix(m.LSA.NotAfter, 0)
	}
	return out
}

// lag is how many sequence numbers of theirs are not in mine.
func lag(mine, theirs replica.Vector) uint64 {
	var sum uint64
	for origin, seq := range theirs {
		sum += seq - min(seq, mine[origin])
	}
	return sum
}

// Signers are the reachable members that hold the CA's key.
func (c *Cluster) Signers() []Member {
	return slices.DeleteFunc(c.Members(), func(m Member) bool {
		return m.LSA.Flags&wire.FlagSigner == 0 || !m.Reachable()
	})
}

// short is a cluster's UID for people.
func short(cluster []byte) string { return hex.EncodeToString(cluster[:min(8, len(cluster))]) }
