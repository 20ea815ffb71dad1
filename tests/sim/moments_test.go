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

// afterNaming waits until another node has granted something to this one, which
// does not know of it yet.
func (h *history) afterNaming(m *member) bool {
	type seen struct {
		by    *process
		grant grantSeen
	}
	newest := func() map[seen]bool {
		all := map[seen]bool{}
		for _, other := range h.living() {
			if p := other.p; p != nil && other != m {
				if g := p.evidence.grant(); g.winner == m.uid {
					all[seen{p, g}] = true
				}
			}
		}
		return all
	}
	was := newest()
	return h.until1(10*time.Second, func() bool {
		for s := range newest() {
			if !was[s] {
				return true
			}
		}
		return false
	})
}

// stumble kills a process just after it has voted, or was granted something, so
// that its next one finds the grant.
func (h *history) stumble() {
	m := h.any()
	p := m.p
	if !m.usable() || h.chance(0.3) && !h.afterVote(p) || !h.afterNaming(m) || !m.usable() {
		return
	}
	h.count("stumbled")
	m.kill(h.chance(0.3))
	m.start()
}

// doze lets a machine sleep just after it was granted something, for about as
// long as its vote counts.
func (h *history) doze() {
	m := h.any()
	if !m.usable() || !h.afterNaming(m) || !m.usable() {
		return
	}
	h.count("dozed")
	m.sleep()
	d := h.between(20*time.Second, 50*time.Second)
	h.work.Go(func() { h.wait(d); m.wake() })
}

// widow retires an arbiter just after it has granted: only the winner knows of
// the grant, and nobody hears of the winner any more. That the winner can not be
// reached is known 6 s later, so that the operator is not warned.
func (h *history) widow() {
	living := h.living()
	m := living[h.pick(len(living))]
	if len(living) <= max(h.plan.least, 3) || !m.usable() {
		return
	}
	winner := h.afterGrant(m)
	if winner == nil {
		return
	}
	others := func(do func(i int)) {
		for _, other := range living {
			if other != m && other != winner {
				do(other.index)
			}
		}
	}
	gone := func(by int) { others(func(i int) { h.cut(m.index, i, by) }) }
	apart := func(by int) { others(func(i int) { h.cut(winner.index, i, by); h.cut(i, winner.index, by) }) }
	gone(1)
	told := h.until1(time.Second, func() bool { return winner.knows(m.p.evidence.grant()) })
	gone(-1)
	if !told {
		return
	}
	h.count("widowed")
	apart(1)
	h.later(func() { apart(-1) })
	h.bury(m, func() bool { return h.wait(h.between(time.Second, 3*time.Second)) })
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

// afterGrant waits until the node has granted something to another one, which
// it returns; nil if it does not.
func (h *history) afterGrant(m *member) *member {
	p := m.p
	was := p.evidence.grant()
	if !h.until1(10*time.Second, func() bool { return p.evidence.grant() != was }) || !m.usable() {
		return nil
	}
	for _, other := range h.living() {
		if other.uid == p.evidence.grant().winner && other.usable() {
			return other
		}
	}
	return nil
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
