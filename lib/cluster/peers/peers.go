package peers

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// How often is dialled.
const (
	// backoffMin and backoffMax bound the pause after a dial that came to
	// nothing. Between them it is at most a tenth of how long it has been in
	// vain, so that a short cut heals at once and a machine that is off for a
	// month costs little. It never ends.
	backoffMin = time.Second
	backoffMax = time.Minute
	// atOnce bounds the dials that are under way to nodes that are not
	// reachable. Those to others have the bounds of the plan: a site that was
	// cut off, where every dial hangs, takes no place of theirs.
	atOnce = 4
	// useful is how long a link has to be up to count as a success.
	useful = 10 * time.Second
	// repick is how long the random neighbour stays.
	repick = time.Hour
)

// Options are what a Peers needs.
type Options struct {
	Self     model.UID
	Location string
	Max      int        // links; 0 means DefaultMax, the least is 2
	Rand     *rand.Rand // for the choice among equals and the pauses
}

// Peers remembers what came of earlier decisions. It is not safe for
// concurrent use.
type Peers struct {
	o        Options
	tries    map[string]*try
	random   model.UID // the random neighbour
	repickAt time.Time
}

// try is what came of dialling an address.
type try struct {
	dialling bool
	lost     bool      // it is dialled because the node is not reachable
	since    time.Time // of the first failure in a row
	next     time.Time // not before
	node     model.UID // who answered last
	used     time.Time
}

// New returns a Peers that knows nobody.
func New(o Options) *Peers {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	o.Max = max(o.Max, 2)
	return &Peers{o: o, tries: map[string]*try{}}
}

// Free is how many more links the node would take, for others to see.
func (p *Peers) Free(links int) int { return max(0, p.o.Max-1-links) }

// Action is one thing to do.
type Action struct {
	Dial *Candidate // tell what came of it with Linked or Failed
	Drop model.UID  // give up this link, if Dial is nil
}

// Decide returns what to do now, and when to ask again at the latest if
// nothing changes.
func (p *Peers) Decide(s State, now time.Time) ([]Action, time.Time) {
	s.Candidates = p.resolve(s.Candidates)
	p.forget(s, now)
	var actions []Action
	if node, drop := p.surplus(s, now); drop {
		actions = append(actions, Action{Drop: node})
	}
	called := map[model.UID]bool{}
	for _, t := range p.tries {
		called[t.node] = called[t.node] || t.dialling
	}
	room := atOnce - p.dialling(true)
	for _, c := range p.wanted(s, now) {
		t := p.attempt(c.Address, now)
		if !c.Reachable && room == 0 || t.dialling || now.Before(t.next) || c.Node != model.NilUID && called[c.Node] { // one address of a node at a time
			continue
		}
		t.dialling, t.node, t.lost = true, c.Node, !c.Reachable
		called[c.Node] = true
		if t.lost {
			room--
		}
		actions = append(actions, Action{Dial: &c})
	}
	return actions, p.next(s, now)
}

// resolve fills in whose an address was when it answered last, drops the own
// ones, and says each address once.
func (p *Peers) resolve(candidates []Candidate) []Candidate {
	var out []Candidate
	reachable, seeds := map[model.UID]bool{}, map[string]bool{}
	for _, c := range candidates {
		reachable[c.Node] = reachable[c.Node] || c.Reachable
		seeds[c.Address] = seeds[c.Address] || c.Seed
	}
	seen := map[string]bool{}
	for _, c := range candidates {
		if t := p.tries[c.Address]; t != nil && c.Node == model.NilUID {
			c.Node = t.node
			c.Reachable = t.node != model.NilUID && reachable[t.node]
		}
		c.Seed = seeds[c.Address]
		if c.Node != p.o.Self && c.Address != "" && !seen[c.Address] {
			seen[c.Address] = true
			out = append(out, c)
		}
	}
	return out
}

// wanted are the candidates worth a link, the most needed first: who is not
// reachable, and of those whom the config names, as one that is known from long
// ago may be off; then what lacks of the plan.
func (p *Peers) wanted(s State, now time.Time) []Candidate {
	var lost, rest []Candidate
	for _, i := range p.o.Rand.Perm(len(s.Candidates)) {
		c := s.Candidates[i]
		switch {
		case s.linked(c.Node):
		case !c.Reachable:
			lost = append(lost, c)
		default:
			rest = append(rest, c)
		}
	}
	slices.SortStableFunc(lost, func(a, b Candidate) int { return seedFirst(a) - seedFirst(b) })
	return append(lost, p.plan(s, rest, now)...)
}

func seedFirst(c Candidate) int {
	if c.Seed {
		return 0
	}
	return 1
}

// plan picks among the reachable: two or three of the own location, up to two
// others, one at random. So a node dials half of its links at most, and the
// other half is for those that dial it.
func (p *Peers) plan(s State, rest []Candidate, now time.Time) []Candidate {
	half, outgoing, own, other := p.o.Max/2, p.dialling(false), 0, map[string]int{}
	for _, l := range s.Links {
		if l.Outgoing {
			outgoing++
		}
		if l.Location == p.o.Location {
			own++
		} else {
			other[l.Location]++
		}
	}
	room := min(half-outgoing, p.o.Max-1-len(s.Links)-p.dialling(false))
	if room <= 0 {
		return nil
	}
	var picked []Candidate
	pick := func(want int, fits func(Candidate) bool) {
		for _, c := range rest {
			if want > 0 && room > 0 && fits(c) && !slices.Contains(picked, c) && p.ripe(c, now) {
				picked = append(picked, c)
				want--
				room--
			}
		}
	}
	others := 0
	for _, n := range other {
		others += n
	}
	elsewhere := min(2, half/2, others+count(rest, func(c Candidate) bool { return c.Location != p.o.Location }))
	pick(elsewhere-others, func(c Candidate) bool { return c.Location != p.o.Location && other[c.Location] == 0 })
	pick(half-1-elsewhere-own, func(c Candidate) bool { return c.Location == p.o.Location })
	if !s.linked(p.random) {
		pick(1, func(Candidate) bool { return true })
		if len(picked) > 0 {
			p.random = picked[len(picked)-1].Node
		}
	}
	return picked
}

// ripe reports whether a candidate is worth a dial now.
func (p *Peers) ripe(c Candidate, now time.Time) bool {
	t := p.tries[c.Address]
	return !c.Full && (t == nil || !t.dialling && !now.Before(t.next))
}

func count(candidates []Candidate, fits func(Candidate) bool) int {
	n := 0
	for _, c := range candidates {
		if fits(c) {
			n++
		}
	}
	return n
}

// surplus is a link to give up: one too many, or the random neighbour after
// its hour.
func (p *Peers) surplus(s State, now time.Time) (model.UID, bool) {
	if len(s.Links) > p.o.Max {
		return s.redundant(now)
	}
	if p.repickAt.IsZero() {
		p.repickAt = now.Add(repick)
	}
	if now.Before(p.repickAt) {
		return model.NilUID, false
	}
	p.repickAt = now.Add(repick)
	old := p.random
	p.random = model.NilUID
	drop := slices.ContainsFunc(s.Links, func(l Link) bool {
		return l.Node == old && l.Outgoing && !l.Bridge && now.Sub(l.Since) >= settling
	})
	return old, drop && len(s.Links) >= p.o.Max/2 // few links are no choice
}

// dialling is how many dials are under way: to nodes that were not reachable,
// or to others.
func (p *Peers) dialling(lost bool) int {
	n := 0
	for _, t := range p.tries {
		if t.dialling && t.lost == lost {
			n++
		}
	}
	return n
}

// attempt is the memory of an address.
func (p *Peers) attempt(address string, now time.Time) *try {
	t := p.tries[address]
	if t == nil {
		t = &try{}
		p.tries[address] = t
	}
	t.used = now
	return t
}

// forget drops addresses that nobody names any more.
func (p *Peers) forget(s State, now time.Time) {
	for _, c := range s.Candidates {
		if t := p.tries[c.Address]; t != nil {
			t.used = now
		}
	}
	for address, t := range p.tries {
		if !t.dialling && now.Sub(t.used) > repick {
			delete(p.tries, address)
		}
	}
}

// Linked says that a dial made a link to node.
func (p *Peers) Linked(address string, node model.UID, now time.Time) {
	t := p.attempt(address, now)
	t.dialling, t.next, t.node = false, time.Time{}, node
}

// Failed says that a dial came to nothing. node is who answered, nil if nobody
// did or it is unknown.
func (p *Peers) Failed(address string, node model.UID, now time.Time) {
	t := p.attempt(address, now)
	t.dialling = false
	p.pause(t, now)
	if node != model.NilUID {
		t.node = node
	}
}

// pause puts the next dial off.
func (p *Peers) pause(t *try, now time.Time) {
	if t.since.IsZero() {
		t.since = now
	}
	pause := min(max(now.Sub(t.since)/10, backoffMin), backoffMax)
	t.next = now.Add(backoffMin/10 + time.Duration(p.o.Rand.Int64N(int64(pause))))
}

// Lost says that the link to a node ended after it was up for a while. It is
// dialled again at once, unless it was up so shortly that it was of no use.
func (p *Peers) Lost(node model.UID, lived time.Duration, now time.Time) {
	for _, t := range p.tries {
		switch {
		case t.node != node || t.dialling:
		case lived < useful:
			p.pause(t, now)
		default:
			t.next, t.since = time.Time{}, time.Time{}
		}
	}
}

// Hint lets addresses that a full node named be dialled without a pause. The
// caller names them among the candidates from now on.
func (p *Peers) Hint(members []wire.Member, now time.Time) {
	for _, m := range members {
		if t := p.tries[m.Address]; t == nil || !t.dialling {
			p.tries[m.Address] = &try{node: m.Node, used: now}
		}
	}
}

// next is when something may be due.
func (p *Peers) next(s State, now time.Time) time.Time {
	next := now.Add(backoffMax)
	for _, c := range s.Candidates {
		if t := p.tries[c.Address]; t != nil && !t.dialling && t.next.After(now) && t.next.Before(next) {
			next = t.next
		}
	}
	for _, l := range s.Links {
		if at := l.Since.Add(settling); len(s.Links) > p.o.Max && at.After(now) && at.Before(next) {
			next = at
		}
	}
	return next
}
