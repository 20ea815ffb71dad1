package repl

import (
	"cmp"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// puller decides which links are asked to begin again with which origins. It
// has two reasons. A node that is far behind is served by nobody unasked, so
// it chooses one link. And an origin that does not advance although a
// neighbour has more of it is asked for again, from one neighbour after the
// other: whatever was lost, this finds it. It is pure.
type puller struct {
	far uint64

	source  uint64 // the link that serves a node far behind; 0 is none
	assumed map[replica.Origin]bool
	got     uint64    // how much is here of what source was asked for
	gotAt   time.Time // when that grew last
	tried   map[uint64]time.Time

	stuck map[replica.Origin]stall
}

// stall is an origin of which a neighbour has more.
type stall struct {
	mine  uint64
	since time.Time
	tries int
}

// neighbour is a link and what its other side has.
type neighbour struct {
	link  uint64
	knows replica.Vector
}

// pull is a request to a link.
type pull struct {
	link    uint64
	origins []replica.Origin
}

const (
	// sourceTimeout is how long the source may stand still.
	sourceTimeout = 15 * time.Second
	stallMin      = 3 * time.Second
	stallMax      = time.Minute
)

func newPuller(far uint64) *puller {
	return &puller{far: far, tried: map[uint64]time.Time{}, stuck: map[replica.Origin]stall{}}
}

// next decides. skip are origins that are not wanted now: the node's own, and
// those on hold.
func (p *puller) next(mine replica.Vector, links []neighbour, skip func(replica.Origin) bool, now time.Time) []pull {
	var pulls []pull
	if chosen := p.chooseSource(mine, links, skip, now); chosen != nil {
		pulls = append(pulls, *chosen)
	}
	return append(pulls, p.unstick(mine, links, skip, now)...)
}

// chooseSource keeps, drops or chooses the one link that serves a node that is
// far behind.
func (p *puller) chooseSource(mine replica.Vector, links []neighbour, skip func(replica.Origin) bool, now time.Time) *pull {
	if p.source != 0 && p.goesOn(mine, links, skip, now) {
		return nil
	}
	p.source, p.assumed = 0, nil
	var best neighbour
	var most uint64
	for _, n := range links {
		lag := lagBehind(mine, n, skip)
		if lag <= p.far/2 { // half, so that nobody waits for a request that does not come
			continue
		}
		if best.link == 0 || cmp.Or(p.tried[best.link].Compare(p.tried[n.link]), cmp.Compare(lag, most)) > 0 {
			best, most = n, lag
		}
	}
	if best.link == 0 {
		clear(p.tried)
		return nil
	}
	p.source, p.got, p.gotAt = best.link, 0, now
	p.tried[best.link] = now
	p.assumed = map[replica.Origin]bool{}
	chosen := pull{link: best.link}
	for origin, seq := range best.knows {
		if !skip(origin) && lagOf(seq, mine[origin]) > p.far/farShare/2 {
			p.assumed[origin] = true
			p.got += mine[origin]
			chosen.origins = append(chosen.origins, origin)
		}
	}
	slices.SortFunc(chosen.origins, replica.Origin.Compare)
	return &chosen
}

// goesOn reports whether the source is there, has more, and sends it. That it
// tells of even more is not enough.
func (p *puller) goesOn(mine replica.Vector, links []neighbour, skip func(replica.Origin) bool, now time.Time) bool {
	i := slices.IndexFunc(links, func(n neighbour) bool { return n.link == p.source })
	if i < 0 {
		return false
	}
	if lagBehind(mine, links[i], skip) <= p.far/2 {
		return false
	}
	var got uint64
	for origin := range p.assumed {
		got += mine[origin]
	}
	if got > p.got {
		p.got, p.gotAt = got, now
	}
	return now.Sub(p.gotAt) < sourceTimeout
}

func lagBehind(mine replica.Vector, n neighbour, skip func(replica.Origin) bool) uint64 {
	var lag uint64
	for origin, seq := range n.knows {
		if !skip(origin) {
			lag += lagOf(seq, mine[origin])
		}
	}
	return lag
}

// unstick asks again for what does not come.
func (p *puller) unstick(mine replica.Vector, links []neighbour, skip func(replica.Origin) bool, now time.Time) []pull {
	lacking := map[replica.Origin][]uint64{}
	for _, n := range links {
		for origin, seq := range n.knows {
			if seq > mine[origin] && !skip(origin) && !p.assumed[origin] {
				lacking[origin] = append(lacking[origin], n.link)
			}
		}
	}
	for origin := range p.stuck {
		if lacking[origin] == nil {
			delete(p.stuck, origin)
		}
	}
	byLink := map[uint64][]replica.Origin{}
	for origin, from := range lacking {
		s, seen := p.stuck[origin]
		if !seen || s.mine != mine[origin] {
			p.stuck[origin] = stall{mine: mine[origin], since: now}
			continue
		}
		if now.Sub(s.since) < min(stallMin<<min(s.tries, 10), stallMax) {
			continue
		}
		link := from[s.tries%len(from)]
		byLink[link] = append(byLink[link], origin)
		p.stuck[origin] = stall{mine: s.mine, since: now, tries: s.tries + 1}
	}
	var pulls []pull
	for link, origins := range byLink {
		slices.SortFunc(origins, replica.Origin.Compare)
		pulls = append(pulls, pull{link, origins})
	}
	slices.SortFunc(pulls, func(a, b pull) int { return cmp.Compare(a.link, b.link) })
	return pulls
}
