package pool

import (
	"encoding/json"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// checkSaved stores what is saved when it has to be, and no more often.
func (g *game) checkSaved(n *node) {
	if n.state.Revision() == n.rev && g.dice.IntN(20) > 0 {
		return
	}
	saved, err := json.Marshal(n.state.Saved())
	if err != nil {
		g.t.Fatal(err)
	}
	if n.state.Revision() == n.rev && n.saved != nil && string(saved) != string(n.saved) && n.clock == 0 && !g.jumps {
		g.fatalf("saved changed without a new revision: %s", cmp.Diff(string(n.saved), string(saved)))
	}
	n.rev, n.saved = n.state.Revision(), saved
}

// check is what must hold of an action at the moment of its decision.
func (g *game) check(n *node, a Action) {
	if !n.owner {
		switch a.(type) {
		case Refuse:
		default:
			g.fatalf("%s is not the owner and wants %T%+v", n.name, a, a)
		}
	}
	switch a := a.(type) {
	case Grant:
		for token, p := range g.promises {
			if token != a.Token && p.host == a.Host && g.holds(p) {
				g.fatalf("%s is given to %s, and %s has it", a.Host, a.Token, token)
			}
		}
	case StartScrub:
		g.unused(a.Host, "scrubbed")
	case ReleaseHosts:
		for _, id := range a.Hosts {
			g.unused(id, "released")
			h := g.w.host(id)
			if h != nil && h.gone.IsZero() && !g.jumps && g.w.now.Sub(h.born) < g.w.minAge && n.cfg.MinAge > 0 {
				g.fatalf("%s is released %v after its allocation", id, g.w.now.Sub(h.born))
			}
			if h != nil && h.on != nil && h.on.scrub && h.state != cloud.HostPermanentFailure {
				for _, sib := range n.state.hosts {
					if sib.id == id && sib.scrub != nil {
						g.fatalf("%s is released with a scrub under way", id)
					}
				}
			}
		}
	case AllocateHost:
		fresh := true
		for _, r := range n.state.requests {
			if r.ClientToken == a.ClientToken {
				fresh = r.tries == 1 && !r.restored
			}
		}
		if fresh && n.counted <= n.asked {
			g.fatalf("%+v without a list since the last one", a)
		}
		if fresh {
			g.decided = a.ID
		}
	}
}

// holds reports whether a promise may still be used, or is.
func (g *game) holds(p *promise) bool {
	for _, i := range g.w.instances {
		if i.token == p.token && i.active && i.host.id == p.host {
			return true
		}
	}
	return !p.over && (p.sent || p.until.After(g.w.now))
}

// unused fails if a token has the host.
func (g *game) unused(host, what string) {
	for token, p := range g.promises {
		if p.host == host && g.holds(p) {
			g.fatalf("%s is %s, and %s has it", host, what, token)
		}
	}
}

// checkKnown is that every host is known to the owner, once a list must have it.
func (g *game) checkKnown(n *node, e Event) {
	d, ok := e.(Described)
	if !ok || !n.owner || d.Err != nil || d.Partial || g.jumps {
		return
	}
	l := n.state.look.listed
	for _, h := range g.w.live() {
		if n.state.byID[h.id] == nil && h.born.Add(cloud.Settled).Before(n.state.outer(l.at)) {
			if ghost := n.state.ghosts[h.id]; ghost == nil {
				g.fatalf("%s is unknown to its owner", h.id)
			}
		}
	}
	for _, mine := range n.state.hosts {
		h := g.w.host(mine.id)
		if h == nil {
			continue
		}
		pending := h.pendingFor
		if h.state == cloud.HostPending {
			pending += g.w.now.Sub(h.pendingSince)
		}
		if mine.unpaid > pending+2*cloud.Settled {
			g.fatalf("%s was pending for %v, and the pool says %v", mine.id, pending, mine.unpaid)
		}
	}
}
