package peers

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The bounds.
const (
	// DefaultMax is how many links a node has.
	DefaultMax = 8
	// overflow is how many times Max a node takes when each link more is the
	// only way to somebody: a hub whose spokes see nobody else.
	overflow = 4
	// maxTry bounds what a full node answers.
	maxTry = 16
	// settling is how long a new link is not given up: what it leads to is
	// not yet known.
	settling = 3 * time.Second
)

// Link is a link that there is.
type Link struct {
	Node     model.UID
	Location string
	Outgoing bool
	Since    time.Time
	Degree   int  // links that the neighbour tells of; 0 if unknown
	Bridge   bool // without it the graph would fall apart
}

// Candidate is a node, or only an address, that may be dialled.
type Candidate struct {
	Address   string
	Node      model.UID // nil for an address of which nobody knows whose it is
	Location  string
	Full      bool // it says that it takes no more links
	Reachable bool // links lead there
	Seed      bool // the config names the address
}

// State is what there is at the time of a decision.
type State struct {
	Links      []Link
	Candidates []Candidate
}

func (s State) linked(node model.UID) bool {
	return slices.ContainsFunc(s.Links, func(l Link) bool { return l.Node == node })
}

// redundant is the link that is missed least: no bridge, not new, better not
// the only one to its location, and best one of a neighbour with many.
func (s State) redundant(now time.Time) (model.UID, bool) {
	perLocation := map[string]int{}
	for _, l := range s.Links {
		perLocation[l.Location]++
	}
	var spare []Link
	for _, l := range s.Links {
		if !l.Bridge && now.Sub(l.Since) >= settling {
			spare = append(spare, l)
		}
	}
	if len(spare) == 0 {
		return model.NilUID, false
	}
	least := slices.MinFunc(spare, func(a, b Link) int {
		return cmp.Or(
			cmp.Compare(min(perLocation[b.Location], 2), min(perLocation[a.Location], 2)),
			cmp.Compare(b.Degree, a.Degree),
			bytes.Compare(a.Node[:], b.Node[:]),
		)
	})
	return least.Node, true
}

// Verdict is what becomes of a node that asks for a link.
type Verdict struct {
	Take  bool
	Evict model.UID // the link to give up for it; nil for none
	Try   []wire.Member
}

// Asker is who asks for a link.
type Asker struct {
	Node      model.UID
	Alone     bool // it has no other link
	Reachable bool // links lead there already
}

// Admit decides about a node that asks for a link and has none here. Who is
// not reachable is always taken, else two groups whose nodes are all full
// could never find together; who is alone may have the last place.
func (p *Peers) Admit(s State, a Asker, now time.Time) Verdict {
	places := p.o.Max - 1
	if a.Alone {
		places = p.o.Max
	}
	switch {
	case len(s.Links) < places:
		return Verdict{Take: true}
	case a.Reachable:
		return Verdict{Try: p.try(s, a.Node)}
	case len(s.Links) < p.o.Max:
		return Verdict{Take: true}
	}
	if node, ok := s.redundant(now); ok {
		return Verdict{Take: true, Evict: node}
	}
	if len(s.Links) < overflow*p.o.Max {
		return Verdict{Take: true}
	}
	return Verdict{Try: p.try(s, a.Node)}
}

// try are nodes that may have room, in random order.
func (p *Peers) try(s State, not model.UID) []wire.Member {
	var out []wire.Member
	for _, i := range p.o.Rand.Perm(len(s.Candidates)) {
		c := s.Candidates[i]
		if c.Reachable && !c.Full && c.Node != not && c.Node != model.NilUID && len(out) < maxTry {
			out = append(out, wire.Member{Node: c.Node, Address: c.Address})
		}
	}
	return out
}

// Prefer reports whether a link replaces one that the other side dialled.
// Both sides find the same: the link that the lower UID dialled stays.
func Prefer(self, peer model.UID, outgoing bool) bool {
	return outgoing == (bytes.Compare(self[:], peer[:]) < 0)
}
