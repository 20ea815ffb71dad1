package sim

import (
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// deciders are those who could ever decide about the application: its arbiter,
// and who follows it.
func (h *history) deciders(app model.Application) map[model.UID]bool {
	retirements, handovers := h.living()[0].p.store.Succession()
	deciders := map[model.UID]bool{app.Arbiter: true}
	for more := true; more; {
		more = false
		follow := func(from, to model.UID) {
			if deciders[from] && !deciders[to] {
				deciders[to], more = true, true
			}
		}
		for _, r := range retirements {
			follow(r.NodeUID, r.Successor)
		}
		for _, x := range handovers {
			follow(x.NodeUID, x.Successor)
		}
	}
	return deciders
}

// verifyGrants: a grant is followed by another one only when it was declined,
// and by none when the application was closed.
func (h *history) verifyGrants(e *model.Entry) {
	h.verifyEnds(e)
	if h.safety != election.Strict && h.silent || h.world.pardoned(e.Application.UID) {
		return
	}
	var last uint32
	var closed model.HLC
	declined, ran := map[uint32]bool{}, map[uint32]bool{}
	for _, s := range e.States {
		switch s.Status {
		case model.StatusElected:
			last = max(last, s.Epoch)
		case model.StatusAllocated:
			ran[s.Epoch] = true
		case model.StatusDeclined:
			declined[s.Epoch] = true
		case model.StatusClosed:
			closed = s.HLC
		}
	}
	for _, s := range e.States {
		if s.Status != model.StatusElected {
			continue
		}
		if ran[s.Epoch] && declined[s.Epoch] {
			h.t.Errorf("seed %d: a grant ran and was declined: %s", h.seed, describe(e))
		}
		if s.Epoch < last && !declined[s.Epoch] {
			h.t.Errorf("seed %d: it was granted again before it was declined: %s", h.seed, describe(e))
		}
		if closed != 0 && s.HLC > closed {
			h.t.Errorf("seed %d: it was granted after it was closed: %s", h.seed, describe(e))
		}
	}
}

// verifyEnds: of two that run one application the lowest grant stays; whoever
// began says how it ended.
func (h *history) verifyEnds(e *model.Entry) {
	ended := map[uint32]bool{}
	var first *model.ApplicationState
	for i := range e.States {
		switch s := &e.States[i]; s.Status {
		case model.StatusDeallocated, model.StatusError, model.StatusDeclined:
			ended[s.Epoch] = true
		case model.StatusAllocated:
			if first == nil || s.Epoch < first.Epoch {
				first = s
			}
		}
	}
	for _, s := range e.States {
		if s.Status == model.StatusAllocated && !ended[s.Epoch] {
			h.t.Errorf("seed %d: grant %d was begun and never ended: %s", h.seed, s.Epoch, describe(e))
		}
	}
	if !e.Fold.Final || first == nil || h.world.pardoned(e.Application.UID) {
		return
	}
	if last := e.Fold.Current; last.Epoch < first.Epoch {
		h.t.Errorf("seed %d: it ended by grant %d, before the one that ran: %s", h.seed, last.Epoch, describe(e))
	}
}

// verifyUsers: each user is as the newest write left it.
func (h *history) verifyUsers() {
	for name, puts := range h.ledger.users {
		var newest put
		var want string
		for value, p := range puts {
			if p.version > newest.version || p.version == newest.version && string(p.node[:]) > string(newest.node[:]) {
				newest, want = p, value
			}
		}
		u, known := h.living()[0].p.store.UserByName(name)
		is := puts[u.Hash.Algo]
		if newest.version > 0 && (!known || u.Hash.Algo != want && (is.version != 0 || u.HLC < newest.version)) {
			h.t.Errorf("seed %d: %s is %q of %v, want %q of %v", h.seed, name, u.Hash.Algo, u.HLC, want, newest.version)
		}
	}
}
