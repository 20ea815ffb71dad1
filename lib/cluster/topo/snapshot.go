package topo

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// State says how a member is seen from here.
type State string

// The states.
const (
	// StateActive members vote: reachable, healthy, caught up, not in
	// maintenance.
	StateActive State = "active"
	// StateInactive members are reachable and do not vote: see Why.
	StateInactive State = "inactive"
	// StateUnreachable members speak of themselves, or did a short while
	// ago, but no path of links that both ends confirm leads there.
	StateUnreachable State = "unreachable"
	// StateGone members said that they stop, or were silent for Expiry.
	StateGone State = "gone"
)

// Member is a node as it is seen from here.
type Member struct {
	LSA     wire.LSA  // what it said last; not to be changed
	Said    time.Time // its last sign of life, by the own clock
	State   State
	Why     string    // why it is not active; empty if it is
	NextHop model.UID // the neighbour that leads there; nil if there is none
	Hops    int       // links to it; 0 for the node itself and where none leads
}

// Reachable reports whether a path of links leads to the member.
func (m Member) Reachable() bool { return m.State == StateActive || m.State == StateInactive }

// Snapshot is what is known at one time. It never changes.
type Snapshot struct {
	self       model.UID
	members    map[model.UID]Member
	components [][]model.UID
	bridges    map[Edge]bool
	links      map[Edge]bool
}

// Snapshot is the state of the database at now. The node itself is a member as
// soon as it has spoken.
func (db *DB) Snapshot(now time.Time) *Snapshot {
	if db.cached != nil && !now.Before(db.from) && now.Before(db.until) {
		return db.cached
	}
	db.cached, db.from, db.until = db.snapshot(now), now, db.NextExpiry(now)
	if db.until.IsZero() {
		db.until = now.Add(Expiry) // nothing expires
	}
	return db.cached
}

func (db *DB) snapshot(now time.Time) *Snapshot {
	told := map[model.UID][]model.UID{}
	members := map[model.UID]Member{}
	if db.own.said.Seq > 0 {
		members[db.self] = Member{LSA: db.own.said, Said: now}
	}
	for node, e := range db.entries {
		members[node] = Member{LSA: e.lsa, Said: e.said}
	}
	for node, m := range members {
		if !m.LSA.Gone && (node == db.self || now.Sub(m.Said) < Expiry) {
			told[node] = ends(m.LSA)
		}
	}
	g := newGraph(told)
	s := &Snapshot{self: db.self, components: g.components(), bridges: g.bridges(), links: g.links()}
	s.members = judge(members, g, db.self, now)
	return s
}

// ends are the nodes that an LSA claims links with.
func ends(l wire.LSA) []model.UID {
	out := make([]model.UID, len(l.Neighbours))
	for i, n := range l.Neighbours {
		out[i] = n.Node
	}
	return out
}

// links are all edges of the graph.
func (g graph) links() map[Edge]bool {
	out := map[Edge]bool{}
	for i, ends := range g.ends {
		for _, j := range ends {
			out[NewEdge(g.nodes[i], g.nodes[j])] = true
		}
	}
	return out
}

// judge fills in state and way of each member.
func judge(members map[model.UID]Member, g graph, self model.UID, now time.Time) map[model.UID]Member {
	routes := map[int]route{}
	if start, ok := g.index[self]; ok {
		routes = g.routes(start)
	}
	for node, m := range members {
		way, reached := routes[-1], false
		if i, known := g.index[node]; known {
			way, reached = routes[i]
		}
		if reached {
			m.NextHop, m.Hops = g.nodes[way.next], way.hops
		}
		m.State, m.Why = state(m, reached, now)
		members[node] = m
	}
	return members
}

// state tells how a member is.
func state(m Member, reached bool, now time.Time) (State, string) {
	flags := m.LSA.Flags
	switch {
	case m.LSA.Gone:
		return StateGone, "stopped in order"
	case now.Sub(m.Said) >= Expiry:
		return StateGone, "nothing heard of it for " + Expiry.String()
	case !reached:
		return StateUnreachable, "no path of links leads to it"
	case flags&wire.FlagHealthy == 0:
		return StateInactive, "not healthy: its database takes no writes, or a loop hangs"
	case flags&wire.FlagMaintenance != 0:
		return StateInactive, "in maintenance"
	case flags&wire.FlagReady == 0:
		return StateInactive, "catching up with the cluster"
	}
	return StateActive, ""
}

// Self is the UID of the node whose view this is.
func (s *Snapshot) Self() model.UID { return s.self }

// Member is the member of this UID.
func (s *Snapshot) Member(node model.UID) (Member, bool) {
	m, known := s.members[node]
	return m, known
}

// Members are all that are known, by UID.
func (s *Snapshot) Members() []Member {
	nodes := slices.SortedFunc(maps.Keys(s.members), compare)
	out := make([]Member, len(nodes))
	for i, node := range nodes {
		out[i] = s.members[node]
	}
	return out
}

// Reachable reports whether a path of links leads to the node; to itself there
// always is one.
func (s *Snapshot) Reachable(node model.UID) bool {
	return node == s.self || s.members[node].Reachable()
}

// NextHop is the neighbour that leads to the node.
func (s *Snapshot) NextHop(node model.UID) (model.UID, bool) {
	m, known := s.members[node]
	return m.NextHop, known && m.NextHop != model.NilUID && node != s.self
}

// Linked reports whether both nodes tell of a link between them.
func (s *Snapshot) Linked(a, b model.UID) bool { return s.links[NewEdge(a, b)] }

// Bridge reports whether the loss of the link would cut the graph in two.
func (s *Snapshot) Bridge(a, b model.UID) bool { return s.bridges[NewEdge(a, b)] }

// Bridges are all such links, in order.
func (s *Snapshot) Bridges() []Edge { return sorted(s.bridges) }

// Links are all links that both ends tell of, in order.
func (s *Snapshot) Links() []Edge { return sorted(s.links) }

// Components are the parts of the graph that reach each other, as far as is
// known here: what was heard of beyond a cut stays believed for Expiry.
func (s *Snapshot) Components() [][]model.UID { return s.components }

func sorted(edges map[Edge]bool) []Edge {
	return slices.SortedFunc(maps.Keys(edges), func(a, b Edge) int {
		if d := compare(a[0], b[0]); d != 0 {
			return d
		}
		return compare(a[1], b[1])
	})
}
