package sim

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Faults at the worst moment, which chance would seldom find.

// moment is how closely these look; a message takes longer.
const moment = time.Millisecond

// afterVote waits until the process has said yes once more.
func (h *history) afterVote(p *process) bool {
	was := p.evidence.votes()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if p.evidence.votes() > was {
			return true
		}
		if !h.wait(moment) {
			return false
		}
	}
	return false
}

// afterGrant waits until some node has granted something to another one, which
// does not know of it yet. It returns both; nil, nil if nobody does for a while.
func (h *history) afterGrant() (arbiter, winner *member) {
	newest := func() map[*process]grantSeen {
		all := map[*process]grantSeen{}
		for _, m := range h.living() {
			if p := m.p; p != nil {
				all[p] = p.evidence.grant()
			}
		}
		return all
	}
	was := newest()
	h.until1(10*time.Second, func() bool {
		for p, g := range newest() {
			if was[p] != g {
				arbiter, winner = p.member, h.byUID(g.winner)
			}
		}
		return arbiter != nil
	})
	if winner == nil || !winner.usable() || !arbiter.usable() {
		return nil, nil
	}
	return arbiter, winner
}

func (f *farm) byUID(uid model.UID) *member {
	for _, m := range f.nodes {
		if m.uid == uid {
			return m
		}
	}
	return nil
}

// stumble kills a process just after it was granted something, or has voted, so
// that its next one finds the grant.
func (h *history) stumble() {
	m := h.any()
	if h.chance(0.7) {
		_, m = h.afterGrant()
	} else if p := m.p; !m.usable() || !h.afterVote(p) {
		return
	}
	if m == nil || !m.usable() {
		return
	}
	h.count("stumbled")
	m.kill(h.chance(0.3))
	m.start()
}

// doze lets a machine sleep just after it was granted something, for about as
// long as its vote counts.
func (h *history) doze() {
	_, m := h.afterGrant()
	if m == nil {
		return
	}
	h.count("dozed")
	m.sleep()
	d := h.between(20*time.Second, 50*time.Second)
	h.work.Go(func() { h.wait(d); m.wake() })
}

// widow retires an arbiter just after it has granted: only the winner knows of
// the grant, and is slow to pass it on.
func (h *history) widow() {
	living := h.living()
	if len(living) <= max(h.plan.least, 3) {
		return
	}
	m, winner := h.afterGrant()
	if m == nil {
		return
	}
	cut := func(by int) {
		for _, other := range living {
			if other != m && other != winner {
				h.cut(m.index, other.index, by)
			}
		}
	}
	cut(1)
	told := h.until1(time.Second, func() bool { return winner.knows(m.p.evidence.grant()) })
	cut(-1)
	if !told {
		return
	}
	h.count("widowed")
	for _, other := range living {
		h.net.Slow(winner.address, other.address)
	}
	for _, other := range living { // what was on its way already
		if g := m.p.evidence.grant(); other != m && other != winner && other.knows(g) {
			h.count("of which others knew")
			break
		}
	}
	h.work.Go(func() {
		h.wait(h.between(5*time.Second, 30*time.Second))
		for _, other := range living {
			h.net.Fast(winner.address, other.address)
		}
	})
	h.bury(m, func() bool { return h.wait(h.upTo(time.Second)) })
}

// until1 waits for a moment.
func (h *history) until1(limit time.Duration, cond func() bool) bool {
	for deadline := time.Now().Add(limit); !cond(); {
		if time.Now().After(deadline) || !h.wait(moment) {
			return false
		}
	}
	return true
}

// knows reports whether the node has the grant.
func (m *member) knows(g grantSeen) bool {
	p := m.p
	if p == nil {
		return false
	}
	e, err := p.store.Application(context.Background(), g.app)
	if err != nil {
		return false
	}
	for _, s := range e.States {
		if s.Status == model.StatusElected && s.Epoch == g.epoch {
			return true
		}
	}
	return false
}
