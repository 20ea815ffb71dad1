package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Member is a node as it is seen from here.
type Member = topo.Member

// Change says what happened to a member.
type Change string

// The changes.
const (
	Joined  Change = "joined"  // it is new, and can be reached
	Back    Change = "back"    // it can be reached again, or was started anew
	Gone    Change = "gone"    // it can not be reached any more
	Changed Change = "changed" // it is active now, or not any more, or for another reason
)

// Event is a change of a member.
type Event struct {
	Change Change
	Member Member
	Why    string // of Gone, of Back, and of Changed to a state that is not active
}

// Watch calls f for each change from now on, in order, from one goroutine; f
// must not block. The function that it returns ends that.
func (c *Cluster) Watch(f func(Event)) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watcher++
	id := c.watcher
	c.watchers[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

// listeners are who watches, the first one first. The caller holds mu.
func (c *Cluster) listeners() []func(Event) {
	out := make([]func(Event), 0, len(c.watchers))
	for _, id := range slices.Sorted(maps.Keys(c.watchers)) {
		out = append(out, c.watchers[id])
	}
	return out
}

// changes compares what is known now with what events were told of. The caller
// holds mu.
func (c *Cluster) changes(now time.Time) []Event {
	fresh := c.db.Snapshot(now)
	var events []Event
	for _, m := range fresh.Members() {
		if m.LSA.Node == c.o.Self.Node {
			continue
		}
		if e, happened := c.compare(m); happened {
			events = append(events, e)
		}
	}
	for _, was := range c.told.Members() { // forgotten ones: retired
		if _, known := fresh.Member(was.LSA.Node); !known && was.Reachable() {
			events = append(events, Event{Change: Gone, Member: was, Why: "retired"})
		}
	}
	c.told, c.seen = fresh, fresh
	return events
}

// compare returns what happened to a member. The caller holds mu.
func (c *Cluster) compare(m Member) (Event, bool) {
	was, known := c.told.Member(m.LSA.Node)
	before := known && was.Reachable()
	switch {
	case m.Reachable() && before && was.LSA.Boot != m.LSA.Boot:
		return Event{Change: Back, Member: m, Why: "it was started anew"}, true
	case m.Reachable() && !before:
		if c.met[m.LSA.Node] { // as this process saw, or the database knew when it started
			return Event{Change: Back, Member: m, Why: "it can be reached again"}, true
		}
		c.met[m.LSA.Node] = true
		return Event{Change: Joined, Member: m}, true
	case !m.Reachable() && before:
		return Event{Change: Gone, Member: m, Why: c.whyGone(m)}, true
	case m.Reachable() && (was.State != m.State || was.Why != m.Why):
		return Event{Change: Changed, Member: m, Why: m.Why}, true
	}
	return Event{}, false
}

// whyGone adds what the link with the member said, if there was one.
func (c *Cluster) whyGone(m Member) string {
	if cause := c.causes[m.LSA.Node]; cause != "" && m.State == topo.StateUnreachable {
		return m.Why + "; its link ended: " + cause
	}
	return m.Why
}

// tell logs events and calls who watches.
func (c *Cluster) tell(events []Event, watchers []func(Event)) {
	for _, e := range events {
		l := e.Member.LSA
		switch e.Change {
		case Back:
			c.log.Info("node is back", "node", l.Node, "node_name", l.Name, "address", l.Address, "location", l.Location, "version", l.Program, "reason", e.Why)
		case Joined:
			c.log.Info("node joined", "node", l.Node, "node_name", l.Name, "address", l.Address, "location", l.Location, "version", l.Program)
		case Gone:
			c.log.Warn("node is gone", "node", l.Node, "node_name", l.Name, "reason", e.Why)
		case Changed:
			c.log.Info("node changed", "node", l.Node, "node_name", l.Name, "state", string(e.Member.State), "reason", e.Why)
		}
		for _, f := range watchers {
			f(e)
		}
	}
}

// Members are all nodes that were heard of, this one too, by UID.
func (c *Cluster) Members() []Member { return c.snapshot().Members() }

// Self is this node as the others see it; false before it has spoken.
func (c *Cluster) Self() (Member, bool) { return c.snapshot().Member(c.o.Self.Node) }

func (c *Cluster) snapshot() *topo.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.db.Snapshot(time.Now())
}

// Active are the nodes whose votes count, by UID.
func (c *Cluster) Active() []model.UID {
	var out []model.UID
	for _, m := range c.Members() {
		if m.State == topo.StateActive {
			out = append(out, m.LSA.Node)
		}
	}
	return out
}

// Unreachable is for how long nothing was heard of a node that can not be
// reached; 0 for one that can. Of a node that this process never heard of,
// nothing was heard since it started.
func (c *Cluster) Unreachable(node model.UID) time.Duration {
	if node == c.o.Self.Node {
		return 0
	}
	m, heard := c.snapshot().Member(node)
	switch {
	case !heard:
		return time.Since(c.started)
	case m.Reachable():
		return 0
	}
	return max(time.Since(m.Said), time.Nanosecond)
}
