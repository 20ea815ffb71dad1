package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// startBy is how long after its vote a node may begin what it was granted.
const startBy = 30 * time.Second

// evidence is what a process was seen to do: the votes that it cast, and the
// intents that it stored.
type evidence struct {
	mu      sync.Mutex
	cast    map[model.UID]time.Time // yes-votes, when last; guarded by mu
	yeses   int                     // guarded by mu
	granted grantSeen               // the newest one to another node; guarded by mu
	intents map[string]bool         // tokens; guarded by mu
}

// grantSeen is a grant as it was written.
type grantSeen struct {
	app    model.UID
	winner model.UID
	epoch  uint32
}

func (e *evidence) votes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.yeses
}

func (e *evidence) grant() grantSeen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.granted
}

func newEvidence() *evidence {
	return &evidence{cast: map[model.UID]time.Time{}, intents: map[string]bool{}}
}

// ballots are the cluster of an election, whose votes are noted.
type ballots struct {
	*election.Wired
	evidence *evidence
}

func (b ballots) Cast(votes []model.Vote) {
	b.evidence.mu.Lock()
	for _, v := range votes {
		if v.Yes() {
			b.evidence.cast[v.UID] = time.Now()
			b.evidence.yeses++
		} else {
			delete(b.evidence.cast, v.UID)
		}
	}
	b.evidence.mu.Unlock()
	b.Wired.Cast(votes)
}

// wrote notes what the process did: the grants that it wrote, and the
// allocations that no earlier process stored.
func (p *process) wrote(e *model.Entry) {
	p.evidence.mu.Lock()
	defer p.evidence.mu.Unlock()
	for _, a := range e.OpenAllocations() {
		if _, known := p.tokens.LoadOrStore(a.Token, p.boot); !known {
			p.evidence.intents[a.Token] = true
		}
	}
	if g := e.Fold.Grant; g != nil && g.NodeUID == p.uid && g.Decision != nil && g.Decision.Winner != p.uid && e.Fold.Allocated == nil {
		p.evidence.granted = grantSeen{e.Application.UID, g.Decision.Winner, g.Epoch}
	}
}

// mayBegin checks what an executor has to know when it asks its driver for
// something new: the grant stands, it was decided on a vote of this process,
// and that is not long ago. What an earlier process intended goes on whenever
// it can.
func (p *process) mayBegin(req drivers.Request, at time.Time) {
	p.evidence.mu.Lock()
	own := p.evidence.intents[req.Token]
	p.evidence.mu.Unlock()
	e, err := p.store.Application(context.Background(), req.ApplicationUID)
	if err != nil || !own || p.dead.Load() {
		return
	}
	for _, a := range e.Allocations {
		if a.Token != req.Token {
			continue
		}
		if why := p.wrongToBegin(e, a.Epoch, at); why != "" {
			p.farm.t.Errorf("seed %d: node %d begins grant %d of %s: %s", p.farm.seed, p.index, a.Epoch, req.ApplicationUID, why)
		}
	}
}

func (p *process) wrongToBegin(e *model.Entry, epoch uint32, at time.Time) string {
	var grant *model.ApplicationState
	for i := range e.States {
		switch s := &e.States[i]; {
		case s.Status == model.StatusElected && s.Epoch == epoch:
			grant = s
		case s.Status == model.StatusElected && s.Epoch > epoch:
			return fmt.Sprintf("it knows grant %d", s.Epoch)
		case s.Status == model.StatusDeclined && s.Epoch == epoch:
			return "which was declined"
		}
	}
	if grant == nil || grant.Decision == nil || grant.Decision.Winner != p.uid {
		return "which does not name it"
	}
	vote, _ := grant.Decision.Vote(p.uid)
	p.evidence.mu.Lock()
	defer p.evidence.mu.Unlock()
	cast, voted := p.evidence.cast[vote.UID]
	switch age := at.Sub(cast); {
	case !voted:
		return "its process did not vote for it"
	case age > startBy:
		return fmt.Sprintf("it voted %v ago", age)
	}
	return ""
}
