package app

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/api"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/ownership"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// view is the cluster as the API shows it.
type view struct {
	*member

	seen func() time.Time // the node's own sign of life
}

var _ api.Cluster = view{}

// Members implements api.Cluster: who was heard of, and who is known from the database alone.
func (v view) Members() []status.Member { return v.members(v.Cluster.Status()) }

func (v view) members(s cluster.Status) []status.Member {
	list := make([]status.Member, 0, len(s.Members)+1)
	for _, m := range s.Members {
		if m.LSA.Node != v.node.UID {
			list = append(list, memberOf(m))
		}
	}
	for i := range list {
		if at := slices.IndexFunc(s.Links, func(l cluster.LinkStatus) bool { return l.Node == list[i].UID }); at >= 0 {
			list[i].Neighbour, list[i].ClockOffset = true, &s.Links[at].Clock
		}
	}
	list = append(list, v.self(s))
	for _, k := range v.known() {
		if !slices.ContainsFunc(list, func(m status.Member) bool { return m.UID == k.Node }) {
			list = append(list, storedMember(k))
		}
	}
	v.countHeld(list)
	return list
}

// countHeld counts from the database what is with members that can not be asked: what they said last may be from before.
func (v view) countHeld(list []status.Member) {
	if !slices.ContainsFunc(list, notAsked) {
		return
	}
	held := make(map[model.UID]int)
	for _, e := range v.store.Open() {
		if g := e.Fold.Grant; g != nil && g.Decision != nil && !e.Fold.Final {
			held[g.Decision.Winner]++
		}
	}
	for i := range list {
		if notAsked(list[i]) {
			list[i].Applications = held[list[i].UID]
		}
	}
}

func notAsked(m status.Member) bool { return !m.Reachable() }

// memberOf is what a member says of itself.
func memberOf(m cluster.MemberStatus) status.Member {
	has := func(f wire.Flags) bool { return m.LSA.Flags&f != 0 }
	safety := election.Strict
	if has(wire.FlagAvailable) {
		safety = election.Available
	}
	return status.Member{
		UID: m.LSA.Node, Name: m.LSA.Name, Address: m.LSA.Address, Location: m.LSA.Location,
		State: stateOf(m.Member), LastSeen: m.Said, Version: m.LSA.Program, ProtocolMin: m.LSA.ProtocolMin, ProtocolMax: m.LSA.ProtocolMax,
		Incarnation: m.LSA.Incarnation, Healthy: has(wire.FlagHealthy), Ready: has(wire.FlagReady), Maintenance: has(wire.FlagMaintenance),
		Signer: has(wire.FlagSigner), Safety: string(safety), Applications: int(m.LSA.Load.Used),
		Load: status.Load{CPU: m.LSA.Load.CPU, Memory: m.LSA.Load.Memory, Disk: m.LSA.Load.Disk}, Lag: m.Lag, CertificateExpires: m.NotAfter,
	}
}

func stateOf(m cluster.Member) status.State {
	switch {
	case m.State == topo.StateActive:
		return status.StateActive
	case m.State == topo.StateInactive:
		return status.StateInactive
	case m.LSA.Gone:
		return status.StateStopped
	}
	return status.StateUnreachable
}

// storedMember is one of which nothing was heard since this node started.
func storedMember(k cluster.Known) status.Member {
	m := status.Member{UID: k.Node, Name: k.Name, Address: k.Address, Location: k.Location, State: status.StateUnreachable, LastSeen: k.Seen}
	if k.Retired {
		m.State = status.StateRetired
	}
	return m
}

// self is this node as it is now, not as it last told the others.
func (v view) self(s cluster.Status) status.Member {
	r := v.report()
	m := status.Member{
		UID: v.node.UID, Name: v.node.Name, Address: v.node.Address, Location: v.node.LocationName,
		State: status.StateActive, LastSeen: v.seen(), Version: v.version, ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax,
		Incarnation: r.Incarnation, Healthy: v.state.sound() == nil, Ready: s.Ready, Maintenance: r.Maintenance, Signer: r.Signer,
		Safety: v.config.Election.Safety, Applications: int(r.Load.Used),
		Load: status.Load{CPU: r.Load.CPU, Memory: r.Load.Memory, Disk: r.Load.Disk}, CertificateExpires: r.NotAfter,
	}
	if !m.Healthy || !m.Ready || m.Maintenance {
		m.State = status.StateInactive
	}
	return m
}

// Status implements api.Cluster.
func (v view) Status() status.Status {
	s := v.Cluster.Status()
	out := status.Status{
		Cluster: s.Cluster, Node: s.Self, Ready: s.Ready, Members: v.members(s), Components: ownFirst(s.Components, s.Self),
		Ownership: ownership.List(viewOfShares(s, v.known(), v.store)),
	}
	if !s.Ready {
		out.Reason = "catching up with the cluster"
	}
	for _, edge := range s.Graph {
		out.Links = append(out.Links, status.Link{
			From: edge[0], To: edge[1], RTT: rtt(s, edge), Bridge: slices.Contains(s.Bridges, edge),
		})
	}
	return out
}

// ownFirst puts the group of the node before the others. Before it has spoken it is a group of its own.
func ownFirst(groups [][]model.UID, self model.UID) [][]model.UID {
	at := slices.IndexFunc(groups, func(g []model.UID) bool { return slices.Contains(g, self) })
	if at < 0 {
		return append([][]model.UID{{self}}, groups...)
	}
	out := [][]model.UID{groups[at]}
	return append(append(out, groups[:at]...), groups[at+1:]...)
}

// rtt is what this node measured itself, else what either end says.
func rtt(s cluster.Status, edge topo.Edge) time.Duration {
	for _, l := range s.Links {
		if topo.NewEdge(s.Self, l.Node) == edge && l.RTT > 0 {
			return l.RTT
		}
	}
	for _, m := range s.Members {
		for _, n := range m.LSA.Neighbours {
			if topo.NewEdge(m.LSA.Node, n.Node) == edge && n.RTT > 0 {
				return time.Duration(n.RTT) * time.Microsecond
			}
		}
	}
	return 0
}

// askedAtOnce is how many neighbours are asked whether they have a change: the nearest one may be slow.
const askedAtOnce = 3

// Replicated implements api.Cluster: it asks neighbours, whose adverts are up to a second apart under load.
func (v view) Replicated(ctx context.Context) error {
	origin := v.store.Origin()
	want := replica.Vector{origin: v.store.Vector()[origin]}
	links := v.Cluster.Status().Links
	if len(links) == 0 {
		return errNoNeighbour
	}
	links = links[:min(len(links), askedAtOnce)]
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan error, len(links))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, l := range links {
		asking.Go(func() { answers <- v.askCovers(ctx, l.Node, want, false) })
	}
	var err error
	for range links {
		if err = <-answers; err == nil {
			return nil
		}
	}
	return err
}

// watchedConn tells when it was closed.
type watchedConn struct {
	net.Conn

	closed chan struct{}
	once   *sync.Once
}

func newWatchedConn(c net.Conn) watchedConn {
	return watchedConn{c, make(chan struct{}), new(sync.Once)}
}

// Close implements net.Conn.
func (c watchedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close() //nolint:wrapcheck // a wrapper adds nothing
}
