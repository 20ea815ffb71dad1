package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// living are the nodes that were not retired.
func (f *farm) living() []*member {
	var living []*member
	for _, m := range f.nodes {
		if !m.retired.Load() {
			living = append(living, m)
		}
	}
	return living
}

// drain puts a node into maintenance for a while.
func (h *history) drain() {
	m := h.any()
	if m.drained.Swap(true) {
		return
	}
	h.later(func() { m.undrain() })
}

// undrain ends maintenance.
func (m *member) undrain() {
	m.drained.Store(false)
	if p := m.p; p != nil {
		p.election.Wake()
	}
}

// handover is maintenance with a shutdown: what runs ends, what waits is given
// to another node, and the node is away for a while.
func (h *history) handover() {
	m := h.any()
	p := m.p
	if !m.usable() || m.drained.Swap(true) {
		return
	}
	for deadline := time.Now().Add(30 * time.Second); p.manager.Running() > 0 && time.Now().Before(deadline); {
		if !h.wait(time.Second) {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	if p.handOver(ctx) == nil {
		h.count("handed over")
	}
	cancel()
	m.kill(h.chance(0.3))
	h.wait(h.upTo(30 * time.Second))
	m.undrain()
	m.start()
}

// retire takes a node out for good: its machine is off from then on. Whether
// all others could be asked is found out as lib/retire does; just after that
// the network may fail.
func (h *history) retire() {
	living := h.living()
	if len(living) <= h.plan.least || !h.chance(0.5) {
		return
	}
	gone := living[h.pick(len(living))]
	h.bury(gone, func() bool { return h.wait(h.between(time.Second, 20*time.Second)) })
	if h.chance(0.5) {
		h.halves()
	}
}

// bury switches a machine off, and retires its node a while later.
func (h *history) bury(gone *member, pause func() bool) {
	gone.kill(true)
	gone.retired.Store(true)
	h.world.switchOff(gone.machine, h.lostWith(gone))
	pause()
	living := h.living()
	asked := living[h.pick(len(living))]
	for deadline := time.Now().Add(4 * time.Minute); !asked.hears(gone) && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		asked = living[h.pick(len(living))]
	}
	if !asked.usable() {
		asked = living[0]
	}
	heir := living[h.pick(len(living))]
	h.forget(gone, h.begun)
	forced := !asked.hears(gone)
	if forced {
		heir = asked
		h.pardon("a retirement was forced")
	}
	h.count("retired")
	h.retireAll(asked, heir, forced)
}

// retireAll is what the operator has a node do: it retires all that are off and
// of whose retirement that node does not know. One may have gone with the node
// that it was asked of, and as long as that is so lib/retire refuses any other.
func (h *history) retireAll(asked, heir *member, forced bool) {
	missing := 0
	for _, gone := range h.nodes {
		if !gone.retired.Load() || asked.knowsRetired(gone) {
			continue
		}
		if missing++; missing > 1 {
			h.count("retired again")
		}
		h.retireAt(asked, model.Retirement{NodeUID: gone.uid, Successor: heir.uid, Forced: forced, By: "admin"})
	}
}

// retireForgotten retires those that are off and of whose retirement no node
// knows any more: they are shown as members that can not be reached.
func (h *history) retireForgotten() {
	asked := h.living()[0]
	for _, gone := range h.nodes {
		if gone.retired.Load() && !slices.ContainsFunc(h.living(), func(m *member) bool { return m.knowsRetired(gone) }) {
			h.count("retired again")
			h.retireAt(asked, model.Retirement{NodeUID: gone.uid, Successor: asked.uid, By: "admin"})
		}
	}
}

func (m *member) knowsRetired(gone *member) bool {
	_, known := m.p.store.Retirement(gone.uid)
	return known
}

// retireAt stores a retirement on a node.
func (h *history) retireAt(asked *member, r model.Retirement) {
	_, err := asked.p.store.CreateRetirement(context.Background(), r)
	if err != nil && asked.disk != nil { // of a disk that is full for a while
		asked.disk.Fail(nil)
		_, err = asked.p.store.CreateRetirement(context.Background(), r)
	}
	if err != nil && !errors.Is(err, store.ErrExists) {
		h.t.Errorf("seed %d: retire node %s: %v", h.seed, r.NodeUID, err)
	}
}

// lostWith are the applications that ran on a machine which is off, and of which
// no other node knows, durable, that they did.
func (h *history) lostWith(gone *member) map[model.UID]bool {
	lost := map[model.UID]bool{}
	for _, app := range gone.machine.ranOn() {
		lost[app] = !slices.ContainsFunc(h.living(), func(m *member) bool { return m.knowsRun(app, gone) })
	}
	return lost
}

// knowsRun reports whether the node knows, durable, that another one has begun
// the application.
func (m *member) knowsRun(app model.UID, by *member) bool {
	if m.p == nil {
		return false
	}
	e, err := m.p.store.Application(context.Background(), app)
	return err == nil && slices.ContainsFunc(e.States, func(s model.ApplicationState) bool {
		return s.NodeUID == by.uid && (s.Status == model.StatusAllocated || s.Status == model.StatusDeallocated || s.Status == model.StatusError)
	}) && m.p.flush(context.Background()) == nil
}

// hears reports whether the node can reach all others but the one that is gone,
// and knows that one to be silent.
func (m *member) hears(gone *member) bool {
	if !m.usable() || m.p.cluster.Unreachable(gone.uid) == 0 {
		return false
	}
	for _, other := range m.farm.living() {
		if other != m && m.p.cluster.Unreachable(other.uid) != 0 {
			return false
		}
	}
	return true
}

// pardon says that what is not over may run twice.
func (h *history) pardon(why string) {
	for _, m := range h.living() {
		if m.p == nil {
			continue
		}
		for _, e := range m.p.store.Open() {
			h.world.pardon(e.Application.UID, why)
		}
	}
}

// count notes that something happened.
func (h *history) count(what string) {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	h.ledger.happened[what]++
}
