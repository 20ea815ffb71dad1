package election_test

import (
	"math"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Boot implements the election's cluster.
func (n *node) Boot() uint64 { return uint64(n.began.UnixNano()) }

// Active implements the election's cluster.
func (n *node) Active() []model.UID {
	var active []model.UID
	for _, i := range n.hub.reachable(n.index) {
		if o := n.hub.nodes[i]; !o.inMaintenance() && o.Ready() {
			active = append(active, o.uid)
		}
	}
	return active
}

// Cast implements the election's cluster: votes take a while, and may be lost.
func (n *node) Cast(votes []model.Vote) {
	n.stand()
	votes = slices.Clone(votes)
	for _, i := range n.hub.reachable(n.index) {
		to := n.hub.nodes[i]
		n.hub.mu.Lock()
		lost := n.hub.dice.Float64() < n.hub.loss
		wait := time.Duration(n.hub.dice.Int64N(int64(n.hub.delay) + 1))
		n.hub.mu.Unlock()
		if to == n || lost {
			continue
		}
		n.hub.wg.Go(func() {
			time.Sleep(wait)
			to.mu.Lock()
			if to.up {
				to.heard = append(to.heard, votes...)
			}
			to.mu.Unlock()
			to.poke()
		})
	}
}

// Votes implements the election's cluster.
func (n *node) Votes() (<-chan struct{}, func() ([]model.Vote, bool)) {
	return n.signal, func() ([]model.Vote, bool) {
		n.stand()
		n.mu.Lock()
		defer n.mu.Unlock()
		heard, changed := n.heard, n.changed
		n.heard, n.changed = nil, false
		return heard, changed
	}
}

// Unreachable implements the election's cluster.
func (n *node) Unreachable(uid model.UID) time.Duration {
	for i, o := range n.hub.nodes {
		if o.uid != uid {
			continue
		}
		if slices.Contains(n.hub.reachable(n.index), i) {
			return 0
		}
		n.hub.mu.Lock()
		defer n.hub.mu.Unlock()
		return max(1, time.Duration(time.Now().UnixNano()-n.hub.seen[[2]int{i, n.index}]))
	}
	return math.MaxInt64
}

// Covered implements the election's cluster.
func (n *node) Covered(time.Time) bool { return n.covered(false) }

// CoveredReachable implements the election's cluster.
func (n *node) CoveredReachable(time.Time) bool { return n.covered(true) }

func (n *node) covered(reachable bool) bool {
	retired, _ := n.db.Succession()
	reach := n.hub.reachable(n.index)
	for i, o := range n.hub.nodes {
		if _, gone := model.Retired(o.uid, retired); gone || o == n || reachable && !slices.Contains(reach, i) {
			continue
		}
		theirs, _ := o.db.Succession()
		if !slices.Contains(reach, i) || !n.hub.has(i, n.index) || model.SumOfRetirements(theirs) != model.SumOfRetirements(retired) {
			return false
		}
	}
	return true
}

func (n *node) settled() bool { return n.Covered(time.Time{}) }

// has reports whether the second has all rows of the first.
func (h *hub) has(i, j int) bool {
	total := h.nodes[i].db.rows()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keep[[2]int{i, j}] >= total
}

// Ready implements the election's cluster: a node has caught up with one other,
// or found none for 15 s.
func (n *node) Ready() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

func (n *node) catchUp(reach []int) {
	n.mu.Lock()
	waited := time.Since(n.began)
	n.mu.Unlock()
	ready := len(n.hub.nodes) == 1 || waited > 15*time.Second
	for _, i := range reach {
		ready = ready || i != n.index && n.hub.has(i, n.index)
	}
	n.mu.Lock()
	news := ready && !n.ready
	n.ready = n.ready || ready
	n.mu.Unlock()
	if news {
		n.ring()
	}
}
