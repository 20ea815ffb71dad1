package farm

import (
	"fmt"
	"slices"
	"time"
)

// Topology says which nodes see each other. Packets are never forwarded: what
// has no link of its own has to be reached through a peer.
type Topology struct {
	Name  string
	Nodes int
	Links []Link
}

// Link lets two nodes see each other.
type Link struct {
	A, B int
	// Delay is what a packet takes one way. A link with a delay is a wire in
	// the test's hands: slow, but its delay can be changed (see Farm.Delay).
	Delay time.Duration
}

// has reports whether the link joins the two.
func (l Link) has(a, b int) bool { return l.A == a && l.B == b || l.A == b && l.B == a }

// Full has every node see every other.
func Full(nodes int) Topology {
	t := Topology{Name: fmt.Sprintf("full-%d", nodes), Nodes: nodes}
	for b := range nodes {
		for a := range b {
			t.Links = append(t.Links, Link{A: a, B: b})
		}
	}
	return t
}

// Chain has each node see the one before and the one after.
func Chain(nodes int) Topology {
	t := Topology{Name: fmt.Sprintf("chain-%d", nodes), Nodes: nodes}
	for b := 1; b < nodes; b++ {
		t.Links = append(t.Links, Link{A: b - 1, B: b})
	}
	return t
}

// Ring is a chain whose ends see each other.
func Ring(nodes int) Topology {
	t := Chain(nodes)
	t.Name = fmt.Sprintf("ring-%d", nodes)
	if nodes > 2 {
		t.Links = append(t.Links, Link{A: 0, B: nodes - 1})
	}
	return t
}

// Islands are two sites in which all see each other, and one bridge between
// the last node of the first and the first node of the second.
func Islands(first, second int) Topology {
	t := Full(first)
	t.Name, t.Nodes = fmt.Sprintf("islands-%d-%d", first, second), first+second
	t.Links = append(t.Links, Link{A: first - 1, B: first})
	for _, l := range Full(second).Links {
		t.Links = append(t.Links, Link{A: l.A + first, B: l.B + first})
	}
	return t
}

// Hub has node 0 see all others, and those nobody else.
func Hub(nodes int) Topology {
	t := Topology{Name: fmt.Sprintf("hub-%d", nodes), Nodes: nodes}
	for b := 1; b < nodes; b++ {
		t.Links = append(t.Links, Link{A: 0, B: b})
	}
	return t
}

// Slow is the topology with so much delay one way on every link.
func (t Topology) Slow(delay time.Duration) Topology {
	t.Name += "-slow"
	t.Links = slices.Clone(t.Links)
	for i := range t.Links {
		t.Links[i].Delay = delay
	}
	return t
}

// Sees reports whether there is a link between the two.
func (t Topology) Sees(a, b int) bool {
	return a == b || slices.ContainsFunc(t.Links, func(l Link) bool { return l.has(a, b) })
}

// joins are the nodes whose addresses a node is told to join: those that it
// sees and that are before it, so that a farm grows from node 0.
func (t Topology) joins(node int) []int {
	var seen []int
	for other := range node {
		if t.Sees(other, node) {
			seen = append(seen, other)
		}
	}
	return seen
}

// validate says what keeps a farm from growing from node 0.
func (t Topology) validate() error {
	if t.Nodes < 1 || t.Nodes > 200 {
		return fmt.Errorf("topology %s has %d nodes, want 1 to 200", t.Name, t.Nodes)
	}
	for node := 1; node < t.Nodes; node++ {
		if len(t.joins(node)) == 0 {
			return fmt.Errorf("topology %s: node %d sees none before it", t.Name, node)
		}
	}
	for _, l := range t.Links {
		if l.A == l.B || min(l.A, l.B) < 0 || max(l.A, l.B) >= t.Nodes {
			return fmt.Errorf("topology %s has a link between %d and %d", t.Name, l.A, l.B)
		}
	}
	return nil
}
