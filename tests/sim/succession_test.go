package sim

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
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
	if len(living) <= h.plan.least || !h.chance(0.5) || len(living) < len(h.nodes) && !*several {
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
	h.world.switchOff(gone.machine)
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
	if _, err := asked.p.store.CreateRetirement(context.Background(), model.Retirement{
		NodeUID: gone.uid, Successor: heir.uid, Forced: forced, By: "admin",
	}); err != nil && asked.disk != nil { // of a disk that is full for a while
		asked.disk.Fail(nil)
		if _, err := asked.p.store.CreateRetirement(context.Background(), model.Retirement{
			NodeUID: gone.uid, Successor: heir.uid, Forced: forced, By: "admin",
		}); err != nil {
			h.t.Errorf("seed %d: retire node %d: %v", h.seed, gone.index, err)
		}
	}
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
