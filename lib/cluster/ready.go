package cluster

import (
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// When a node that caught up with nobody counts as ready all the same.
const (
	aloneAfter = 15 * time.Second
	readyLook  = 200 * time.Millisecond
)

// relookAfter is when a lapsed node looks anew whom it has to catch up with:
// what it waits for may have gone with who knew it.
const relookAfter = 5 * time.Second

// readiness says whether the node has caught up since it started. Once it is
// ready it stays so: what it misses later it takes in beside its work. Only when
// it turns out that its database lacks what it wrote itself it begins anew.
type readiness struct {
	done   bool
	source model.UID      // the neighbour with whom it catches up
	target replica.Vector // what that one knew
	lonely time.Time      // since when there is no neighbour

	lapsed time.Time      // since when it has to hear all that can be reached; zero: it has not
	all    replica.Vector // what those knew; nil: it was not looked for
	allAt  time.Time      // when it was looked for
}

// begin says that there is a neighbour to catch up with.
func (r *readiness) begin(node model.UID, vector replica.Vector) {
	if r.source == model.NilUID {
		r.source, r.target = node, vector
	}
}

// end says that the link with a neighbour has ended; another one may take its
// part.
func (r *readiness) end(node model.UID, others map[model.UID]*neighbour, now time.Time) {
	if r.source != node {
		return
	}
	r.source, r.target, r.lonely = model.NilUID, nil, now
	for other, n := range others {
		r.begin(other, n.peer.Vector)
	}
}

// look finds out whether the node is ready. waiting says that there should be
// somebody to catch up with.
func (r *readiness) look(mine replica.Vector, waiting bool, now time.Time) {
	if r.lonely.IsZero() {
		r.lonely = now
	}
	switch {
	case r.done:
	case r.source != model.NilUID:
		r.done = mine.Covers(r.target)
	default:
		r.done = !waiting || now.Sub(r.lonely) >= aloneAfter
	}
}

// lapse notes whether the database lacks something: then one neighbour is not
// enough to catch up with.
func (r *readiness) lapse(lapsed bool, now time.Time) {
	switch {
	case !lapsed:
		r.lapsed = time.Time{}
	case r.lapsed.IsZero():
		r.lapsed, r.done, r.all = now, false, nil
	}
}

// hearAll is look for a lapsed node that has caught up with one neighbour, or
// has none: it waits until it has heard all members, or for so long that all who
// can be reached have spoken, and then for what those know.
func (r *readiness) hearAll(mine replica.Vector, heard bool, known func() replica.Vector, now time.Time) {
	if !r.done || r.lapsed.IsZero() {
		return
	}
	if r.all == nil && !heard && now.Sub(r.lapsed) < aloneAfter {
		r.done = false
		return
	}
	if r.all == nil || now.Sub(r.allAt) >= relookAfter {
		r.all, r.allAt = known(), now
	}
	r.done = mine.Covers(r.all)
}

// due is when to look again; the zero time if there is no need.
func (r *readiness) due(now time.Time) time.Time {
	if r.done {
		return time.Time{}
	}
	return now.Add(readyLook)
}

// waiting reports whether the node knows of anybody to catch up with. The
// caller holds mu.
func (c *Cluster) waiting(known []Known) bool {
	return len(c.o.Join) > 0 || slices.ContainsFunc(known, func(k Known) bool { return !k.Retired })
}

// Ready reports whether the node has caught up with the cluster since it
// started, and may vote and answer that something does not exist.
func (c *Cluster) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready.done
}

// lookReady finds out whether the node is ready. The caller holds mu.
func (c *Cluster) lookReady(mine replica.Vector, lapsed bool, known []Known, now time.Time) {
	was := c.ready.done
	c.ready.lapse(lapsed, now)
	if was && c.ready.done {
		return
	}
	waiting := c.waiting(known)
	c.ready.look(mine, waiting, now)
	if !waiting {
		return
	}
	s := c.db.Snapshot(now)
	heard := !slices.ContainsFunc(known, func(k Known) bool {
		m, spoke := s.Member(k.Node)
		return !k.Retired && (!spoke || !m.Reachable() || m.Said.Before(c.ready.lapsed))
	})
	c.ready.hearAll(mine, heard, func() replica.Vector { return c.reachableVector(s) }, now)
}

// reachableVector is what is known of what the members know that can be reached.
// The caller holds mu.
func (c *Cluster) reachableVector(s *topo.Snapshot) replica.Vector {
	all := replica.Vector{}
	for _, n := range c.links {
		all.Merge(n.theirs)
	}
	for _, m := range s.Members() {
		if m.Reachable() && m.LSA.Node != c.o.Self.Node {
			all.Merge(replica.Vector{{Node: m.LSA.Node, Incarnation: m.LSA.Incarnation}: m.LSA.RowSeq})
		}
	}
	return all
}

// Covered reports whether this node knows all that every member that is not
// retired has told since the given time: each spoke after it, its rows are
// here, and so is all that the neighbours know; and that each of them knows the
// same retirements as this node, so that all name the same successors. One that
// is not reachable makes it false.
func (c *Cluster) Covered(since time.Time) bool {
	return c.covered(since, func(Member, bool) bool { return false })
}

// CoveredReachable is Covered but for the members that can not be reached.
func (c *Cluster) CoveredReachable(since time.Time) bool {
	return c.covered(since, func(m Member, heard bool) bool { return !heard || !m.Reachable() })
}

// covered is Covered but for the members that are excused.
func (c *Cluster) covered(since time.Time, excused func(m Member, heard bool) bool) bool {
	known, report, mine, now := c.o.Known(), c.o.Report(), c.o.Replication.Vector(), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.links {
		if !mine.Covers(n.theirs) {
			return false
		}
	}
	s := c.db.Snapshot(now)
	for _, m := range s.Members() {
		origin := replica.Origin{Node: m.LSA.Node, Incarnation: m.LSA.Incarnation}
		lacks := mine[origin] < m.LSA.RowSeq || m.LSA.Succession != report.Succession
		if lacks && m.LSA.Node != c.o.Self.Node && !excused(m, true) {
			return false
		}
	}
	return !slices.ContainsFunc(known, func(k Known) bool {
		m, heard := s.Member(k.Node)
		return !k.Retired && !excused(m, heard) && (!heard || !m.Reachable() || m.Said.Before(since))
	})
}
