package election

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// repeatEvery is how often a yes is cast again until it is decided: a vote may
// be lost on its way.
const repeatEvery = time.Second

// leastHold is for how long a yes holds room, and counts, at least. It is more
// if the arbiter waits longer for other votes.
const leastHold = 5 * time.Second

// strangerKept is for how long votes are kept for an application that is not
// known here: its row may come later than they do.
const strangerKept = 30 * time.Second

// mostPolls bounds for how many applications votes are kept that do not wait
// here, so that a node which tells of ever new ones does not fill the memory.
const mostPolls = 50_000

// tally is what this node knows of votes: those it cast and those it heard.
// It is not safe for concurrent use.
type tally struct {
	polls map[model.UID]*poll
	// stands are this node's yeses that hold room.
	stands map[model.UID]stand
	// touched are the applications whose poll may be decided differently now;
	// those that wait for votes stay in it.
	touched map[model.UID]struct{}
	// deadline is when the first of those stops to wait; zero for never.
	deadline time.Time
}

// poll is what is known of the votes for one application: the newest of each
// node, this one's own included.
type poll struct {
	heard  map[model.UID]heard // changed by put and drop only
	newest time.Time
	yeses  int // how many of those heard are yeses, and nevers
	nevers int
}

type heard struct {
	vote model.Vote
	at   time.Time
}

// stand is a yes of this node that is not decided.
type stand struct {
	vote  model.Vote
	app   model.Application
	until time.Time // while it holds room
	again time.Time // when it is cast next; zero if it need not be
}

func newTally() tally {
	return tally{polls: map[model.UID]*poll{}, stands: map[model.UID]stand{}, touched: map[model.UID]struct{}{}}
}

// hear keeps the vote of another node. One for what does not wait here is left
// out where there is too much.
func (t *tally) hear(v model.Vote, now time.Time, waits bool) {
	if !waits && t.polls[v.ApplicationUID] == nil && len(t.polls) >= mostPolls {
		return // it is repeated
	}
	t.note(v, now)
}

// note keeps a vote.
func (t *tally) note(v model.Vote, now time.Time) {
	p := t.polls[v.ApplicationUID]
	if p == nil {
		p = &poll{heard: map[model.UID]heard{}}
		t.polls[v.ApplicationUID] = p
	}
	p.put(heard{vote: v, at: now})
	p.newest = now
	t.touched[v.ApplicationUID] = struct{}{}
}

// put replaces what was heard of the vote's node.
func (p *poll) put(h heard) {
	if old, ok := p.heard[h.vote.NodeUID]; ok {
		p.count(old, -1)
	}
	p.heard[h.vote.NodeUID] = h
	p.count(h, 1)
}

func (p *poll) drop(node model.UID) {
	if old, ok := p.heard[node]; ok {
		delete(p.heard, node)
		p.count(old, -1)
	}
}

func (p *poll) count(h heard, by int) {
	switch {
	case h.vote.Yes():
		p.yeses += by
	case h.vote.Available == model.VoteNever:
		p.nevers += by
	}
}

// hopeful reports whether anybody said yes, perhaps long ago: without one there
// is nothing to decide.
func (t *tally) hopeful(app model.UID) bool {
	p := t.polls[app]
	return p != nil && p.yeses > 0
}

// votes are those that count at the time now: a yes for as long as it can be
// trusted to hold room, a no until there is another.
func (t *tally) votes(app model.UID, now time.Time, yesFor time.Duration) []model.Vote {
	p := t.polls[app]
	if p == nil {
		return nil
	}
	votes := make([]model.Vote, 0, len(p.heard))
	for _, h := range p.heard {
		if !h.vote.Yes() || now.Sub(h.at) <= yesFor {
			votes = append(votes, h.vote)
		}
	}
	return votes
}

// last is the newest vote of a node.
func (t *tally) last(app, node model.UID) (heard, bool) {
	p := t.polls[app]
	if p == nil {
		return heard{}, false
	}
	h, ok := p.heard[node]
	return h, ok
}

// forget drops the vote of a node.
func (t *tally) forget(app, node model.UID) {
	if p := t.polls[app]; p != nil {
		p.drop(node)
	}
}

// demote turns a yes that led to a grant which was declined into a no, until
// its node votes anew.
func (t *tally) demote(app, node model.UID) {
	if h, ok := t.last(app, node); ok && h.vote.Yes() {
		h.vote.Available = model.VoteNo
		t.polls[app].put(h)
	}
}

// drop forgets all about an application.
func (t *tally) drop(app model.UID) {
	delete(t.polls, app)
	delete(t.touched, app)
}

// sweep drops old votes for what does not wait here.
func (t *tally) sweep(now time.Time, waits func(app model.UID) bool) {
	for app, p := range t.polls {
		if now.Sub(p.newest) > strangerKept && !waits(app) {
			t.drop(app)
		}
	}
	for app := range t.touched {
		if t.polls[app] == nil {
			delete(t.touched, app)
		}
	}
}

// capable are the nodes that did not say that they can never run it.
func (t *tally) capable(app model.UID, nodes []model.UID) []model.UID {
	p := t.polls[app]
	if p == nil || p.nevers == 0 {
		return nodes
	}
	capable := make([]model.UID, 0, len(nodes))
	for _, node := range nodes {
		if h, ok := p.heard[node]; !ok || h.vote.Available != model.VoteNever {
			capable = append(capable, node)
		}
	}
	return capable
}

// next is the time to what has to be done next without any event, at most
// most.
func (t *tally) next(now time.Time, most time.Duration) time.Duration {
	if !t.deadline.IsZero() {
		most = min(most, t.deadline.Sub(now))
	}
	for _, s := range t.stands {
		most = min(most, s.until.Sub(now))
		if !s.again.IsZero() {
			most = min(most, s.again.Sub(now))
		}
	}
	return max(most, time.Millisecond)
}
